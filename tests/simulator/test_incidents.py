"""What goes wrong during a replay: runs that are lost, pools that come back, ways that are cut."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.policies import RIVALS, Staying, make
from simulator.replay import (
    Absence,
    Decision,
    Incidents,
    Instance,
    Outcome,
    Place,
    Pools,
    Rewiring,
    View,
    replay,
)

NAN = pytest.approx(math.nan, nan_ok=True)


def instance(submit: list[float], cards: list[int], run: list[float], pools: int = 2) -> Instance:
    """Jobs on pools of 4 cards of one kind; staging takes no time in the first, 5 s elsewhere."""
    stage = np.full((len(submit), pools), 5.0)
    stage[:, 0] = 0.0
    names = tuple(f"p{at}" for at in range(pools))
    places = Pools(names, ("k",), np.zeros(pools, np.int64), np.full(pools, 4), np.ones(pools))
    return Instance.of(
        places, np.array(submit), np.array(cards, np.int64), np.array(run)[:, None], stage
    )


class First:
    """Starts what waits in the first pool that has room, at each call."""

    def __init__(self, cards: list[int]) -> None:
        self.cards, self.waiting, self.seen = cards, [], []  # type: ignore[var-annotated]

    def decide(self, view: View) -> Decision:
        self.seen.append((view.now, sorted(view.away), list(view.lost)))
        self.waiting += [*view.arrived, *(place.job for place in view.lost)]
        free, starts = view.free.tolist(), []
        for job in list(self.waiting):
            pool = next((at for at, left in enumerate(free) if left >= self.cards[job]), None)
            if pool is not None:
                free[pool] -= self.cards[job]
                starts.append(Place(job, pool))
                self.waiting.remove(job)
        return Decision(starts)


def played(made: Instance, incidents: Incidents) -> tuple[Outcome, First]:
    policy = First(made.known.cards.tolist())
    return replay(made, policy, incidents=incidents), policy


def test_what_runs_in_a_pool_that_goes_away_is_lost_and_begins_anew() -> None:
    made = instance([0.0, 1.0], [4, 2], [100.0, 50.0])
    outcome, policy = played(made, Incidents((Absence((0,), 30.0, 60.0),)))
    assert outcome.lost_runs == 1
    # The second job holds 2 of the other pool until 56: the lost one waits for its own, at 60.
    assert outcome.ended_seconds.tolist() == [56.0 + 5.0 + 100.0, 56.0]
    assert outcome.lost_card_seconds is not None
    assert outcome.lost_card_seconds.tolist() == [30.0 * 4, 0.0]
    assert (30.0, [0], [Place(0, 0)]) in policy.seen and (60.0, [], []) in policy.seen


def test_a_run_that_ends_at_the_very_moment_has_ended() -> None:
    outcome, _ = played(instance([0.0], [4], [30.0]), Incidents((Absence((0,), 30.0, math.inf),)))
    assert (outcome.lost_runs, outcome.ended_seconds.tolist()) == (0, [30.0])


def test_a_pool_that_stays_away_leaves_its_jobs_unfinished() -> None:
    outcome, _ = played(instance([0.0], [4], [30.0], 1), Incidents((Absence((0,), 9.0, math.inf),)))
    assert (outcome.lost_runs, outcome.finished, outcome.pool.tolist()) == (1, 0, [-1])
    assert outcome.started_seconds.tolist() == [NAN]


def test_absences_that_overlap_are_one() -> None:
    away = (Absence((0,), 10.0, 30.0), Absence((0,), 20.0, 40.0))
    outcome, _ = played(instance([0.0], [4], [30.0], 1), Incidents(away))
    assert (outcome.lost_runs, outcome.ended_seconds.tolist()) == (1, [70.0])


def test_a_cut_way_is_longer_or_waits_until_it_is_mended() -> None:
    made = instance([0.0, 10.0, 30.0], [4, 4, 4], [1.0, 1.0, 1.0])
    away = Absence((0,), 0.0, math.inf)
    longer, none, usual = (np.full((3, 2), seconds) for seconds in (9.0, math.inf, 5.0))
    rewired = (Rewiring(5.0, longer), Rewiring(20.0, none), Rewiring(50.0, usual))
    outcome, _ = played(made, Incidents((away,), rewired))
    assert outcome.ended_seconds.tolist() == [6.0, 20.0, 56.0]


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_finish_all_jobs_when_their_sites_come_back(name: str) -> None:
    random = np.random.default_rng(3)
    submit = np.sort(random.uniform(0, 500, 60)).tolist()
    cards = random.choice([1, 2, 4], 60).tolist()
    made = instance(submit, cards, random.uniform(1, 80, 60).tolist(), 3)
    away = (Absence((0, 1), 100.0, 300.0), Absence((2,), 250.0, 280.0))
    usual = replay(made, make(name, made.known, 0))
    still = replay(made, Staying(make(name, made.known, 0), made.known))
    outcome = replay(
        made, Staying(make(name, made.known, 0), made.known), incidents=Incidents(away)
    )
    assert np.array_equal(usual.ended_seconds, still.ended_seconds)
    assert outcome.finished == 60 and outcome.lost_runs > 0
    for absence in away:
        for pool in absence.pools:
            mine = outcome.pool == pool
            began, ended = outcome.started_seconds[mine], outcome.ended_seconds[mine]
            assert not np.any((began < absence.until_seconds) & (ended > absence.from_seconds))


def test_what_a_policy_stops_may_start_again() -> None:
    class Stopping(First):
        def decide(self, view: View) -> Decision:
            if view.now == 10.0:
                self.waiting.append(0)
                return Decision(stops=[Place(0, 0)], again_at=12.0)
            return Decision(
                super().decide(view).starts, again_at=10.0 if view.now < 10 else math.inf
            )

    made = instance([0.0], [4], [30.0], 1)
    outcome = replay(made, Stopping([4]))
    assert (outcome.preemptions, outcome.ended_seconds.tolist()) == (1, [42.0])
