"""Specs from the wire: each rule of the job file holds for them too."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from suan.jobspec import limits
from suan.jobspec.check import check
from suan.models import (
    AcceleratorClass,
    ArrayRange,
    Bundle,
    Input,
    JobSpec,
    Lease,
    Output,
    Retry,
    Topology,
    Variant,
    Where,
    Work,
)

VARIANT = Variant("ascend-910b", accelerators_per_node=8, run="x")
SPEC = JobSpec(variants=(VARIANT,))
NAN = float("nan")


def variant(**changes: object) -> JobSpec:
    return replace(SPEC, variants=(replace(VARIANT, **changes),))  # type: ignore[arg-type]


GOOD = [
    SPEC,
    variant(accelerator=AcceleratorClass("fp8")),
    variant(topology=Topology("supernode", 1, required=True)),
    replace(SPEC, work=Work(3600, "ascend-910b", 8)),
    replace(SPEC, work=Work(flops=1e18, precision="bf16")),
    replace(SPEC, lease=Lease("overlap", 60), array=ArrayRange(0, 9, 1, 2)),
    replace(SPEC, bundle=Bundle("0" * 64, 10)),
    replace(SPEC, inputs=(Input("/d", "ds://a", True),), outputs=(Output("/d", "ds://t/b"),)),
]


@pytest.mark.parametrize("spec", GOOD, ids=range(len(GOOD)))
def test_sound_specs(spec: JobSpec) -> None:
    assert check(spec) == ()


BAD = [
    (replace(SPEC, variants=()), "OutOfRange", "variants"),
    (replace(SPEC, variants=(VARIANT,) * 65), "OutOfRange", "variants"),
    (variant(run=""), "BadText", "variants[0].run"),
    (variant(run=" \n"), "BadText", "variants[0].run"),
    (variant(run="a\0"), "BadCharacter", "variants[0].run"),
    (variant(run="x" * (128 * 1024 + 1)), "TextTooLong", "variants[0].run"),
    (variant(accelerator=""), "BadText", "variants[0].accelerator"),
    (variant(accelerator="Ascend 910B"), "BadText", "variants[0].accelerator"),
    (
        variant(accelerator=AcceleratorClass("bf17")),
        "UnknownWord",
        "variants[0].accelerator_class.precision",
    ),
    (
        variant(accelerator=AcceleratorClass("bf16", NAN)),
        "OutOfRange",
        "variants[0].accelerator_class.tflops_min",
    ),
    (variant(num_nodes=0), "OutOfRange", "variants[0].num_nodes"),
    (variant(accelerators_per_node=0), "OutOfRange", "variants[0].accelerators_per_node"),
    (variant(num_nodes=2000, accelerators_per_node=1000), "OutOfRange", "variants[0].cards"),
    (variant(cpus_per_node=5000), "OutOfRange", "variants[0].cpus_per_node"),
    (variant(memory_gib_per_node=NAN), "OutOfRange", "variants[0].memory_gib_per_node"),
    (variant(memory_gib_per_node=-1.0), "OutOfRange", "variants[0].memory_gib_per_node"),
    (variant(image="a b"), "BadText", "variants[0].image"),
    (variant(topology=Topology("rack")), "UnknownWord", "variants[0].topology.scope"),
    (variant(topology=Topology("node", 2)), "Contradiction", "variants[0].topology"),
    (replace(SPEC, name="a\nb"), "BadText", "name"),
    (replace(SPEC, time_limit_seconds=-1), "NegativeTime", "time_limit_seconds"),
    (replace(SPEC, time_limit_seconds=NAN), "OutOfRange", "time_limit_seconds"),
    (replace(SPEC, time_limit_seconds=float("inf")), "OutOfRange", "time_limit_seconds"),
    (replace(SPEC, grace_seconds=4000), "OutOfRange", "grace_seconds"),
    (replace(SPEC, priority=2000), "OutOfRange", "priority"),
    (replace(SPEC, account="a b"), "BadText", "account"),
    (replace(SPEC, environment=(("SUAN_X", "1"),)), "BadText", "environment.SUAN_X"),
    (replace(SPEC, environment=(("X", "a\0"),)), "BadCharacter", "environment.X"),
    (replace(SPEC, secrets=("9",)), "BadText", "secrets[0]"),
    (replace(SPEC, environment=(("X", ""),), secrets=("X",)), "Contradiction", "secrets"),
    (replace(SPEC, inputs=(Input("", "ds://a"),)), "BadText", "inputs[0].path"),
    (replace(SPEC, inputs=(Input("a/../..", "ds://a"),)), "BadText", "inputs[0].path"),
    (replace(SPEC, inputs=(Input("/d", "nowhere"),)), "BadText", "inputs[0].source"),
    (replace(SPEC, outputs=(Output("/d", "x", "success"),)), "BadText", "outputs[0].destination"),
    (replace(SPEC, outputs=(Output("/d", "ds://t/x", "now"),)), "UnknownWord", "outputs[0].when"),
    (
        replace(SPEC, inputs=(Input("/d", "ds://a"),), outputs=(Output("/d/", "ds://t/b@2"),)),
        "Contradiction",
        "outputs",
    ),
    (replace(SPEC, work=Work(seconds=1, flops=1, precision="bf16")), "Contradiction", "work"),
    (replace(SPEC, work=Work(seconds=1)), "MissingKey", "work"),
    (replace(SPEC, work=Work(flops=1)), "MissingKey", "work"),
    (replace(SPEC, work=Work(1, "ascend-910b", 2_000_000)), "OutOfRange", "work.cards"),
    (replace(SPEC, retry=Retry(101)), "OutOfRange", "retry.max"),
    (replace(SPEC, retry=Retry(1, ("a b",))), "BadText", "retry.on[0]"),
    (replace(SPEC, lease=Lease("forever")), "UnknownWord", "lease.class"),
    (replace(SPEC, lease=Lease("proof", 60)), "Contradiction", "lease.seconds"),
    (replace(SPEC, lease=Lease("restart", 0.5)), "OutOfRange", "lease.seconds"),
    (replace(SPEC, lease=Lease("restart", NAN)), "OutOfRange", "lease.seconds"),
    (replace(SPEC, where=Where(("A B",))), "BadText", "where.sites_allowed[0]"),
    (replace(SPEC, where=Where(("a",), ("a",))), "Contradiction", "where"),
    (replace(SPEC, where=Where(span="both")), "UnknownWord", "where.span"),
    (replace(SPEC, where=Where(prefer=("speed",))), "UnknownWord", "where.prefer[0]"),
    (replace(SPEC, where=Where(yuan_max=-1)), "OutOfRange", "where"),
    (replace(SPEC, funding=("cash",)), "BadText", "funding[0]"),
    (replace(SPEC, array=ArrayRange(5, 1)), "OutOfRange", "array"),
    (replace(SPEC, array=ArrayRange(0, 1, 0)), "OutOfRange", "array"),
    (replace(SPEC, array=ArrayRange(0, 9_999_999)), "OutOfRange", "array"),
    (replace(SPEC, bundle=Bundle("xyz", 10)), "BadText", "bundle.sha256"),
    (replace(SPEC, bundle=Bundle("0" * 64, 0)), "OutOfRange", "bundle.size_bytes"),
]


@pytest.mark.parametrize(("spec", "code", "path"), BAD, ids=[f"{row[2]}-{row[1]}" for row in BAD])
def test_one_fault(spec: JobSpec, code: str, path: str) -> None:
    found = check(spec)
    assert [(problem.code, problem.path) for problem in found] == [(code, path)]
    assert found[0].message


def test_all_faults_at_once_but_not_more_than_the_limit() -> None:
    several = replace(variant(num_nodes=0, run=""), priority=5000, funding=("cash",))
    assert len(check(several)) == 4
    assert len(check(replace(SPEC, funding=("cash",) * 5000))) == limits.PROBLEMS_MAX


def test_long_lists_are_refused_for_their_length() -> None:
    found = check(replace(SPEC, funding=("balance",) * 5000))
    assert [(problem.code, problem.path) for problem in found] == [("OutOfRange", "funding")]


def test_the_check_needs_no_yaml_and_no_protobuf() -> None:
    program = "import sys, suan.jobspec.check; print({'yaml', 'google.protobuf'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
