"""Cards that a site's own jobs hold: when they are expected back reaches the scheduler."""

from __future__ import annotations

from dataclasses import replace

from support_core import WALL, Desk, pool_of, spec_of

from broker.services import sites_wire
from broker.services.sites_wire import facts_from_wire, facts_to_wire, pool_from_wire
from scheduler.model import Explanation, Pool, Release, Verdict
from suan.v1 import site_pb2
from suan.wire import pool_to_wire

BACK_SECONDS = 1800.0
BUSY = replace(pool_of("a", free=2, usable=2), releases=(Release(6, WALL + BACK_SECONDS),))


def explained(pool: Pool, **wish: float) -> Explanation:
    """What a round says of a job of eight cards, when this pool is all there is."""
    desk = Desk("a")
    desk.hello("a", pools=(pool,))
    spec = spec_of(cards=8)
    desk.submit("j", spec=replace(spec, demand=replace(spec.demand, **wish)))
    ((_, told),) = desk.round().explanations
    return told


def test_the_wait_is_known() -> None:
    told = explained(BUSY)
    assert told.verdict is Verdict.WAIT
    (candidate,) = told.candidates
    assert BACK_SECONDS - 60 <= candidate.score.wait_seconds <= BACK_SECONDS + 60
    assert "Unhealthy" not in {rejection.code for rejection in told.rejections}


def test_without_a_word_of_the_site_nothing_is_expected() -> None:
    told = explained(replace(BUSY, releases=()))
    assert "Unhealthy" in {rejection.code for rejection in told.rejections}


def test_a_pool_may_be_stricter_than_its_site() -> None:
    strict = replace(pool_of("a"), time_limit_seconds_max=3600.0)
    told = explained(strict, time_limit_seconds=7200.0)
    assert {rejection.code for rejection in told.rejections} == {"TimeLimitTooLong"}
    assert not explained(strict, time_limit_seconds=1800.0).rejections


def test_over_the_wire_and_back() -> None:
    told = replace(BUSY, time_limit_seconds_max=60.0)
    assert pool_from_wire("a", pool_to_wire(told)) == told


def test_a_site_cannot_tell_too_much() -> None:
    message = pool_to_wire(BUSY)
    for number in range(2 * sites_wire.RELEASES_MAX):
        message.releases.add(cards=1, ends_at=float(number))
    assert len(pool_from_wire("a", message).releases) == sites_wire.RELEASES_MAX
    facts = facts_from_wire("a", site_pb2.SiteFacts(city="a", rules=["r" * 1000] * 1000))
    assert len(facts.rules) == sites_wire.RULES_MAX
    assert {len(rule) for rule in facts.rules} == {sites_wire.RULE_CHARACTERS_MAX}
    assert tuple(facts_to_wire(facts).rules) == facts.rules
