"""Batch instances by seed: many gangs, many sites, cards for only some of them.

Sites sit in the cities of the national network file, each with pools of one or more
models; a group is a city's cards of one model. A gang is worth its cards × its weight ×
how well the model suits its kind × what is left after its data has moved there. All
random draws come from the seed; the distributions are assumptions and stand here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scheduler.arrays import Floats, Ints

TOPOLOGY = Path(__file__).resolve().parents[2] / "shared/data/topology/china_wan.json"
MODELS = 8
POOLS_PER_SITE = 1.98  # mean
POOL_NODES_SIGMA = 0.8  # of the log of a pool's nodes
CARDS_PER_NODE = 8
DEMAND = (1.14, 1.26)  # cards asked for ÷ cards
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # cards of a gang
WIDTH_SHARES = (0.30, 0.12, 0.12, 0.24, 0.10, 0.06, 0.03, 0.02, 0.01)
KINDS = 24  # of jobs: each runs on some models, well or badly
MODELS_BARRED = 0.6  # share of models that a kind cannot use
SUITS_MIN = 0.3  # how well a model may suit a kind that can use it, at least
QUALITY = (0.5, 1.0)  # of the models, worst to best: all kinds like the same ones
WEIGHT_SIGMA = 0.6  # of the log of a gang's worth per card
DATA_BYTES_MEDIAN, DATA_BYTES_SIGMA = 1e12, 2.0
GBPS = 25.0  # of one flow between cities
FAR_MS = 20.0  # one way, at which a flow has half of that
PATIENCE_SECONDS = 7_200.0  # after which moving data has cost 1 - 1/e of the worth


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: J gangs, G groups, P pools."""

    values: Floats  # [gang, group]; -inf: cannot run there
    cards: Ints  # [gang]
    group_of: Ints  # [pool]
    free: Ints  # [pool] cards
    site_of: Ints  # [pool]

    @property
    def capacity(self) -> Ints:
        """[group] cards."""
        return np.bincount(self.group_of, self.free, self.values.shape[1]).astype(np.int64)


def batch(gangs: int, sites: int, seed: int, turn: int = 0) -> Batch:
    """Gangs that ask for `DEMAND` times the cards that there are.

    Each `turn` brings other gangs of the same kinds to the federation of the seed.
    """
    random = np.random.default_rng(seed)
    names, latency_ms = _distances()
    city_of_site = random.integers(len(names), size=sites)
    has = random.random((sites, MODELS)) < (POOLS_PER_SITE - 1) / MODELS
    has[np.arange(sites), random.integers(MODELS, size=sites)] = True
    site_of, model_of = np.nonzero(has)
    weights = np.exp(random.normal(0.0, POOL_NODES_SIGMA, len(site_of)))
    cards = _widths(gangs).sum() / random.uniform(*DEMAND)
    nodes = np.maximum(1, np.rint(weights / weights.sum() * cards / CARDS_PER_NODE))
    groups, group_of = np.unique(city_of_site[site_of] * MODELS + model_of, return_inverse=True)
    suits = random.uniform(SUITS_MIN, 1.0, (KINDS, MODELS)) * np.linspace(*QUALITY, MODELS)
    barred = random.random((KINDS, MODELS)) < MODELS_BARRED
    barred[np.arange(KINDS), random.integers(MODELS, size=KINDS)] = False
    suits[barred] = 0.0
    popular = _popular(random, len(names))
    widths, values = _gangs(
        np.random.default_rng([seed, turn]), gangs, suits, popular, latency_ms, groups
    )
    return Batch(
        values=values,
        cards=widths,
        group_of=group_of.astype(np.int64),
        free=(nodes * CARDS_PER_NODE).astype(np.int64),
        site_of=site_of,
    )


def _gangs(
    random: np.random.Generator,
    gangs: int,
    suits: Floats,
    popular: Floats,
    latency_ms: Floats,
    groups: Ints,
) -> tuple[Ints, Floats]:
    """([gang] cards, [gang, group] worth)."""
    city, model = groups // MODELS, groups % MODELS
    cards = random.permutation(_widths(gangs))
    fit = suits[random.integers(KINDS, size=gangs)][:, model]
    home = random.choice(len(popular), gangs, p=popular)
    bits = 8.0 * DATA_BYTES_MEDIAN * np.exp(random.normal(0.0, DATA_BYTES_SIGMA, gangs))
    far = latency_ms[home][:, city]
    moving = np.where(far > 0, bits[:, None] / (GBPS * 1e9), 0.0) * (1.0 + far / FAR_MS)
    worth = cards * np.exp(random.normal(0.0, WEIGHT_SIGMA, gangs))
    values = worth[:, None] * fit * np.exp(-moving / PATIENCE_SECONDS)
    return cards, np.where(fit > 0, values, -np.inf)


def _widths(gangs: int) -> Ints:
    """[gang] cards, by the shares, so that every turn asks for as many."""
    counts = np.floor(np.array(WIDTH_SHARES) * gangs).astype(np.int64)
    counts[0] += gangs - counts.sum()
    return np.repeat(np.array(WIDTHS, np.int64), counts)


def _popular(random: np.random.Generator, cities: int) -> Floats:
    """Shares of the data by city: a few hold most of it."""
    shares = 1.0 / (1.0 + random.permutation(cities))
    return np.asarray(shares / shares.sum())


def _distances() -> tuple[list[str], Floats]:
    """Cities and the one-way latency between each two, ms, by all shortest paths."""
    plan = json.loads(TOPOLOGY.read_text())
    names = [node["id"] for node in plan["nodes"]]
    at = {name: number for number, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.inf)
    np.fill_diagonal(found, 0.0)
    for link in plan["links"]:
        a, b = at[link["a"]], at[link["b"]]
        found[a, b] = found[b, a] = min(found[a, b], link["oneway_ms"])
    for via in range(len(names)):
        found = np.minimum(found, found[:, via, None] + found[None, via])
    return names, found
