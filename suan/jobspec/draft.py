"""A job file as read: its values in its own shape, before the variants are spelled out.

The functions here are what the records of `fields` make; they know the rules that bind
several values of one record together. No YAML, no positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from suan.jobspec.limits import Fault
from suan.jobspec.rules import verify_lease, verify_where, verify_work
from suan.jobspec.wants import PerAccelerator, Want
from suan.models import (
    AcceleratorClass,
    ArrayRange,
    Checkpoint,
    Input,
    Lease,
    Output,
    Retry,
    Topology,
    Where,
    Work,
)


@dataclass(frozen=True, slots=True)
class Resources:
    accelerators: tuple[Want, ...] = ()
    cpus_per_node: int = 0
    memory_gib_per_node: float = 0.0
    topology: Topology | None = None
    software: PerAccelerator = field(default_factory=PerAccelerator)


@dataclass(frozen=True, slots=True)
class Draft:
    """The whole file; what it leaves out has the default of the model."""

    run: PerAccelerator = field(default_factory=PerAccelerator)
    resources: Resources = field(default_factory=Resources)
    image: PerAccelerator = field(default_factory=PerAccelerator)
    setup: PerAccelerator = field(default_factory=PerAccelerator)
    num_nodes: int = 1
    api_version: str = ""
    name: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    working_directory: str = ""
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    work: Work = field(default_factory=Work)
    time_limit_seconds: float = 0.0
    grace_seconds: float = 0.0
    retry: Retry = field(default_factory=Retry)
    lease: Lease = field(default_factory=Lease)
    where: Where = field(default_factory=Where)
    priority: int = 0
    deadline_at: float = 0.0
    preemptible: bool = True
    account: str = ""
    funding: tuple[str, ...] = ()
    array: ArrayRange | None = None
    launch: str = "per-node"
    checkpoint: Checkpoint = field(default_factory=Checkpoint)


@dataclass(frozen=True, slots=True)
class Destination:
    """The value of one entry of `outputs`."""

    dest: str = ""
    when: str = "success"
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """The value of one entry of `inputs`."""

    source: str
    mode: str = "ro"


def make_input(path: str, source: Source) -> Input:
    return Input(path, source.source, writable=source.mode == "rw")


def make_output(path: str, destination: Destination) -> Output:
    return Output(path, destination.dest, destination.when, destination.size_bytes)


def make_class_want(
    precision: str, tflops: float = 0.0, memory: float = 0.0, count: int = 1, num_nodes: int = 0
) -> Want:
    return Want(AcceleratorClass(precision, tflops, memory), count, num_nodes)


def make_sized_want(type: Want, num_nodes: int = 0) -> Want:
    return replace(type, num_nodes=num_nodes)


def make_topology(scope: str, mode: str = "preferred", nodes: int = 0) -> Topology:
    return Topology(scope, nodes, required=mode == "required")


def make_where(
    sites: tuple[str, ...] = (),
    not_sites: tuple[str, ...] = (),
    span: str = "single-site",
    max_cost: float = 0.0,
    prefer: tuple[str, ...] = (),
    users_at: str = "",
    latency_max: float = 0.0,
) -> Where:
    wanted = tuple(dict.fromkeys(prefer))
    where = Where(sites, not_sites, span, max_cost, wanted, users_at, latency_max)
    verify_where(where)
    return where


def make_lease(lease_class: str = "restart", seconds: float = 0.0) -> Lease:
    lease = Lease(lease_class, seconds)
    verify_lease(lease)
    return lease


def make_retry(max: int = 0, on: tuple[str, ...] = ()) -> Retry:
    return Retry(max, tuple(dict.fromkeys(on)))


def make_checkpoint(size: int = 0, every: float = 0.0) -> Checkpoint:
    if not (size or every):
        raise Fault("MissingKey", "must say size or every", "e.g. {size: 2TiB, every: 30m}")
    return Checkpoint(size, every)


def make_work(
    duration: float = 0.0,
    accelerators: Want | None = None,
    flops: float = 0.0,
    precision: tuple[str, ...] = (),
    tokens: float = 0.0,
    parameters: float = 0.0,
    family: str = "",
) -> Work:
    work = Work(
        seconds=duration,
        accelerator=str(accelerators.accelerator) if accelerators else "",
        cards=accelerators.cards if accelerators else 0,
        flops=flops,
        precision=precision[0] if precision else "",
        fallbacks=precision[1:],
        tokens=tokens,
        parameters=parameters,
        family=family,
    )
    if not precision and (flops or tokens):
        work = replace(work, precision="bf16")
    verify_work(work)
    return work
