"""What estimates need, across the wire: from a job file and a site's facts to the scheduler's
values, and from its answer back to a client."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from broker.services.jobs_wire import explanation_to_wire
from broker.services.sites_wire import SOFTWARE_MAX, facts_from_wire, facts_to_wire, pool_from_wire
from broker.services.specs import read_spec
from scheduler.model import (
    Basis,
    Candidate,
    Checkpoint,
    Explanation,
    Pool,
    Precision,
    Score,
    Verdict,
    Work,
)
from suan import catalogue
from suan.errors import InvalidSpec
from suan.jobspec.load import load
from suan.models import Work as WishedWork
from suan.reading import read
from suan.v1 import jobs_service_pb2, site_pb2
from suan.views import Explanation as Told
from suan.wire import pool_to_wire, spec_bytes

FILE = """
name: qwen-pretrain-03
resources:
  accelerators: {type: ascend-910c:16 dies, num_nodes: 48}
  software: cann>=8.0
work: {tokens: 2e12, parameters: 7e10, precision: [fp8, bf16]}
checkpoint: {size: 2TiB, every: 30m}
run: x
"""


def test_a_job_file_reaches_the_scheduler() -> None:
    wish = load(FILE, given={}, catalogue=catalogue.load())
    demand = read_spec(spec_bytes(wish)).demand
    assert demand.family == "qwen-pretrain-#"
    assert demand.checkpoint == Checkpoint(2 * 2**40, 1800.0)
    assert demand.work == Work(
        precision=Precision.FP8, fallbacks=(Precision.BF16,), tokens=2e12, parameters=7e10
    )
    assert demand.work.operations == pytest.approx(8.4e23)
    [way] = demand.variants
    assert (way.nodes, way.cards_per_node, way.software) == (48, 8, "cann>=8.0")


def test_a_family_that_is_named_is_taken_as_it_is() -> None:
    wish = load(FILE, given={}, catalogue=catalogue.load())
    named = replace(wish, work=replace(wish.work, family="Qwen 70B"))
    assert read_spec(spec_bytes(named)).demand.family == "Qwen 70B"


@pytest.mark.parametrize(
    "work",
    [
        WishedWork(tokens=math.nan, parameters=1e9, precision="bf16"),
        WishedWork(tokens=math.inf, parameters=1e9, precision="bf16"),
        WishedWork(tokens=-1.0, parameters=1e9, precision="bf16"),
        WishedWork(tokens=1e9, precision="bf16"),
        WishedWork(flops=1e18, precision="bf16", fallbacks=("fp7",)),
        WishedWork(flops=1e18, precision="bf16", fallbacks=("bf16",)),
        WishedWork(family="x" * 129),
        WishedWork(seconds=math.nan, accelerator="ascend-910b", cards=8),
    ],
)
def test_work_that_means_nothing_is_refused_with_a_reason(work: WishedWork) -> None:
    wish = load(FILE, given={}, catalogue=catalogue.load())
    with pytest.raises(InvalidSpec) as caught:
        read_spec(spec_bytes(replace(wish, work=work)))
    assert all(problem.path.startswith("work") for problem in caught.value.problems)


def test_a_pool_s_software_and_a_site_s_bandwidth_arrive() -> None:
    pool = Pool("s", "p", "ascend-910b", 8, 8, 8, (), software=("cann-8.1", "cann-7.0"))
    assert pool_from_wire("s", pool_to_wire(pool)).software == pool.software
    many = replace(pool, software=tuple(f"stack-{number}" for number in range(1000)))
    assert len(pool_from_wire("s", pool_to_wire(many)).software) == SOFTWARE_MAX
    facts = facts_from_wire("s", site_pb2.SiteFacts(checkpoint_gb_per_second=20.0))
    assert facts.profile.checkpoint_gb_per_second == 20.0
    assert facts_to_wire(facts).checkpoint_gb_per_second == 20.0
    torn = facts_from_wire("s", site_pb2.SiteFacts(checkpoint_gb_per_second=math.nan))
    assert torn.profile.checkpoint_gb_per_second == 0.0


def test_a_client_is_told_what_an_estimate_rests_on() -> None:
    basis = Basis("computed", "fp8", 100.0, 1.5, 12.0, 0.98, 1800.0, 250.0)
    score = Score(1.0, 2.0, 153.0, 4.0, 5.0, basis=basis)
    said = explanation_to_wire(
        Explanation(Verdict.WAIT, 1, 8, candidates=(Candidate("s/p", 0, score),)), 7.0
    )
    told = read(Told, jobs_service_pb2.Explanation.FromString(said.SerializeToString()))
    assert told.candidates[0].score == score
