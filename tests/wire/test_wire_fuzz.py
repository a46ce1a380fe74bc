"""Damaged, replayed, late and foreign messages: no effect beyond what their site may do.

The traffic of two sites is recorded, then played again damaged on the stream of one of them.
Whatever arrives there, nothing escapes, the tables hold, and the other site, epochs and
ended jobs stay as they are. Both sides count what they ignored.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from support_talk import WALL, Site, Talk, talk

from agent.supervisor.messages import Event as SiteEvent
from agent.supervisor.messages import (
    GrantsReceived,
    HeartbeatReplied,
    Launch,
    RenewLeases,
    ReportsAcknowledged,
    StopReceived,
    VerdictsReceived,
)
from agent.supervisor.values import Moment
from agent.wire.decode import Decoder
from agent.wire.specs import SpecMissing
from broker.core.ignored import Ignored
from broker.core.messages import Hello, Now
from broker.core.rows import Job, Put, Row
from broker.services.session_wire import message_to_wire
from broker.services.specs import stored_spec
from broker.store import codec
from suan.v1 import session_pb2

MESSAGES = 2_000  # damaged ones, of each history
NUMBERS = (0, 1, 2, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
TEXTS = ("", "a", "west-1", "east-1", "east-2", "x" * 10_000, "\x00", "../../etc", "算")
FIGURES = (0.0, -1.0, 1e308, float("inf"), float("-inf"), float("nan"), 1e-300)


def history() -> tuple[Talk, list[bytes]]:
    """Two sites at work; and every message that either of them sent."""
    federation = talk(Site("east"), Site("west"))
    federation.submit("a", "b", "c", "d", cards=8)
    federation.place()
    federation.submit("e", "f", lease_class="proof")
    federation.place()
    federation.finish("a")
    federation.finish("b")
    federation.cancel("c")
    for _ in range(3):
        federation.pass_time(11.0)
    east, west = federation.sites["east"], federation.sites["west"]
    federation.open(east)  # what it said before is of an old session now
    federation.submit("g", "h")
    federation.place()
    federation.pass_time(11.0)
    said = [data for site in (east, west) for data in site.said]
    assert {site.name for site in (east, west) if site.runs} == {"east", "west"}
    return federation, said


def damaged(data: bytes, kind: type[Message], chance: random.Random) -> bytes:
    """One of: as it was, some bytes other, or one field of it other."""
    way = chance.randrange(4)
    if way == 0:
        return data
    if way == 1:
        flipped = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            flipped[chance.randrange(len(flipped))] = chance.randrange(256)
        return bytes(flipped)
    message = kind.FromString(data)
    for _ in range(chance.randint(1, 3)):
        change(message, chance)
    return message.SerializeToString()


def change(message: Message, chance: random.Random) -> None:
    """Another value for one field, somewhere below."""
    listed = message.ListFields()
    if not listed:
        return
    field, value = chance.choice(listed)
    if field.message_type is not None and not field.message_type.GetOptions().map_entry:
        parts = list(value) if field.is_repeated else [value]
        change(chance.choice(parts), chance)
    elif not field.is_repeated:
        choices = {str: TEXTS, float: FIGURES, bool: (True, False), int: NUMBERS}
        for _ in range(8):  # until one fits the field
            try:
                setattr(message, field.name, chance.choice(choices.get(type(value), (value,))))
                return
            except (ValueError, TypeError):
                continue


def frozen(federation: Talk) -> dict[str, Any]:
    """What a message on east's stream may never change."""
    state, memory = federation.state, federation.core.memory
    ended = {job.id: job for job in state.jobs.values() if job.terminal}
    elsewhere = {job.id: job for job in state.jobs.values() if not at(job, "east")}
    west = memory.presence["west"]
    return {
        "ended": ended,
        "elsewhere": {**elsewhere},
        "epochs": {job.id: [a.epoch for a in job.attempts] for job in state.jobs.values()},
        "west": (west.session, west.heartbeat_seq, west.heard_at_clock, west.grant_seq),
        "sites": {name: row for name, row in state.sites.items() if name != "east"},
        "term": memory.term,
        "maintenance": state.maintenance,
    }


def at(job: Job, site: str) -> bool:
    return any(attempt.site == site for attempt in job.attempts)


def unchanged(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name in ("epochs", "west", "sites", "term", "maintenance"):
        assert after[name] == before[name], name
    for kept in ("ended", "elsewhere"):
        assert before[kept].items() <= after[kept].items(), kept


@pytest.mark.parametrize("seed", range(6))
def test_damaged_messages_of_a_site_touch_nothing_else(seed: int) -> None:
    chance = random.Random(seed)
    federation, said = history()
    east, core = federation.sites["east"], federation.core
    before = frozen(federation)
    for number in range(MESSAGES):
        try:
            event = east.event(damaged(chance.choice(said), session_pb2.AgentMessage, chance))
        except DecodeError:
            continue
        if isinstance(event, Hello):
            if event.site != "east":
                continue  # refused by the certificate, before the core sees it
            event = replace(event, session=event.session or "unnamed")
        if event is None:
            continue
        if not isinstance(event, Hello) and chance.random() < 0.7:  # else it is of another session
            event = replace(event, session=core.memory.presence["east"].session)  # type: ignore[type-var]
        federation.elapsed += chance.random()
        step = core.handle([event], Now(federation.elapsed, WALL + federation.elapsed))
        core.memory.state.check()
        for send in step.sends:
            assert send.site == "east", number
            list(message_to_wire(send.session, send.message))  # it can be told
        for record in step.records:  # and stored, and read again
            assert not isinstance(record, Put) or record.row == read_again(record)
        unchanged(before, frozen(federation))
        before = frozen(federation)  # a job of east may have ended: that is for good
    ignored = core.memory.ignored
    assert sum(ignored.values()) > MESSAGES / 10
    assert {
        Ignored.OTHER_SESSION,
        Ignored.HELLO_REPEATED,
        Ignored.HEARTBEAT_REPEATED,
        Ignored.CAPACITY_REPEATED,
        Ignored.REPORT_REPEATED,
        Ignored.NUMBER_OUT_OF_RANGE,
    } <= ignored.keys()


def read_again(record: Put) -> Row:
    return codec.decode(record.key, codec.encode(record.row), stored_spec)


def wrong(event: Any, chance: random.Random) -> Any:
    """An event of the broker's with one field other, somewhere below."""
    names = [field.name for field in fields(event)]
    name = chance.choice(names)
    value = getattr(event, name)
    if isinstance(value, bool):
        return replace(event, **{name: not value})
    if isinstance(value, str):
        return replace(event, **{name: chance.choice(TEXTS)})
    if isinstance(value, int):
        return replace(event, **{name: chance.choice(NUMBERS)})
    if isinstance(value, float):
        return replace(event, **{name: chance.choice(FIGURES)})
    if isinstance(value, tuple) and value and is_dataclass(value[0]):
        other = wrong(chance.choice(value), chance)
        return replace(event, **{name: (other, *value[1:])})
    return event


def words(site: Site, sent: list[bytes]) -> Iterator[SiteEvent]:
    """What the site heard of the broker."""
    decoder = Decoder(30.0)
    for data in sent:
        for heard in decoder.decode(session_pb2.BrokerMessage.FromString(data)):
            assert not hasattr(heard, "code")
            yield heard  # type: ignore[misc]


def recorded() -> tuple[Talk, Site, list[SiteEvent]]:
    """A site at work, and every word of its broker until then."""
    heard: list[bytes] = []

    def keep(data: bytes) -> bytes:
        heard.append(data)
        return data

    site = Site("east", down=keep)
    federation = talk(site)
    federation.submit("a", "b", "c", "d", cards=8)
    federation.place()
    federation.finish("a")
    federation.cancel("b")
    for _ in range(3):
        federation.pass_time(11.0)
    return federation, site, list(words(site, heard))


@pytest.mark.parametrize("seed", range(6))
def test_damaged_words_of_a_broker_start_nothing_twice(seed: int) -> None:
    """And extend no lease beyond what any word may."""
    chance = random.Random(seed)
    federation, site, heard = recorded()
    supervisor, state = site.supervisor, site.supervisor.state
    started = {("a", 1), ("b", 1), ("c", 1), ("d", 1)}
    kinds = {type(event) for event in heard}
    assert kinds >= {VerdictsReceived, HeartbeatReplied, GrantsReceived, ReportsAcknowledged}
    heard += [StopReceived(site.session, event.id, "Cancelled") for event in heard
              if isinstance(event, StopReceived)]  # fmt: skip
    for _ in range(MESSAGES):
        event = wrong(chance.choice(heard), chance)
        federation.elapsed += chance.random()
        now = Moment(federation.elapsed + 1_000.0, WALL + federation.elapsed)
        unsent = {n for n in state.outbox if n > supervisor._dialogue._talk.told}  # type: ignore[union-attr]
        decision = supervisor.handle([event], now)
        state.check()
        assert unsent <= state.outbox.keys(), "what was never told is not acknowledged"
        for effect in decision.effects:
            if isinstance(effect, Launch):
                key = (effect.order.job_id, effect.order.epoch)
                assert key not in started
                started.add(key)
                assert effect.deadline <= now.elapsed + 86_400.0
            elif isinstance(effect, RenewLeases):
                assert all(end <= now.elapsed + 86_400.0 for _, end in effect.leases)
        assert all(mark.epoch < 2**63 for mark in state.marks.values())
        assert state.term < 2**63
    assert sum(supervisor.ignored.values()) > MESSAGES / 10


def test_a_spec_with_another_digest_is_as_good_as_missing() -> None:
    site = Site("east")
    grants = session_pb2.Grants(session="s", term=1, specs={"0" * 64: b"something else"})
    grants.grants.add(spec_sha256="0" * 64).id.job_id = "a"
    with pytest.raises(SpecMissing):
        site.decoder.decode(session_pb2.BrokerMessage(grants=grants))
