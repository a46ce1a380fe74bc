"""Estimates in figures that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from federations import CATALOGUE, SITES, gang, network, pool, snapshot, supernode

from scheduler.estimate import availability, checkpoint_interval_seconds, run_seconds, stage
from scheduler.model import Dataset, Demand, Policy, Precision, Site, Variant, Work
from scheduler.network import Routes
from scheduler.supply import SPREAD_FRACTION, Supply, linearity, peak_tflops

TB = 10**12
NODE = supernode("s", 8, 8)


def supply_of(*pools: object, **facts: object) -> Supply:
    shot = snapshot(pools, **facts)  # type: ignore[arg-type]
    return Supply(shot, Routes(shot.network), 0.4)


def run_of(supply: Supply, variant: Variant, work: Work, **facts: object) -> list[float]:
    demand = Demand((variant,), work=work, **facts)  # type: ignore[arg-type]
    return run_seconds(supply, demand, variant, Policy()).tolist()


def test_flops_over_cards_peak_utilisation_and_linearity() -> None:
    supply = supply_of(pool("shenzhen", supernodes=[NODE], utilisation=0.5))
    work = Work(flops=8 * 320e12 * 0.5 * 100)
    assert run_of(supply, gang(), work) == [pytest.approx(100.0)]
    wide = run_of(supply, gang(2), work)
    assert wide == [pytest.approx(50.0 / SPREAD_FRACTION)]


def test_a_measured_duration_stands_on_its_model_and_scales_by_peaks_elsewhere() -> None:
    supply = supply_of(
        pool("shenzhen", "ascend-910b", [NODE]), pool("zhengzhou", "hygon-k100-ai", [NODE])
    )
    work = Work(seconds=600.0, accelerator="ascend-910b", cards=8)
    assert run_of(supply, gang(), work) == [pytest.approx(600.0), pytest.approx(1200.0)]
    half = run_of(supply, gang(1, 4), work)
    assert half == [pytest.approx(1200.0), pytest.approx(2400.0)]


def test_a_duration_on_an_unnamed_model_is_taken_as_it_is() -> None:
    supply = supply_of(
        pool("shenzhen", "ascend-910b", [NODE]), pool("zhengzhou", "unheard-of", [NODE])
    )
    assert run_of(supply, gang(), Work(seconds=600.0)) == [600.0, 600.0]


def test_unknown_work_falls_to_the_time_limit_then_to_the_policy() -> None:
    supply = supply_of(pool("shenzhen", supernodes=[NODE]))
    assert run_of(supply, gang(), Work(), time_limit_seconds=900.0) == [900.0]
    assert run_of(supply, gang(), Work()) == [Policy().run_seconds_default]
    no_peak = supply_of(pool("shenzhen", "unheard-of", [NODE]))
    assert run_of(no_peak, gang(), Work(flops=1e18)) == [Policy().run_seconds_default]


@pytest.mark.parametrize("work", [Work(flops=math.inf), Work(seconds=math.inf), Work(flops=1e300)])
def test_absurd_work_stays_finite(work: Work) -> None:
    supply = supply_of(pool("shenzhen", supernodes=[NODE]))
    assert all(math.isfinite(seconds) for seconds in run_of(supply, gang(), work))


def test_availability_is_young_daly_and_short_runs_do_not_checkpoint() -> None:
    rates, restart = np.array([0.0003, 0.0]), np.array([120.0, 120.0])
    long = availability(np.array([1e6, 1e6]), 8192, rates, restart)
    mtbf = 86_400 / (0.0003 * 8192)
    assert long[0] == pytest.approx(1 - math.sqrt(2 * 60 / mtbf) - 120 / mtbf)
    assert long[1] == 1.0
    short = availability(np.array([60.0, 60.0]), 8192, rates, restart)
    assert short[0] == pytest.approx(1 - 30 / mtbf - 120 / mtbf)
    assert availability(np.array([1e6]), 10**9, np.array([1.0]), restart[:1])[0] > 0
    assert checkpoint_interval_seconds(8192, 0.0003) == pytest.approx(math.sqrt(2 * 60 * mtbf))
    assert checkpoint_interval_seconds(8192, 0.0) == math.inf


def test_failures_make_a_run_longer() -> None:
    sites = (Site("shenzhen", "Shenzhen", failures_per_card_day=0.003), *SITES[1:])
    frail = supply_of(pool("shenzhen", supernodes=[NODE]), sites=sites)
    assert run_of(frail, gang(2), Work(seconds=1e6))[0] > 1e6


def test_linearity_follows_the_measured_curve() -> None:
    curve = ((8192, 0.9312), (1024, 0.96))
    assert linearity(curve, 384, 8192) == 0.9312
    assert linearity(curve, 384, 1) == 1.0
    assert linearity(curve, 384, 2048) == pytest.approx(0.96 - (0.96 - 0.9312) / 3)
    assert linearity(curve, 384, 16384) == pytest.approx(0.9312 * SPREAD_FRACTION)
    assert linearity((), 384, 384) == 1.0
    assert linearity((), 8, 32) == pytest.approx(SPREAD_FRACTION**2)


def test_precisions_fall_back_to_what_the_card_has() -> None:
    ascend = CATALOGUE[0]
    assert peak_tflops(ascend, Precision.FP8) == 320.0
    assert peak_tflops(ascend, Precision.FP64) == 0.0
    assert peak_tflops(None, Precision.BF16) == 0.0


def test_staging_is_from_the_nearest_replica_and_back() -> None:
    supply = supply_of(
        *(pool(name, supernodes=[NODE]) for name in ("guiyang", "shenzhen", "zhengzhou")),
        datasets=(
            Dataset("one", TB, ("zhengzhou",)),
            Dataset("two", 2 * TB, ("shenzhen", "zhengzhou")),
        ),
    )
    routes = Routes(network())
    both = stage(supply, Demand((gang(),), inputs=("one", "two"), output_bytes=TB)).seconds
    to_guiyang = sum(
        routes.transfer_seconds("Zhengzhou", "Guiyang", size) for size in (TB, 2 * TB, TB)
    )
    to_shenzhen = 2 * routes.transfer_seconds("Zhengzhou", "Shenzhen", TB)
    assert both.tolist() == [pytest.approx(to_guiyang), pytest.approx(to_shenzhen), 0.0]


def test_data_that_cannot_come_is_infinitely_far() -> None:
    off_net = Site("island", "Atlantis")
    supply = supply_of(
        pool("island", supernodes=[NODE]),
        pool("shenzhen", supernodes=[NODE]),
        sites=(*SITES, off_net),
        datasets=(Dataset("here", TB, ("shenzhen",)), Dataset("there", TB, ("island",))),
    )
    assert stage(supply, Demand((gang(),), inputs=("here",))).seconds.tolist() == [math.inf, 0.0]
    assert stage(supply, Demand((gang(),), inputs=("there",))).seconds.tolist() == [0.0, math.inf]
    assert stage(supply, Demand((gang(),), inputs=("lost",))).seconds.tolist() == [math.inf] * 2
