"""What has no effect is counted, by a closed set of names; versions are agreed or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support_core import Desk, ended, pool_of, running, with_limits

from broker.core.ignored import Ignored
from broker.core.messages import (
    PROTOCOL_MAX,
    Capacity,
    CapacityReport,
    Event,
    Goodbye,
    Heartbeat,
    Reconcile,
    RemoveSite,
    Report,
    Reports,
)
from broker.core.rounds import Rounds
from broker.core.transfers import Counts
from broker.queries import Counters, answer

BEAT = Heartbeat("east", "s1", 2, 0, 0, 0)
STARTED = Report(1, "a", 1, "started", 0.0)
BIG = 2**63


def counted(desk: Desk) -> dict[str, int]:
    return {reason.value: count for reason, count in desk.core.memory.ignored.items()}


def at_work() -> Desk:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    desk.beat("east")
    return desk


def reports(*listed: Report, session: str = "s1", site: str = "east") -> Reports:
    return Reports(site, session, listed)


def capacity(seq: int, reflects: int = 0) -> Capacity:
    return Capacity("east", "s1", CapacityReport(seq, (pool_of("east"),), reflects, full=True))


CASES: list[tuple[Event, str]] = [
    (replace(BEAT, session="s0", seq=9), "OtherSession"),
    (replace(BEAT, site="atlantis"), "SiteUnknown"),
    (replace(BEAT, seq=1), "HeartbeatRepeated"),
    (replace(BEAT, seq=BIG), "NumberOutOfRange"),
    (replace(BEAT, grant_seq_seen=BIG), "NumberOutOfRange"),
    (replace(BEAT, digest=5, grant_seq_seen=1, report_seq_head=1), "DigestDiffers"),
    (Reconcile("east", "s0", (), 0), "OtherSession"),
    (Reconcile("east", "s1", (running("ghost"),), 1), "AttemptUnknown"),
    (Reconcile("west", "s1", (running("a"),), 0), "AttemptForeign"),
    (capacity(1), "CapacityRepeated"),
    (capacity(BIG), "NumberOutOfRange"),
    (capacity(5, BIG), "NumberOutOfRange"),
    (reports(STARTED), "ReportRepeated"),
    (reports(STARTED, session="s0"), "OtherSession"),
    (reports(replace(STARTED, job_id="ghost")), "AttemptUnknown"),
    (reports(replace(STARTED, epoch=7)), "AttemptUnknown"),
    (reports(replace(STARTED, report_seq=BIG)), "NumberOutOfRange"),
    (reports(replace(STARTED, kind="exploded")), "ReportUnreadable"),
    (reports(replace(STARTED, kind="ended"), site="west"), "AttemptForeign"),
]


@pytest.mark.parametrize(("event", "reason"), CASES)
def test_it_is_counted_and_changes_no_job(event: Event, reason: str) -> None:
    desk = at_work()
    before, job = counted(desk), desk.job("a")
    assert desk.step(event).records == ()
    after = counted(desk)
    assert after[reason] == before.get(reason, 0) + 1
    assert desk.job("a") == job


def test_every_epoch_but_the_newest_is_superseded() -> None:
    desk = at_work()
    desk.report("east", "ended", "a", outcome="preempted")
    desk.place(desk.offer("a", "west"))
    job = desk.job("a")
    desk.succeeded("east", "a")
    assert counted(desk)["AttemptSuperseded"] == 1
    assert desk.job("a") == job


def test_a_repeated_end_is_counted() -> None:
    desk = at_work()
    desk.succeeded("east", "a")
    job = desk.job("a")
    desk.failed("east", "a")
    assert counted(desk)["ReportRepeated"] == 1
    assert desk.job("a") == job


def test_a_hello_that_comes_again_opens_nothing() -> None:
    desk = at_work()
    desk.hello("east", "s2", held=(running("a"),))
    desk.beat("east", "s2")
    for session in ("s1", "s2"):
        assert desk.hello("east", session) is None
    assert counted(desk)["HelloRepeated"] == 2
    assert desk.core.memory.presence["east"].session == "s2"
    assert desk.core.memory.presence["east"].heartbeat_seq == 1


def test_the_sessions_that_are_remembered_are_bounded() -> None:
    desk = Desk("east")
    for number in range(100):
        desk.hello("east", f"n{number}")
    assert len(desk.core.memory.presence["east"].earlier) <= 16


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_cannot_be_is_now(at: float) -> None:
    desk = at_work()
    desk.step(reports(Report(2, "a", 1, "ended", at, outcome="succeeded")))
    assert desk.attempt("a").ended_at == desk.wall
    assert counted(desk)["NumberOutOfRange"] == 1


def test_an_outcome_that_is_not_known_is_a_failure() -> None:
    desk = at_work()
    desk.step(reports(Report(2, "a", 1, "ended", desk.wall, outcome="glorious")))
    assert desk.attempt("a").outcome == "failed"
    assert counted(desk)["ReportUnreadable"] == 1


def test_a_lie_about_what_capacity_reflects_frees_no_cards() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(pool_of("east", free=1, usable=8),))
    desk.submit("a", "b")
    assert desk.place(desk.offer("a", "east"))
    pools = (pool_of("east", free=1, usable=8),)
    desk.step(Capacity("east", "s1", CapacityReport(2, pools, 1_000, full=True)))
    presence = desk.core.memory.presence["east"]
    assert presence.pools["main"].outstanding == 0, "it says that it has counted the grant"
    desk.place(desk.offer("b", "east"))
    desk.step(Capacity("east", "s1", CapacityReport(3, pools, 1, full=True)))
    assert presence.pools["main"].outstanding == 1, "the one after is not counted beforehand"


def test_the_names_are_a_closed_set_and_all_are_shown() -> None:
    desk = at_work()
    desk.step(replace(BEAT, session="s0"))
    shown: Any = answer(desk.core.memory, Counters())
    below = {name for name, _ in (*Counts().named(), *Rounds().named())}
    assert {name: n for name, n in shown if name not in below} == {
        **dict.fromkeys(Ignored, 0),
        **counted(desk),
    }
    desk.restart()
    assert set(dict(answer(desk.core.memory, Counters())).values()) == {0}


# --- versions -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocols", "older"), [((4, 5), "broker"), ((0, 0), "agent"), ((9, 9), "broker")]
)
def test_no_common_version_is_refused_with_what_is_spoken(
    protocols: tuple[int, int], older: str
) -> None:
    desk = Desk("east")
    assert desk.hello("east", protocols=protocols) is None
    (goodbye,) = desk.sent(Goodbye)
    assert goodbye.code == "ProtocolUnknown"
    assert f"speaks versions 1 to {PROTOCOL_MAX}" in goodbye.message
    assert f"the agent {protocols[0]} to {protocols[1]}; the {older} must" in goodbye.message
    assert counted(desk)["ProtocolUnknown"] == 1
    assert "east" not in desk.core.memory.presence


def test_the_highest_common_version_holds() -> None:
    desk = Desk("east")
    verdicts = desk.hello("east", protocols=(1, 7))
    assert verdicts is not None and verdicts.protocol == PROTOCOL_MAX


# --- the interval follows the number of sites ----------------------------------------


def test_a_changed_interval_is_told_with_each_answer() -> None:
    names = [f"site{n}" for n in range(40)]
    desk = Desk(*names, limits=with_limits(heartbeats_per_second_max=2.0))
    desk.hello("site0")
    reply = desk.beat("site0")
    assert reply is not None and reply.heartbeat_seconds == 20.0
    for name in names[20:]:
        desk.step(RemoveSite(name, False, "admin"))
    reply = desk.beat("site0")
    assert reply is not None and reply.heartbeat_seconds == 10.0
    for name in names[1:20]:
        desk.hello(name)
    for _ in range(5):  # an older agent keeps to what it was told first
        desk.advance(11.0, tick=False)
        for name in names[1:20]:
            desk.beat(name)
        desk.advance(0.0)
    assert desk.core.memory.presence["site0"].silence == "open"


def test_reports_of_what_ended_are_acknowledged_all_the_same() -> None:
    desk = at_work()
    desk.succeeded("east", "a")
    verdicts = desk.hello("east", "s2", held=(ended("a"),))
    assert verdicts is not None and verdicts.acknowledge == (("a", 1),)
