"""A wide gang is not starved by a stream of small jobs, and cards are not idled needlessly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from federations import NOW, gang, pool, queued, replay, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

import scheduler.reservation
from scheduler.model import Demand, QueueClass, Running, Slice, Snapshot, Supernode, Work
from scheduler.placement import place
from scheduler.priority import AGEING_RUNS, AGEING_SECONDS

STEP = 600.0
HOUR = 3600.0
WIDE = Demand((gang(8),), work=Work(seconds=HOUR))
# Steps until others are kept waiting for it; until then shorter jobs may overtake it.
AGED = math.ceil((AGEING_SECONDS + AGEING_RUNS * HOUR) / STEP)


def small(seconds: float) -> Demand:
    return Demand((gang(1, 4),), work=Work(seconds=seconds))


def blocked(*behind: QueueClass, ends_in: float = HOUR) -> Snapshot:
    """Half of eight nodes are busy for `ends_in`; the gang that wants all eight is at the head."""
    rows = [supernode("a", 0, 0, 8, 8), supernode("b", 0, 0, 8, 8)]
    running = tuple(Running("shenzhen/main", 8, NOW + ends_in) for _ in range(4))
    wide = queued("wide", WIDE, age_seconds=9e5)
    return snapshot([pool("shenzhen", supernodes=rows)], [wide, *behind], running=running)


def placed(before: Snapshot) -> list[str]:
    decided = place(before)
    replay(before, decided)
    return [placement.job_id for placement in decided.placements]


def test_behind_a_blocked_gang_only_what_ends_in_time_may_start() -> None:
    short, long = queued("short", small(HOUR - 1), 2), queued("long", small(HOUR + 1), 2)
    assert placed(blocked(short, long)) == ["short/0", "short/1"]
    told = dict(place(blocked(short, long)).explanations)["long"]
    assert [(r.code, r.cards) for r in told.rejections] == [("Reserved", 24), ("NotFreeNow", 40)]


def test_when_the_end_of_what_runs_is_overdue_nothing_is_let_in() -> None:
    assert placed(blocked(queued("short", small(60.0), 2), ends_in=-1.0)) == []


def test_cards_are_not_kept_idle_for_a_gang_whose_wait_nobody_knows() -> None:
    before = replace(blocked(queued("long", small(9 * HOUR), 2)), running=())
    assert placed(before) == ["long/0", "long/1"]


def test_those_of_higher_priority_do_not_heed_the_guard() -> None:
    urgent = queued("urgent", small(9 * HOUR), 2, priority=1_000)
    assert placed(blocked(urgent)) == ["urgent/0", "urgent/1"]


def test_supernodes_that_the_gang_does_not_need_stay_open() -> None:
    before = blocked(queued("long", small(9 * HOUR), 9))
    pair = Demand((gang(3, 8, group_nodes=3, group_required=True),))
    queue = (replace(before.queue[0], demand=pair), before.queue[1])
    decided = place(replace(before, queue=queue))
    assert {part.supernode for p in decided.placements for part in p.slices} == {"b"}
    assert len(decided.placements) == 4


def test_each_pool_has_one_reservation_and_a_round_not_more_than_its_limit() -> None:
    many = 2 * scheduler.reservation.RESERVATIONS_MAX
    pools = [
        pool("shenzhen", f"model-{at}", [supernode("s", 8, 0)], name=f"p{at:02}")
        for at in range(many)
    ]
    gangs = [
        queued(f"gang{at:02}", Demand((gang(2, 8, f"model-{at}"),)), age_seconds=9e5 - at)
        for at in range(many)
    ]
    fill = [queued(f"fill{at:02}", Demand((gang(1, 8, f"model-{at}"),))) for at in range(many)]
    running = tuple(Running(one.key, 8, NOW + 60) for one in pools)
    before = snapshot(pools, [*gangs, *fill], running=running)
    filled = {job.split("/")[0] for job in placed(before)}
    assert filled == {f"fill{at:02}" for at in range(scheduler.reservation.RESERVATIONS_MAX, many)}


class Site:
    """Pools in virtual time: a job runs for the next of `overruns` times its estimate."""

    def __init__(self, overruns: Sequence[float] = (1.0,), pools: int = 1) -> None:
        self.now = NOW
        self.overruns = itertools.cycle(overruns)
        self.free = {
            (f"shenzhen/p{at // 4}", f"s{at}"): supernode(f"s{at}", 8, 8) for at in range(4 * pools)
        }
        self.live: list[Live] = []

    def step(self, *queue: QueueClass) -> set[str]:
        """End what has ended, place once, start what was placed; then time goes on."""
        for ended in [one for one in self.live if one.ends_at <= self.now]:
            self.live.remove(ended)
            for part in ended.slices:
                at = ended.pool, part.supernode
                self.free[at] = give_back(self.free[at], part)
        decided = place(before := self.snapshot(queue))
        replay(before, decided)
        for placement in decided.placements:
            for part in placement.slices:
                at = placement.pool, part.supernode
                self.free[at] = self.free[at].take(part.nodes, part.cards)
            seconds = placement.score.run_seconds
            ends_at = self.now + seconds * next(self.overruns)
            self.live.append(Live(placement.pool, placement.slices, self.now + seconds, ends_at))
        self.now += STEP
        return {placement.job_id.split("/")[0] for placement in decided.placements}

    def snapshot(self, queue: tuple[QueueClass, ...]) -> Snapshot:
        rows: dict[str, list[Supernode]] = {}
        for (key, _), row in self.free.items():
            rows.setdefault(key, []).append(row)
        pools = [pool("shenzhen", supernodes=own, name=key[9:]) for key, own in rows.items()]
        running = tuple(Running(one.pool, one.cards, one.expected_at) for one in self.live)
        return replace(snapshot(pools, queue, running=running), now=self.now)


@dataclass(frozen=True)
class Live:
    """A job that runs, when it was expected to end and when it will."""

    pool: str
    slices: tuple[Slice, ...]
    expected_at: float
    ends_at: float

    @property
    def cards(self) -> int:
        return sum(part.nodes * part.cards for part in self.slices)


def give_back(row: Supernode, part: Slice) -> Supernode:
    """Free `part.cards` on each of `part.nodes` nodes: fullest first, as they were taken."""
    counts = list(row.nodes_by_free)
    for _ in range(part.nodes):
        free = next(free for free, nodes in enumerate(counts) if nodes)
        counts[free] -= 1
        counts[free + part.cards] += 1
    return Supernode(row.name, tuple(counts))


def steps_until_the_gang_starts(site: Site, steps_max: int) -> int | None:
    """A wide gang against a stream that offers more small jobs in every step than fit."""
    for step in range(steps_max):
        lengths = [HOUR + STEP * ((5 * step + at) % 8) for at in range(8)]
        stream = [
            queued(f"small{step}.{at}", small(seconds), 2, age_seconds=-step * STEP)
            for at, seconds in enumerate(lengths)
        ]
        head = [queued("wide", WIDE, age_seconds=-STEP)] if step else []  # the stream comes first
        if "wide" in site.step(*stream, *head):
            return step
    return None


@pytest.mark.parametrize("overrun", [0.3, 1.0, 5.0])
def test_a_wide_gang_starts_though_small_jobs_never_stop_coming(overrun: float) -> None:
    longest = (HOUR + 7 * STEP) * max(1.0, overrun)
    started = steps_until_the_gang_starts(Site([overrun]), AGED + 200)
    assert started is not None
    assert started <= AGED + 3 + longest / STEP


@examples(4)
@given(st.lists(st.floats(0.1, 8.0), min_size=1, max_size=9), st.integers(1, 2))
def test_no_wrong_estimate_starves_it(overruns: list[float], pools: int) -> None:
    assert steps_until_the_gang_starts(Site(overruns, pools), AGED + 400) is not None


def test_without_the_guard_it_would_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler.reservation, "RESERVATIONS_MAX", 0)
    assert steps_until_the_gang_starts(Site(), AGED + 80) is None
