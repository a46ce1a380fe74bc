"""Random federations and queues for the property tests, the same ones in every run."""

from __future__ import annotations

import os

from federations import NOW, SITES, pool, queued, snapshot
from hypothesis import settings
from hypothesis import strategies as st

from scheduler.model import (
    Dataset,
    Demand,
    Hold,
    Pool,
    QueueClass,
    Running,
    SiteState,
    Snapshot,
    Supernode,
    Variant,
    Work,
)


def examples(count: int) -> settings:
    """Try `count` examples, however long one takes, and the same ones every time.

    SUAN_TEST_EXAMPLES multiplies them and draws new ones, for a long campaign.
    """
    times = int(os.environ.get("SUAN_TEST_EXAMPLES", "0"))
    return settings(
        max_examples=count * max(1, times), derandomize=not times, deadline=None, database=None
    )


MODELS = ("ascend-910b", "hygon-k100-ai", "nvidia-h100", "unheard-of")


@st.composite
def pools(draw: st.DrawFn, number: int) -> Pool:
    cards_per_node = draw(st.sampled_from([1, 4, 8]))
    counts = st.lists(st.integers(0, 3), min_size=cards_per_node + 1, max_size=cards_per_node + 1)
    rows = draw(st.lists(counts, max_size=4))
    supernodes = [Supernode(f"s{at}", tuple(row)) for at, row in enumerate(rows)]
    total = sum(map(sum, rows)) * cards_per_node
    return pool(
        draw(st.sampled_from(["shenzhen", "zhengzhou", "guiyang", "unregistered"])),
        draw(st.sampled_from(MODELS)),
        supernodes,
        cards_per_node,
        name=f"p{number}",
        cards_usable=max(0, total - draw(st.integers(0, 4))),
        yuan_per_card_hour=draw(st.sampled_from([0.0, 5.0, 9.5])),
        cpus_per_node=draw(st.sampled_from([0, 64])),
    )


variants = st.builds(
    Variant,
    accelerator=st.sampled_from([*MODELS, "ascend-9999"]),
    nodes=st.integers(1, 6),
    cards_per_node=st.integers(1, 9),
    cpus_per_node=st.sampled_from([0, 32, 65]),
    group_nodes=st.integers(0, 4),
    group_required=st.booleans(),
)

demands = st.builds(
    Demand,
    variants=st.lists(variants, max_size=3).map(tuple),
    inputs=st.sampled_from([(), ("wudao",), ("kept",), ("lost",)]),
    output_bytes=st.sampled_from([0, 10**12]),
    work=st.sampled_from(
        [Work(), Work(seconds=3600.0, accelerator="ascend-910b"), Work(flops=1e19)]
    ),
    time_limit_seconds=st.sampled_from([0.0, 600.0]),
    sites_denied=st.sampled_from([(), ("shenzhen",)]),
    yuan_max=st.sampled_from([0.0, 20.0]),
    prefer=st.sampled_from([("finish",), ("cost", "finish"), ("energy",), ("nonsense",), ()]),
)


@st.composite
def queues(draw: st.DrawFn) -> list[QueueClass]:
    return [
        queued(
            f"c{number}",
            draw(demands),
            draw(st.integers(0, 12)),
            draw(st.sampled_from(["tenant-a", "tenant-b"])),
            draw(st.integers(0, 1)),
            draw(st.sampled_from([0.0, 1e3, 1e7])),
        )
        for number in range(draw(st.integers(0, 5)))
    ]


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    built = [draw(pools(number)) for number in range(draw(st.integers(0, 5)))]
    keys = [one.key for one in built] or ["nowhere/p0"]
    running = st.builds(
        Running,
        st.sampled_from(keys),
        st.integers(1, 16),
        st.sampled_from([0.0, NOW - 5, NOW + 900]),
    )
    holds = st.builds(
        Hold, st.sampled_from(keys), st.integers(1, 3), st.integers(1, 8), st.just(NOW + 60)
    )
    states = draw(st.tuples(*[st.sampled_from([SiteState.OPEN] * 4 + [SiteState.LOST])] * 3))
    sites = tuple(
        type(site)(site.name, site.city, site.region, state, site.pue)
        for site, state in zip(SITES, states, strict=True)
    )
    return snapshot(
        built,
        draw(queues()),
        sites=sites,
        datasets=(
            Dataset("wudao", 10**13, ("zhengzhou",)),
            Dataset("kept", 10**10, ("zhengzhou",), ("central",)),
        ),
        running=tuple(draw(st.lists(running, max_size=5))),
        holds=tuple(draw(st.lists(holds, max_size=2))),
    )
