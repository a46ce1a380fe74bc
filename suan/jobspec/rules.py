"""The rules that bind several values together, for files and for specs from the wire.

Each raises Fault; whoever calls knows the place. Models and limits only.
"""

from __future__ import annotations

from suan.jobspec import limits
from suan.jobspec.limits import Fault
from suan.models import ArrayRange, Input, Lease, Output, Topology, Where


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
    """Refuses a site that is both wanted and refused, and a price that is none."""
    if both := sorted({*where.sites_allowed} & {*where.sites_denied}):
        raise Fault("Contradiction", f"allows and refuses the same site: {', '.join(both)}")
    if where.yuan_max:
        limits.YUAN.verify(where.yuan_max)


def verify_lease(lease: Lease) -> None:
    """Refuses a length that does not suit the class."""
    if not lease.seconds:
        return
    if lease.lease_class not in limits.LEASE_SECONDS:
        message = f"a lease of class {limits.quoted(lease.lease_class)} is not ended by time"
        raise Fault("Contradiction", message, "drop seconds")
    limits.LEASE_SECONDS[lease.lease_class].verify(lease.seconds)


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
