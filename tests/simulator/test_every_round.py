"""Every round of random runs: a kept memo changes nothing, and every explanation adds up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from scheduler.memo import Memo
from scheduler.model import (
    Explanation,
    Link,
    Network,
    NetworkNode,
    Policy,
    Round,
    Snapshot,
    Verdict,
)
from scheduler.placement import place
from scheduler.reasons import Code
from simulator.federation import instance, random_federation, synthesise
from simulator.production import Suan, broker
from simulator.replay import replay
from simulator.traces import TraceJob

CITIES = ("Beijing", "Guiyang", "Shenzhen", "Zhengzhou")
NETWORK = Network(
    tuple(NetworkNode(name) for name in CITIES),
    tuple(Link(CITIES[0], other, 5.0, 8.0, 0.02) for other in CITIES[1:]),
)
CODES = {code.value for code in Code}
EVERY_CLASS = Policy(blocked_max=10_000)


def trace(seed: int, count: int = 70) -> list[TraceJob]:
    """Jobs of three tenants in bursts, so that many wait; some are wider than a node."""
    draw = random.Random(seed)
    found, at = [], 0.0
    for number in range(count):
        at += draw.choice([0.0, 5.0, 60.0, 900.0])
        cards = draw.choice([1, 1, 4, 8, 16, 32])
        seconds = draw.uniform(60.0, 8_000.0)
        found.append(TraceJob(f"j{number}", at, seconds, cards, number, tenant=draw.choice("abc")))
    return found


class Witness:
    """Takes each round of a run a second time, from nothing, and looks at all it says."""

    def __init__(self) -> None:
        self.told = 0
        self.waited = 0

    def place(self, snapshot: Snapshot, policy: Policy, memo: Memo) -> Round:
        kept = place(snapshot, policy, memo)
        anew = place(snapshot, replace(policy, explain_waiting=True))
        assert kept == replace(anew, explanations=tuple(self._decided(anew)))
        self._check(snapshot, anew)
        return kept

    def _decided(self, found: Round) -> Iterator[tuple[str, Explanation]]:
        for key, told in found.explanations:
            if told.verdict is not Verdict.WAIT:
                yield key, told

    def _check(self, snapshot: Snapshot, found: Round) -> None:
        assert {key for key, _ in found.explanations} == {each.key for each in snapshot.queue}
        jobs = {each.key: each for each in snapshot.queue}
        placed = {each.job_id for each in found.placements}
        ahead = 0
        for key, told in found.explanations:
            assert told.position == ahead
            own = placed.intersection(jobs[key].jobs)
            assert (told.verdict is Verdict.PLACED) == bool(own)
            if told.verdict is not Verdict.NEVER:
                ahead += jobs[key].queued - len(own)
            self._adds_up(snapshot, told)
            self.told += 1
            self.waited += told.verdict is Verdict.WAIT

    def _adds_up(self, snapshot: Snapshot, told: Explanation) -> None:
        """Every card is counted out once or free in a pool where the job fits."""
        assert told.examined_pools == len(snapshot.pools)
        assert told.examined_cards == sum(pool.cards_total for pool in snapshot.pools)
        assert all(each.code in CODES and each.cards >= 0 for each in told.rejections)
        assert 0 <= told.cards_left <= sum(pool.cards_free for pool in snapshot.pools)
        now = [each for each in told.candidates if each.score.wait_seconds == 0.0]
        if told.verdict is not Verdict.PLACED:
            assert bool(told.cards_left) == bool(now)
        for each in told.candidates:
            score = each.score
            parts = score.wait_seconds, score.stage_seconds, score.run_seconds
            assert min(parts) >= 0.0
            assert score.finish_seconds == pytest.approx(sum(parts))
            assert bool(each.lost_because) != each.chosen or told.candidates[0] is each


@pytest.mark.parametrize("seed", range(3))
def test_every_explanation_of_a_random_run_adds_up(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = random_federation(NETWORK, 4, 6, 160, seed, widest_cards=32)
    workload = synthesise(trace(seed), federation, seed)
    found = instance(federation, workload)
    witness = Witness()
    monkeypatch.setattr(broker, "place", witness.place)
    outcome = replay(found, Suan(found.known, federation, workload, EVERY_CLASS), 10.0)
    assert outcome.finished == int(found.feasible.sum())
    assert witness.told > len(found) and witness.waited > 0
