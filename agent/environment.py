"""What a job finds in its environment: a pure function of its order and its place.

Precedence, lowest first: the few variables every program needs, what the user asked for,
what the site set, then ours. Ours are the SUAN_* names always; the rendezvous unless the
user chose his own; ranks only when there is one process per card, with PyTorch's meaning;
and the variable that names the devices unless the site set it. Knows no files and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.backends import Launch, RunOrder
from agent.backends.container import Container

# All that a job gets of the agent's own environment: nothing there may be a secret.
KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TZ", "USER")
PATH_DEFAULT = "/usr/local/bin:/usr/bin:/bin"

# Variables that name the visible devices, by kind of accelerator. Ascend has two: one read
# by the container runtime, one by the process.
DEVICE_VARIABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "npu": ("ASCEND_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"),
        "dcu": ("HIP_VISIBLE_DEVICES",),
        "gpu": ("CUDA_VISIBLE_DEVICES",),
    }
)
_ALL_DEVICE_VARIABLES = frozenset(name for names in DEVICE_VARIABLES.values() for name in names)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a process of the job finds things on its node: absolute paths."""

    data: str
    output: str
    checkpoint: str
    scratch: str  # of this node alone
    hostfile: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the site adds to an order before it can run."""

    agent: Mapping[str, str]  # the agent's own environment, of which KEPT is kept
    site: Mapping[str, str]  # set by the site's operator for every job
    master_port: int  # the same for all ranks
    deadline_at: float  # wall seconds at which the time limit ends the run; 0.0: never
    container: Container | None = None  # in which the job's processes are; None: natively


def job_environment(
    order: RunOrder,
    surroundings: Surroundings,
    places: Places,
    node_rank: int,
    local_rank: int | None = None,
) -> dict[str, str]:
    """The whole environment of one process; `local_rank` is None for one process per node."""
    user = {
        name: value
        for name, value in order.environment
        if not name.startswith("SUAN_") and name not in _ALL_DEVICE_VARIABLES
    }
    return {
        "PATH": PATH_DEFAULT,
        **{name: surroundings.agent[name] for name in KEPT if name in surroundings.agent},
        "MASTER_ADDR": order.nodes[0].address,
        "MASTER_PORT": str(surroundings.master_port),
        **_devices(order, node_rank),
        **user,
        **surroundings.site,
        **_ranks(order, node_rank, local_rank),
        **_identity(order, surroundings.deadline_at),
        **_shape(order, node_rank),
        "SUAN_DATA_DIR": places.data,
        "SUAN_OUTPUT_DIR": places.output,
        "SUAN_CHECKPOINT_DIR": places.checkpoint,
        "SUAN_SCRATCH": places.scratch,
        "SUAN_HOSTFILE": places.hostfile,
    }


def hostfile(order: RunOrder) -> str:
    """One line per node, as MPI and DeepSpeed read it."""
    return "".join(f"{node.address} slots={order.cards_per_node}\n" for node in order.nodes)


def _identity(order: RunOrder, deadline_at: float) -> dict[str, str]:
    identity = {
        "SUAN_JOB_ID": order.job_id,
        "SUAN_JOB_NAME": order.job_name,
        "SUAN_ATTEMPT": str(order.epoch),
        "SUAN_SITE": order.site,
        "SUAN_TENANT": order.tenant,
        "SUAN_PREEMPTED_COUNT": str(order.preempted_count),
    }
    if deadline_at:
        identity["SUAN_DEADLINE"] = str(int(deadline_at))
    if order.array_id:
        identity["SUAN_ARRAY_ID"] = order.array_id
        identity["SUAN_ARRAY_INDEX"] = str(order.array_index)
    return identity


def _shape(order: RunOrder, node_rank: int) -> dict[str, str]:
    return {
        "SUAN_NUM_NODES": str(len(order.nodes)),
        "SUAN_NODE_RANK": str(node_rank),
        "SUAN_NODE_IPS": "\n".join(node.address for node in order.nodes),
        "SUAN_ACCELERATORS_PER_NODE": str(order.cards_per_node),
        "SUAN_ACCELERATOR_KIND": order.kind,
        "SUAN_ACCELERATOR_MODEL": order.model,
        "SUAN_NUM_ACCELERATORS": str(order.cards_per_node * len(order.nodes)),
    }


def _ranks(order: RunOrder, node_rank: int, local_rank: int | None) -> dict[str, str]:
    if order.launch is not Launch.PER_CARD or local_rank is None:
        return {}
    return {
        "RANK": str(node_rank * order.cards_per_node + local_rank),
        "WORLD_SIZE": str(len(order.nodes) * order.cards_per_node),
        "LOCAL_RANK": str(local_rank),
        "LOCAL_WORLD_SIZE": str(order.cards_per_node),
    }


def _devices(order: RunOrder, node_rank: int) -> dict[str, str]:
    """All devices of the node, to each of its ranks: LOCAL_RANK picks among them."""
    devices = ",".join(str(device) for device in order.nodes[node_rank].devices)
    names = DEVICE_VARIABLES.get(order.kind, ())
    return dict.fromkeys(names, devices) if devices else {}
