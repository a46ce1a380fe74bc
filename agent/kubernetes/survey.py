"""Watches a cluster: what it has, what its own people use, how to ask it for cards.

Does for a site with Kubernetes what `agent.survey` does for the agent's own machine. Nodes and
pods are watched; Ascend's health and Volcano's topology, which change seldom, are read now and
then. When the cluster gives no answer, what was known before stands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from agent.cards.health import CardHealth
from agent.inventory import DeclaredPool, Inventory, NodeCondition
from agent.kubernetes.capacity import Discovery, KubernetesPool, discover
from agent.kubernetes.client import ApiFailed, KubernetesApi
from agent.kubernetes.fields import Json, text
from agent.kubernetes.health import CLUSTER_PREFIX, DEVICE_PREFIX, NodeHealth, health_of
from agent.kubernetes.manager import has_volcano
from agent.kubernetes.manifest import BATCH, job_path
from agent.kubernetes.mirror import Mirror
from agent.kubernetes.objects import JobKey, Node, Pod, deadline_of, node_of, pod_of
from agent.kubernetes.resources import Namer
from agent.kubernetes.settings import KubernetesSettings, RunPlace
from agent.kubernetes.topology import supernodes
from agent.kubernetes.usage import conditions, owners, releases
from agent.probes.reading import Readings
from agent.supervisor.messages import Event, InventoryChanged
from scheduler.model import Release

SETTLE_SECONDS = 1.0  # after news, for more of it
# Where MindCluster keeps its words: ClusterD's roll-up first, which makes the other needless.
HEALTH_NAMESPACES = ("mindx-dl", "cluster-system", "kube-system")
HYPERNODES = "/apis/topology.volcano.sh/v1alpha1/hypernodes"
NAMESPACES_MAX = 32  # whose Jobs are asked for their deadlines
_NOT_OVER = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}

log = logging.getLogger(__name__)
Held = Callable[[str, str], frozenset[int]]


class KubernetesSurvey:
    """The pools of a cluster, as last read."""

    def __init__(
        self,
        api: KubernetesApi,
        namer: Namer,
        settings: KubernetesSettings,
        own_rules: tuple[str, ...] = (),
        cards: CardHealth | None = None,
    ) -> None:
        """`settings`: the operator's; places and Volcano are found here. `cards`: by exporters."""
        self.api = api
        self._namer = namer
        self._cards = cards or CardHealth()
        self._settings = settings
        self._config = settings.config
        self._conditions: tuple[NodeCondition, ...] = ()
        self._health: dict[str, NodeHealth] = {}
        self._hypernodes: list[Json] = []
        self._deadlines: dict[JobKey, float] = {}  # of local Jobs whose pods hold cards
        self._releases: dict[str, tuple[Release, ...]] = {}
        self._failing: set[str] = set()  # what gave no answer when last asked
        self._told: set[str] = set()  # what nobody could name
        self.nodes: Mirror[Node] = Mirror(api, "/api/v1/nodes", node_of)
        self.pods: Mirror[Pod] = Mirror(api, "/api/v1/pods", pod_of, _NOT_OVER)
        self.found = Discovery(())
        self.rules = own_rules

    def inventory(self) -> Inventory:
        """What the site has, by the last reading; nothing of it is taken by runs."""
        pools = self.declared_pools
        return Inventory(self._settings.site, pools, self._conditions, self._releases)

    @property
    def declared_pools(self) -> tuple[DeclaredPool, ...]:
        return tuple(pool.declared for pool in self.found.pools)

    @property
    def conditions(self) -> tuple[NodeCondition, ...]:
        return self._conditions

    @property
    def readings(self) -> Mapping[tuple[str, str], Readings]:
        return self._cards.readings

    @property
    def health(self) -> dict[str, NodeHealth]:
        return self._health

    @property
    def is_ready(self) -> bool:
        return self.nodes.is_ready and self.pods.is_ready

    def settings(self) -> KubernetesSettings:
        """How to put runs to this cluster, by the last reading."""
        return self._settings

    async def look(self, held: Held) -> bool:
        """Read all; whether anything to place has changed. `held`: a node's cards of our runs."""
        if not await self._tried("the cluster", self._read_all()):
            return False
        await self._read_slow()
        changed = self._take_in(held)
        if await self._cards.look(self.declared_pools):
            changed = self._take_in(held) or changed
        return changed

    async def run(self, held: Held, post: Callable[[Event], None]) -> None:
        """Until cancelled."""

        def again() -> None:
            if self.is_ready and self._take_in(held):
                post(InventoryChanged(self.inventory(), self.rules))

        works = (
            self.nodes.run(),
            self.pods.run(),
            self._cards.run(lambda: self.declared_pools, again),
        )
        watches = [asyncio.create_task(work) for work in works]
        try:
            again()  # now that runs are known
            while True:
                await self._wait_news()
                await self._read_slow()
                again()
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    # --- reading --------------------------------------------------------------------

    async def _wait_news(self) -> None:
        """Until nodes or pods have changed, or what is not watched is due."""
        news = [asyncio.create_task(each.changed.wait()) for each in (self.nodes, self.pods)]
        try:
            await asyncio.wait(
                news, timeout=self._config.poll_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for each in news:
                each.cancel()
        await asyncio.sleep(min(SETTLE_SECONDS, self._config.poll_seconds))
        self.nodes.changed.clear()
        self.pods.changed.clear()

    async def _read_all(self) -> None:
        await self.nodes.look()
        await self.pods.look()

    async def _read_slow(self) -> None:
        """What is not watched. Each may fail alone: then what it said before stands."""
        if any(
            "huawei.com" in name for node in self.nodes.items.values() for name in node.capacity
        ):
            await self._tried("the health of Ascend cards", self._read_health())
        await self._tried("Volcano's topology", self._read_topology())
        await self._tried("the deadlines of local jobs", self._read_deadlines())

    async def _read_health(self) -> None:
        found: list[Json] = []
        for namespace in HEALTH_NAMESPACES:
            if any(text(m, "metadata", "name").startswith(CLUSTER_PREFIX) for m in found):
                break
            found += _of_mindcluster(
                await self._listed(f"/api/v1/namespaces/{namespace}/configmaps")
            )
        self._health = health_of(found)

    async def _listed(self, path: str) -> list[Json]:
        """What is there; nothing where it is not there, or not ours to see."""
        try:
            return (await self.api.list_all(path))[0]
        except ApiFailed as failed:
            if failed.status in (403, 404):
                return []
            raise

    async def _read_topology(self) -> None:
        volcano = self._config.scheduler != "kubernetes" and await has_volcano(self.api)
        self._settings = self._settings.with_volcano(volcano)
        self._hypernodes = await self._listed(HYPERNODES)

    async def _read_deadlines(self) -> None:
        """Only where a local Job holds cards, and as far as its namespace may be read."""
        local = owners(self.pods.items.values(), self.found.pools, self._settings.site)
        namespaces = sorted({owner.namespace for owner in local})[:NAMESPACES_MAX]
        jobs = [j for name in namespaces for j in await self._listed(job_path(BATCH, name))]
        self._deadlines = dict(told for each in jobs if (told := deadline_of(each)))

    async def _tried(self, what: str, reading: Awaitable[None]) -> bool:
        """Whether it was read; a failure is told once."""
        try:
            await reading
        except ApiFailed as failed:
            if what not in self._failing:
                log.warning("%s: %s: %s (%s)", failed.code, what, failed.message, failed.hint)
            self._failing.add(what)
            return False
        self._failing.discard(what)
        return True

    # --- understanding ---------------------------------------------------------------

    def _take_in(self, held: Held) -> bool:
        before = self.declared_pools, self._conditions, self._releases
        nodes, pods = tuple(self.nodes.items.values()), tuple(self.pods.items.values())
        grouped = supernodes(nodes, self._hypernodes, self._health)
        self.found = discover(nodes, pods, self._namer, grouped, self._config.pools)
        self._conditions = tuple(
            conditions(
                nodes,
                pods,
                self.found.pools,
                self._health,
                self._config.tolerations,
                self._settings.site,
                held,
                self._cards.faulty,
            )
        )
        self._releases = releases(pods, self.found.pools, self._deadlines, self._settings.site)
        self._settings = self._settings.with_places(
            {n.name: _place(pool) for pool in self.found.pools for n in pool.declared.nodes}
        )
        self._tell(
            "the resource %s is not offered: map it under kubernetes.accelerators if it is cards",
            self.found.unknown,
        )
        self._tell("the resource %s counts parts of cards: not offered", self.found.shared)
        self._tell("no node with cards has the labels of pool %s", self.found.empty_offers)
        return before != (self.declared_pools, self._conditions, self._releases)

    def _tell(self, message: str, names: Sequence[str]) -> None:
        """Each once."""
        for name in names:
            if message % name not in self._told:
                self._told.add(message % name)
                log.warning(message, name)


def _of_mindcluster(config_maps: Iterable[Json]) -> list[Json]:
    prefixes = (CLUSTER_PREFIX, DEVICE_PREFIX)
    return [m for m in config_maps if text(m, "metadata", "name").startswith(prefixes)]


def _place(pool: KubernetesPool) -> RunPlace:
    """A card's share of its node."""
    declared = pool.declared
    return RunPlace(
        pool=declared.name,
        resource=pool.resource,
        per_card=declared.dies_per_card,
        kind=declared.kind,
        image=pool.offer.image,
        cpus_per_card=max(1, declared.cpus_per_node // declared.cards_per_node),
        memory_mib_per_card=int(declared.memory_gib_per_node * 1024) // declared.cards_per_node,
    )
