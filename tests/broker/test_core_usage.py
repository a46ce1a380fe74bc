"""What projects have held: a decayed mean that survives restarts, and quotas in the core."""

from __future__ import annotations

import pytest
from support_core import MODEL, Desk, pool_of, spec_of, with_limits

from broker.core.messages import Proposals, PutRow
from broker.core.rows import Project, Tenant
from broker.core.usage import usages
from scheduler.model import Placement, Quota, Usage

DAY = 86_400.0
LONG = with_limits(suspect_heartbeats=1e9, lost_seconds=1e12, retention_seconds=1e12)


def desk_with_room(**limits: float) -> Desk:
    desk = Desk("east", limits=with_limits(**limits) if limits else LONG)
    desk.hello("east", pools=(pool_of("east", nodes=4),))
    return desk


def told(desk: Desk) -> dict[tuple[str, str], Usage]:
    found = usages(desk.state, desk.limits, desk.wall)
    return {(each.tenant, each.project): each for each in found}


def mean(desk: Desk, tenant: str = "lab", project: str = "vision") -> float:
    return dict(told(desk)[tenant, project].mean_cards).get(MODEL, 0.0)


def pass_days(desk: Desk, days: float) -> None:
    desk.wall += days * DAY
    desk.elapsed += days * DAY


def test_the_mean_rises_with_what_is_held_and_halves_in_a_half_life_after() -> None:
    desk = desk_with_room()
    desk.run("a", "east", spec_of(cards=8))
    assert told(desk)["lab", "vision"].cards == ((MODEL, 8),)
    pass_days(desk, 7)
    assert mean(desk) == pytest.approx(4.0)
    pass_days(desk, 7)
    assert mean(desk) == pytest.approx(6.0)
    desk.succeeded("east", "a")
    assert told(desk)["lab", "vision"].cards == ()
    pass_days(desk, 7)
    assert mean(desk) == pytest.approx(3.0)


def test_time_alone_writes_nothing_and_each_change_one_row() -> None:
    desk = desk_with_room()
    desk.submit("a", "b", "c", spec=spec_of(cards=8))
    step = desk.step(
        Proposals(tuple(desk.offer(job_id, "east", cards=8) for job_id in "abc"), (), desk.wall)
    )
    assert sum(put.key.startswith("usage/") for put in step.records) == 1
    pass_days(desk, 1)
    desk.beat("east")
    assert not any(put.key.startswith("usage/") for put in desk.step().records)
    assert mean(desk) == pytest.approx(24 * (1 - 2 ** (-1 / 7)))


def test_a_restart_keeps_the_past_and_every_replay_is_the_same() -> None:
    desk = desk_with_room()
    desk.run("a", "east", spec_of(cards=8))
    pass_days(desk, 3)
    desk.run("b", "east", spec_of("other", cards=4))
    before, rows = told(desk), desk.state.usages
    desk.restart()
    assert (told(desk), desk.state.usages) == (before, rows)


def test_a_wall_clock_that_jumps_makes_no_usage_without_bound() -> None:
    desk = desk_with_room()
    desk.run("a", "east", spec_of(cards=8))
    desk.wall += 30 * 365 * DAY
    assert mean(desk) <= 8.0
    desk.wall -= 60 * 365 * DAY
    assert mean(desk) == 0.0
    desk.succeeded("east", "a")
    pass_days(desk, 7)
    assert 0.0 <= mean(desk) <= 8.0


def test_the_rows_are_bounded_and_the_faded_go() -> None:
    desk = Desk("east", limits=with_limits(usages_max=1, usage_half_life_seconds=60.0))
    desk.hello("east", pools=(pool_of("east", nodes=4),))
    for name, tenant in (("a", "lab"), ("b", "other")):
        desk.submit(name, spec=spec_of(cards=1), tenant=tenant)
        desk.place(desk.offer(name, "east"))
    assert list(desk.state.usages) == [("lab", "vision")]
    assert told(desk)["other", "vision"].cards == ((MODEL, 1),), "what it holds counts all the same"
    desk.started("east", "a")
    desk.succeeded("east", "a")
    assert desk.state.usages
    for _ in range(20):
        desk.advance(60.0)
        desk.beat("east")
    assert desk.state.usages == {}


# --- quotas ---------------------------------------------------------------------------


def offers(desk: Desk, *ids: str) -> list[Placement]:
    return [desk.offer(job_id, "east", cards=8) for job_id in ids]


def test_the_core_grants_nobody_more_than_its_quota_whatever_a_round_says() -> None:
    desk = desk_with_room()
    desk.ask(PutRow(Tenant("lab", quotas=(Quota("", 8.0, 8.0),)), "admin"))
    desk.submit("a", "b", "c", spec=spec_of(cards=8))
    assert [grant.job_id for grant in desk.place(*offers(desk, "a", "b", "c"))] == ["a", "b"]
    assert desk.place(*offers(desk, "c")) == []
    desk.started("east", "a")
    desk.succeeded("east", "a")
    desk.hello("east", "s2", held=(), pools=(pool_of("east", nodes=4),))
    assert [grant.job_id for grant in desk.place(*offers(desk, "c"))] == ["c"]


def test_kinds_are_known_from_the_catalogue() -> None:
    desk = desk_with_room()
    desk.ask(PutRow(Tenant("lab", quotas=(Quota("npu", 8.0, 0.0),)), "admin"))
    desk.submit("a", "b", spec=spec_of(cards=8))
    assert len(desk.place(*offers(desk, "a", "b"))) == 1


def test_a_projects_quota_binds_within_its_tenants() -> None:
    desk = desk_with_room()
    row = Tenant("lab", projects=(Project("vision", quotas=(Quota("", 0.0, 8.0),)),))
    desk.ask(PutRow(row, "admin"))
    desk.submit("a", "b", spec=spec_of(cards=8))
    assert len(desk.place(*offers(desk, "a", "b"))) == 1
    desk.restart()
    assert desk.state.tenants["lab"] == row
