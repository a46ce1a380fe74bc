"""Words of a broker that have no effect at the site are counted, by a closed set of names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from supervised import LEASE_SECONDS, SESSION, Site, effects, exited, grant, one, said

from agent.backends import LeaseClass
from agent.supervisor.messages import (
    CloseSession,
    Event,
    GrantsReceived,
    HeartbeatReplied,
    Launch,
    ReportsAcknowledged,
    RunStarted,
    SendHeartbeat,
    StopReceived,
    VerdictsReceived,
)
from agent.supervisor.values import PROTOCOL_MAX

NAME = "suan-j1-1"
BIG = 2**63


@pytest.fixture
def running() -> Site:
    """A site that runs one attempt; the broker's term is 3."""
    site = Site()
    site.meet(term=3)
    site.give(grant(), term=3)
    site.tell(RunStarted(NAME))
    site.reply(site.beat(), term=3)
    return site


def counted(site: Site) -> dict[str, int]:
    return {reason.value: count for reason, count in site.supervisor.ignored.items()}


CASES: list[tuple[Event, str]] = [
    (HeartbeatReplied("s0", 1, 3), "OtherSession"),
    (HeartbeatReplied(SESSION, 1, 2), "TermPassed"),
    (HeartbeatReplied(SESSION, 99, 3), "SeqNeverSent"),
    (HeartbeatReplied(SESSION, -1, 3), "SeqNeverSent"),
    (HeartbeatReplied(SESSION, 1, BIG), "NumberOutOfRange"),
    (VerdictsReceived("s0", 3, stop=(one(),)), "OtherSession"),
    (VerdictsReceived(SESSION, 2, stop=(one(),)), "TermPassed"),
    (VerdictsReceived(SESSION, BIG, stop=(one(),)), "NumberOutOfRange"),
    (VerdictsReceived(SESSION, 3, stop=(one(epoch=BIG),)), "NumberOutOfRange"),
    (VerdictsReceived(SESSION, 3, expect=(one(epoch=0),)), "NumberOutOfRange"),
    (VerdictsReceived(SESSION, 3, expect=(one("x" * 200),)), "NumberOutOfRange"),
    (VerdictsReceived(SESSION, 3, acknowledge=(one("ghost"),)), "AttemptUnknown"),
    (GrantsReceived("s0", 3, (grant("j2"),)), "OtherSession"),
    (GrantsReceived(SESSION, 2, (grant("j2"),)), "TermPassed"),
    (GrantsReceived(SESSION, 3, (grant(),)), "GrantRepeated"),
    (GrantsReceived(SESSION, 3, (grant("j2", epoch=BIG),)), "NumberOutOfRange"),
    (GrantsReceived(SESSION, 3, (grant("j2", epoch=0),)), "NumberOutOfRange"),
    (GrantsReceived(SESSION, 3, (grant(""),)), "NumberOutOfRange"),
    (StopReceived("s0", one(), "Cancelled"), "OtherSession"),
    (StopReceived(SESSION, one(epoch=BIG), "Cancelled"), "NumberOutOfRange"),
    (ReportsAcknowledged("s0", 1), "OtherSession"),
    (ReportsAcknowledged(SESSION, 10**9), "ReportNeverSent"),
    (ReportsAcknowledged(SESSION, BIG), "ReportNeverSent"),
]


@pytest.mark.parametrize(("event", "reason"), CASES)
def test_it_is_counted_and_changes_nothing(running: Site, event: Event, reason: str) -> None:
    state = running.state
    before = (dict(state.attempts), dict(state.marks), dict(state.outbox), dict(state.deadlines))
    decision = running.tell(event)
    assert not effects(decision, Launch)
    assert counted(running)[reason] == 1
    after = (dict(state.attempts), dict(state.marks), dict(state.outbox), dict(state.deadlines))
    assert after == before
    assert state.term == 3


def test_a_reply_to_a_heartbeat_of_long_ago_renews_nothing(running: Site) -> None:
    seq = running.beat()
    for _ in range(200):
        running.beat()
    running.tell(HeartbeatReplied(SESSION, seq, 3))
    assert counted(running)["ReplyTooLate"] == 1


def test_a_superseded_epoch_is_refused_and_counted(running: Site) -> None:
    running.give(grant("j5", epoch=4, grant_seq=2, pool="gone"), term=3)
    decision = running.give(grant("j5", epoch=3, grant_seq=3), term=3)
    assert said(decision) == [("rejected", "rejected", "StaleEpoch")]
    assert counted(running)["GrantSuperseded"] == 1


@pytest.mark.parametrize("seconds", [0.0, -1.0, 86_401.0, float("nan"), float("inf")])
@pytest.mark.parametrize("lease_class", [LeaseClass.RESTART, LeaseClass.OVERLAP])
def test_a_lease_without_sense_is_refused(
    running: Site, seconds: float, lease_class: LeaseClass
) -> None:
    """One that never ends, for one, would outlive everything the broker waits for."""
    odd = replace(grant("j2", grant_seq=2), lease_seconds=seconds, lease_class=lease_class)
    assert said(running.give(odd, term=3)) == [("rejected", "rejected", "BadGrant")]


def test_only_what_was_told_is_acknowledged(running: Site) -> None:
    """An altered number must not make the site forget a result."""
    told = running.state.outbox_head
    running.tell(ReportsAcknowledged(SESSION, told))
    running.tell(ReportsAcknowledged(SESSION, told + 1))
    running.tell(exited())
    assert counted(running) == {"ReportNeverSent": 1}
    assert len(running.state.outbox) == 1


@pytest.mark.parametrize("protocol", [0, PROTOCOL_MAX + 1, 99])
def test_another_version_of_the_protocol_ends_the_session(protocol: int) -> None:
    site = Site()
    decision = site.meet(protocol=protocol)
    assert effects(decision, CloseSession) == [CloseSession(SESSION, "ProtocolUnknown")]
    assert counted(site) == {"ProtocolUnknown": 1}
    assert effects(site.give(grant()), Launch) == []


def test_the_broker_may_change_the_interval_with_any_answer(running: Site) -> None:
    running.reply(running.beat(), term=3, heartbeat_seconds=40.0)
    running.beat()  # which was due by the old one
    assert effects(running.pass_time(30.0), SendHeartbeat) == []
    assert len(effects(running.pass_time(11.0), SendHeartbeat)) == 1
    assert running.state.deadlines[NAME] == pytest.approx(running.elapsed - 51.5 + LEASE_SECONDS)
