"""The transfer calendar: never over a link, fair by definition, forgetful of the cancelled."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.calendar import (
    INTERVALS_MAX,
    RESOLUTION,
    TRANSFERS_MAX,
    Calendar,
)
from scheduler.model import Transfer
from scheduler.network import GBPS_TO_BYTES, IN_CITY_GBPS, Path
from scheduler.sharing import Ways, fair_rates

GB = 10**9
links_of_flow = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).map(tuple)


def path(*links: int, latency: float = 0.0) -> Path:
    return Path((), links, latency, 1.0, 0.0)


def calendar(*gbps: float, now: float = 0.0) -> Calendar:
    return Calendar(np.array(gbps, np.float64), now)


def uses_of(flows: list[tuple[int, ...]], links: int) -> np.ndarray:
    uses = np.zeros((len(flows), links), np.bool_)
    for at, flow in enumerate(flows):
        uses[at, list(flow)] = True
    return uses


def fairest(capacity: list[int], flows: list[tuple[int, ...]]) -> list[float]:
    """Max-min by trying every allocation in sixths: the greatest least, then the next, …

    With at most three flows all fair rates are multiples of a sixth of a whole capacity's.
    """
    sixths = [range(6 * min(capacity[link] for link in flow) + 1) for flow in flows]
    tried = np.array(list(itertools.product(*sixths)))
    uses = uses_of(flows, len(capacity))
    possible = tried[((tried @ uses) <= 6 * np.array(capacity)).all(axis=1)]
    ordered = np.sort(possible, axis=1)
    best = np.lexsort(ordered.T[::-1])[-1]
    return (possible[best] / 6).tolist()


@examples(60)
@given(
    st.lists(st.integers(1, 4), min_size=3, max_size=3),
    st.lists(links_of_flow, min_size=1, max_size=3),
)
def test_fair_rates_are_max_min_against_all_allocations(
    capacity: list[int], flows: list[tuple[int, ...]]
) -> None:
    rates = fair_rates(np.array(capacity, float), Ways.of(flows), np.ones(len(flows), int))
    assert rates.tolist() == pytest.approx(fairest(capacity, flows))


@examples(60)
@given(
    st.lists(st.just(0.0) | st.floats(1e-3, 400.0), min_size=3, max_size=3),
    st.lists(st.tuples(links_of_flow, st.integers(1, 5)), min_size=1, max_size=8),
)
def test_every_flow_has_a_full_link_on_which_none_has_more(
    capacity: list[float], groups: list[tuple[tuple[int, ...], int]]
) -> None:
    """The bottleneck condition, which holds for the max-min allocation and for no other."""
    gbps, counts = np.array(capacity), np.array([count for _, count in groups])
    uses = uses_of([flow for flow, _ in groups], 3)
    rates = fair_rates(gbps, Ways.of([flow for flow, _ in groups]), counts)
    carried = (rates * counts) @ uses
    assert (carried <= gbps * (1 + 1e-9)).all()
    for at, (flow, _) in enumerate(groups):
        assert any(
            carried[link] >= gbps[link] * (1 - 1e-9)
            and rates[at] >= rates[uses[:, link]].max() * (1 - 1e-9)
            for link in flow
        )


def test_a_flow_within_a_city_has_the_citys_rate() -> None:
    rates = fair_rates(np.array([10.0]), Ways.of([(), (0,)]), np.array([3, 2]))
    assert rates.tolist() == [IN_CITY_GBPS, 5.0]


transfers_of = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), max_size=3, unique=True).map(tuple),
        st.floats(1e6, 1e13),
        st.floats(0.0, 2000.0),
    ),
    max_size=8,
)
capacities = st.lists(st.sampled_from([0.0, 1.0, 10.0, 25.0, 100.0]), min_size=4, max_size=4)


def booked(capacity: list[float], wanted: list[tuple[tuple[int, ...], float, float]]) -> Calendar:
    made = calendar(*capacity)
    for at, (links, size, begin) in enumerate(wanted):
        made.book(Transfer(f"t{at}", links, size, begin))
    return made


@examples(60)
@given(capacities, transfers_of)
def test_no_interval_is_over_a_link_and_every_byte_is_moved(
    capacity: list[float], wanted: list[tuple[tuple[int, ...], float, float]]
) -> None:
    made = booked(capacity, wanted)
    moved = dict.fromkeys((f"t{at}" for at in range(len(wanted))), 0.0)
    end = 0.0
    for interval in made.intervals():
        assert interval.begin == end
        end = interval.end
        taken = np.zeros(4)
        for key, gbps in interval.gbps.items():
            links, _, begin = wanted[int(key[1:])]
            assert interval.begin >= begin
            taken[list(links)] += gbps
            if gbps:
                moved[key] += gbps * (interval.end - interval.begin) * GBPS_TO_BYTES
        assert (taken <= np.array(capacity) * (1 + 1e-9)).all()
    assert end == math.inf
    ends = made.ends()
    for at, (links, size, begin) in enumerate(wanted):
        cut = any(capacity[link] == 0 for link in links)
        assert math.isinf(ends[f"t{at}"]) == cut
        assert moved[f"t{at}"] == pytest.approx(0.0 if cut else size, rel=1e-6)
        assert ends[f"t{at}"] >= begin


@examples(40)
@given(capacities, transfers_of, st.floats(1e6, 1e13), st.integers(0, 3))
def test_booked_and_cancelled_leaves_nothing(
    capacity: list[float],
    wanted: list[tuple[tuple[int, ...], float, float]],
    size: float,
    link: int,
) -> None:
    made = booked(capacity, wanted)
    before = made.booked, tuple(made.intervals()), made.booked_gbps().tolist()
    promised = made.finish(path(link), size)
    assert (made.booked, tuple(made.intervals()), made.booked_gbps().tolist()) == before
    made.book(Transfer("new", (link,), size))
    assert made.ends()["new"] == pytest.approx(promised)
    assert made.cancel("new") == Transfer("new", (link,), size)
    assert made.cancel("new") is None
    assert "new" not in made
    assert (made.booked, tuple(made.intervals()), made.booked_gbps().tolist()) == before


@examples(40)
@given(capacities, transfers_of, st.lists(st.floats(0.0, 3000.0), max_size=5))
def test_time_in_steps_is_time_at_once(
    capacity: list[float], wanted: list[tuple[tuple[int, ...], float, float]], steps: list[float]
) -> None:
    at_once, stepwise = booked(capacity, wanted), booked(capacity, wanted)
    for now in sorted(steps):
        stepwise.advance(now)
    at_once.advance(max(steps, default=0.0))
    assert at_once.now == stepwise.now
    for one, other in zip(at_once.booked, stepwise.booked, strict=True):
        assert other.size_bytes == pytest.approx(one.size_bytes, rel=1e-6, abs=1e4)
    before = at_once.booked
    at_once.advance(0.0)  # a clock that goes back
    assert at_once.booked == before


def test_two_share_a_link_and_the_second_has_it_when_the_first_is_through() -> None:
    made = calendar(8.0)  # 1 GB/s
    made.book(Transfer("a", (0,), 10 * GB))
    made.book(Transfer("b", (0,), 30 * GB))
    assert made.booked_gbps().tolist() == [8.0]
    assert made.ends() == pytest.approx({"a": 20.0, "b": 40.0})
    assert made.finish(path(0, latency=0.5), 5 * GB) == pytest.approx(15.5)
    assert made.finish(path(0), 5 * GB, begins_at=100.0) == pytest.approx(105.0)
    assert made.finish(path(0), 0.0) == 0.0
    made.advance(20.0)
    assert [each.size_bytes for each in made.booked] == pytest.approx([0.0, 20 * GB])
    assert made.ends()["a"] == 20.0  # through, and known until it is cancelled


def test_the_best_path_is_the_first_to_arrive_under_load() -> None:
    made = calendar(8.0, 4.0, 0.0)
    short, long, cut = path(0), path(1, latency=0.1), path(2)
    assert made.best([cut, long, short], 10 * GB) is short
    for at in range(3):
        made.book(Transfer(f"t{at}", (0,), 1000 * GB))
    assert made.best([cut, long, short], 10 * GB) is long
    assert made.best([cut], 10 * GB) is None
    assert made.best([], 10 * GB) is None


@pytest.mark.parametrize(
    "transfer",
    [
        Transfer("known", (0,), 1.0),
        Transfer("new", (1,), 1.0),
        Transfer("new", (-1,), 1.0),
        Transfer("new", (0,), math.nan),
        Transfer("new", (0,), math.inf),
        Transfer("new", (0,), -1.0),
        Transfer("new", (0,), 1.0, math.nan),
    ],
)
def test_what_makes_no_sense_is_not_booked(transfer: Transfer) -> None:
    made = calendar(8.0)
    made.book(Transfer("known", (0,), 1.0))
    with pytest.raises(ValueError, match=transfer.key):
        made.book(transfer)
    assert len(made) == 1


def test_a_full_calendar_takes_no_more() -> None:
    made = calendar(8.0)
    for at in range(TRANSFERS_MAX):
        made.book(Transfer(str(at), (0,), 0.0))
    with pytest.raises(ValueError, match="full"):
        made.book(Transfer("new", (0,), 1.0))


def test_a_forecast_is_bounded_and_joins_short_intervals() -> None:
    made = calendar(8.0)
    for at in range(300):
        made.book(Transfer(str(at), (0,), (1 + at) * GB))
    forecast = made.forecast()
    assert len(forecast.begins) <= INTERVALS_MAX
    lengths = np.diff(forecast.begins)[1:]
    assert (lengths >= RESOLUTION * forecast.begins[1:-1] * (1 - 1e-9)).all()
    assert (np.diff(forecast.entry_gbps[:, 0]) >= 0).all()  # fewer and fewer share it
    assert forecast.entry_gbps[0, 0] == pytest.approx(8.0 / 301)
