"""The judge sees every broken promise: histories made by hand, each with one fault."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.evidence import (
    CLIENT_FILE,
    END_FILE,
    WITNESS_FOLDER,
    Change,
    Diary,
    Ended,
    Evidence,
    Sign,
    Tried,
    read_evidence,
)
from tests.chaos.judge import HALF_GANG_SECONDS_MAX, given_up, judge, starts


def life(
    epoch: int, began: float, seen: float, rank: int = 0, site: str = "a", end: str = "stop"
) -> tuple[Sign, ...]:
    """One rank of job j: a start, a sign in the middle, and its last sign."""
    events = (("start", began), ("alive", (began + seen) / 2), (end, seen))
    pid = 100 * epoch + rank
    return tuple(Sign(event, at, "j", epoch, rank, site, pid, "boot") for event, at in events)


def ended(state: str, *attempts: Tried, failure: str = "") -> Mapping[str, Ended]:
    return {"j": Ended("j", state, attempts, failure)}


LOST, DONE = Tried(1, "a", "lost", 1), Tried(2, "b", "succeeded", 1)
FIRST = life(1, 1.0, 3.0, end="alive")
SECOND = life(2, 3.5, 5.0, site="b")
GOOD = Evidence(
    signs=FIRST + SECOND,
    asked=frozenset({"j"}),
    acknowledged=frozenset({"j"}),
    changes=(Change(1.0, "j", "RUNNING", 7), Change(5.0, "j", "SUCCEEDED", 9)),
    jobs=ended("SUCCEEDED", LOST, DONE),
)
GANG = replace(
    GOOD,
    signs=life(1, 1.0, 3.0) + life(1, 1.0, 3.1, rank=1),
    jobs=ended("SUCCEEDED", Tried(1, "a", "succeeded", 2)),
)
HALF = tuple(Sign("waiting", at, "j", 1, 0, "a", 9, "boot") for at in (1.2, 1.4))
BROKEN_GANG = replace(
    GANG,
    signs=(*life(1, 1.0, 1.0)[:1], *HALF, *life(2, 2.0, 3.0, site="b"), *life(2, 2.0, 3.0, 1, "b")),
    jobs=ended("SUCCEEDED", Tried(1, "a", "lost", 2), Tried(2, "b", "succeeded", 2)),
)
WITHDRAWN = replace(
    GOOD,
    signs=FIRST,
    cancelled=frozenset({"j"}),
    jobs=ended("CANCELLED", Tried(1, "a", "cancelled", 1)),
)
LATE = tuple(replace(sign, at=sign.at + HALF_GANG_SECONDS_MAX) for sign in HALF)


@pytest.mark.parametrize("evidence", [GOOD, GANG, BROKEN_GANG, WITHDRAWN])
def test_a_good_history_is_good(evidence: Evidence) -> None:
    assert judge(evidence) == []


def test_what_is_allowed_is_allowed() -> None:
    """It came to its end and its word was lost; it succeeded while its cancel was under way."""
    twice = replace(GOOD, signs=life(1, 1.0, 3.0) + SECOND)
    too_late = replace(
        GOOD,
        signs=life(1, 1.0, 3.0),
        cancelled=frozenset({"j"}),
        jobs=ended("CANCELLED", Tried(1, "a", "succeeded", 1)),
    )
    assert judge(twice) == judge(too_late) == []


BAD: list[tuple[Evidence, str, str]] = [
    (replace(GOOD, signs=FIRST + life(2, 2.9, 5.0, site="b")), "overlap", "while attempt 1 lived"),
    (replace(GOOD, signs=life(1, 1.0, 9.0) + SECOND), "overlap", "while attempt 1 lived"),
    (
        replace(GOOD, signs=FIRST + SECOND + (replace(SECOND[0], pid=7),)),
        "overlap",
        "started twice",
    ),
    (
        replace(GANG, signs=(*BROKEN_GANG.signs, replace(HALF[0], at=2.5)), jobs=BROKEN_GANG.jobs),
        "overlap",
        "attempt 2 began while",
    ),
    (replace(GOOD, jobs={}), "lost", "does not know it"),
    (replace(GOOD, taken_for_new=("j",)), "lost", "taken for new"),
    (replace(GOOD, asked=frozenset(), acknowledged=frozenset()), "lost", "never asked for"),
    (
        replace(GOOD, changes=(Change(1.0, "j", "RUNNING", 9), Change(2.0, "j", "RUNNING", 7))),
        "lost",
        "went back",
    ),
    (replace(GOOD, acknowledged=frozenset()), "stuck", "never acknowledged"),
    (replace(GOOD, jobs=ended("RUNNING", LOST, replace(DONE, outcome=""))), "stuck", "RUNNING"),
    (
        replace(GOOD, jobs=ended("FAILED", LOST, replace(DONE, outcome="failed"))),
        "terminal",
        "failed",
    ),
    (replace(WITHDRAWN, cancelled=frozenset()), "terminal", "by nobody"),
    (
        replace(
            GOOD,
            signs=life(1, 1.0, 3.0) + SECOND,
            jobs=ended("SUCCEEDED", replace(LOST, outcome="succeeded"), DONE),
        ),
        "terminal",
        "successes [1, 2]",
    ),
    (
        replace(GOOD, signs=FIRST + life(2, 3.5, 5.0, site="b", end="alive")),
        "terminal",
        "came to their end",
    ),
    (replace(GOOD, signs=FIRST), "terminal", "unseen"),
    (
        replace(GOOD, changes=(Change(1.0, "j", "SUCCEEDED", 7), Change(2.0, "j", "RUNNING", 8))),
        "terminal",
        "left SUCCEEDED",
    ),
    (replace(GOOD, jobs=ended("SUCCEEDED", DONE, LOST)), "epoch", "[2, 1]"),
    (replace(GOOD, signs=life(1, 6.0, 7.0) + SECOND), "epoch", "began after attempt 2"),
    (replace(GOOD, signs=FIRST + SECOND + life(3, 6.0, 7.0)), "epoch", "knows nothing"),
    (replace(GOOD, signs=FIRST + life(2, 3.5, 5.0, site="c")), "epoch", "ran at c"),
    (replace(GANG, signs=life(1, 1.0, 3.0)), "gang", "[0] of 2"),
    (
        replace(BROKEN_GANG, signs=BROKEN_GANG.signs + LATE),
        "gang",
        "[0] of 2",
    ),
    (replace(GANG, signs=GANG.signs + life(1, 1.0, 3.0, rank=2)), "gang", "[0, 1, 2] of 2"),
    (replace(GOOD, reserved=("a: 7 of 8 cards are free",)), "reserved", "7 of 8"),
    (replace(GOOD, leaked=("17: sleep",)), "leaked", "17"),
    (replace(GOOD, died=("broker",)), "harness", "broker"),
    (replace(GOOD, troubles=("no answer",)), "harness", "no answer"),
]


@pytest.mark.parametrize(("evidence", "promise", "text"), BAD)
def test_a_bad_history_is_seen(evidence: Evidence, promise: str, text: str) -> None:
    found = judge(evidence)
    assert any(each.promise == promise and text in each.text for each in found), found


def test_what_is_counted() -> None:
    assert (starts(GOOD), starts(GANG), given_up(GOOD), given_up(GANG)) == (2, 1, 1, 0)


def test_evidence_is_read_as_it_was_written(tmp_path: Path) -> None:
    """By the diary, by the jobs and at the end; half a line counts for nothing."""
    witness = tmp_path / WITNESS_FOLDER
    witness.mkdir()
    for sign in (*FIRST, *SECOND):
        told = (
            sign.event,
            sign.at,
            sign.job_id,
            sign.epoch,
            sign.rank,
            sign.site,
            sign.pid,
            sign.boot,
        )
        with (witness / f"{sign.site}.log").open("a") as file:
            print(*told, file=file)
    diary = Diary(tmp_path / CLIENT_FILE)
    diary.note("submit asked", ids=["j"])
    diary.note("submit acknowledged", ids=["j"])
    for change in GOOD.changes:
        diary.note("seen", job=change.job_id, state=change.state, revision=change.revision)
    diary.close()
    with (tmp_path / CLIENT_FILE).open("a") as file:
        file.write('{"at": 3.0, "event": "submit as')
    attempts: list[dict[str, Any]] = [
        {"epoch": each.epoch, "site": each.site, "outcome": each.outcome, "num_nodes": 1}
        for each in (LOST, DONE)
    ]
    job = {"job_id": "j", "state": "SUCCEEDED", "attempts": attempts, "failure": ""}
    (tmp_path / END_FILE).write_text(json.dumps({"jobs": [job]}))
    read = read_evidence(tmp_path)
    dated = [replace(change, at=0.0) for change in GOOD.changes]
    assert [replace(change, at=0.0) for change in read.changes] == dated
    assert replace(read, changes=GOOD.changes) == GOOD
