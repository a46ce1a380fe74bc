"""What the core learns from reports: once, durably, within bounds, and handed to the rounds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_core import ACCELERATORS, MODEL, SCORE, Desk, pool_of, spec_of, with_limits

from broker.core.snapshot import take_snapshot
from broker.core.state import replay
from scheduler.corrections import trust
from scheduler.explain import plan
from scheduler.model import Basis, Demand, Learned

PREDICTED = 100.0
POOLS = (pool_of("east", nodes=8),)  # cards that are freed are not told again in these tests


def run(desk: Desk, job_id: str, seconds: float, name: str = "sft-1", tenant: str = "lab") -> None:
    """One job from submission to success, whose run was estimated at 100 s."""
    basis = Basis("computed", work_seconds=PREDICTED, learned_factor=3.0, availability=0.9)
    desk.submit(job_id, spec=spec_of(name), tenant=tenant)
    offer = replace(desk.offer(job_id, "east"), score=replace(SCORE, basis=basis))
    assert desk.place(offer)
    desk.started("east", job_id)
    desk.advance(seconds, tick=False)
    desk.succeeded("east", job_id)


def lessons(desk: Desk, tenant: str, family: str) -> dict[str, Learned]:
    wanted = Demand((), family=family)
    snapshot = take_snapshot(
        desk.core.memory, desk.now, ACCELERATORS, planned=wanted, tenant=tenant
    )
    return {row.accelerator: row for row in snapshot.learned}


def rows(desk: Desk) -> list[str]:
    return [key for key in desk.store.rows if key.startswith("learned/")]


@pytest.fixture
def desk() -> Desk:
    desk = Desk("east")
    desk.hello("east", pools=POOLS)
    return desk


def test_a_success_teaches_the_family_on_its_model_and_on_all(desk: Desk) -> None:
    """The estimate is compared without failures and without what had been learned before."""
    for number in range(12):
        run(desk, f"j{number}", 200.0, name=f"sft-{number}")
    found = lessons(desk, "lab", "sft-#")
    assert set(found) == {MODEL, ""}
    assert len(rows(desk)) == 2
    assert trust("computed", found[MODEL].correction).factor == pytest.approx(2.0, rel=0.15)
    assert lessons(desk, "other", "sft-#") == {}
    assert lessons(desk, "lab", "eval-#") == {}


def test_a_plan_and_a_round_use_what_was_learned(desk: Desk) -> None:
    """Nothing is stated: the default of an hour is too long for these by four."""
    demand = spec_of("sft-7").demand
    for number in range(12):
        basis = Basis("assumed", work_seconds=3600.0)
        desk.submit(f"j{number}", spec=spec_of("sft-1"))
        offer = replace(desk.offer(f"j{number}", "east"), score=replace(SCORE, basis=basis))
        assert desk.place(offer)
        desk.started("east", f"j{number}")
        desk.advance(900.0, tick=False)
        desk.beat("east")
        desk.succeeded("east", f"j{number}")
    snapshot = take_snapshot(desk.core.memory, desk.now, ACCELERATORS, planned=demand, tenant="lab")
    told = plan(snapshot, demand, "lab")
    score = told.candidates[0].score
    assert score.run_seconds == pytest.approx(900.0, rel=0.2)
    assert (score.basis.source, score.basis.work_seconds) == ("assumed", 3600.0)
    assert plan(snapshot, demand, "other").candidates[0].score.run_seconds == 3600.0
    desk.submit("next", spec=spec_of("sft-9"))
    assert desk.round().placements[0].score.basis.learned_runs > 5


def test_a_report_sent_again_teaches_nothing(desk: Desk) -> None:
    run(desk, "a", 200.0)
    before = lessons(desk, "lab", "sft-#")
    desk.succeeded("east", "a")
    assert lessons(desk, "lab", "sft-#") == before


def test_failures_and_interrupted_jobs_teach_nothing(desk: Desk) -> None:
    basis = Basis("computed", work_seconds=PREDICTED)
    desk.submit("a", spec=spec_of("sft-1"))
    for epoch, category in ((1, "site"), (2, "site")):
        offer = replace(desk.offer("a", "east"), score=replace(SCORE, basis=basis))
        assert desk.place(offer)
        desk.started("east", "a", epoch)
        desk.advance(50.0, tick=False)
        desk.failed("east", "a", epoch, category=category)
    offer = replace(desk.offer("a", "east"), score=replace(SCORE, basis=basis))
    assert desk.place(offer)
    desk.started("east", "a", 3)
    desk.advance(50.0, tick=False)
    desk.succeeded("east", "a", 3)
    assert desk.job("a").state == "succeeded"
    assert rows(desk) == []


def test_clocks_that_run_backwards_teach_nothing(desk: Desk) -> None:
    basis = Basis("computed", work_seconds=PREDICTED)
    desk.submit("a", spec=spec_of("sft-1"))
    assert desk.place(replace(desk.offer("a", "east"), score=replace(SCORE, basis=basis)))
    desk.started("east", "a")
    desk.wall -= 500.0
    desk.succeeded("east", "a")
    assert desk.job("a").state == "succeeded"
    assert rows(desk) == []


def test_a_restart_and_a_replay_in_any_order_know_the_same(desk: Desk) -> None:
    for number, name in enumerate(("sft-1", "eval-1", "sft-2", "pre-1")):
        run(desk, f"j{number}", 100.0 + number, name=name)
    before = {name: lessons(desk, "lab", name) for name in ("sft-#", "eval-#", "pre-#")}
    seq = desk.state.learned.seq
    desk.restart()
    desk.hello("east", "s2", pools=POOLS)
    assert {name: lessons(desk, "lab", name) for name in before} == before
    puts = list(desk.store.load("learned/"))
    assert len(puts) == 6
    for listed in (puts, puts[::-1]):
        again = replay(iter(listed))
        assert again.learned.seq == seq
        assert again.learned.surplus("lab", 0, 0) == desk.state.learned.surplus("lab", 0, 0)


def test_the_oldest_are_forgotten_and_no_tenant_crowds_out_another() -> None:
    desk = Desk("east", limits=with_limits(learned_per_tenant_max=4, learned_max=6))
    desk.hello("east", pools=POOLS)
    run(desk, "x", 100.0, name="steady", tenant="quiet")
    for number in range(5):
        run(desk, f"j{number}", 100.0, name="abcde"[number])
        run(desk, f"k{number}", 100.0, name="e")
        assert len(desk.state.learned) <= 6
        assert len(rows(desk)) == len(desk.state.learned)
    assert set(lessons(desk, "quiet", "steady")) == {MODEL, ""}
    assert lessons(desk, "lab", "a") == {}, "its oldest"
    kept = lessons(desk, "lab", "e")
    assert set(kept) == {MODEL, ""}, "used all the time"
    desk.restart()
    assert len(desk.state.learned) == len(rows(desk))
    assert lessons(desk, "lab", "e") == kept


def test_jobs_without_a_name_are_of_no_family(desk: Desk) -> None:
    run(desk, "a", 200.0, name="")
    assert rows(desk) == []
