"""More attempts than one gRPC message holds: lists go in parts, both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_talk import WALL, Site, talk

from agent.supervisor.digest import attempt_digest as site_digest
from agent.supervisor.messages import (
    Opened,
    SendCapacity,
    SendHeartbeat,
    SendHello,
    SendReconcile,
    VerdictsReceived,
)
from agent.supervisor.values import AttemptId, Held, Moment, Phase
from agent.wire.decode import Decoder
from agent.wire.encode import ATTEMPTS_PER_MESSAGE_MAX, encode_parts
from broker.core.digest import attempt_digest
from broker.core.messages import Hello, Now, Reconcile, Stops, Verdicts
from broker.services import held_parts
from broker.services.session_wire import message_to_wire
from suan.errors import InvalidRequest

MANY = 120_000
MESSAGE_BYTES_MAX = 4 << 20  # gRPC's limit
CAPACITY = SendCapacity("s", 1, (), 0, full=True, paused=False)


def job_id(number: int) -> str:
    return f"01a203ff-0000-7000-8000-{number:012d}"


def held(count: int) -> tuple[Held, ...]:
    return tuple(
        Held(AttemptId(job_id(number), 1), Phase.RUNNING, 600.0) for number in range(count)
    )


def whole(site: Site, parts: list[bytes]) -> object:
    """What the broker's core is told of these messages; one event for all of them."""
    events = [site.event(part) for part in parts]
    assert events[:-1] == [None] * (len(parts) - 1)
    return events[-1]


@pytest.mark.parametrize("count", [0, 1, ATTEMPTS_PER_MESSAGE_MAX, ATTEMPTS_PER_MESSAGE_MAX + 1])
def test_a_list_is_whole_again(count: int) -> None:
    site = Site("east")
    send = SendReconcile("s", held(count), 7)
    parts = [part.SerializeToString() for part in encode_parts(send, site.profile)]
    event = whole(site, parts)
    assert isinstance(event, Reconcile)
    assert (event.session, event.grant_seq_seen) == ("s", 7)
    assert [item.job_id for item in event.held] == [job_id(n) for n in range(count)]
    assert len(parts) == (2 if count > ATTEMPTS_PER_MESSAGE_MAX else 1)


def test_120_000_attempts_are_told_and_judged() -> None:
    site = Site("east")
    send = SendHello("s", 1, held(MANY), CAPACITY, 0)
    parts = [part.SerializeToString() for part in encode_parts(send, site.profile)]
    assert max(map(len, parts)) < MESSAGE_BYTES_MAX < sum(map(len, parts))
    hello = whole(site, parts)
    assert isinstance(hello, Hello)
    assert len(hello.held) == len({item.job_id for item in hello.held}) == MANY

    federation = talk(Site("west"), site)
    now = Now(federation.elapsed, WALL)
    step = federation.core.handle([replace(hello, session="x")], now)
    (verdicts,) = [s.message for s in step.sends if isinstance(s.message, Verdicts)]
    assert len(verdicts.stop) == MANY, "nothing of it is known here"
    messages = list(message_to_wire("x", verdicts))
    assert max(message.ByteSize() for message in messages) < MESSAGE_BYTES_MAX
    decoder, told = Decoder(30.0), []
    for message in messages:
        (heard,) = decoder.decode(message)
        assert isinstance(heard, VerdictsReceived)
        told.append(heard)
    assert [part.hello for part in told] == [False] * (len(told) - 1) + [True]
    stopped = [id.job_id for part in told for id in part.stop]
    assert stopped == [job_id(number) for number in range(MANY)]


def test_every_verdict_arrives_in_one_part_or_another() -> None:
    keys = tuple((job_id(number), 1) for number in range(3 * ATTEMPTS_PER_MESSAGE_MAX))
    verdicts = Verdicts(4, keys[:5], keys[5:9], keys[9:30_000], keys[30_000:], 12.5, hello=True)
    messages = [message.verdicts for message in message_to_wire("s", verdicts)]
    sizes = [len(m.keep) + len(m.stop) + len(m.acknowledge) + len(m.expect) for m in messages]
    assert max(sizes) <= ATTEMPTS_PER_MESSAGE_MAX
    for name in ("keep", "stop", "acknowledge", "expect"):
        told = [(id.job_id, id.epoch) for message in messages for id in getattr(message, name)]
        assert tuple(told) == getattr(verdicts, name)
    assert {(m.session, m.term, m.heartbeat_seconds) for m in messages} == {("s", 4, 12.5)}


def test_before_the_last_part_nothing_begins() -> None:
    """An agent that does not know of parts takes the others for answers to a Reconcile."""
    supervisor = Site("east").supervisor
    supervisor.handle([Opened("s")], Moment(0.0, 0.0))
    first = supervisor.handle([VerdictsReceived("s", 1, hello=False)], Moment(1.0, 1.0))
    assert not any(isinstance(effect, SendHeartbeat) for effect in first.effects)
    last = supervisor.handle([VerdictsReceived("s", 1, hello=True)], Moment(1.0, 1.0))
    assert any(isinstance(effect, SendHeartbeat) for effect in last.effects)


def test_many_stops_go_in_parts() -> None:
    stops = Stops(tuple((job_id(number), 1, "Cancelled") for number in range(MANY)))
    messages = list(message_to_wire("s", stops))
    assert max(message.ByteSize() for message in messages) < MESSAGE_BYTES_MAX
    assert sum(len(message.stops.stops) for message in messages) == MANY


def test_a_list_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_parts, "ATTEMPTS_MAX", 1_000)
    site = Site("east")
    send = SendReconcile("s", held(600), 0)
    for part in encode_parts(send, site.profile):
        part.reconcile.more = True
        data = part.SerializeToString()
        assert site.event(data) is None
        with pytest.raises(InvalidRequest, match="more than 1000 attempts"):
            site.event(data)


def test_digests_of_both_sides_agree() -> None:
    assert all(attempt_digest(job_id(n), n) == site_digest(job_id(n), n) for n in range(100))
