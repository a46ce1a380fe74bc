"""The accelerators, job specifications and limits of simulated federations."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache

from broker.core.limits import Limits
from broker.core.rows import Spec
from scheduler.model import Accelerator, Demand, Precision, Variant

MODEL = "ascend-910b"
ACCELERATORS = (
    Accelerator(MODEL, "huawei", "npu", 1, 64.0, 1.6, ((Precision.BF16, 320.0),), 8, 400.0),
)
CARDS_PER_NODE = 8
NODES_MAX = 3  # of one site
DRIFT = 0.01  # what every part assumes of every clock
KILL_SECONDS = 10.0  # from a lease's end to verified death
LIMITS = replace(
    Limits(),
    kill_seconds=KILL_SECONDS,
    clock_drift=DRIFT,
    lost_seconds=60.0,
    hold_seconds=15.0,
    unplaceable_seconds=900.0,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a simulated job asks for."""

    name: str
    cards: int
    nodes: int
    retry_max: int
    lease_class: str
    lease_seconds: float
    parallel_max: int = 0
    priority: int = 0

    def spec(self) -> Spec:
        data = json.dumps(
            {
                "cards": self.cards,
                "lease_class": self.lease_class,
                "lease_seconds": self.lease_seconds,
                "name": self.name,
                "nodes": self.nodes,
                "parallel_max": self.parallel_max,
                "priority": self.priority,
                "retry_max": self.retry_max,
            }
        ).encode()
        return parse_spec(f"sha-{self.name}", data)


@lru_cache(maxsize=4_096)
def parse_spec(sha256: str, data: bytes) -> Spec:
    """The specification of these bytes, as the broker's store and the agents read it."""
    wish = json.loads(data)
    shape = Variant(MODEL, nodes=wish.pop("nodes"), cards_per_node=wish.pop("cards"))
    return Spec(sha256=sha256, data=data, demand=Demand((shape,)), **wish)
