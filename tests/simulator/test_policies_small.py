"""The rivals: whole, lawful, repeatable, and equal to plain implementations on one pool."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from small_world import random_instance

from simulator.policies import RIVALS, make, reference
from simulator.replay import (
    Decision,
    Instance,
    Metrics,
    Place,
    PolicyFault,
    Pools,
    View,
    measure,
    replay,
)
from simulator.replay.metrics import isolated_jct


def busy(seed: int, pools: int = 4, jobs: int = 150) -> Instance:
    return random_instance(seed, jobs=jobs, pools=pools, kinds=min(2, pools), late=jobs * 2.0)


def one_pool(seed: int, jobs: int = 120) -> Instance:
    random = np.random.default_rng(seed)
    return Instance.of(
        Pools(("p",), ("k",), np.zeros(1, np.int64), np.array([10]), np.ones(1)),
        np.sort(random.integers(0, 400, jobs)).astype(float),
        random.integers(1, 9, jobs),
        random.integers(1, 30, (jobs, 1)).astype(float),
        np.zeros((jobs, 1)),
    )


@pytest.mark.parametrize("name", list(RIVALS))
def test_every_feasible_job_ends_lawfully_and_again(name: str) -> None:
    """The loop refuses what is over capacity, twice or too early; here: whole and repeatable."""
    for seed in range(8):
        instance = busy(seed).guessed(1.0, seed)
        outcome = replay(instance, make(name, instance.known, seed))
        assert np.array_equal(np.isfinite(outcome.ended_seconds), instance.feasible)
        assert (outcome.started_seconds >= instance.known.submit_seconds)[instance.feasible].all()
        never_above_capacity(instance, outcome.started_seconds, outcome.ended_seconds, outcome.pool)
        again = replay(instance, make(name, instance.known, seed))
        assert np.array_equal(outcome.ended_seconds, again.ended_seconds, equal_nan=True)


def never_above_capacity(
    instance: Instance, started: np.ndarray, ended: np.ndarray, pool: np.ndarray
) -> None:
    """Counted anew, at every start."""
    for at in range(len(instance.known.pools)):
        mine = np.flatnonzero(pool == at)
        for job in mine:
            held = (started[mine] <= started[job]) & (ended[mine] > started[job])
            assert instance.known.cards[mine][held].sum() <= instance.known.pools.cards[at]


@pytest.mark.parametrize("name", list(RIVALS))
def test_policies_do_not_see_how_long_jobs_run(name: str) -> None:
    """With all estimates equal, jobs start alike until the first end that differs."""
    instance = busy(3).estimated(np.full((150, 2), 10.0))
    longer = Instance(instance.known, instance.names, instance.run_seconds * 2.0)
    first, second = (replay(each, make(name, each.known, 1)) for each in (instance, longer))
    before = first.started_seconds < np.nanmin(first.ended_seconds)
    assert before.sum() > 1
    assert np.array_equal(first.pool[before], second.pool[before])


def plain(
    instance: Instance, pick: Callable[[list[int], int, float, list[tuple[float, int]]], int | None]
) -> np.ndarray:
    """Starts on one pool by a plain loop: at each event, `pick` as long as it picks."""
    known = instance.known
    submit, cards, run = known.submit_seconds, known.cards, instance.run_seconds[:, 0]
    starts = np.full(len(submit), np.nan)
    running: list[tuple[float, int]] = []  # end, cards
    waiting: list[int] = []
    events = sorted({*submit.tolist()})
    while events:
        now = events.pop(0)
        running = [(end, held) for end, held in running if end > now]
        waiting += [job for job in range(len(submit)) if submit[job] == now]
        free = int(known.pools.cards[0]) - sum(held for _, held in running)
        while (job := pick(waiting, free, now, running)) is not None:
            waiting.remove(job)
            starts[job], free = now, free - int(cards[job])
            end = now + float(run[job])
            running.append((end, int(cards[job])))
            events = sorted({*events, end})
    return starts


def pick_first(waiting: list[int], fits: Callable[[int], bool]) -> int | None:
    return next((job for job in waiting if fits(job)), None)


@pytest.mark.parametrize("seed", range(6))
def test_on_one_pool_they_are_the_textbook(seed: int) -> None:
    instance = one_pool(seed)
    cards, run = instance.known.cards, instance.run_seconds[:, 0]

    def fifo(
        waiting: list[int], free: int, now: float, running: list[tuple[float, int]]
    ) -> int | None:
        return waiting[0] if waiting and cards[waiting[0]] <= free else None

    def skipping(
        waiting: list[int], free: int, now: float, running: list[tuple[float, int]]
    ) -> int | None:
        return pick_first(waiting, lambda job: bool(cards[job] <= free))

    def shortest(
        waiting: list[int], free: int, now: float, running: list[tuple[float, int]]
    ) -> int | None:
        return pick_first(
            sorted(waiting, key=lambda job: (run[job], job)), lambda job: bool(cards[job] <= free)
        )

    def easy(
        waiting: list[int], free: int, now: float, running: list[tuple[float, int]]
    ) -> int | None:
        if not waiting or cards[waiting[0]] <= free:
            return waiting[0] if waiting else None
        needed, at, shadow = int(cards[waiting[0]]), free, now
        for end in sorted({end for end, _ in running}):
            if at >= needed:
                break
            at, shadow = at + sum(held for until, held in running if until == end), end
        extra = at - needed
        return pick_first(
            waiting[1:],
            lambda job: bool(
                cards[job] <= free and (now + run[job] <= shadow or cards[job] <= extra)
            ),
        )

    textbook = {
        "fifo": fifo, "multikueue": skipping, "ect-fifo": skipping, "shortest-queue": skipping,
        "random": skipping, "nearest-data": skipping, "sjf": shortest, "ect-sjf": shortest,
        "easy": easy, "slurm-federation": easy,
    }  # fmt: skip
    for name, pick in textbook.items():
        outcome = replay(instance, make(name, instance.known, seed))
        assert np.array_equal(outcome.started_seconds, plain(instance, pick)), name


def test_the_head_starts_no_later_than_it_was_promised() -> None:
    """With exact estimates: the widest job that finds a full pool, against its promise then."""
    for seed in range(10):
        instance = one_pool(seed)
        easy = replay(instance, make("easy", instance.known, 0))
        starts, known = easy.started_seconds, instance.known
        ends = starts + instance.run_seconds[:, 0]
        order = np.argsort(starts, kind="stable")
        for job in range(len(instance)):
            ahead = [at for at in range(job) if starts[at] >= known.submit_seconds[job]]
            if ahead or starts[job] == known.submit_seconds[job]:
                continue  # was not the head when it came
            now = known.submit_seconds[job]
            held = sorted(
                (ends[at], known.cards[at]) for at in order if starts[at] <= now < ends[at]
            )
            free, promised = 10 - sum(cards for _, cards in held), now
            while free < known.cards[job]:
                promised, cards = held.pop(0)
                free += cards
            assert starts[job] <= promised


def test_cheapest_goes_to_the_cheapest_with_room() -> None:
    pools = Pools(
        ("dear", "cheap"), ("k",), np.zeros(2, np.int64), np.array([4, 4]), np.array([9.0, 1.0])
    )
    jobs = Instance.of(
        pools, np.arange(3.0), np.full(3, 3), np.full((3, 1), 10.0), np.zeros((3, 2))
    )
    outcome = replay(jobs, make("skypilot", jobs.known))
    assert outcome.pool.tolist() == [1, 0, 1]


def test_nearest_data_goes_to_the_data_and_stages_nothing() -> None:
    instance = busy(1)
    outcome = replay(instance, make("nearest-data", instance.known))
    known, done = instance.known, instance.feasible
    stage = np.where(known.allowed, known.stage_seconds, np.inf)
    assert (stage[done, outcome.pool[done]] == stage.min(axis=1)[done]).all()


class Scripted:
    """Says what it is told to say, view by view."""

    def __init__(self, *decisions: Decision) -> None:
        self.decisions, self.views = list(decisions), []

    def decide(self, view: View) -> Decision:
        self.views.append((view.now, list(view.arrived), list(view.ended), view.free.tolist()))
        return self.decisions.pop(0) if self.decisions else Decision()


def two_jobs(stage: float = 0.0) -> Instance:
    pools = Pools(("p",), ("k",), np.zeros(1, np.int64), np.array([4]), np.ones(1))
    return Instance.of(
        pools, np.array([0.0, 5.0]), np.array([3, 2]), np.full((2, 1), 10.0), np.full((2, 1), stage)
    )


def test_the_loop_tells_what_happened_and_holds_cards_from_start_to_end() -> None:
    policy = Scripted(
        Decision([Place(0, 0)]), Decision(again_at=7.0), Decision(), Decision([Place(1, 0)])
    )
    outcome = replay(two_jobs(), policy)
    assert policy.views == [
        (0.0, [0], [], [4]),
        (5.0, [1], [], [1]),
        (7.0, [], [], [1]),
        (10.0, [], [Place(0, 0)], [4]),
        (20.0, [], [Place(1, 0)], [4]),
    ]
    assert outcome.started_seconds.tolist() == [0.0, 10.0]
    assert outcome.ended_seconds.tolist() == [10.0, 20.0]


def test_staging_begins_when_told_and_at_the_latest_with_the_start() -> None:
    late = replay(two_jobs(stage=4.0), Scripted(Decision([Place(0, 0)])))
    assert late.ended_seconds[0] == 14.0
    early = Scripted(Decision(stagings=[Place(0, 0)], again_at=3.0), Decision([Place(0, 0)]))
    assert replay(two_jobs(stage=4.0), early).ended_seconds[0] == 14.0
    ready = Scripted(Decision(stagings=[Place(0, 0)]), Decision([Place(0, 0)]))
    assert replay(two_jobs(stage=4.0), ready).ended_seconds[0] == 15.0


def test_rounds_gather_events() -> None:
    policy = Scripted()
    replay(two_jobs(), policy, round_seconds=60.0)
    assert [(now, arrived) for now, arrived, _, _ in policy.views] == [(0.0, [0]), (60.0, [1])]


@pytest.mark.parametrize(
    "decision",
    [
        Decision([Place(1, 0)]),  # has not arrived
        Decision([Place(0, 0), Place(0, 0)]),
        Decision([Place(-1, 0)]),
        Decision(again_at=-1.0),
    ],
)
def test_a_policy_that_breaks_the_rules_is_stopped(decision: Decision) -> None:
    with pytest.raises(PolicyFault):
        replay(two_jobs(), Scripted(decision))
    with pytest.raises(PolicyFault, match="free cards"):
        replay(two_jobs(), Scripted(Decision([Place(0, 0)]), Decision([Place(1, 0)])))


def test_a_policy_that_does_nothing_leaves_jobs_unfinished() -> None:
    outcome = replay(two_jobs(), Scripted())
    found = measure(two_jobs(), outcome)
    assert (found.finished, found.unfinished) == (0, 2)
    assert math.isnan(found.mean_jct_seconds)


def test_metrics_by_hand() -> None:
    instance = two_jobs()
    outcome = replay(instance, make("fifo", instance.known))
    isolated = isolated_jct(instance, reference)
    assert isolated.tolist() == [12.5]
    assert measure(instance, outcome, isolated) == Metrics(
        finished=2,
        unfinished=0,
        mean_jct_seconds=12.5,
        p50_jct_seconds=12.5,
        p99_jct_seconds=pytest.approx(14.95),
        mean_wait_seconds=2.5,
        p50_wait_seconds=2.5,
        p99_wait_seconds=pytest.approx(4.95),
        mean_bounded_slowdown=1.25,
        makespan_seconds=20.0,
        utilisation=50.0 / 80.0,
        worst_tenant_ftf=1.0,
        jain=1.0,
        worst_wait_to_patience=5.0 / (20 * 10.0 + 86_400.0),
    )


def test_a_tenants_share_is_a_part_of_every_kind() -> None:
    """Two tenants: each alone on 8 of 16 cards, in the larger pool; a gang of 10 widens one's."""
    pools = Pools(("a", "b"), ("k",), np.zeros(2, np.int64), np.array([6, 10]), np.ones(2))
    jobs = Instance.of(
        pools, np.zeros(6), np.array([4, 4, 4, 10, 5, 5]), np.full((6, 1), 12.0), np.zeros((6, 2)),
        np.array([0, 0, 0, 1, 1, 1]), ("a", "b"),
    )  # fmt: skip
    assert isolated_jct(jobs, reference).tolist() == [16.0, 20.0]


def test_some_of_the_jobs_keep_their_wrong_estimates() -> None:
    whole = busy(3).guessed(1.5, 0)
    some = whole.chosen(np.arange(0, len(whole), 2))
    assert (some.known.estimate_seconds == whole.known.estimate_seconds[::2]).all()
    assert not (some.known.estimate_seconds == some.run_seconds).all()
