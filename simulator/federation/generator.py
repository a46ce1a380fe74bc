"""Random federations from a seed: N sites in Chinese cities, pools of models of the catalogue.

As in the instances that policies are compared on: a few large sites and many small ones,
each with one or two pools of different models. Deterministic for a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model import Accelerator, Network, Pool, Site
from simulator.federation.model import Federation, empty_supernodes
from suan.catalogue import load as load_catalogue

# Models that centres in China have, with a figure at bf16, and assumed CNY per card-hour.
MODELS: dict[str, float] = {
    "ascend-910b": 6.2,
    "ascend-910c": 12.0,
    "hygon-k100-ai": 3.4,
    "hygon-bw1000": 5.1,
    "nvidia-a800": 8.4,
    "nvidia-h20": 7.5,
}
CARDS_PER_NODE = 8
SPREAD = 0.7  # sigma of the log of pool sizes: the largest of 40 is some 5 times the median
PRICE_SPREAD = 0.15


def random_federation(
    network: Network,
    sites: int,
    pools: int,
    cards: int,
    seed: int,
    models: Sequence[str] = tuple(MODELS),
    widest_cards: int = 0,
    pool_cards_min: int = 0,
) -> Federation:
    """`sites` sites with `pools` pools and about `cards` cards, every model somewhere.

    The largest pool of each model holds at least `widest_cards`, so that a gang that can run
    on a model has a pool there; no pool has fewer than `pool_cards_min`. Raises ValueError when
    there are fewer pools than sites or models.
    """
    if pools < max(sites, len(models)) or not network.nodes:
        raise ValueError("a federation needs a network and a pool for every site and model")
    random = np.random.default_rng(seed)
    accelerators = tuple(load_catalogue().get(model) for model in models)
    cities = [node for node in network.nodes if node.kind != "hub"] or list(network.nodes)
    chosen = random.permutation(len(cities))
    made = [
        Site(
            name=f"site-{at:02d}",
            city=cities[chosen[at % len(cities)]].name,
            region=cities[chosen[at % len(cities)]].hub or "elsewhere",
            pue=round(float(random.uniform(1.1, 1.4)), 2),
            failures_per_card_day=round(float(random.uniform(1e-4, 1e-3)), 6),
        )
        for at in range(sites)
    ]
    of_pool = [accelerators[at % len(models)] for at in range(pools)]
    order = random.permutation(pools)
    of_pool = [of_pool[at] for at in order]
    nodes = _sizes(random, of_pool, cards, widest_cards)
    nodes = np.maximum(nodes, -(-pool_cards_min // CARDS_PER_NODE))
    return Federation(
        name=f"{sites} random sites, seed {seed}",
        sites=tuple(made),
        pools=tuple(
            _pool(random, made[at % sites], at, of_pool[at], int(nodes[at])) for at in range(pools)
        ),
        accelerators=accelerators,
        network=network,
    )


def _sizes(
    random: np.random.Generator, models: Sequence[Accelerator], cards: int, widest_cards: int
) -> np.typing.NDArray[np.int64]:
    """[pool]: nodes, log-normal, about `cards` cards in all, wide enough somewhere per model."""
    weights = np.exp(random.normal(0.0, SPREAD, len(models)))
    nodes = np.maximum(1, np.rint(weights / weights.sum() * cards / CARDS_PER_NODE)).astype(
        np.int64
    )
    for model in dict.fromkeys(models):
        mine = [at for at, each in enumerate(models) if each is model]
        largest = max(mine, key=lambda at: int(nodes[at]))
        nodes[largest] = max(int(nodes[largest]), -(-widest_cards // CARDS_PER_NODE))
    return np.asarray(nodes, np.int64)


def _pool(
    random: np.random.Generator, site: Site, number: int, accelerator: Accelerator, nodes: int
) -> Pool:
    price = MODELS.get(accelerator.model, 6.0) * float(np.exp(random.normal(0.0, PRICE_SPREAD)))
    cards = nodes * CARDS_PER_NODE
    together = max(1, accelerator.supernode_cards // CARDS_PER_NODE)
    return Pool(
        site=site.name,
        name=f"pool-{number:02d}",
        accelerator=accelerator.model,
        cards_per_node=CARDS_PER_NODE,
        cards_total=cards,
        cards_usable=cards,
        supernodes=empty_supernodes(nodes, CARDS_PER_NODE, together),
        yuan_per_card_hour=round(price, 2),
    )
