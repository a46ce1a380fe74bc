"""Whatever sites, jobs and past runs say: rounds end, every card is accounted for, and every
score is a number with its basis."""

from __future__ import annotations

import math
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, snapshots

from scheduler.corrections import PRIOR_DEVIATION
from scheduler.model import Checkpoint, Correction, Learned, Precision, Snapshot, Work
from scheduler.placement import place
from scheduler.runtime import RUN_SECONDS_MAX

figures = st.sampled_from([0.0, 0.5, 3600.0, 1e18, 1e300, -1.0, math.inf, -math.inf, math.nan])
precisions = st.sampled_from(list(Precision))
works = st.builds(
    Work,
    seconds=figures,
    accelerator=st.sampled_from(["", "ascend-910b", "ascend-9999"]),
    cards=st.integers(-1, 64),
    flops=figures,
    precision=precisions,
    fallbacks=st.lists(precisions, max_size=2).map(tuple),
    tokens=figures,
    parameters=figures,
    measured=st.lists(st.tuples(st.just("hygon-k100-ai"), figures), max_size=1).map(tuple),
)
checkpoints = st.builds(Checkpoint, st.sampled_from([0, 1, 10**13, 2**62]), figures)
softwares = st.sampled_from(["", "cann", "cann>=8.1", "??", ">="])
finite = st.floats(-5, 5)
corrections = st.builds(
    Correction, st.floats(0, 20), finite, st.floats(0, 10), st.sampled_from(["work", "limit"])
)


@st.composite
def torn(draw: st.DrawFn) -> Snapshot:
    """A random federation in which any figure may be nonsense."""
    shot = draw(snapshots())
    sites = tuple(
        replace(
            site,
            pue=draw(figures),
            failures_per_card_day=draw(figures),
            restart_seconds=draw(figures),
            checkpoint_gb_per_second=draw(figures),
        )
        for site in shot.sites
    )
    pools = tuple(
        replace(
            pool,
            utilisation=draw(figures),
            yuan_per_card_hour=draw(figures),
            linearity=((8, draw(figures)), (64, draw(figures))),
            software=draw(st.sampled_from([(), ("cann-8.1",), ("dtk-25", "?")])),
        )
        for pool in shot.pools
    )
    queue = tuple(
        replace(
            each,
            demand=replace(
                each.demand,
                work=draw(works),
                checkpoint=draw(checkpoints),
                family="f",
                variants=tuple(
                    replace(way, software=draw(softwares)) for way in each.demand.variants
                ),
            ),
        )
        for each in shot.queue
    )
    cards = tuple(
        replace(card, peak_tflops=((Precision.BF16, draw(figures)),), power_watts=draw(figures))
        for card in shot.accelerators
    )
    learned = draw(
        st.lists(
            st.builds(
                Learned,
                st.sampled_from(["tenant-a", "tenant-b"]),
                st.just("f"),
                st.sampled_from(["", "ascend-910b"]),
                corrections,
            ),
            max_size=3,
        )
    )
    return replace(
        shot, sites=sites, pools=pools, queue=queue, accelerators=cards, learned=tuple(learned)
    )


@given(torn())
@examples(60)
def test_no_figure_breaks_a_round(shot: Snapshot) -> None:
    decided = place(shot)
    told = dict(decided.explanations)
    assert set(told) == {each.key for each in shot.queue if each.key in told}
    scores = [placement.score for placement in decided.placements]
    scores += [item.score for each in told.values() for item in each.candidates]
    for score in scores:
        basis = score.basis
        assert 0 < score.run_seconds <= RUN_SECONDS_MAX * 2  # a spread layout is slower
        assert all(math.isfinite(part) for part in (score.yuan, score.kwh, score.wait_seconds))
        assert basis.source in PRIOR_DEVIATION
        assert basis.work_seconds > 0 and 0 < basis.availability <= 1
        assert 0 <= basis.checkpoint_every_seconds < math.inf
        assert 0 < basis.p90_seconds < math.inf
    for each in told.values():
        assert each.examined_cards == sum(max(0, pool.cards_total) for pool in shot.pools)
        assert each.cards_left >= 0
