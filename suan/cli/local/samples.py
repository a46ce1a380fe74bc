"""The sites that `suan up` starts: declared inventories, real processes, no real cards.

Places are nodes of `network.yaml`; models are of the catalogue; prices are invented. The
first three are also written out, with comments, in `deploy/examples`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

NETWORK_FILE = Path(__file__).with_name("network.yaml")
GRACE_SECONDS = 5  # between SIGTERM and SIGKILL: nobody trains here for days


@dataclass(frozen=True, slots=True)
class Sample:
    """One site with one pool."""

    site: str  # also its city
    region: str
    pool: str
    accelerator: str
    nodes: int
    cards_per_node: int
    supernode_nodes: int
    yuan_per_card_hour: float

    def config(self, broker: str) -> dict[str, Any]:
        """Its agent.yaml; paths count from the file."""
        return {
            "site": self.site,
            "broker": broker,
            "state_dir": "state",
            "city": self.site,
            "region": self.region,
            "backend": "process",
            "grace_seconds": GRACE_SECONDS,
            "data_roots": ["data"],
            "pools": [
                {
                    "name": self.pool,
                    "accelerator": self.accelerator,
                    "nodes": self.nodes,
                    "cards_per_node": self.cards_per_node,
                    "supernode_nodes": self.supernode_nodes,
                    "cpus_per_node": 192,
                    "memory_gib_per_node": 1536,
                    "yuan_per_card_hour": self.yuan_per_card_hour,
                }
            ],
        }


SAMPLES = (
    Sample("shenzhen", "guangdong", "npu", "ascend-910b", 4, 8, 4, 6.20),
    Sample("zhengzhou", "henan", "dcu", "hygon-bw1000", 4, 8, 1, 3.10),
    Sample("guiyang", "guizhou", "gpu", "nvidia-h20", 2, 8, 1, 7.50),
    Sample("horinger", "inner-mongolia", "npu", "ascend-910c", 6, 8, 6, 7.80),
    Sample("wuhu", "anhui", "dcu", "hygon-k100-ai", 4, 8, 1, 2.60),
    Sample("qingyang", "gansu", "npu", "ascend-910b", 8, 8, 8, 5.40),
    Sample("zhongwei", "ningxia", "gpu", "nvidia-a100", 2, 8, 1, 9.50),
    Sample("shanghai", "shanghai", "gpu", "nvidia-h100", 1, 8, 1, 14.00),
)
