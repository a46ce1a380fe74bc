"""Small federations for the scheduler's tests, and the replay that every round must pass."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.model import (
    Accelerator,
    Dataset,
    Demand,
    Link,
    Network,
    Pool,
    Precision,
    QueueClass,
    Round,
    Running,
    Site,
    Snapshot,
    Supernode,
    Variant,
)

ASCEND = Accelerator(
    "ascend-910b", "huawei", "npu", 1, 64.0, 1.6, ((Precision.BF16, 320.0),), 8, 400.0
)
HYGON = Accelerator(
    "hygon-k100-ai", "hygon", "dcu", 1, 64.0, 0.9, ((Precision.BF16, 160.0),), 8, 350.0
)
NVIDIA = Accelerator(
    "nvidia-h100", "nvidia", "gpu", 1, 80.0, 3.35, ((Precision.BF16, 960.0),), 8, 700.0
)
CATALOGUE = (ASCEND, HYGON, NVIDIA)

SHENZHEN = Site("shenzhen", "Shenzhen", "south", pue=1.2)
ZHENGZHOU = Site("zhengzhou", "Zhengzhou", "central", pue=1.3)
GUIYANG = Site("guiyang", "Guiyang", "southwest", pue=1.1)
SITES = (SHENZHEN, ZHENGZHOU, GUIYANG)

NOW = 1_000_000.0


def supernode(name: str, *free: int, cards_per_node: int = 8) -> Supernode:
    """A supernode with one node for each number of free cards named."""
    counts = [0] * (cards_per_node + 1)
    for cards in free:
        counts[cards] += 1
    return Supernode(name, tuple(counts))


def pool(
    site: str,
    accelerator: str = "ascend-910b",
    supernodes: Iterable[Supernode] = (),
    cards_per_node: int = 8,
    name: str = "main",
    **facts: object,
) -> Pool:
    """A pool whose supernodes say how large it is."""
    rows = tuple(supernodes)
    total = sum(sum(row.nodes_by_free) for row in rows) * cards_per_node
    facts = {"cards_total": total, "cards_usable": total, **facts}
    return Pool(site, name, accelerator, cards_per_node, supernodes=rows, **facts)  # type: ignore[arg-type]


def network(gbps: float = 100.0) -> Network:
    """Three cities in a line: Shenzhen, Zhengzhou, Guiyang."""
    return Network(
        links=(Link("Shenzhen", "Zhengzhou", gbps, 8.0), Link("Zhengzhou", "Guiyang", gbps, 6.0))
    )


def queued(
    key: str,
    demand: Demand,
    count: int = 1,
    tenant: str = "tenant-a",
    priority: int = 0,
    age_seconds: float = 0.0,
) -> QueueClass:
    """A class of `count` jobs named key/0, key/1, …"""
    jobs = tuple(f"{key}/{number}" for number in range(count))
    return QueueClass(
        key, demand, tenant, "", priority, jobs, count, oldest_submitted_at=NOW - age_seconds
    )


def snapshot(
    pools: Iterable[Pool],
    queue: Iterable[QueueClass] = (),
    *,
    sites: tuple[Site, ...] = SITES,
    gbps: float = 100.0,
    datasets: tuple[Dataset, ...] = (),
    running: tuple[Running, ...] = (),
    **facts: object,
) -> Snapshot:
    return Snapshot(
        now=NOW,
        accelerators=CATALOGUE,
        sites=sites,
        pools=tuple(pools),
        network=network(gbps),
        datasets=datasets,
        queue=tuple(queue),
        running=running,
        **facts,  # type: ignore[arg-type]
    )


def gang(
    nodes: int = 1, cards: int = 8, accelerator: str = "ascend-910b", **facts: object
) -> Variant:
    return Variant(accelerator, nodes, cards, **facts)  # type: ignore[arg-type]


def replay(before: Snapshot, decided: Round) -> None:
    """Take every placement one by one as the broker's core does; raise where one does not fit.

    Checks that a gang is whole, that its shape is kept, and that no job is placed twice.
    """
    free = {(p.key, s.name): s for p in before.pools for s in p.supernodes}
    demands = {job: c.demand for c in before.queue for job in c.jobs}
    assert len({placement.job_id for placement in decided.placements}) == len(decided.placements)
    for placement in decided.placements:
        variant = demands[placement.job_id].variants[placement.variant]
        assert sum(part.nodes for part in placement.slices) == variant.nodes
        assert all(part.cards == variant.cards_per_node for part in placement.slices)
        if variant.group_required and variant.group_nodes > 1:
            _check_groups(variant, [part.nodes for part in placement.slices])
        for part in placement.slices:
            at = placement.pool, part.supernode
            free[at] = free[at].take(part.nodes, part.cards)


def _check_groups(variant: Variant, parts: list[int]) -> None:
    """Whole groups lie in one supernode each, and the rest together in one."""
    group = min(variant.group_nodes, variant.nodes)
    whole, rest = divmod(variant.nodes, group)
    assert sum(nodes // group for nodes in parts) >= whole
    assert not rest or max(nodes % group for nodes in parts) >= rest
