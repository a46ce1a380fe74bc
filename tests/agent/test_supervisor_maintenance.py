"""Planned maintenance at the site: leases that outlast the broker, in journal and fence file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from supervised import LEASE_SECONDS, SESSION, Site, effects, grant, one

from agent.journal import ClockReading, Journal
from agent.supervisor.ignored import Ignored
from agent.supervisor.messages import (
    LeasesExtended,
    RenewLeases,
    RunStarted,
    SendHeartbeat,
    StopReceived,
    StopRun,
)
from broker.core.limits import Limits

TWO_HOURS = 7_200.0
NAME = "suan-j1-1"


@pytest.fixture
def running() -> Site:
    site = Site()
    site.meet()
    site.give(grant())
    site.tell(RunStarted(NAME))
    return site


def test_the_lease_lasts_from_the_sending_of_the_heartbeat(running: Site) -> None:
    seq = running.beat()
    sent_at = running.elapsed
    running.elapsed += 4.0  # the answer is late
    decision = running.reply(seq, extension_seconds=TWO_HOURS)
    assert running.state.deadlines[NAME] == sent_at + TWO_HOURS
    (renewed,) = effects(decision, RenewLeases)
    assert renewed.leases == ((NAME, sent_at + TWO_HOURS),), "the fence is told"
    assert LeasesExtended(sent_at, sent_at + TWO_HOURS) in decision.records


def test_later_answers_do_not_shorten_it(running: Site) -> None:
    seq = running.beat()
    end = running.elapsed + TWO_HOURS
    running.reply(seq, extension_seconds=TWO_HOURS)
    running.reply(running.beat(), extension_seconds=60.0)
    running.reply(running.beat())
    assert running.state.deadlines[NAME] == end


def test_it_ends_with_the_extension_when_the_broker_does_not_return(running: Site) -> None:
    running.reply(running.beat(), extension_seconds=TWO_HOURS)
    assert effects(running.pass_time(TWO_HOURS - 1.0), StopRun) == []
    assert effects(running.pass_time(2.0), StopRun) == [StopRun(NAME, "LeaseEnded")]


def test_an_attempt_that_came_after_the_heartbeat_is_not_extended(running: Site) -> None:
    seq = running.beat()
    running.elapsed += 1.0
    running.give(grant("j2", grant_seq=2, anchor_seq=seq))
    running.reply(seq, extension_seconds=TWO_HOURS)
    assert running.state.deadlines["suan-j2-1"] == running.elapsed - 1.0 + LEASE_SECONDS


def test_what_is_being_stopped_is_not_extended(running: Site) -> None:
    seq = running.beat()
    running.tell(StopReceived(SESSION, one(), "Cancelled"))
    before = running.state.deadlines[NAME]
    running.reply(seq, extension_seconds=TWO_HOURS)
    assert running.state.deadlines[NAME] == before


def test_the_next_heartbeat_acknowledges_it(running: Site) -> None:
    seq = running.beat()
    running.reply(seq, extension_seconds=TWO_HOURS)
    (sent,) = effects(running.pass_time(10.5), SendHeartbeat)
    assert sent.extended_seq == seq
    running.meet("s2")
    (sent,) = effects(running.pass_time(10.5), SendHeartbeat)
    assert sent.extended_seq == 0, "the numbers of another session mean nothing"


@pytest.mark.parametrize("seconds", [-1.0, 86_401.0, float("nan"), float("inf")])
def test_a_senseless_extension_is_none(running: Site, seconds: float) -> None:
    seq = running.beat()
    running.reply(seq, extension_seconds=seconds)
    assert running.state.deadlines[NAME] == running.elapsed + LEASE_SECONDS
    assert running.supervisor.ignored[Ignored.NUMBER_OUT_OF_RANGE] == 1


def test_the_journal_keeps_the_longer_end(running: Site, tmp_path: Path) -> None:
    """Also when later answers came without an extension."""
    seq = running.beat()
    end = running.elapsed + TWO_HOURS
    running.reply(seq, extension_seconds=TWO_HOURS)
    running.reply(running.beat())
    reading = ClockReading("boot", running.elapsed, 5_000, 5_000)
    journal = Journal(tmp_path / "journal")
    journal.commit(running.journal, reading)
    journal.close()
    again = Journal(tmp_path / "journal")
    site = Site()
    # Three seconds later, in a process whose clock began anew.
    for record in again.load(ClockReading("boot", 50.0, 3_000_005_000, 3_000_005_000)):
        site.state.apply(record)
    again.close()
    assert site.state.deadlines[NAME] == pytest.approx(end - running.elapsed - 3.0 + 50.0)


def test_death_comes_before_any_leader_takes_back() -> None:
    """The two sides together: every drift within the bound, every delay, every later leader.

    Real time is a third clock; the site's and the brokers' run up to `clock_drift` off.
    """
    limits, chance = Limits(), random.Random(7)
    rate = limits.clock_drift
    for _ in range(20_000):
        site_rate, first_rate, second_rate = (
            1 + chance.choice((-rate, rate, chance.uniform(-rate, rate))) for _ in range(3)
        )
        announced, length = 0.0, chance.uniform(1.0, 86_400.0)
        lease = chance.choice((60.0, 600.0, 86_400.0))
        sent = chance.uniform(-100.0, 2.0 * length)
        handled = max(announced, sent) + chance.expovariate(1 / 20.0)
        left = max(0.0, length - (handled - announced) * first_rate)
        dead = sent + (max(lease, left) + limits.kill_seconds) / site_rate
        wait = max(
            limits.takeback_seconds(lease) / first_rate + handled,
            limits.takeback_seconds(length) / first_rate + announced,
        )
        assert dead <= wait, "the leader that announced it"
        began = handled + chance.expovariate(1 / 100.0)
        later = began + max(map(limits.takeback_seconds, (lease, length))) / second_rate
        assert dead <= later, "a leader after it"
