"""The supply of a snapshot as columns: one array element per pool, pools sorted by key.

Sorting here is what makes every later decision independent of the order in which
pools were reported. Knows pools, sites and accelerators; nothing of demand or time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.model import (
    Accelerator,
    AcceleratorClass,
    Pool,
    Precision,
    Site,
    SiteState,
    Snapshot,
    Supernode,
)
from scheduler.network import Routes
from scheduler.shape import nodes_missing

_SILENT = (SiteState.SUSPECT, SiteState.LOST, SiteState.UNSEEN)
SPREAD_FRACTION = 0.985  # speed kept per doubling of cards beyond one supernode (assumed)

# Where a model has no figure at a precision, the next one it can compute in.
_FALLBACK: dict[Precision, tuple[Precision, ...]] = {
    Precision.FP4: (Precision.FP8, Precision.INT8, Precision.BF16),
    Precision.FP8: (Precision.BF16,),
    Precision.INT8: (Precision.FP8, Precision.BF16),
    Precision.BF16: (Precision.FP32,),
    Precision.FP32: (Precision.FP64,),
    Precision.FP64: (),
}


def peak_tflops(accelerator: Accelerator | None, precision: Precision) -> float:
    """Dense peak in TFLOP/s at `precision` or at its fallback; 0.0: unknown."""
    if accelerator is None:
        return 0.0
    peaks = (accelerator.peak(name) for name in (precision, *_FALLBACK[precision]))
    return next((peak for peak in peaks if peak > 0), 0.0)


def linearity(curve: tuple[tuple[int, float], ...], domain_cards: int, cards: int) -> float:
    """Share of linear speed-up that `cards` cards keep, by the measured curve where there is one.

    Between points: linear in log2(cards). Beyond the last, and without a curve:
    `SPREAD_FRACTION` per doubling beyond the last point or beyond one supernode.
    """
    points = sorted((at, value) for at, value in curve if at > 0 and 0 < value <= 1.0)
    if points and points[0][0] > 1:
        points.insert(0, (1, 1.0))
    at, value = points[-1] if points else (max(1, domain_cards), 1.0)
    if cards >= at:
        return float(value * SPREAD_FRACTION ** math.log2(cards / at))
    if not points:
        return 1.0
    logs = [math.log2(at) for at, _ in points]
    return float(np.interp(math.log2(max(1, cards)), logs, [value for _, value in points]))


class Supply:
    """Columns over the pools of one snapshot, and masks over them that are worked out once."""

    def __init__(self, snapshot: Snapshot, routes: Routes, utilisation_default: float) -> None:
        self.routes = routes
        self.pools: tuple[Pool, ...] = tuple(sorted(snapshot.pools, key=lambda pool: pool.key))
        self.index: dict[str, int] = {pool.key: at for at, pool in enumerate(self.pools)}
        if len(self.index) != len(self.pools):
            raise ValueError("a pool key stands twice in the snapshot")
        self.keys = np.array([pool.key for pool in self.pools], dtype=object)
        self.models_here = np.array([pool.accelerator for pool in self.pools], dtype=np.str_)
        self.models: dict[str, Accelerator] = {a.model: a for a in snapshot.accelerators}
        self.datasets = {dataset.name: dataset for dataset in snapshot.datasets}
        self._take_pools(utilisation_default)
        self._take_supernodes()
        self._take_sites(snapshot.sites)
        self._masks: dict[object, Bools] = {}
        self._columns: dict[object, Floats] = {}

    def __len__(self) -> int:
        return len(self.pools)

    def _take_pools(self, utilisation_default: float) -> None:
        pools = self.pools
        self.accelerators = [self.models.get(pool.accelerator) for pool in pools]
        self.total = _ints(max(0, pool.cards_total) for pool in pools)
        usable = _ints(max(0, pool.cards_usable) for pool in pools)
        self.usable: Ints = np.minimum(usable, self.total)
        self.cards_per_node = _ints(pool.cards_per_node for pool in pools)
        self.cpus = _ints(pool.cpus_per_node for pool in pools)
        self.memory_gib = _floats(pool.memory_gib_per_node for pool in pools)
        self.yuan_per_card_hour = _floats(pool.yuan_per_card_hour for pool in pools)
        self.utilisation = _floats(
            pool.utilisation if pool.utilisation > 0 else utilisation_default for pool in pools
        )
        self.watts = _floats(a.power_watts if a else 0.0 for a in self.accelerators)

    def _take_supernodes(self) -> None:
        """One row per supernode, the pools' rows one after the other; every pool has one."""
        rows: list[Supernode] = []
        starts: list[int] = []
        for pool in self.pools:
            starts.append(len(rows))
            rows += sorted(pool.supernodes, key=lambda s: s.name) or [Supernode("", (0,))]
        self.supernodes: tuple[str, ...] = tuple(row.name for row in rows)
        self.starts = _ints(starts)
        self.ends = _ints([*starts[1:], len(rows)] if rows else [])
        self.pool_of_row = np.repeat(np.arange(len(self)), self.ends - self.starts)
        levels = 1 + max((len(row.nodes_by_free) for row in rows), default=0)
        padded = [row.nodes_by_free + (0,) * (levels - len(row.nodes_by_free)) for row in rows]
        self.nodes_by_free: Ints = np.array(padded, dtype=np.int64).reshape(len(rows), levels)
        self.row_nodes: Ints = self.nodes_by_free.sum(axis=1)
        self.nodes_counted = np.add.reduceat(self.row_nodes, self.starts) if rows else _ints(())
        stated = self.total // np.maximum(1, self.cards_per_node)
        self.nodes: Ints = np.maximum(self.nodes_counted, stated)

    def _take_sites(self, sites: tuple[Site, ...]) -> None:
        known = {site.name: site for site in sites}
        for pool in self.pools:  # a pool whose site is not registered can take nothing
            known.setdefault(pool.site, Site(pool.site, "", state=SiteState.UNSEEN))
        self.sites: tuple[Site, ...] = tuple(known[name] for name in sorted(known))
        own = {pool.site for pool in self.pools}
        self.unreported = tuple(
            site for site in self.sites if site.state in _SILENT and site.name not in own
        )
        row = {site.name: at for at, site in enumerate(self.sites)}
        self.site_of = _ints(row[pool.site] for pool in self.pools)
        of_pool = [self.sites[at] for at in self.site_of.tolist()]
        self.node_of = _ints(self.routes.index.get(site.city, -1) for site in of_pool)
        self.pue = _floats(site.pue for site in of_pool)
        self.failures_per_card_day = _floats(max(0.0, s.failures_per_card_day) for s in of_pool)
        self.restart_seconds = _floats(max(0.0, site.restart_seconds) for site in of_pool)
        self.time_limit_seconds = _floats(site.time_limit_seconds_max for site in of_pool)

    def city_of(self, site_name: str) -> str:
        """The site's city; empty when no such site is registered."""
        return next((site.city for site in self.sites if site.name == site_name), "")

    def by_site(self, key: object, test: Callable[[Site], bool]) -> Bools:
        """Pools whose site passes `test`; `key` names the test, which runs once per site."""
        if key not in self._masks:
            passed = np.array([test(site) for site in self.sites], dtype=np.bool_)
            self._masks[key] = passed[self.site_of] if len(self) else np.zeros(0, np.bool_)
        return self._masks[key]

    def knows(self, want: str | AcceleratorClass) -> bool:
        """Whether the catalogue or any pool has this accelerator; a class is always known."""
        return (
            isinstance(want, AcceleratorClass)
            or want in self.models
            or any(pool.accelerator == want for pool in self.pools)
        )

    def matching(self, want: str | AcceleratorClass) -> Bools:
        """Pools whose accelerator is `want`, or reaches the figures of the class."""
        if want not in self._masks:
            pairs = zip(self.pools, self.accelerators, strict=True)
            self._masks[want] = np.array([_matches(want, *pair) for pair in pairs], np.bool_)
        return self._masks[want]

    def holds_groups(self, nodes: int, group: int) -> Bools:
        """Pools whose supernodes could hold the gang's groups if all cards were free.

        Nodes that no supernode counts might belong to one that is large enough.
        """
        held = np.equal(nodes_missing(self.row_nodes, self.starts, nodes, group), 0)
        return held | (self.nodes_counted < self.nodes)

    def peak_tflops(self, precision: Precision) -> Floats:
        """Peak per card of each pool at `precision` or its fallback; 0.0: unknown."""
        if precision not in self._columns:
            peaks = (peak_tflops(accelerator, precision) for accelerator in self.accelerators)
            self._columns[precision] = _floats(peaks)
        return self._columns[precision]

    def linearity(self, cards: int) -> Floats:
        """Share of linear speed-up that `cards` cards keep in each pool."""
        if cards not in self._columns:
            pairs = zip(self.pools, self.accelerators, strict=True)
            self._columns[cards] = _floats(
                linearity(pool.linearity, a.supernode_cards if a else 8, cards) for pool, a in pairs
            )
        return self._columns[cards]


def _matches(want: str | AcceleratorClass, pool: Pool, accelerator: Accelerator | None) -> bool:
    if isinstance(want, str):
        return pool.accelerator == want
    return (
        accelerator is not None
        and accelerator.peak(want.precision) >= want.tflops_min
        and accelerator.memory_gib >= want.memory_gib_min
    )


def _floats(values: object) -> Floats:
    return np.array(list(values), dtype=np.float64)  # type: ignore[call-overload]


def _ints(values: object) -> Ints:
    return np.array(list(values), dtype=np.int64)  # type: ignore[call-overload]
