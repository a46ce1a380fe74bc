"""What a run on the nodes of a cluster manager has beside what every run has: a part for each.

    runs/<name>/nodes.json       the nodes' names, in order of rank
    runs/<name>/nodes/<rank>/    order.json, lease, stop, started, exit.json of that node's fence
    asks/<name>.<rank>           a node asks how long its lease is …
    runs/<name>/asks/            … here, where a run's nodes are another user's

Files only; starts nothing and calls nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from agent.backends import Exit, LeaseClass, Phase, Reason, RunOrder, RunState
from agent.backends.node import PEER_ENDED
from agent.backends.plain import read_plain, replace_plain
from agent.backends.rundir import RunDirectory, sync_directory
from agent.clock import boot_id, boottime_ns, raw_ns

# Asks that are looked at in one place at one time, and where a job may put what it likes.
ASKS_MAX, ASKS_APART_MAX = 65_536, 1_024
GIVEN_UP = "given-up"  # its presence: no node of it gets a lease any more
TOLD_TO_END = "the fence was told to end"  # by a signal, so by the cluster manager


def split_order(run: RunDirectory, order: RunOrder) -> None:
    """Write each node's part of a prepared run's order."""
    document = run.order()
    *setups, ranks = document["phases"]
    ranks_per_node = len(ranks) // len(order.nodes)
    for rank in range(len(order.nodes)):
        own = ranks[rank * ranks_per_node : (rank + 1) * ranks_per_node]
        phases = [*([setups[rank]] if setups else []), own]
        part = run.path / "nodes" / str(rank)
        part.mkdir(parents=True)
        (part / "order.json").write_text(json.dumps({**document, "phases": phases}), "utf-8")
    names = {"names": [node.name for node in order.nodes]}
    (run.path / "nodes.json").write_text(json.dumps(names), "utf-8")


def parts(run: RunDirectory) -> tuple[RunDirectory, ...]:
    """The node parts of a run, in order of rank."""
    names = json.loads((run.path / "nodes.json").read_text("utf-8"))["names"]
    return tuple(RunDirectory(run.path / "nodes" / str(rank)) for rank in range(len(names)))


def state_of(run: RunDirectory) -> RunState:
    ended = run.exit()
    if ended is not None:
        return RunState(run.name, Phase.EXITED, ended)
    running = all((part.path / "ranks.json").exists() for part in parts(run))
    return RunState(run.name, Phase.RUNNING if running else Phase.STARTING)


def has_begun(run: RunDirectory) -> bool:
    """Whether a fence of its first node began, or never will any more."""
    return (run.path / "nodes" / "0" / "started").exists()


def write_stop(run: RunDirectory, reason: str) -> None:
    """Ask every node's fence to end; the first reason stands."""
    for directory in (run, *parts(run)):
        if not directory.wish_to_stop():
            directory.write_stop(reason)


def lease_of(run: RunDirectory) -> tuple[float, LeaseClass] | None:
    """Seconds left on this machine's clocks; None where the lease is of another boot."""
    try:
        line = (run.path / "lease").read_text()
        terms = json.loads(line.partition(" ")[2])
        if terms["boot_id"] != boot_id():
            return None
        left_ns = min(terms["boottime_ns"] - boottime_ns(), terms["raw_ns"] - raw_ns())
        return left_ns / 1e9, LeaseClass(terms["class"])
    except (OSError, ValueError, KeyError):
        return None


def answer_asks(asks: Path, runs: Path, only: str = "") -> dict[str, float]:
    """Answer every node that asks for its lease: the seconds left, by run. Raises OSError.

    A run that has ended, or was given up, gets no answer any more. `only`: none but that run.
    """
    answered: dict[str, float] = {}
    with os.scandir(asks) as entries:
        found = [entry.name for entry in islice(entries, ASKS_APART_MAX if only else ASKS_MAX)]
    for ask in map(asks.joinpath, found):
        name, _, rank = ask.name.rpartition(".")
        if not rank.isdecimal() or (only and name != only):
            continue  # half written, or not his to ask
        run = RunDirectory(runs / name)
        try:
            nonce = str(json.loads(read_plain(ask))["nonce"])
            lease = lease_of(run)
            over = (run.path / "exit.json").exists() or (run.path / GIVEN_UP).exists()
            if lease is not None and not over:
                _answer(run.path / "nodes" / rank, nonce, *lease)
                answered[name] = seconds_of(*lease)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # it asks again
        ask.unlink(missing_ok=True)
    return answered


def answer_apart(runs: Iterable[RunDirectory]) -> dict[str, float]:
    """Answer the nodes of those runs that ask in a place of their own, each for itself alone."""
    answered: dict[str, float] = {}
    for run in runs:
        try:
            found = answer_asks(asks_of(run), run.path.parent, run.name)
        except OSError:
            continue  # it has no such place, or is being laid out or removed
        answered.update(found)
    return answered


def asks_of(run: RunDirectory) -> Path:
    """Where the nodes of one run ask for their lease, so that no run sees another's."""
    return run.path / "asks"


def seconds_of(remaining_seconds: float, lease_class: LeaseClass) -> float:
    """How long a fence with that lease may live; infinite where time does not end it."""
    return remaining_seconds if lease_class is LeaseClass.RESTART else float("inf")


def merged_exit(run: RunDirectory) -> Exit | None:
    """How the whole run ended by its fences' records; None while one is missing.

    The first that ended badly by itself tells why; those that it pulled along do not.
    """
    exits = [part.exit() for part in parts(run)]
    ends = [ended for ended in exits if ended is not None]
    if len(ends) < len(exits):
        return None
    bad = [ended for ended in ends if not ended.succeeded]
    causes = [ended for ended in bad if not ended.detail.startswith(PEER_ENDED)]
    first = min(causes or bad or ends, key=lambda ended: ended.ended_at)
    began = [ended.started_at for ended in ends if ended.started_at]
    return Exit(
        name=run.name,
        exit_code=first.exit_code,
        signal=first.signal,
        reason=first.reason,
        started_at=min(began, default=0.0),
        ended_at=max(ended.ended_at for ended in ends),
        rank_codes=tuple(code for ended in ends for code in ended.rank_codes),
        detail=first.detail,
    )


def seem_ended(runs: Iterable[RunDirectory]) -> list[str]:
    """The names of those whose first node has ended: one look at each, so it may be often."""
    return [run.name for run in runs if (run.path / "nodes" / "0" / "exit.json").exists()]


def write_exit(run: RunDirectory, ended: Exit) -> None:
    """Record, durably, how a run ended."""
    record = {
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "reason": ended.reason.value,
        "detail": ended.detail,
        "started_at": ended.started_at,
        "ended_at": ended.ended_at,
        "rank_codes": list(ended.rank_codes),
    }
    write_durably(run.path / "exit.json", record)


def close_parts(run: RunDirectory, reason: Reason, detail: str) -> bool:
    """End every part that never began, for ever; whether none is left that did begin."""
    closed = True
    for part in parts(run):
        if part.exit() is None:
            if part.take_started():
                part.write_exit(reason, detail)
            else:
                closed = False
    return closed


def give_up(run: RunDirectory, why: str) -> None:
    """Answer no more questions for a lease, and tell the parts that may live to end."""
    (run.path / GIVEN_UP).touch(0o600)
    for part in parts(run):
        if part.exit() is None and not part.wish_to_stop():
            part.write_stop(why)


def close_killed(run: RunDirectory, detail: str) -> None:
    """Record the end of parts that began and are dead without a record, fence and all."""
    for part in parts(run):
        if part.exit() is None:
            part.write_exit(Reason.UNKNOWN, detail, exit_code=137, signal=9)


def carry_tools(directory: Path, *tools: Path) -> None:
    """Put what the nodes run where they see it; a copy in use is never written over."""
    directory.mkdir(mode=0o755, exist_ok=True)
    for tool in tools:
        new = directory / f"{tool.name}.new"
        shutil.copyfile(tool, new)
        new.replace(directory / tool.name)


def write_durably(path: Path, document: dict[str, Any]) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)


def _answer(part: Path, nonce: str, remaining_seconds: float, lease_class: LeaseClass) -> None:
    document = {
        "nonce": nonce,
        "remaining_seconds": remaining_seconds,
        "class": lease_class.value,
    }
    replace_plain(part / "answer", json.dumps(document))
