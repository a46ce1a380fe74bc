"""The supply of a snapshot as columns: one array element per pool, pools sorted by key.

Sorting here is what makes every later decision independent of the order in which
pools were reported. Knows pools, sites and accelerators; nothing of demand or time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.availability import Reliability, reliability
from scheduler.matching import accepts
from scheduler.model import (
    Accelerator,
    AcceleratorClass,
    Checkpoint,
    Correction,
    Pool,
    Precision,
    Site,
    SiteState,
    Snapshot,
    Supernode,
)
from scheduler.network import Routes
from scheduler.shape import nodes_missing
from scheduler.software import has_software
from scheduler.speed import linearity, peak_tflops, usable_precision
from scheduler.traffic import Traffic

FIGURE_MAX = 1e12  # of anything a site states: beyond, only arithmetic suffers
CARDS_PER_SERVER = 8  # a scale-up domain where neither site nor catalogue says more
_SILENT = (SiteState.SUSPECT, SiteState.LOST, SiteState.UNSEEN)


class Supply:
    """Columns over the pools of one snapshot, and masks over them that are worked out once."""

    def __init__(self, snapshot: Snapshot, routes: Routes, utilisation_default: float) -> None:
        self.routes = routes
        self.traffic = Traffic(routes, snapshot.transfers, snapshot.now)
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
        self.corrections: dict[tuple[str, str], dict[str, Correction]] = {}  # by tenant, family
        for row in snapshot.learned:
            by_model = self.corrections.setdefault((row.tenant, row.family), {})
            by_model[row.accelerator] = row.correction
        self.scarcity = np.ones(len(self))  # how much a run there counts, see `scarcity`
        self._by_model: dict[str, Ints] | None = None
        self._reliability: dict[tuple[int, Checkpoint], Reliability] = {}
        self._precisions: dict[tuple[str, Precision, tuple[Precision, ...]], str] = {}
        self._masks: dict[object, Bools] = {}
        self._columns: dict[object, Floats] = {}

    def __len__(self) -> int:
        return len(self.pools)

    def _take_pools(self, utilisation_default: float) -> None:
        pools = self.pools
        self.accelerators = [self.models.get(pool.accelerator) for pool in pools]
        self.total = _ints(max(0, pool.cards_total) for pool in pools)
        usable = _ints(  # what the site's own jobs give back is only busy
            max(0, pool.cards_usable) + sum(given.cards for given in pool.releases)
            for pool in pools
        )
        self.usable: Ints = np.minimum(usable, self.total)
        self.cards_per_node = _ints(pool.cards_per_node for pool in pools)
        self.cpus = _ints(pool.cpus_per_node for pool in pools)
        self.memory_gib = _floats(pool.memory_gib_per_node for pool in pools)
        self.yuan_per_card_hour = _figures(pool.yuan_per_card_hour for pool in pools)
        self.utilisation = np.minimum(
            [p.utilisation if p.utilisation > 0 else utilisation_default for p in pools], 1.0
        )
        self.watts = _figures(a.power_watts if a else 0.0 for a in self.accelerators)

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
        largest = np.maximum.reduceat(self.row_nodes, self.starts) if rows else _ints(())
        of_model = _ints(a.supernode_cards if a else CARDS_PER_SERVER for a in self.accelerators)
        # cards that a collective reaches without leaving the scale-up fabric
        self.domain_cards = np.where(largest > 0, largest * self.cards_per_node, of_model)

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
        self.pue = _figures(site.pue for site in of_pool)
        self.egress_yuan_per_gb = _figures(site.egress_yuan_per_gb for site in of_pool)
        self.failures_per_card_day = _figures(site.failures_per_card_day for site in of_pool)
        self.restart_seconds = _figures(site.restart_seconds for site in of_pool)
        self.checkpoint_gb_per_second = _figures(s.checkpoint_gb_per_second for s in of_pool)
        self.time_limit_seconds = _floats(
            min(
                (s for s in (site.time_limit_seconds_max, pool.time_limit_seconds_max) if s > 0),
                default=0.0,
            )
            for site, pool in zip(of_pool, self.pools, strict=True)
        )

    def city_of(self, site_name: str) -> str:
        """The site's city; empty when no such site is registered."""
        return next((site.city for site in self.sites if site.name == site_name), "")

    def egress_of(self, site_name: str) -> float:
        """What the site asks for bytes that leave it, in yuan/GB."""
        asked = (site.egress_yuan_per_gb for site in self.sites if site.name == site_name)
        price = next(asked, 0.0)
        return price if 0 < price < math.inf else 0.0

    def weigh(self, factors: Mapping[str, float]) -> None:
        """Take in how scarce each model is; one that is not named is like any other."""
        for model, pools in self.by_model().items():
            self.scarcity[pools] = factors.get(model, 1.0)

    def by_site(self, key: object, test: Callable[[Site], bool]) -> Bools:
        """Pools whose site passes `test`; `key` names the test, which runs once per site."""
        if key not in self._masks:
            passed = np.array([test(site) for site in self.sites], dtype=np.bool_)
            self._masks[key] = passed[self.site_of] if len(self) else np.zeros(0, np.bool_)
        return self._masks[key]

    def by_model(self) -> dict[str, Ints]:
        """The pools of each model, by position."""
        if self._by_model is None:
            models, which = np.unique(self.models_here, return_inverse=True)
            self._by_model = {
                str(model): np.flatnonzero(which == at) for at, model in enumerate(models)
            }
        return self._by_model

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
            accepted = [accepts(want, pool.accelerator, a) for pool, a in pairs]
            self._masks[want] = np.array(accepted, np.bool_)
        return self._masks[want]

    def having(self, software: str) -> Bools:
        """Pools whose nodes have the stack, or state none; without a need, all."""
        key = "software", software
        if key not in self._masks:
            has = [has_software(pool.software, software) for pool in self.pools]
            self._masks[key] = np.array(has, np.bool_)
        return self._masks[key]

    def holds_groups(self, nodes: int, group: int) -> Bools:
        """Pools whose supernodes could hold the gang's groups if all cards were free.

        Nodes that no supernode counts might belong to one that is large enough.
        """
        held = np.equal(nodes_missing(self.row_nodes, self.starts, nodes, group), 0)
        return held | (self.nodes_counted < self.nodes)

    def peak_tflops(self, precision: Precision, fallbacks: tuple[Precision, ...] = ()) -> Floats:
        """Peak per card of each pool at `precision` or its fallback; 0.0: unknown."""
        key = precision, fallbacks
        if key not in self._columns:
            peaks = (peak_tflops(accelerator, *key) for accelerator in self.accelerators)
            self._columns[key] = _floats(peaks)
        return self._columns[key]

    def precision_used(
        self, pool: int, precision: Precision, fallbacks: tuple[Precision, ...] = ()
    ) -> str:
        """The precision that `peak_tflops` is for in one pool; empty: unknown."""
        key = self.pools[pool].accelerator, precision, fallbacks
        if key not in self._precisions:
            self._precisions[key] = (
                usable_precision(self.accelerators[pool], precision, fallbacks) or ""
            )
        return self._precisions[key]

    def reliability(self, cards: int, checkpoint: Checkpoint) -> Reliability:
        """What failures cost gangs of `cards` in each pool."""
        key = cards, checkpoint
        if key not in self._reliability:
            self._reliability[key] = reliability(
                cards,
                self.failures_per_card_day,
                self.restart_seconds,
                self.checkpoint_gb_per_second,
                checkpoint,
            )
        return self._reliability[key]

    def linearity(self, cards: int) -> Floats:
        """Share of linear speed-up that `cards` cards keep in each pool."""
        if cards not in self._columns:
            pairs = zip(self.pools, self.domain_cards.tolist(), strict=True)
            self._columns[cards] = _floats(
                linearity(pool.linearity, domain, cards) for pool, domain in pairs
            )
        return self._columns[cards]


def _floats(values: object) -> Floats:
    return np.array(list(values), dtype=np.float64)  # type: ignore[call-overload]


def _figures(values: Iterable[float]) -> Floats:
    """As `_floats`; what is no figure (negative, NaN, inf) is 0, which means not stated."""
    return _floats(min(value, FIGURE_MAX) if 0 < value < math.inf else 0.0 for value in values)


def _ints(values: object) -> Ints:
    return np.array(list(values), dtype=np.int64)  # type: ignore[call-overload]
