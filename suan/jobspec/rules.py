"""The rules that bind several values together, for files and for specs from the wire.

Each raises Fault; whoever calls knows the place. Models and limits only.
"""

from __future__ import annotations

from collections import Counter

from suan.jobspec import limits
from suan.jobspec.limits import Fault
from suan.models import ArrayRange, Input, Lease, Output, Topology, Where, Work

DATASET = "ds://"


def verify_array(array: ArrayRange) -> None:
    """Refuses a range that is empty, runs backwards or is too large."""
    limits.ARRAY_INDEX.verify(array.first)
    limits.ARRAY_INDEX.verify(array.last)
    limits.ARRAY_STEP.verify(array.step)
    if array.last < array.first:
        raise Fault("OutOfRange", f"runs backwards, from {array.first} to {array.last}")
    limits.ARRAY_TASKS.verify(len(array.indexes()))
    if array.parallel_max:
        limits.ARRAY_PARALLEL.verify(array.parallel_max)


def verify_where(where: Where) -> None:
    """Refuses a site that is both wanted and refused, and limits that are none or half."""
    if both := sorted({*where.sites_allowed} & {*where.sites_denied}):
        raise Fault("Contradiction", f"allows and refuses the same site: {', '.join(both)}")
    if where.yuan_max:
        limits.YUAN.verify(where.yuan_max)
    if where.latency_ms_max:
        limits.LATENCY.verify(where.latency_ms_max)
    if bool(where.users_at) != bool(where.latency_ms_max):
        lacking = "latency_max" if where.users_at else "users_at"
        raise Fault("MissingKey", f"must state {lacking} too", "the latency is from the users")


def verify_lease(lease: Lease) -> None:
    """Refuses a length that does not suit the class."""
    if not lease.seconds:
        return
    if lease.lease_class not in limits.LEASE_SECONDS:
        message = f"a lease of class {limits.quoted(lease.lease_class)} is not ended by time"
        raise Fault("Contradiction", message, "drop seconds")
    limits.LEASE_SECONDS[lease.lease_class].verify(lease.seconds)


def verify_work(work: Work) -> None:
    """Refuses work that is stated twice or by half."""
    trained = bool(work.tokens or work.parameters)
    ways = (bool(work.seconds), bool(work.flops), trained)
    if sum(ways) > 1 or not (any(ways) or work.family):
        message = "must state either duration or flops, or tokens and parameters"
        raise Fault("Contradiction", message)
    if trained and not (work.tokens and work.parameters):
        lacking = "parameters" if work.tokens else "tokens"
        raise Fault("MissingKey", f"must state {lacking} too", "operations are 6 × both")
    measured = bool(work.accelerator or work.cards)
    if measured and not work.seconds:
        raise Fault("Contradiction", "accelerators belong to a duration")
    if work.seconds and not (work.accelerator and work.cards):
        hint = "e.g. accelerators: ascend-910b:32, all the cards that took so long"
        raise Fault("MissingKey", "must say on which accelerators the duration was measured", hint)
    if (work.flops or trained) and not work.precision:
        raise Fault("MissingKey", "must say the precision of the operations")
    if len({work.precision, *work.fallbacks}) < len(work.fallbacks) + 1:
        raise Fault("Contradiction", "names a precision twice")


def verify_topology(topology: Topology, num_nodes: int) -> None:
    """Refuses more nodes together than there are."""
    if topology.num_nodes > num_nodes:
        message = f"asks for {topology.num_nodes} nodes together, but the job has {num_nodes}"
        raise Fault("Contradiction", message, "raise num_nodes or lower topology.nodes")


def verify_names(environment: tuple[tuple[str, str], ...], secrets: tuple[str, ...]) -> None:
    """Refuses a name that is both a variable and a secret."""
    if secrets and (both := sorted({name for name, _ in environment} & {*secrets})):
        raise Fault("Contradiction", f"are in envs and in secrets: {', '.join(both)}")


def verify_paths(inputs: tuple[Input, ...], outputs: tuple[Output, ...]) -> None:
    """Refuses a read-only input that is written."""
    if not (inputs and outputs):
        return
    read_only = {item.path.rstrip("/") for item in inputs if not item.writable}
    if both := sorted(read_only & {item.path.rstrip("/") for item in outputs}):
        message = f"the same path is a read-only input and an output: {', '.join(both)}"
        raise Fault("Contradiction", message, "use another path or mode: rw")


def verify_destinations(outputs: tuple[Output, ...]) -> None:
    """Refuses two outputs that would become the same dataset."""
    names = Counter(item.destination for item in outputs if item.destination.startswith(DATASET))
    if twice := sorted(name for name, count in names.items() if count > 1):
        message = f"two outputs would become the same dataset: {', '.join(twice)}"
        raise Fault("Contradiction", message, "name each dataset once")
