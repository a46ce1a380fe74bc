"""A large round is decided in parts by the planners on a real Ray, as safely as in one piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bench import rounds
from bench.placement import federation
from broker import ray_settings
from broker.ray_app import leader
from scheduler.model import Placement, Policy, Round, Snapshot, Supernode, Variant
from scheduler.placement import place

POLICY = Policy(placements_max=400)


@pytest.fixture(scope="module")
def planners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[object]]:
    ray_settings.prepare("")
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        _temp_dir=str(tmp_path_factory.mktemp("ray")),
    )
    try:
        actor = ray.remote(leader.PlannerActor)
        yield [actor.options(num_cpus=0).remote() for _ in range(2)]
    finally:
        ray.shutdown()


def one_model_each() -> Snapshot:
    """Jobs whose images run on one model, so that the round has parts."""
    return rounds.one_model_each(federation(600, 30, 20, seed=3))


def test_in_parts_on_ray(planners: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = one_model_each()
    alone = place(whole, POLICY)
    monkeypatch.setattr(leader, "PAIRS_MIN", 0)
    apart = asyncio.run(_placed(planners, whole))
    assert len(apart.placements) >= 0.9 * min(len(alone.placements), POLICY.placements_max)
    assert {key for key, _ in apart.explanations} == {each.key for each in whole.queue}
    free = {(p.key, s.name): s for p in whole.pools for s in p.supernodes}
    variants = {job: each.demand.variants for each in whole.queue for job in each.jobs}
    for placement in apart.placements:  # as the core does: whoever is over capacity raises
        _take(free, variants.pop(placement.job_id)[placement.variant], placement)


def test_a_small_round_stays_whole(planners: list[object]) -> None:
    whole = one_model_each()
    assert asyncio.run(_placed(planners, whole)) == place(whole, POLICY)


async def _placed(planners: list[object], whole: Snapshot) -> Round:
    return await leader.place_on(planners)(whole, POLICY)


def _take(free: dict[tuple[str, str], Supernode], variant: Variant, placement: Placement) -> None:
    assert sum(part.nodes for part in placement.slices) == variant.nodes
    for part in placement.slices:
        at = placement.pool, part.supernode
        free[at] = free[at].take(part.nodes, part.cards)
