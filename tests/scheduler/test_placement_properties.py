"""What must hold in every round of every federation."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

from federations import queued, replay
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, snapshots

from scheduler.explain import explain
from scheduler.model import Demand, Policy, Pool, Round, Snapshot, Variant, Verdict
from scheduler.placement import place
from scheduler.reasons import CODES


@examples(60)
@given(snapshots())
def test_every_round_is_sound(before: Snapshot) -> None:
    """Capacity is kept, gangs are whole, shapes and rules respected, explanations add up."""
    decided = place(before)
    replay(before, decided)
    check_rules(before, decided)
    check_explanations(before, decided)


def check_rules(before: Snapshot, decided: Round) -> None:
    """No placement breaks a rule of the site, the job or its data."""
    pools = {pool.key: pool for pool in before.pools}
    sites = {site.name: site for site in before.sites}
    demands = {job: c.demand for c in before.queue for job in c.jobs}
    for placement in decided.placements:
        demand, pool = demands[placement.job_id], pools[placement.pool]
        variant = demand.variants[placement.variant]
        assert variant.accelerator == pool.accelerator
        assert pool.site not in demand.sites_denied
        assert sites[pool.site].state == "open"
        assert "lost" not in demand.inputs
        assert "kept" not in demand.inputs or sites[pool.site].region == "central"
        assert not demand.yuan_max or placement.score.yuan <= demand.yuan_max
        assert not pool.cpus_per_node or variant.cpus_per_node <= pool.cpus_per_node


def check_explanations(before: Snapshot, decided: Round) -> None:
    """Every class is explained, and its cards add up."""
    classes = {queue_class.key: queue_class for queue_class in before.queue}
    placed = Counter(placement.job_id.split("/")[0] for placement in decided.placements)
    assert sorted(key for key, _ in decided.explanations) == sorted(classes)
    for key, told in decided.explanations:
        assert told.examined_cards == sum(pool.cards_total for pool in before.pools)
        assert told.examined_pools == len(before.pools)
        assert told.cards_left >= 0
        codes = [rejection.code for rejection in told.rejections if rejection.cards]
        assert codes == [code.value for code in CODES if code.value in codes]
        assert (told.verdict is Verdict.PLACED) == (placed[key] > 0)
        assert any(c.chosen for c in told.candidates) == (placed[key] > 0)
        assert all(c.chosen or c.lost_because for c in told.candidates)
        assert told.verdict is not Verdict.NEVER or not told.candidates
        if placed[key] < len(classes[key].jobs):
            assert told.cards_left or told.rejections


@examples(40)
@given(snapshots(), st.randoms(use_true_random=False))
def test_the_order_of_what_is_reported_changes_nothing(before: Snapshot, order) -> None:  # type: ignore[no-untyped-def]
    def shuffled(values):  # type: ignore[no-untyped-def]
        return tuple(order.sample(values, len(values)))

    mixed = replace(
        before,
        pools=tuple(
            replace(pool, supernodes=shuffled(pool.supernodes)) for pool in shuffled(before.pools)
        ),
        sites=shuffled(before.sites),
        queue=shuffled(before.queue),
        running=shuffled(before.running),
        accelerators=shuffled(before.accelerators),
    )
    assert place(mixed) == place(before) == place(before)


@examples(20)
@given(snapshots(), st.integers(0, 8))
def test_a_round_is_bounded(before: Snapshot, placements_max: int) -> None:
    decided = place(before, Policy(placements_max=placements_max))
    assert len(decided.placements) <= placements_max
    assert len(decided.explanations) == len(before.queue)


@examples(20)
@given(snapshots())
def test_explain_says_what_place_says(before: Snapshot) -> None:
    """`explain` says of each class what `place` says, and adds only suggestions."""
    for key, told in place(before).explanations:
        explained = explain(before, key)
        assert replace(explained, suggestions=()) == told
        assert len(explained.suggestions) <= 6
        assert told.verdict is not Verdict.PLACED or all(
            suggestion.starts == "now" for suggestion in explained.suggestions
        )


def fits_by_trying(pool: Pool, variant: Variant) -> bool:
    """Whether the gang fits the pool's free cards, by trying every split over supernodes."""
    group = min(variant.group_nodes, variant.nodes)
    whole, rest = divmod(variant.nodes, group) if group else (0, 0)
    able = [row.nodes_fitting(variant.cards_per_node) for row in pool.supernodes]
    for split in itertools.product(*(range(min(n, variant.nodes) + 1) for n in able)):
        if sum(split) != variant.nodes:
            continue
        grouped = not group or sum(nodes // group for nodes in split) >= whole
        if grouped and (not rest or any(nodes % group >= rest for nodes in split)):
            return True
    return False


@examples(40)
@given(snapshots(), st.integers(1, 4), st.integers(1, 8), st.integers(0, 3))
def test_a_lone_job_is_placed_exactly_where_trying_everything_finds_room(
    before: Snapshot, nodes: int, cards: int, group: int
) -> None:
    variant = Variant("ascend-910b", nodes, cards, group_nodes=group, group_required=True)
    lone = queued("lone", Demand((variant,)), age_seconds=1e9)  # too old to wait for better
    open_sites = {site.name for site in before.sites if site.state == "open"}
    room = [
        pool.key
        for pool in before.pools
        if pool.accelerator == "ascend-910b"
        and pool.site in open_sites
        and pool.cards_usable >= variant.cards
        and fits_by_trying(pool, variant)
    ]
    decided = place(replace(before, queue=(lone,), holds=()))
    assert [placement.pool in room for placement in decided.placements] == [True] * bool(room)
