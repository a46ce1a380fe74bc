"""What stays of the supply from round to round, as columns: one element per pool, by key.

Sorting here is what makes every later decision independent of the order in which pools were
reported. Masks and figures over the columns are worked out once for as long as the fleet is
the same. Knows pools, sites and accelerators; nothing of free cards, of demand or of time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any

import numpy as np

from scheduler.arrays import Bools, Floats, Ints
from scheduler.availability import Reliability, reliability
from scheduler.matching import accepts
from scheduler.model import (
    Accelerator,
    AcceleratorClass,
    Checkpoint,
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

FIGURE_MAX = 1e12  # of anything a site states: beyond, only arithmetic suffers
CARDS_PER_SERVER = 8  # a scale-up domain where neither site nor catalogue says more
KEPT_MAX = 10_000  # masks or columns; beyond, all of that kind are worked out anew
_PASSING = {"supernodes", "cards_usable", "releases"}
_LASTING = attrgetter(*(each.name for each in fields(Pool) if each.name not in _PASSING))
_SILENT = (SiteState.SUSPECT, SiteState.LOST, SiteState.UNSEEN)


class Fleet:
    """Columns over the pools of a federation, and masks over them that are worked out once."""

    def __init__(self, snapshot: Snapshot, routes: Routes, utilisation_default: float) -> None:
        """Raises ValueError when a pool key stands twice."""
        self.routes = routes
        pools = tuple(sorted(snapshot.pools, key=lambda pool: pool.key))
        self.keys = np.array([pool.key for pool in pools], dtype=object)
        self.index: dict[str, int] = {pool.key: at for at, pool in enumerate(pools)}
        if len(self.index) != len(pools):
            raise ValueError("a pool key stands twice in the snapshot")
        self._made_of = snapshot.accelerators, snapshot.sites, utilisation_default
        self._first = pools
        self._lasting = [_lasting(pool) for pool in pools]
        self.models_here = np.array([pool.accelerator for pool in pools], dtype=np.str_)
        self.models: dict[str, Accelerator] = {a.model: a for a in snapshot.accelerators}
        self._take_pools(pools, utilisation_default)
        self._take_supernodes(pools)
        self._take_sites(snapshot.sites, pools)
        models, self.model_of = np.unique(self.models_here, return_inverse=True)
        self._by_model = {
            str(model): np.flatnonzero(self.model_of == at) for at, model in enumerate(models)
        }
        self._reliability: dict[tuple[int, Checkpoint], Reliability] = {}
        self._precisions: dict[tuple[str, Precision, tuple[Precision, ...]], str] = {}
        self._masks: dict[object, Bools] = {}
        self._columns: dict[object, Floats] = {}

    def __len__(self) -> int:
        return len(self._first)

    def is_of(self, snapshot: Snapshot, routes: Routes, utilisation_default: float) -> bool:
        """Whether a later snapshot has the same fleet: all but what is free and usable now."""
        there = {pool.key: pool for pool in snapshot.pools}
        return (
            routes is self.routes
            and len(there) == len(snapshot.pools) == len(self)
            and (snapshot.accelerators, snapshot.sites, utilisation_default) == self._made_of
            and all(
                (pool := there.get(key)) is not None
                and (pool is self._first[at] or self._lasting[at] == _lasting(pool))
                for key, at in self.index.items()
            )
        )

    def trim(self) -> None:
        """Forget masks and figures once there are very many: they rest on demands, too."""
        kept: tuple[dict[Any, Any], ...] = self._reliability, self._precisions, self._masks
        for each in (*kept, self._columns):
            if len(each) > KEPT_MAX:
                each.clear()

    def _take_pools(self, pools: tuple[Pool, ...], utilisation_default: float) -> None:
        self.accelerators = [self.models.get(pool.accelerator) for pool in pools]
        self.total = _ints(max(0, pool.cards_total) for pool in pools)
        self.cards_per_node = _ints(pool.cards_per_node for pool in pools)
        self.cpus = _ints(pool.cpus_per_node for pool in pools)
        self.memory_gib = _floats(pool.memory_gib_per_node for pool in pools)
        self.yuan_per_card_hour = _figures(pool.yuan_per_card_hour for pool in pools)
        self.utilisation = np.minimum(
            [p.utilisation if p.utilisation > 0 else utilisation_default for p in pools], 1.0
        )
        self.watts = _figures(a.power_watts if a else 0.0 for a in self.accelerators)

    def _take_supernodes(self, pools: tuple[Pool, ...]) -> None:
        """One row per supernode, the pools' rows one after the other; every pool has one."""
        rows: list[Supernode] = []
        starts: list[int] = []
        for pool in pools:
            starts.append(len(rows))
            rows += rows_of(pool)
        self.supernodes: tuple[str, ...] = tuple(row.name for row in rows)
        self.starts = _ints(starts)
        self.ends = _ints([*starts[1:], len(rows)] if rows else [])
        self.pool_of_row = np.repeat(np.arange(len(pools)), self.ends - self.starts)
        self.levels = 1 + max((len(row.nodes_by_free) for row in rows), default=0)
        self.row_nodes = _ints(sum(row.nodes_by_free) for row in rows)
        self.nodes_counted = np.add.reduceat(self.row_nodes, self.starts) if rows else _ints(())
        stated = self.total // np.maximum(1, self.cards_per_node)
        self.nodes: Ints = np.maximum(self.nodes_counted, stated)
        largest = np.maximum.reduceat(self.row_nodes, self.starts) if rows else _ints(())
        of_model = _ints(a.supernode_cards if a else CARDS_PER_SERVER for a in self.accelerators)
        # cards that a collective reaches without leaving the scale-up fabric
        self.domain_cards = np.where(largest > 0, largest * self.cards_per_node, of_model)

    def _take_sites(self, sites: tuple[Site, ...], pools: tuple[Pool, ...]) -> None:
        known = {site.name: site for site in sites}
        for pool in pools:  # a pool whose site is not registered can take nothing
            known.setdefault(pool.site, Site(pool.site, "", state=SiteState.UNSEEN))
        self.sites: tuple[Site, ...] = tuple(known[name] for name in sorted(known))
        own = {pool.site for pool in pools}
        self.unreported = tuple(
            site for site in self.sites if site.state in _SILENT and site.name not in own
        )
        row = {site.name: at for at, site in enumerate(self.sites)}
        self.site_of = _ints(row[pool.site] for pool in pools)
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
            for site, pool in zip(of_pool, pools, strict=True)
        )

    def city_of(self, site_name: str) -> str:
        """The site's city; empty when no such site is registered."""
        return next((site.city for site in self.sites if site.name == site_name), "")

    def egress_of(self, site_name: str) -> float:
        """What the site asks for bytes that leave it, in yuan/GB."""
        asked = (site.egress_yuan_per_gb for site in self.sites if site.name == site_name)
        price = next(asked, 0.0)
        return price if 0 < price < math.inf else 0.0

    def by_site(self, key: object, test: Callable[[Site], bool]) -> Bools:
        """Pools whose site passes `test`; `key` names the test, which runs once per site."""
        if key not in self._masks:
            passed = np.array([test(site) for site in self.sites], dtype=np.bool_)
            self._masks[key] = passed[self.site_of] if len(self) else np.zeros(0, np.bool_)
        return self._masks[key]

    def by_model(self) -> dict[str, Ints]:
        """The pools of each model, by position; models in order of name."""
        return self._by_model

    def knows(self, want: str | AcceleratorClass) -> bool:
        """Whether the catalogue or any pool has this accelerator; a class is always known."""
        return isinstance(want, AcceleratorClass) or want in self.models or want in self.by_model()

    def matching(self, want: str | AcceleratorClass) -> Bools:
        """Pools whose accelerator is `want`, or reaches the figures of the class."""
        if want not in self._masks:
            pairs = zip(self._first, self.accelerators, strict=True)
            accepted = [accepts(want, pool.accelerator, a) for pool, a in pairs]
            self._masks[want] = np.array(accepted, np.bool_)
        return self._masks[want]

    def having(self, software: str) -> Bools:
        """Pools whose nodes have the stack, or state none; without a need, all."""
        key = "software", software
        if key not in self._masks:
            has = [has_software(pool.software, software) for pool in self._first]
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
        key = self._first[pool].accelerator, precision, fallbacks
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
            pairs = zip(self._first, self.domain_cards.tolist(), strict=True)
            self._columns[cards] = _floats(
                linearity(pool.linearity, domain, cards) for pool, domain in pairs
            )
        return self._columns[cards]


def rows_of(pool: Pool) -> list[Supernode]:
    """The supernodes of a pool in order of name; one without a node where it has none."""
    return sorted(pool.supernodes, key=lambda row: row.name) or [Supernode("", (0,))]


def _lasting(pool: Pool) -> tuple[object, ...]:
    """All of a pool but what is free, usable, or given back by then."""
    rows = pool.supernodes
    levels = [row.nodes_by_free for row in rows]
    nodes, depth = [*map(sum, levels)], [*map(len, levels)]
    return _LASTING(pool), [row.name for row in rows], nodes, depth


def _floats(values: Iterable[float]) -> Floats:
    return np.array(list(values), dtype=np.float64)


def _figures(values: Iterable[float]) -> Floats:
    """As `_floats`; what is no figure (negative, NaN, inf) is 0, which means not stated."""
    return _floats(min(value, FIGURE_MAX) if 0 < value < math.inf else 0.0 for value in values)


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)
