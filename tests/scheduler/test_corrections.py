"""What finished runs teach: soon, robustly, with the uncertainty kept."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from federations import gang, pool, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st

from scheduler.corrections import FACTOR_MAX, family_of, trust, updated
from scheduler.estimate import past_of, run_of
from scheduler.fleet import Fleet
from scheduler.model import Correction, Demand, Learned, Policy, Work
from scheduler.network import Routes
from scheduler.supply import Supply

NODE = supernode("s", 8)


def after(ratios: list[float], source: str = "computed") -> Correction:
    known: Correction | None = None
    for ratio in ratios:
        known = updated(known, source, 100.0, 100.0 * ratio)
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("qwen-sft-2024-run17", "qwen-sft-#-run#"),
        ("Qwen-SFT-2025-run3", "qwen-sft-#-run#"),
        ("sweep/0012", "sweep/#"),
        ("eval-3fa9c01b77", "eval-#"),
        ("decade-facade", "decade-facade"),
        ("  ", ""),
        ("x" * 500, "x" * 128),
    ],
)
def test_numbers_and_ids_make_no_new_family(name: str, family: str) -> None:
    assert family_of(name) == family


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("source", ["measured", "computed", "limit"])
def test_a_steady_error_is_learned_within_ten_runs(ratio: float, source: str) -> None:
    found = trust(source, after([ratio] * 10, source))
    assert math.log(found.factor) == pytest.approx(math.log(ratio), abs=0.4)
    assert trust(source, after([ratio] * 60, source)).factor == pytest.approx(ratio, rel=0.15)


def test_an_exact_duration_stays_exact() -> None:
    """Runs that come out as predicted change no estimate by a bit, and make it surer."""
    known = after([1.0] * 50, "measured")
    found = trust("measured", known)
    assert found.factor == 1.0
    assert found.deviation < trust("measured", None).deviation / 4


def test_the_spread_is_kept_and_covers_nine_in_ten() -> None:
    chance = random.Random(3)
    ratios = [chance.lognormvariate(0.5, 0.6) for _ in range(200)]
    found = trust("computed", after(ratios))
    assert found.factor == pytest.approx(math.exp(0.5), rel=0.35)
    assert found.deviation == pytest.approx(0.6, rel=0.35)
    ahead = [chance.lognormvariate(0.5, 0.6) for _ in range(2000)]
    within = sum(ratio <= found.factor * found.p90_factor for ratio in ahead) / len(ahead)
    assert 0.8 < within < 0.98


def test_one_wild_run_moves_little() -> None:
    steady = [1.0, 1.1, 0.9, 1.05, 0.95] * 4
    before, wild = trust("computed", after(steady)), trust("computed", after([*steady, 1000.0]))
    assert before.factor == pytest.approx(1.0, abs=0.1)
    assert wild.factor < 1.15


def test_what_changes_is_followed() -> None:
    assert trust("computed", after([4.0] * 40 + [1.0] * 40)).factor == pytest.approx(1.0, abs=0.3)


def test_limits_teach_nothing_of_stated_work() -> None:
    known = after([0.1] * 20, "limit")
    assert trust("computed", known).factor == 1.0
    fresh = updated(known, "computed", 100.0, 100.0)
    assert fresh == Correction(1.0, 0.0, 0.0, "work")


def test_runs_on_other_models_are_believed_less() -> None:
    known = after([2.0] * 20)
    own, other = trust("computed", known), trust("computed", None, known)
    assert own.factor == other.factor > 1.8
    assert other.deviation > own.deviation
    assert other.runs == 0.0


@given(
    st.lists(
        st.tuples(st.floats(), st.floats(), st.sampled_from(["measured", "computed", "limit", "?"]))
    )
)
def test_no_report_breaks_a_correction(
    runs: list[tuple[float, float, str]],
) -> None:
    known: Correction | None = None
    for predicted, actual, source in runs:
        known = updated(known, source, predicted, actual)
        found = trust(source, known)
        assert 1 / FACTOR_MAX * 0.999 <= found.factor <= FACTOR_MAX * 1.001
        assert 0 <= found.deviation < math.inf
        assert 1.0 <= found.p90_factor <= FACTOR_MAX * 1.001
        assert known is None or known.variance >= 0


def test_estimates_are_corrected_for_the_tenant_s_family_on_each_model() -> None:
    slow = after([2.0] * 40)
    shot = snapshot(
        [
            pool("guiyang", "nvidia-h100", [NODE]),
            pool("shenzhen", "ascend-910b", [NODE]),
            pool("zhengzhou", "hygon-k100-ai", [NODE]),
        ],
        learned=(
            Learned("tenant-a", "sft-#", "ascend-910b", slow),
            Learned("tenant-a", "sft-#", "hygon-k100-ai", after([1.0] * 40)),
            Learned("tenant-a", "sft-#", "", after([1.0, 2.0] * 20)),
            Learned("tenant-b", "sft-#", "ascend-910b", after([9.0] * 40)),
        ),
    )
    supply = Supply(Fleet(shot, Routes(shot.network), 0.4), shot)
    demand = Demand((gang(),), work=Work(flops=1e20), family="sft-#")
    plain = run_of(supply, demand, gang(), Policy(), past_of(supply, demand, "tenant-c")).seconds
    run = run_of(supply, demand, gang(), Policy(), past_of(supply, demand, "tenant-a"))
    assert np.allclose(run.seconds / plain, [2**0.5, 2.0, 1.0], rtol=0.1)
    basis = run.basis(1)
    assert basis.learned_runs == pytest.approx(slow.runs)
    assert basis.work_seconds == pytest.approx(float(plain[1]))
    assert run.seconds[1] == pytest.approx(basis.work_seconds * basis.learned_factor)
    assert run.seconds[1] < basis.p90_seconds < 1.3 * run.seconds[1]
    unsure = run_of(supply, demand, gang(), Policy(), past_of(supply, demand, "tenant-c")).basis(1)
    assert unsure.p90_seconds > 1.8 * unsure.work_seconds
