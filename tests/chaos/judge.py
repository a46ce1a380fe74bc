"""What must hold of a schedule: a pure function over its evidence.

The jobs are the witnesses. What the agents and the broker say of them is compared with what
they wrote themselves, and never counts instead. Knows no process, no clock and no file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.evidence import Change, Ended, Evidence, Sign

TERMINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
# A gang whose launcher dies in the middle is half there until the kernel has ended it.
HALF_GANG_SECONDS_MAX = 2.0

Ranks = Mapping[int, Sequence[Sign]]


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise; `job_id` "" where it is nobody's own."""

    promise: str  # overlap | lost | stuck | terminal | epoch | gang | reserved | leaked | harness
    job_id: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {f'job {self.job_id} ' if self.job_id else ''}{self.text}"


def judge(evidence: Evidence) -> list[Violation]:
    """All that is wrong, by job; empty when every promise was kept."""
    by_job: dict[str, list[Sign]] = defaultdict(list)
    for sign in evidence.signs:
        by_job[sign.job_id].append(sign)
    found = list(_whole(evidence))
    found += [
        Violation("lost", job, "ran and was never asked for")
        for job in by_job.keys() - evidence.asked
    ]
    for job_id in sorted(evidence.acknowledged):
        found += _acknowledged(job_id, evidence)
    for job_id in by_job.keys() | evidence.jobs.keys():
        found += _executions(job_id, by_job[job_id], evidence.jobs.get(job_id))
    return found + list(_changes(evidence.changes))


def starts(evidence: Evidence) -> int:
    """Executions that began; a gang counts once."""
    return len({(sign.job_id, sign.epoch) for sign in evidence.signs})


def given_up(evidence: Evidence) -> int:
    """Attempts that the broker or a site gave up for lost."""
    tried = (attempt for job in evidence.jobs.values() for attempt in job.attempts)
    return sum(attempt.outcome == "lost" for attempt in tried)


def _whole(evidence: Evidence) -> Iterator[Violation]:
    for trouble in evidence.troubles:
        yield Violation("harness", "", trouble)
    for name in evidence.died:
        yield Violation("harness", "", f"ended by itself: {name}")
    for left in evidence.reserved:
        yield Violation("reserved", "", left)
    for process in evidence.leaked:
        yield Violation("leaked", "", f"process {process}")
    for job_id in evidence.taken_for_new:
        yield Violation("lost", job_id, "was acknowledged, sent again and taken for new")
    for job_id in sorted(evidence.asked - evidence.acknowledged):
        yield Violation("stuck", job_id, "was sent again and again and never acknowledged")


def _acknowledged(job_id: str, evidence: Evidence) -> Iterator[Violation]:
    """Of one acknowledged job: it is there, it has ended, once, and well."""
    job = evidence.jobs.get(job_id)
    if job is None:
        yield Violation("lost", job_id, "was acknowledged and the broker does not know it")
        return
    if job.state not in TERMINAL:
        yield Violation("stuck", job_id, f"is still {job.state}")
    if job.state == "FAILED":
        yield Violation("terminal", job_id, f"failed: {job.failure}")
    if job.state == "CANCELLED" and job_id not in evidence.cancelled:
        yield Violation("terminal", job_id, "was cancelled by nobody")
    epochs = [attempt.epoch for attempt in job.attempts]
    if any(later <= epoch for epoch, later in pairwise(epochs)):
        yield Violation("epoch", job_id, f"has the epochs {epochs}")
    succeeded = [attempt.epoch for attempt in job.attempts if attempt.outcome == "succeeded"]
    # One that succeeded while its cancel was under way is cancelled all the same.
    expected = {"SUCCEEDED": [epochs[-1:]], "CANCELLED": [[], epochs[-1:]]}.get(job.state, [[]])
    if succeeded not in expected:
        yield Violation(
            "terminal", job_id, f"is {job.state} with successes {succeeded} of {epochs}"
        )


def _executions(job_id: str, signs: Sequence[Sign], job: Ended | None) -> Iterator[Violation]:
    """Of one job: its executions follow each other, each whole, each where it was granted."""
    by_epoch: dict[int, list[Sign]] = defaultdict(list)
    for sign in signs:
        by_epoch[sign.epoch].append(sign)
    lives = sorted((own[0].at, own[-1].at, epoch) for epoch, own in by_epoch.items())
    latest, whose = float("-inf"), 0
    for began, seen, epoch in lives:
        if began < latest:
            early = f"{latest - began:.2f} s before its last sign"
            text = f"attempt {epoch} began while attempt {whose} lived, {early}"
            yield Violation("overlap", job_id, text)
        elif epoch < whose:
            yield Violation("epoch", job_id, f"attempt {epoch} began after attempt {whose}")
        if seen > latest:
            latest, whose = seen, epoch
    for epoch, own in by_epoch.items():
        yield from _execution(job_id, epoch, own, job)
    for tried in job.attempts if job else ():
        if tried.outcome == "succeeded" and tried.epoch not in by_epoch:
            yield Violation("terminal", job_id, f"succeeded in attempt {tried.epoch}, unseen")


def _execution(
    job_id: str, epoch: int, signs: Sequence[Sign], job: Ended | None
) -> Iterator[Violation]:
    started = [sign.rank for sign in signs if sign.event == "start"]
    if len(set(started)) < len(started):
        yield Violation(
            "overlap", job_id, f"attempt {epoch} was started twice: ranks {sorted(started)}"
        )
    tried = next((each for each in job.attempts if each.epoch == epoch), None) if job else None
    if job is None:
        return
    if tried is None:
        yield Violation("epoch", job_id, f"ran attempt {epoch}, of which the broker knows nothing")
        return
    if strangers := {sign.site for sign in signs} - {tried.site}:
        text = (
            f"attempt {epoch} was granted to {tried.site} and ran at {', '.join(sorted(strangers))}"
        )
        yield Violation("epoch", job_id, text)
    yield from _gang(job_id, epoch, signs, tried.num_nodes)
    stopped = {sign.rank for sign in signs if sign.event == "stop"}
    if tried.outcome == "succeeded" and stopped != set(range(tried.num_nodes)):
        text = (
            f"succeeded in attempt {epoch}, of which the ranks {sorted(stopped)} came to their end"
        )
        yield Violation("terminal", job_id, text)


def _gang(job_id: str, epoch: int, signs: Sequence[Sign], num_nodes: int) -> Iterator[Violation]:
    """All ranks or none: fewer may be there only for the moment that it takes to end them."""
    ranks = {sign.rank for sign in signs if sign.event == "start"}
    if ranks == set(range(num_nodes)):
        return
    span = signs[-1].at - signs[0].at
    worked = any(sign.event in ("alive", "stop") for sign in signs)
    if (
        num_nodes == 1
        or worked
        or span > HALF_GANG_SECONDS_MAX
        or not ranks < set(range(num_nodes))
    ):
        text = f"attempt {epoch} ran for {span:.1f} s with the ranks {sorted(ranks)} of {num_nodes}"
        yield Violation("gang", job_id, text)


def _changes(changes: Sequence[Change]) -> Iterator[Violation]:
    """No job leaves a terminal state, and none goes back in its revisions."""
    last: dict[str, Change] = {}
    for change in changes:
        before = last.get(change.job_id)
        if before is not None and change.revision < before.revision:
            text = f"went back from revision {before.revision} to {change.revision}"
            yield Violation("lost", change.job_id, text)
        if before is not None and before.state in TERMINAL and change.state != before.state:
            text = f"left {before.state} for {change.state}"
            yield Violation("terminal", change.job_id, text)
        last[change.job_id] = change
