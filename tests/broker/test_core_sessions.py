"""Hello, Reconcile and heartbeats: a verdict on every attempt that either side knows."""

from __future__ import annotations

import pytest
from support_core import Desk, digest_of, ended, pool_of, running, spec_of, with_limits

from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import (
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    Held,
    Reconcile,
    SessionClosed,
    Verdicts,
)

A = ("a", 1)


def verdict(verdicts: Verdicts | None, key: tuple[str, int] = A) -> str:
    """The one word that was said of an attempt."""
    assert verdicts is not None
    said = [
        word for word in ("keep", "stop", "acknowledge", "expect") if key in getattr(verdicts, word)
    ]
    assert len(said) == 1, said
    return said[0]


def goodbye(desk: Desk) -> str:
    messages = desk.sent(Goodbye)
    return messages[0].code if messages else ""


def reconcile(desk: Desk, *held: Held, grant_seq_seen: int = 1) -> Verdicts:
    desk.step(Reconcile("east", "s1", held, grant_seq_seen))
    (verdicts,) = desk.sent(Verdicts)
    return verdicts


# --- hello ------------------------------------------------------------------------


def test_hello_opens_a_session_and_tells_the_interval() -> None:
    desk = Desk("east")
    verdicts = desk.hello("east")
    assert verdicts == Verdicts(1, (), (), (), (), 10.0, hello=True)
    assert desk.sends[0].session == "s1"


def test_an_unknown_site_is_sent_away() -> None:
    desk = Desk()
    assert desk.hello("atlantis") is None
    assert goodbye(desk) == "SiteUnknown"
    assert desk.core.memory.presence == {}


def test_an_agent_that_has_seen_a_later_leader_is_sent_away() -> None:
    desk = Desk("east")
    assert desk.hello("east", term_seen=2) is None
    assert goodbye(desk) == "TermPassed"
    assert desk.hello("east", term_seen=1) is not None


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_live_attempt_is_kept(started: bool, restarted: bool) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    if started:
        desk.started("east", "a")
    if restarted:
        desk.restart()
    before = desk.job("a")
    assert verdict(desk.hello("east", "s2", held=(running("a"),))) == "keep"
    assert verdict(desk.hello("east", "s3", held=(Held("a", 1),))) == "keep"
    assert verdict(desk.hello("east", "s4", held=(ended("a"),))) == "keep", "its report follows"
    assert desk.job("a") == before


@pytest.mark.parametrize("case", ["never heard of", "older epoch", "elsewhere", "later epoch"])
def test_a_stale_attempt_is_stopped_and_an_ended_one_is_let_go(case: str) -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    key = A
    if case == "elsewhere":
        desk.run("a", "west")
    elif case in ("older epoch", "later epoch"):
        desk.run("a", "east", spec_of(retry_max=3))
        desk.failed("east", "a")
        desk.place(desk.offer("a", "east"))
        key = A if case == "older epoch" else ("a", 3)
    before = dict(desk.state.jobs)
    present = (running("a", 2),) if case in ("older epoch", "later epoch") else ()
    verdicts = desk.hello("east", "s2", held=(running(*key), *present))
    assert verdict(verdicts, key) == "stop"
    verdicts = desk.hello("east", "s3", held=(ended(*key), *present))
    assert verdict(verdicts, key) == "acknowledge"
    assert desk.state.jobs == before


def test_the_attempt_of_a_job_that_has_ended_is_stopped() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    desk.succeeded("east", "a")
    assert verdict(desk.hello("east", "s2", held=(running("a"),))) == "stop"
    assert verdict(desk.hello("east", "s3", held=(ended("a"),))) == "acknowledge"


def test_what_the_agent_does_not_name_is_expected_and_free_after_its_promise() -> None:
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    assert verdict(desk.hello("east", "s2")) == "expect"
    assert desk.job("a").state is JobState.PLACED, "a question is no proof"
    assert desk.place(desk.offer("a", "west")) == []
    desk.report("east", "rejected", "a", session="s2")
    (grant,) = desk.place(desk.offer("a", "west"))
    assert grant.epoch == 2


def test_a_cancelled_job_that_never_arrived_ends_with_the_promise() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    desk.cancel("a")
    assert verdict(desk.hello("east", "s2")) == "expect"
    desk.report("east", "rejected", "a", session="s2")
    assert desk.job("a").state is JobState.CANCELLED


def test_every_attempt_of_either_side_gets_one_verdict() -> None:
    desk = Desk("east")
    desk.hello("east", pools=(pool_of("east", nodes=4),))
    ids = ("kept", "cancelled", "unnamed", "done")
    desk.submit(*ids)
    desk.place(*(desk.offer(job_id, "east") for job_id in ids))
    desk.cancel("cancelled")
    held = (running("kept"), running("cancelled"), ended("done"), running("ghost", 4))
    verdicts = desk.hello("east", "s2", held=(*held, ended("bygone", 2)))
    assert verdicts is not None
    assert verdicts.keep == (("kept", 1), ("done", 1))
    assert verdicts.stop == (("cancelled", 1), ("ghost", 4))
    assert verdicts.acknowledge == (("bygone", 2),)
    assert verdicts.expect == (("unnamed", 1),)


# --- whose attempts are they --------------------------------------------------------


def test_a_second_agent_of_one_name_is_sent_away() -> None:
    desk = Desk("east")
    desk.hello("east")
    assert desk.hello("east", "s9", agent_id="impostor") is None
    assert goodbye(desk) == "SiteNameTaken"
    assert desk.core.memory.presence["east"].session == "s1"
    assert desk.beat("east") is not None


def test_a_restarted_agent_takes_its_own_place() -> None:
    desk = Desk("east")
    desk.hello("east", "s1")
    assert desk.hello("east", "s2") is not None
    assert desk.beat("east", "s1", seq=9) is None, "the older session is not heard any more"
    assert desk.beat("east", "s2", seq=1) is not None


@pytest.mark.parametrize("how", ["closed", "silent"])
def test_a_new_agent_may_come_when_nothing_lives_at_the_site(how: str) -> None:
    desk = Desk("east")
    desk.hello("east")
    if how == "closed":
        desk.step(SessionClosed("east", "s1"))
    else:
        desk.advance(31.0)
    assert desk.hello("east", "s9", agent_id="new machine") is not None
    assert desk.state.sites["east"].agent_id == "new machine"
    desk.step(SessionClosed("east", "s1"))
    assert desk.core.memory.presence["east"].connected, "it closed what was over already"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_new_agent_cannot_promise_for_the_one_before_it(restarted: bool) -> None:
    """Its promise says nothing of a run that the first agent's guards keep alive."""
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east")
    desk.step(SessionClosed("east", "s1"))
    if restarted:
        desk.restart()
        desk.hello("west", "s2")
    assert desk.hello("east", "s9", agent_id="new machine") is None
    assert goodbye(desk) == "SiteNameTaken"
    while desk.job("a").state is JobState.RUNNING:
        assert desk.elapsed < 700.0
        desk.advance(10.0, tick=False)
        desk.beat("west", "s2" if restarted else "s1")
        desk.advance(0.0)
    assert desk.elapsed > 600.0, "no sooner than the lease has ended"
    assert desk.hello("east", "s9", agent_id="new machine") is not None


def test_a_new_agent_that_names_every_attempt_is_welcome() -> None:
    """It has found them in the backend that it shares with the one before."""
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b")
    desk.place(desk.offer("a", "east"), desk.offer("b", "east"))
    desk.step(SessionClosed("east", "s1"))
    more = {"agent_id": "journal lost"}
    assert desk.hello("east", "s2", held=(running("a"),), **more) is None
    assert desk.hello("east", "s3", held=(running("a"), running("b")), **more) is not None


# --- heartbeats ---------------------------------------------------------------------


def test_a_heartbeat_is_answered_once_and_in_its_session() -> None:
    desk = Desk("east")
    desk.hello("east")
    assert desk.beat("east", seq=3) == HeartbeatReply(3, 1, False, (), 10.0)
    assert desk.beat("east", seq=3) is None
    assert desk.beat("east", seq=2) is None
    assert desk.beat("east", "other", seq=4) is None
    assert desk.step(Heartbeat("atlantis", "s1", 1, 0, 0, 0)).sends == ()


def test_a_heartbeat_writes_nothing() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.run("a", "east")
    assert desk.step(Heartbeat("east", "s1", 1, digest_of(A), 1, 1)).records == ()


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({}, True),
        ({"grant_seq_seen": 0}, False),  # a grant is on its way
        ({"report_seq_head": 7}, False),  # a report is on its way
        ({"digest": digest_of(A)}, False),
    ],
)
def test_digests_are_compared_only_when_nothing_is_on_its_way(
    said: dict[str, int], asked: bool
) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    reply = desk.beat("east", **{"digest": 0, **said})
    assert reply is not None
    assert reply.reconcile is asked


def test_reconcile_judges_like_hello() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    verdicts = reconcile(desk, running("ghost", 2))
    assert (verdicts.expect, verdicts.stop, verdicts.hello) == ((A,), (("ghost", 2),), False)
    assert verdict(reconcile(desk, running("a"))) == "keep"


def test_reconcile_expects_nothing_that_is_still_on_its_way() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    desk.place(desk.offer("a", "east"))
    assert reconcile(desk, grant_seq_seen=0).expect == ()
    desk.step(Reconcile("east", "s0", (), 1))
    assert desk.sends == [], "another session's list is not judged"


def test_many_sites_beat_more_slowly() -> None:
    desk = Desk(*(f"site{n}" for n in range(40)), limits=with_limits(heartbeats_per_second_max=2.0))
    verdicts = desk.hello("site0")
    assert verdicts is not None
    assert verdicts.heartbeat_seconds == 20.0


def test_an_attempt_is_offered_again_only_after_its_epoch_has_risen() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    for epoch in range(1, 6):
        (grant,) = desk.place(desk.offer("a", "east"))
        assert grant.epoch == epoch
        assert desk.attempt("a").state is AttemptState.OFFERED
        desk.hello("east", f"s{epoch}x")
        desk.report("east", "rejected", "a", epoch, session=f"s{epoch}x")
        if epoch % 2:
            desk.restart()
            desk.hello("east", f"s{epoch}y")
