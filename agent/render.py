"""What the operator reads: the state of a running agent, and the first word of a session."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Any

from agent.assembly import profile_of, settings_of
from agent.cluster import cluster_of
from agent.config.file import AgentConfig
from agent.supervisor import State, Supervisor
from agent.supervisor.messages import Tick
from agent.supervisor.values import Moment
from agent.wire.encode import encode, readable
from suan.cli.times import length, moment


def status_lines(answer: dict[str, Any]) -> Iterator[str]:
    """The answer to `status`, line by line."""
    yield f"site         {answer['site']} ({answer['backend']} backend, {answer['mode']})"
    yield f"broker       {_broker(answer)}"
    yield f"certificate  {_certificate(answer['certificate'])}"
    if answer["journal"] != "ok":
        yield "journal      cannot be written: no new jobs until the disk has room"
    yield f"attempts     {answer['attempts']}"
    yield f"outbox       {answer['outbox']} reports wait for acknowledgement"
    yield f"failures     {_failures(answer['failures'])}"
    for pool, cards in answer["recalls"].items():
        yield f"recalled     from pool {pool}: runs may hold {cards} cards there"
    if ignored := answer["ignored"]:
        counted = ", ".join(f"{name} {count}" for name, count in sorted(ignored.items()))
        yield f"ignored      {counted}"
    for held in answer["held"]:
        remaining = held["lease_remaining_seconds"]
        lease = "no lease" if remaining is None else f"lease {length(remaining)}"
        stop = f", stopping: {held['stop_reason']}" if held["stop_reason"] else ""
        yield f"  {held['job_id']} attempt {held['epoch']}  {held['phase']}, {lease}{stop}"


def first_hello(config: AgentConfig) -> dict[str, Any]:
    """What a session would begin with if nothing ran here."""
    survey = cluster_of(config, os.environ).survey
    asyncio.run(survey.look(lambda pool, node: frozenset()))
    state = State(survey.inventory(), survey.rules)
    supervisor = Supervisor(state, settings_of(config), lambda: 0.5)
    now = Moment(0.0, time.time())
    supervisor.handle([Tick()], now)  # what may be offered at this hour
    hello = supervisor.hello("", now)
    return readable(encode(hello, profile_of(config, "")))


def _broker(answer: dict[str, Any]) -> str:
    if answer["connected"] and answer["heard_seconds_ago"] is not None:
        return f"connected, last word {length(answer['heard_seconds_ago'])} ago"
    problem = answer["problem"]
    if problem is None:
        return "connecting"
    hint = f" (hint: {problem['hint']})" if problem["hint"] else ""
    return f"not connected: {problem['message']} [{problem['code']}]{hint}"


def _failures(counted: dict[str, Any]) -> str:
    said = f"{counted['seen']} of cards seen in {counted['card_days']:.1f} card-days; told: "
    said += f"{counted['advertised_per_card_day']:.2g} per card and day"
    return f"{said} (stated: {counted['stated_per_card_day']:g})"


def _certificate(certificate: dict[str, Any]) -> str:
    if "problem" in certificate:
        return str(certificate["problem"])
    left = certificate["not_after"] - time.time()
    until = moment(certificate["not_after"])
    return f"{certificate['principal']}, until {until} ({length(left)} left)"
