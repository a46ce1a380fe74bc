"""The comparison: sized federations, the table, the JSON, and traces with nothing in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.bounds import bounds, load
from simulator.federation import instance, load_federation, synthesise
from simulator.policies import RIVALS, reference
from simulator.replay import measure, replay
from simulator.replay.comparison import HEADER, as_json, compare, nowhere, rivals, row
from simulator.replay.metrics import isolated_jct
from simulator.replay.standard import STANDARDS, Standard, sized
from simulator.traces import TraceJob
from suan.network import load as load_network

ROOT = Path(__file__).resolve().parents[2]
NETWORK = load_network((ROOT / "deploy" / "networks" / "china.yaml").read_bytes()).network


def jobs(count: int) -> tuple[TraceJob, ...]:
    random = np.random.default_rng(4)
    return tuple(
        TraceJob(
            str(at), at * 50.0, float(random.lognormal(7, 1.5)), int(2 ** random.integers(0, 6)),
            tenant=f"t{random.integers(3)}",
        )
        for at in range(count)
    )  # fmt: skip


def test_a_sized_federation_has_the_load_that_was_asked_for() -> None:
    made = sized(jobs(400), Standard("", 1, 1, 5, 10, 0.8), NETWORK, seed=2)
    assert load(made.instance) == pytest.approx(0.8)
    assert made.stretch == pytest.approx(1.0, abs=0.5)
    assert len(made.federation.pools) == 10
    roomy = sized(jobs(400), Standard("", 1, 1, 5, 10, 0.8, 800), NETWORK, seed=2)
    assert min(pool.cards_usable for pool in roomy.federation.pools) >= 800
    assert load(roomy.instance) == pytest.approx(0.8)
    assert all(0 < each.load < 1 for each in STANDARDS.values())


def test_the_figures_have_the_keys_that_were_promised() -> None:
    made = sized(jobs(300), Standard("", 1, 1, 5, 10, 0.8), NETWORK, seed=2)
    found = bounds(made.instance)
    isolated = isolated_jct(made.instance, reference)
    runs = list(compare(made.instance, rivals(("ect-sjf", "sjf", "easy"), 0), isolated))
    figures = json.loads(json.dumps(as_json("t", made.instance, found, runs), allow_nan=False))
    assert {"trace", "jobs", "bounds", "policies", "decisions_per_second"} == set(figures)
    assert {"mean_jct_seconds", "makespan_seconds"} == set(figures["bounds"])
    assert set(figures["policies"]["sjf"]) >= {
        "finished", "unfinished", "mean_jct_seconds", "p50_jct_seconds", "p99_jct_seconds",
        "mean_wait_seconds", "makespan_seconds", "utilisation", "worst_tenant_ftf",
    }  # fmt: skip
    for run in runs:
        assert run.metrics.finished == 300
        assert run.metrics.mean_jct_seconds >= found.mean_jct_seconds
        assert run.metrics.worst_tenant_ftf > 0
        assert len(row(run, found)) == len(HEADER)
    with pytest.raises(KeyError):
        list(compare(made.instance, rivals(("nobody",), 0)))


@pytest.mark.parametrize(
    ("some", "left"),
    [
        ((), 0),
        ((TraceJob("wide", 0.0, 100.0, 99_999, tenant="a"),), 1),
        ((TraceJob("none", 0.0, 0.0, 1, tenant="a"),), 0),
        (
            (
                TraceJob("wide", 0.0, 9.0, 99_999, tenant="a"),
                TraceJob("x", 0.0, 5.0, 1, tenant="b"),
            ),
            1,
        ),
    ],
)
def test_traces_with_hardly_anything_in_them(some: tuple[TraceJob, ...], left: int) -> None:
    """Jobs wider than any pool are neither dropped nor run: they are counted and named."""
    federation = load_federation(ROOT / "examples" / "federations" / "three-sites.yaml")
    made = instance(federation, synthesise(some, federation, seed=0))
    said = nowhere(made)
    assert len(said) == left and all("wide" in line for line in said)
    assert bounds(made).mean_jct_seconds >= 0.0
    for rival in RIVALS.values():
        found = measure(
            made, replay(made, rival.make(made.known, 0)), isolated_jct(made, reference)
        )
        assert (found.finished, found.unfinished) == (len(some) - left, left)
        json.dumps(found.as_json(), allow_nan=False)
