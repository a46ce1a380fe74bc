"""Random histories of a federation in virtual time, and the proof that they can see.

`make sim SEEDS=0:1000`, or `python -m pytest tests/broker/test_core_random.py --seeds 0:1000`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import pytest
from support_sim import LIMITS, Federation
from support_sim_agent import Agent
from support_sim_rules import Violation

from broker.core import dispatch, reconcile, reports
from broker.core.core import Core
from broker.core.limits import Limits

HUNT_SEEDS = 60  # a mutant must be caught within so many


def play(seed: int) -> Federation:
    """One history; a violation is told with its job's story and the command to replay it."""
    federation = Federation(seed)
    try:
        return federation.run()
    except Violation as violation:
        story = federation.world.rules.stories.get(violation.job_id, [])
        again = f"python -m pytest tests/broker/test_core_random.py --seeds {seed}:{seed + 1}"
        pytest.fail("\n".join((f"seed {seed}: {violation}", *story, f"replay: {again}")))


def test_no_history_breaks_an_invariant(seed: int) -> None:
    play(seed)


def test_histories_are_rich_and_repeat_exactly() -> None:
    """Else the seeds above would prove nothing, and could not be replayed."""
    played = [play(seed) for seed in range(6)]
    jobs = [job for one in played for job in one.broker.state.jobs.values()]
    assert sum(one.faults for one in played) > 6 * 15
    assert sum(one.world.rules.runs for one in played) > len(jobs) > 60
    assert {job.state.value for job in jobs} == {"succeeded", "failed", "cancelled"}
    again = Federation(3).run()
    assert again.world.rules.stories == played[3].world.rules.stories
    assert again.broker.store.rows == played[3].broker.store.rows


def test_a_violation_is_told_with_its_story_and_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "_is_current", lambda *_: True)
    with pytest.raises(pytest.fail.Exception) as caught:
        for seed in range(HUNT_SEEDS):
            play(seed)
    said = str(caught.value)
    assert re.search(r"seed (\d+): job.*", said)
    assert re.search(r"broker  grants epoch 1 to \w+ in", said)
    assert said.count("begins\n") >= 2
    (seed,) = re.findall(r"^replay: python -m pytest .* --seeds (\d+):\d+$", said, re.MULTILINE)
    with pytest.raises(pytest.fail.Exception, match=f"^seed {seed}: "):
        play(int(seed))


# --- mutants: each safety mechanism, taken away, is missed -------------------------------


@dataclass(frozen=True, slots=True)
class Hasty(Limits):
    """Takes back what a suspect site holds, without waiting for its lease."""

    def takeback_seconds(self, lease_seconds: float) -> float:
        return lease_seconds / 3


def hunted(play_mutant: Callable[[int], Federation]) -> str:
    """What the first seed that catches a mutant says; "" when none does."""
    for seed in range(HUNT_SEEDS):
        try:
            play_mutant(seed).run()
        except Violation as violation:
            return str(violation)
    return ""


def test_a_takeback_that_does_not_wait_is_caught() -> None:
    hasty = Hasty(**{item.name: getattr(LIMITS, item.name) for item in fields(LIMITS)})
    assert "I1" in hunted(lambda seed: Federation(seed, hasty))


def test_acting_before_it_is_durable_is_caught() -> None:
    assert hunted(lambda seed: Federation(seed, release_early=True, likely="commit"))


def test_reports_of_any_epoch_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_is_current", lambda *_: True)
    assert hunted(Federation)


def test_a_new_leader_that_does_not_wait_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Core.__init__

    def impatient(core: Core, *args: Any) -> None:
        begin(core, *args)
        core.memory.started_elapsed = -1e6

    monkeypatch.setattr(Core, "__init__", impatient)
    assert "I1" in hunted(lambda seed: Federation(seed, likely="broker"))


def test_believing_another_agent_s_promise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_not_its_own", lambda *_: None)
    assert "I1" in hunted(lambda seed: Federation(seed, likely="move"))


def test_leasing_what_is_leased_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_offered", lambda *_: True)
    assert "I3" in hunted(Federation)


def test_a_guard_that_dies_with_its_agent_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agent, "guard_lives_apart", False)
    assert "I1" in hunted(lambda seed: Federation(seed, likely="pause"))
