"""Routes: the fastest way for a size, against every simple path of small graphs."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.model import Link, Network, NetworkNode
from scheduler.network import IN_CITY_GBPS, Routes

GB = 10**9


def line(gbps: float = 8.0) -> Network:
    return Network(
        links=(
            Link("A", "B", gbps, 5.0, yuan_per_gb=0.1),
            Link("B", "C", 2 * gbps, 7.0, yuan_per_gb=0.2),
        )
    )


def test_transfer_is_latency_plus_bytes_over_the_narrowest_link() -> None:
    routes = Routes(line(gbps=8.0))  # 1 GB/s
    assert routes.transfer_seconds("A", "C", 10 * GB) == pytest.approx(0.012 + 10.0)
    assert routes.transfer_yuan("A", "C", 10 * GB) == pytest.approx(3.0)
    assert routes.latency_seconds("A", "C") == pytest.approx(0.012)


def test_small_transfers_go_the_short_way_and_large_ones_the_wide_way() -> None:
    routes = Routes(
        Network(links=(Link("A", "B", 1, 5), Link("A", "X", 400, 9), Link("X", "B", 400, 9)))
    )
    assert routes.route("A", "B") == ("A", "B")
    assert routes.route("A", "B", 1000) == ("A", "B")
    assert routes.route("A", "B", 100 * GB) == ("A", "X", "B")


def test_no_route_is_infinite() -> None:
    routes = Routes(Network(nodes=(NetworkNode("Lhasa"),), links=line().links))
    for target in ("Lhasa", "nowhere"):
        assert routes.transfer_seconds("A", target, 1) == math.inf
        assert routes.transfer_seconds(target, "A", 1) == math.inf
        assert routes.latency_seconds("A", target) == math.inf
        assert routes.route("A", target) == ()
        assert routes.transfer_yuan("A", target, 1) == 0.0


def test_within_a_city_the_city_net_is_used() -> None:
    routes = Routes(line())
    assert routes.transfer_seconds("A", "A", GB) == pytest.approx(8.0 / IN_CITY_GBPS)
    assert routes.transfers("A", GB)[0][routes.index["A"]] == pytest.approx(8.0 / IN_CITY_GBPS)
    assert routes.route("A", "A") == ("A",)


def test_what_is_booked_is_not_there() -> None:
    free = Link("A", "B", 10.0, 1.0)
    booked = Link("A", "B", 10.0, 1.0, booked_gbps=8.0)
    full = Link("A", "B", 10.0, 1.0, booked_gbps=10.0)
    seconds = [
        Routes(Network(links=(link,))).transfer_seconds("A", "B", GB)
        for link in (free, booked, full)
    ]
    assert seconds == [pytest.approx(0.801), pytest.approx(4.001), math.inf]


def test_senseless_links_are_left_out() -> None:
    links = (Link("A", "B", 0.0, 1.0), Link("A", "B", 5.0, math.inf), Link("A", "A", 5.0, 1.0))
    assert Routes(Network(links=links)).route("A", "B") == ()


def test_many_widths_are_thinned_but_a_route_is_still_found() -> None:
    links = tuple(Link(f"n{at}", f"n{at + 1}", 1.0 + at, 1.0) for at in range(60))
    seconds = Routes(Network(links=links)).transfer_seconds("n0", "n60", GB)
    assert seconds == pytest.approx(0.060 + 8.0)


small_graphs = st.lists(
    st.tuples(
        st.sampled_from("ABCDE"),
        st.sampled_from("ABCDE"),
        st.sampled_from([1.0, 4.0, 10.0, 100.0]),
        st.floats(0.0, 50.0),
    ),
    max_size=9,
)


def fastest(links: tuple[Link, ...], a: str, b: str, size: float) -> float:
    """By trying every simple path: the reference."""
    width: dict[tuple[str, str], list[Link]] = {}
    for link in links:
        width.setdefault((link.a, link.b), []).append(link)
        width.setdefault((link.b, link.a), []).append(link)
    best = math.inf
    others = [name for name in "ABCDE" if name not in (a, b)]
    for length in range(len(others) + 1):
        for middle in itertools.permutations(others, length):
            hops = list(itertools.pairwise((a, *middle, b)))
            for way in itertools.product(*(width.get(hop, []) for hop in hops)):
                latency = sum(link.latency_ms for link in way) / 1000
                narrowest = min(link.bandwidth_gbps for link in way) * GB / 8
                best = min(best, latency + size / narrowest)
    return best


@examples(80)
@given(small_graphs, st.sampled_from([1.0, 1e6, 1e8, 1e11]))
def test_fastest_of_all_simple_paths(
    edges: list[tuple[str, str, float, float]], size: float
) -> None:
    links = tuple(Link(*edge) for edge in edges if edge[0] != edge[1])
    routes, backwards = Routes(Network(links=links)), Routes(Network(links=links[::-1]))
    for a, b in itertools.combinations("ABCDE", 2):
        expected = fastest(links, a, b, size)
        assert routes.transfer_seconds(a, b, size) == pytest.approx(expected)
        assert backwards.transfer_seconds(a, b, size) == routes.transfer_seconds(a, b, size)
        path = routes.route(a, b, size)
        assert bool(path) == math.isfinite(expected)
        assert not path or (path[0], path[-1]) == (a, b)
