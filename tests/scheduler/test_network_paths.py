"""Paths and traffic: the shortest ways, the wide ways, and what is left of them under load."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples
from test_network import GB, fastest, line, small_graphs

from scheduler.calendar import RESOLUTION
from scheduler.model import Link, Network, NetworkNode, Transfer
from scheduler.network import IN_CITY_GBPS, PATHS_MAX, Path, Routes, Unreachable, routes_of
from scheduler.traffic import Traffic

RING = Network(
    links=(
        Link("A", "B", 10.0, 4.0, yuan_per_gb=0.1),
        Link("B", "C", 10.0, 4.0, yuan_per_gb=0.1),
        Link("A", "D", 40.0, 9.0, yuan_per_gb=0.3),
        Link("D", "C", 40.0, 9.0, yuan_per_gb=0.3),
    )
)


def simple_paths(links: tuple[Link, ...], a: str, b: str) -> list[tuple[int, ...]]:
    """All of them, as links: the reference."""
    found: list[tuple[int, ...]] = []

    def walk(at: str, seen: frozenset[str], taken: tuple[int, ...]) -> None:
        if at == b:
            found.append(taken)
            return
        for number, link in enumerate(links):
            other = {link.a: link.b, link.b: link.a}.get(at)
            if other and other not in seen:
                walk(other, seen | {other}, (*taken, number))

    walk(a, frozenset(a), ())
    return found


@examples(60)
@given(small_graphs)
def test_the_shortest_paths_and_the_fastest_for_every_size(
    edges: list[tuple[str, str, float, float]],
) -> None:
    links = tuple(Link(*edge) for edge in edges if edge[0] != edge[1])
    routes = Routes(Network(links=links))
    for a, b in itertools.combinations("ABCDE", 2):
        latencies = sorted(
            sum(links[at].latency_ms for at in way) / 1000 for way in simple_paths(links, a, b)
        )
        paths = routes.paths(a, b)
        assert bool(paths) == bool(latencies)
        assert (routes.unreachable(a, b) is None) == bool(latencies)
        found = [path.latency_seconds for path in paths]
        assert found == sorted(found)
        assert found[: len(latencies[:PATHS_MAX])] == pytest.approx(latencies[:PATHS_MAX])
        assert len({path.links for path in paths}) == len(paths)
        for size in (1.0, 1e8, 1e11):
            best = min((path.seconds(size) for path in paths), default=math.inf)
            assert best == pytest.approx(fastest(links, a, b, size))
        for path in paths:
            assert (path.nodes[0], path.nodes[-1]) == (a, b)
            assert len(set(path.nodes)) == len(path.nodes) == len(path.links) + 1
            assert path.gbps == min(links[at].bandwidth_gbps for at in path.links)


def test_paths_do_not_depend_on_the_order_of_links() -> None:
    backwards = Network(links=RING.links[::-1])
    there, back = Routes(RING).paths("A", "C"), Routes(backwards).paths("A", "C")
    assert [path.nodes for path in there] == [path.nodes for path in back]
    assert [path.nodes for path in there] == [("A", "B", "C"), ("A", "D", "C")]
    assert there[0] == Path(("A", "B", "C"), (0, 1), 0.008, 10.0, 0.2)


def test_within_a_city_there_is_one_path_without_links() -> None:
    (only,) = Routes(RING).paths("A", "A")
    assert only.links == ()
    assert only.seconds(IN_CITY_GBPS * GB / 8) == pytest.approx(1.0)


def test_why_there_is_no_way() -> None:
    cut = Network(
        nodes=(NetworkNode("Lhasa"),),
        links=(Link("A", "B", 10.0, 1.0, down=True), Link("B", "C", 10.0, 1.0)),
    )
    routes = Routes(cut)
    assert routes.unreachable("B", "C") is None
    assert routes.unreachable("Atlantis", "Atlantis") is None
    assert routes.unreachable("B", "Atlantis") is Unreachable.CITY_UNKNOWN
    assert routes.unreachable("B", "Lhasa") is Unreachable.NO_WAY
    assert routes.paths("B", "Lhasa") == routes.paths("B", "Atlantis") == ()
    assert Routes(cut).link_gbps.tolist() == [0.0, 10.0]


def test_routes_are_kept_while_the_network_is_the_same() -> None:
    assert routes_of(line()) is routes_of(line())
    assert routes_of(line()) is not routes_of(line(gbps=7.0))


@examples(40)
@given(small_graphs, st.sampled_from([1.0, 1e8, 1e11]))
def test_without_transfers_traffic_is_the_routes(
    edges: list[tuple[str, str, float, float]], size: float
) -> None:
    routes = Routes(Network(links=tuple(Link(*edge, 0.2) for edge in edges)))
    traffic = Traffic(routes)
    for source in routes.names:
        seconds, yuan = routes.transfers(source, size)
        trips = traffic.trips(source, size)
        assert np.allclose(trips.seconds, seconds)
        assert np.allclose(trips.yuan, yuan)
        assert traffic.trips(source, size) is trips


def test_a_booked_link_is_gone_round() -> None:
    routes = Routes(RING)
    at = routes.index["C"]
    free = Traffic(routes).trips("A", GB)
    assert free.seconds[at] == pytest.approx(0.018 + 8 / 40)
    load = tuple(Transfer(str(n), (2, 3), 1e15) for n in range(7))
    busy = Traffic(routes, load).trips("A", GB)
    assert busy.seconds[at] == pytest.approx(0.008 + 8 / 10)  # 40 Gb/s by eight are but 5
    assert busy.yuan[at] == pytest.approx(0.2)


@examples(40)
@given(
    st.lists(st.floats(1e8, 1e12), max_size=8),
    st.sampled_from([(0,), (0, 1)]),
    st.floats(1e6, 1e12),
)
def test_a_forecast_of_one_bottleneck_is_what_booking_gives(
    sizes: list[float], links: tuple[int, ...], size: float
) -> None:
    routes = Routes(RING)
    load = tuple(Transfer(str(at), links, left) for at, left in enumerate(sizes))
    traffic = Traffic(routes, load)
    seconds = traffic.trips("A", size).seconds[routes.index["B"]]
    exact = traffic.calendar.finish(routes.paths("A", "B")[0], size)
    assert exact * 0.999 <= seconds <= exact * (1 + RESOLUTION)


def test_transfers_that_make_no_sense_do_not_stop_a_round() -> None:
    odd = (Transfer("x", (9,), 1e9), Transfer("y", (0,), math.nan), Transfer("z", (0,), 1e9))
    assert [each.key for each in Traffic(Routes(RING), (*odd, *odd)).calendar.booked] == ["z"]


def test_links_carry_the_sum_of_what_crosses_them() -> None:
    traffic = Traffic(Routes(RING), (Transfer("x", (0,), 1e15),))
    loads = np.array([[10 * GB, 10 * GB, 0, 0], [0, 0, 40 * GB, 10 * GB], [0, 0, 0, 0]], float)
    assert traffic.carry_seconds(loads).tolist() == pytest.approx([16.0, 8.0, 0.0])
