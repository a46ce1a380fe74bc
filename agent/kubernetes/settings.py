"""A site's rules for its runs on Kubernetes: where each node's cards are asked for, and whose.

Values only. What is found of the cluster is put in by the survey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.kubernetes.config import KubernetesConfig, TenantPlace


@dataclass(frozen=True, slots=True)
class RunPlace:
    """How to ask for cards of one node, and what goes with each."""

    pool: str
    resource: str
    per_card: int = 1  # devices (dies) that the resource counts
    kind: str = ""
    image: str = ""  # "": the site's
    cpus_per_card: int = 1
    memory_mib_per_card: int = 0  # 0: no request


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """The site's rules for runs of ours."""

    site: str
    config: KubernetesConfig
    user: int  # that owns the files on the shared volume
    group: int
    data_roots: tuple[str, ...] = ()  # that jobs may read, on the nodes at the same path
    places: Mapping[str, RunPlace] = field(default_factory=dict)  # by node
    has_volcano: bool = False

    def with_places(self, places: Mapping[str, RunPlace]) -> KubernetesSettings:
        return replace(self, places=places)

    def with_volcano(self, there: bool) -> KubernetesSettings:
        return replace(self, has_volcano=there)

    def tenant(self, name: str) -> TenantPlace:
        """Where a tenant's runs are; what it leaves open is everybody's."""
        own, all_ = self.config.tenants.get(name, TenantPlace()), self.config
        return TenantPlace(
            own.namespace or all_.namespace,
            own.service_account or all_.service_account,
            own.image,
            own.claim or all_.claim,
            own.queue or all_.queue,
        )

    @property
    def namespaces(self) -> tuple[str, ...]:
        own = (place.namespace for place in self.config.tenants.values())
        return tuple(dict.fromkeys((self.config.namespace, *filter(None, own))))
