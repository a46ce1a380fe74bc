"""Every pair of state and event, against the design's table written out a second time."""

from __future__ import annotations

from itertools import product

import pytest
from support_lifecycle import COMMAND, PAGE, page

from broker.core.lifecycle import (
    ATTEMPT_TABLE,
    JOB_TABLE,
    JOB_TERMINAL,
    AttemptEvent,
    AttemptState,
    InvalidTransition,
    JobEvent,
    JobState,
    next_attempt_state,
    next_job_state,
)

# DESIGN section 5, row by row: from | event | to. `recover` is reliability.md 5, message 7;
# `return_*` belong to class `overlap`, docs/decisions/0004-leases-that-time-does-not-end.md.
JOBS = """
queued                  | place       | placed
queued                  | cancel      | cancelled
queued                  | expire      | failed
queued                  | recover     | succeeded
queued                  | return_offered | placed
queued                  | return_running | running
placed                  | start       | running
placed running          | requeue     | queued
placed running          | fail        | failed
running                 | succeed     | succeeded
placed running          | cancel      | cancelling
cancelling              | attempt_end | cancelled
"""
ATTEMPTS = """
offered                          | stage          | staging
offered staging                  | start          | running
offered staging running          | orphan         | orphaned
orphaned                         | return_offered | offered
orphaned                         | return_running | running
orphaned                         | start          | running
offered staging running orphaned | end            | ended
"""


def expected(table: str) -> dict[tuple[str, str], str]:
    pairs: dict[tuple[str, str], str] = {}
    for line in table.strip().splitlines():
        states, event, target = (part.strip() for part in line.split("|"))
        pairs |= {(state, event): target for state in states.split()}
    return pairs


@pytest.mark.parametrize(("state", "event"), list(product(JobState, JobEvent)))
def test_every_pair_of_a_job(state: JobState, event: JobEvent) -> None:
    target = expected(JOBS).get((state.value, event.value))
    if target is None:
        with pytest.raises(InvalidTransition, match="the story of job 7"):
            next_job_state(state, event, "the story of job 7")
    else:
        assert next_job_state(state, event).value == target


@pytest.mark.parametrize(("state", "event"), list(product(AttemptState, AttemptEvent)))
def test_every_pair_of_an_attempt(state: AttemptState, event: AttemptEvent) -> None:
    target = expected(ATTEMPTS).get((state.value, event.value))
    if target is None:
        with pytest.raises(InvalidTransition, match="the story of job 7"):
            next_attempt_state(state, event, "the story of job 7")
    else:
        assert next_attempt_state(state, event).value == target


def test_nothing_leaves_a_terminal_state() -> None:
    assert {state for state, _ in JOB_TABLE} == set(JobState) - JOB_TERMINAL
    assert {state for state, _ in ATTEMPT_TABLE} == set(AttemptState) - {AttemptState.ENDED}


@pytest.mark.parametrize("first", JobState)
def test_every_job_can_come_to_an_end(first: JobState) -> None:
    reached, fresh = {first}, {first}
    while fresh:
        fresh = {after for (state, _), after in JOB_TABLE.items() if state in fresh} - reached
        reached |= fresh
    assert reached & JOB_TERMINAL


def test_the_drawing_is_fresh() -> None:
    assert PAGE.read_text() == page(), f"the tables have changed: {COMMAND}"
