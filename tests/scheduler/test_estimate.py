"""Run times in figures that can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from federations import ASCEND, CATALOGUE, SITES, gang, pool, snapshot, supernode

from scheduler.estimate import Run, run_of
from scheduler.explain import plan
from scheduler.fleet import Fleet
from scheduler.model import (
    Accelerator,
    AcceleratorClass,
    Demand,
    Policy,
    Precision,
    Site,
    Variant,
    Verdict,
    Work,
)
from scheduler.network import Routes
from scheduler.runtime import RUN_SECONDS_MAX
from scheduler.software import has_software
from scheduler.speed import SPREAD_FRACTION, linearity, peak_tflops, usable_precision
from scheduler.supply import Supply

NODE = supernode("s", 8)
TWO = (supernode("a", 8), supernode("b", 8))  # two servers: 16 cards leave the fast fabric
TORN = (math.nan, math.inf, -math.inf, -1.0, 0.0)


def supply_of(*pools: object, **facts: object) -> Supply:
    shot = snapshot(pools, **facts)  # type: ignore[arg-type]
    return Supply(Fleet(shot, Routes(shot.network), 0.4), shot)


def whole_run(supply: Supply, variant: Variant, work: Work, **facts: object) -> Run:
    demand = Demand((variant,), work=work, **facts)  # type: ignore[arg-type]
    return run_of(supply, demand, variant, Policy())


def seconds_of(supply: Supply, variant: Variant, work: Work, **facts: object) -> list[float]:
    return whole_run(supply, variant, work, **facts).seconds.tolist()


def test_flops_over_cards_peak_utilisation_and_linearity() -> None:
    supply = supply_of(pool("shenzhen", supernodes=TWO, utilisation=0.5))
    work = Work(flops=8 * 320e12 * 0.5 * 100)
    assert seconds_of(supply, gang(), work) == [pytest.approx(100.0)]
    wide = seconds_of(supply, gang(2), work)
    assert wide == [pytest.approx(50.0 / SPREAD_FRACTION)]


def test_tokens_and_parameters_are_six_operations_each() -> None:
    """Training 7e9 parameters on 1e12 tokens: 4.2e22 operations."""
    supply = supply_of(pool("shenzhen", supernodes=[NODE], utilisation=0.5))
    trained = seconds_of(supply, gang(), Work(tokens=1e9, parameters=7e9))
    assert trained == [pytest.approx(6 * 7e9 * 1e9 / (8 * 320e12 * 0.5))]
    assert trained == seconds_of(supply, gang(), Work(flops=6 * 7e18))


def test_a_supernode_as_the_site_tells_it_bounds_the_fast_fabric() -> None:
    """The catalogue says 8 cards to the model's supernode; this site has 16 in one."""
    supply = supply_of(
        pool("shenzhen", supernodes=[supernode("s", 8, 8)]), pool("zhengzhou", supernodes=TWO)
    )
    here, spread = seconds_of(supply, gang(2), Work(flops=1e18))
    assert here == pytest.approx(spread * SPREAD_FRACTION)


def test_a_measured_duration_stands_on_its_model_and_scales_by_peaks_elsewhere() -> None:
    supply = supply_of(
        pool("shenzhen", "ascend-910b", [NODE]), pool("zhengzhou", "hygon-k100-ai", [NODE])
    )
    work = Work(seconds=600.0, accelerator="ascend-910b", cards=8)
    assert seconds_of(supply, gang(), work) == [600.0, pytest.approx(1200.0)]
    half = seconds_of(supply, gang(1, 4), work)
    assert half == [pytest.approx(1200.0), pytest.approx(2400.0)]
    run = whole_run(supply, gang(), work)
    assert [run.basis(at).source for at in (0, 1)] == ["measured", "scaled"]
    assert [run.basis(at).precision for at in (0, 1)] == ["", "bf16"]


def test_a_measured_duration_scales_along_the_pool_s_own_curve() -> None:
    curve = ((8, 1.0), (16, 0.5))
    supply = supply_of(pool("shenzhen", supernodes=TWO, linearity=curve))
    work = Work(seconds=600.0, accelerator="ascend-910b", cards=16)
    assert seconds_of(supply, gang(), work) == [pytest.approx(600.0)]


@pytest.mark.parametrize("cards", [1, 8, 16])
def test_a_duration_known_exactly_is_used_as_given(cards: int) -> None:
    """To the last bit, whatever the shape: a replayed trace relies on it."""
    supply = supply_of(
        pool("shenzhen", "ascend-910b", TWO), pool("zhengzhou", "unheard-of", [NODE])
    )
    odd = 601.0000000000001
    shape = gang(max(1, cards // 8), min(8, cards))
    assert seconds_of(supply, shape, Work(seconds=odd)) == [odd, odd]
    named = Work(seconds=odd, accelerator="ascend-910b", cards=cards)
    assert seconds_of(supply, shape, named)[0] == odd


def test_a_duration_measured_on_several_models_stands_on_each() -> None:
    """What cannot be told from peaks: this job is as fast on the slower card."""
    pools = (
        ("guiyang", "nvidia-h100"),
        ("shenzhen", "ascend-910b"),
        ("zhengzhou", "hygon-k100-ai"),
    )
    supply = supply_of(*(pool(site, model, [NODE]) for site, model in pools))
    measured = (("hygon-k100-ai", 700.0), ("nvidia-h100", math.nan))
    work = Work(600.0, "ascend-910b", 8, measured=measured)
    run = whole_run(supply, gang(), work)
    assert run.seconds.tolist() == [pytest.approx(200.0), 600.0, 700.0]
    assert [run.basis(at).source for at in range(3)] == ["scaled", "measured", "measured"]
    half = whole_run(supply, gang(1, 4), work)
    assert half.seconds.tolist() == pytest.approx([400.0, 1200.0, 1400.0])


def test_a_pool_needs_the_software_that_is_asked_for() -> None:
    shot = snapshot(
        [
            pool("guiyang", supernodes=[NODE], software=("cann-7.0.1", "mindspore-2.3")),
            pool("shenzhen", supernodes=[NODE], software=("cann-8.1", "cann-7.0")),
            pool("zhengzhou", supernodes=[NODE]),  # states nothing
        ]
    )
    told = plan(shot, Demand((gang(software="cann>=8.0"),)), "tenant-a")
    assert {item.pool for item in told.candidates} == {"shenzhen/main", "zhengzhou/main"}
    [barred] = [item for item in told.rejections if item.code == "SoftwareMissing"]
    assert (barred.pools, barred.cards) == (("guiyang/main",), 8)
    assert barred.detail == "needs cann>=8.0; here cann-7.0.1, mindspore-2.3"
    nowhere = plan(replace(shot, pools=shot.pools[:2]), Demand((gang(software="dtk"),)), "tenant-a")
    assert nowhere.verdict is Verdict.NEVER


@pytest.mark.parametrize(
    ("stacks", "need", "met"),
    [
        (("cann-8.1",), "", True),
        ((), "cann>=8", True),
        (("cann-8.1",), "cann", True),
        (("cann-8.1",), "cann>=8.1.0", True),
        (("cann-8.1",), "cann>=8.1.1", False),
        (("cann-8.10",), "cann>=8.9", True),
        (("cann-8.1",), "can", False),
        (("cuda-toolkit-12.4",), "cuda-toolkit>=12", True),
        (("cann", "??", "-1", "cann-"), "cann>=1", False),
        (("cann",), "cann", True),
        (("cann-" + "9" * 500,), "cann>=1", True),
    ],
)
def test_versions_compare_number_by_number(stacks: tuple[str, ...], need: str, met: bool) -> None:
    assert has_software(stacks, need) is met


def test_unknown_work_falls_to_the_time_limit_then_to_the_policy() -> None:
    supply = supply_of(pool("shenzhen", supernodes=[NODE]))
    limited = whole_run(supply, gang(), Work(), time_limit_seconds=900.0)
    assert (limited.seconds.tolist(), limited.basis(0).source) == ([900.0], "limit")
    guessed = whole_run(supply, gang(), Work())
    assert guessed.seconds.tolist() == [Policy().run_seconds_default]
    assert guessed.basis(0).source == "assumed"
    no_peak = whole_run(supply_of(pool("shenzhen", "unheard-of", [NODE])), gang(), Work(flops=1e18))
    assert no_peak.seconds.tolist() == [Policy().run_seconds_default]
    assert no_peak.basis(0).source == "assumed"


@pytest.mark.parametrize("figure", TORN)
@pytest.mark.parametrize("field", ["seconds", "flops", "tokens"])
def test_absurd_work_is_clamped_or_unknown(field: str, figure: float) -> None:
    supply = supply_of(pool("shenzhen", supernodes=[NODE]))
    work = replace(Work(parameters=1e9), **{field: figure})
    run = whole_run(supply, gang(), work)
    assert 0 < run.seconds[0] <= RUN_SECONDS_MAX
    assert 0 < run.basis(0).p90_seconds <= RUN_SECONDS_MAX


@pytest.mark.parametrize("figure", TORN)
def test_absurd_figures_of_a_site_crash_nothing_and_place_something(figure: float) -> None:
    """A site may say anything of itself: the job is still placed, with a finite score."""
    site = Site(
        "shenzhen",
        "Shenzhen",
        pue=figure,
        failures_per_card_day=figure,
        restart_seconds=figure,
        checkpoint_gb_per_second=figure,
    )
    facts = {"utilisation": figure, "yuan_per_card_hour": figure, "linearity": ((8, figure),)}
    card = replace(ASCEND, peak_tflops=((Precision.BF16, figure),), power_watts=figure)
    shot = replace(
        snapshot([pool("shenzhen", supernodes=[NODE], **facts)], sites=(site,)),
        accelerators=(card,),
    )
    told = plan(shot, Demand((gang(),), work=Work(flops=1e18)), "tenant-a")
    assert told.verdict is Verdict.PLACED
    score = told.candidates[0].score
    parts = (score.finish_seconds, score.yuan, score.kwh, score.basis.p90_seconds)
    assert all(math.isfinite(part) and part >= 0 for part in parts)
    assert 0 < score.basis.availability <= 1


def test_failures_make_a_run_longer() -> None:
    sites = (Site("shenzhen", "Shenzhen", failures_per_card_day=0.003), *SITES[1:])
    frail = supply_of(pool("shenzhen", supernodes=[NODE]), sites=sites)
    demand = Demand((gang(2),), work=Work(seconds=1e6))
    assert run_of(frail, demand, gang(2), Policy()).seconds[0] > 1e6


def test_linearity_follows_the_measured_curve() -> None:
    curve = ((8192, 0.9312), (1024, 0.96))
    assert linearity(curve, 384, 8192) == 0.9312
    assert linearity(curve, 384, 1) == 1.0
    assert linearity(curve, 384, 2048) == pytest.approx(0.96 - (0.96 - 0.9312) / 3)
    assert linearity(curve, 384, 16384) == pytest.approx(0.9312 * SPREAD_FRACTION)
    assert linearity((), 384, 384) == 1.0
    assert linearity((), 8, 32) == pytest.approx(SPREAD_FRACTION**2)
    assert linearity((), 384, 8192) == pytest.approx(0.9312, abs=0.005), "the Shenzhen figure"


def test_precisions_fall_back_to_what_the_card_has() -> None:
    ascend = CATALOGUE[0]
    assert peak_tflops(ascend, Precision.FP8) == 320.0
    assert peak_tflops(ascend, Precision.FP64) == 0.0
    assert peak_tflops(None, Precision.BF16) == 0.0
    assert usable_precision(ascend, Precision.FP8, (Precision.INT8,)) is None


def test_the_score_says_which_precision_was_used() -> None:
    """fp8 else bf16: one card has fp8, the other does not, a third only what the job refuses."""
    modern = Accelerator("new", "x", "gpu", peak_tflops=((Precision.FP8, 640.0),))
    odd = Accelerator("odd", "x", "gpu", peak_tflops=((Precision.INT8, 640.0),))
    shot = replace(
        snapshot(
            [
                pool("guiyang", "new", [NODE]),
                pool("shenzhen", supernodes=[NODE]),
                pool("zhengzhou", "odd", [NODE]),
            ]
        ),
        accelerators=(*CATALOGUE, modern, odd),
    )
    supply = Supply(Fleet(shot, Routes(shot.network), 0.4), shot)
    work = Work(flops=1e20, precision=Precision.FP8, fallbacks=(Precision.BF16,))
    run = whole_run(supply, gang(), work)
    assert [run.basis(at).precision for at in range(3)] == ["fp8", "bf16", ""]
    assert [run.basis(at).source for at in range(3)] == ["computed", "computed", "assumed"]
    assert run.seconds[1] == pytest.approx(2 * run.seconds[0])


def test_a_class_takes_any_model_that_reaches_its_figures() -> None:
    wanted = AcceleratorClass(Precision.BF16, 300.0, 64.0)
    shot = snapshot(
        [
            pool("shenzhen", "ascend-910b", [NODE]),
            pool("zhengzhou", "hygon-k100-ai", [NODE]),  # 160 TFLOP/s
            pool("guiyang", "nvidia-h100", [NODE]),
        ]
    )
    told = plan(shot, Demand((Variant(wanted, 1, 8),), work=Work(flops=1e20)), "tenant-a")
    assert {item.pool for item in told.candidates} == {"shenzhen/main", "guiyang/main"}
    [barred] = [item for item in told.rejections if item.code == "WrongAccelerator"]
    assert barred.pools == ("zhengzhou/main",)


def test_one_job_as_384_cards_here_or_512_there_and_the_better_is_taken() -> None:
    """The same work: 48 nodes of Ascend are 123 PFLOP/s, 64 nodes of DCU are 82."""
    ascend = [supernode(f"s{number}", *[8] * 48) for number in range(1)]
    hygon = [supernode(f"s{number}", 8) for number in range(64)]
    demand = Demand(
        (gang(48, 8, "ascend-910b"), gang(64, 8, "hygon-k100-ai")), work=Work(flops=1e21)
    )
    both = [pool("shenzhen", "ascend-910b", ascend), pool("zhengzhou", "hygon-k100-ai", hygon)]
    told = plan(snapshot(both), demand, "tenant-a")
    best, other = told.candidates
    assert (best.pool, best.variant, best.chosen) == ("shenzhen/main", 0, True)
    assert (other.pool, other.variant) == ("zhengzhou/main", 1)
    assert "later than shenzhen/main" in other.lost_because
    expected = 512 * 160 * SPREAD_FRACTION**6 / (384 * 320)
    assert best.score.run_seconds / other.score.run_seconds == pytest.approx(expected)
    alone = plan(snapshot(both[1:]), demand, "tenant-a")
    assert [(item.variant, item.chosen) for item in alone.candidates] == [(1, True)]
