"""What jobs themselves say of their lives, and what must hold of it.

A job runs `SCRIPT`, which writes one file per process: a start, signs of life, a stop, each
with the seconds since boot. Agents' and broker's claims are no evidence here; they are what
is compared with it. Knows jobs as the SDK shows them, and nothing of a federation.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from suan.models import Job, JobSpec, JobState, Variant

SIGN = """
log="$WITNESS/$SUAN_JOB_ID.$SUAN_ATTEMPT.$SUAN_NODE_RANK.$$"
sign() {
    read -r clock _ < /proc/uptime
    echo "$1 $clock $SUAN_SITE $SUAN_ACCELERATORS_PER_NODE $PPID" >> "$log"
}
sign start
"""
# A rank of a gang goes on only when all have begun: half a gang would never end well.
WORK = """
set -- "$WITNESS/$SUAN_JOB_ID.$SUAN_ATTEMPT."*
while [ $# -lt "$SUAN_NUM_NODES" ]; do
    sleep 0.05
    set -- "$WITNESS/$SUAN_JOB_ID.$SUAN_ATTEMPT."*
done
for (( tick = 0; tick < TICKS; tick++ )); do
    sign alive
    sleep 0.1
done
sign stop
"""
SCRIPT = SIGN + WORK
TICK_SECONDS = 0.1
TIME_LIMIT_SECONDS = 60.0  # a gang whose other half never came fails by it


@dataclass(frozen=True, slots=True)
class Execution:
    """One process of a job, as it saw itself. Seconds since boot, to a hundredth."""

    job_id: str
    epoch: int
    rank: int
    pid: int
    fence_pid: int
    site: str
    cards: int
    started: float
    seen: float  # its last sign of life
    stopped: bool  # it came to its own end


class Witness:
    """The folder that the jobs write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def spec(
        self, *models: str, seconds: float, nodes: int = 1, cards: int = 1, script: str = SCRIPT
    ) -> JobSpec:
        """A job that works `seconds` on any of the `models`, and says so here."""
        ticks = str(round(seconds / TICK_SECONDS))
        variants = (
            Variant(model, num_nodes=nodes, accelerators_per_node=cards, run=script)
            for model in models
        )
        return JobSpec(
            tuple(variants),
            name="witness",
            environment=(("TICKS", ticks), ("WITNESS", str(self.folder))),
            time_limit_seconds=TIME_LIMIT_SECONDS,
        )

    def executions(self) -> list[Execution]:
        """All processes that have spoken, in order of job, epoch and rank."""
        read = map(self._read, sorted(self.folder.iterdir()))
        return [execution for execution in read if execution is not None]

    def mute(self) -> list[str]:
        """Processes that began and have not spoken, or not yet."""
        return [path.name for path in self.folder.iterdir() if self._read(path) is None]

    def _read(self, path: Path) -> Execution | None:
        job_id, epoch, rank, pid = path.name.split(".")
        whole, _, _ = path.read_text().rpartition("\n")  # a killed process may leave half a line
        lines = [line.split() for line in whole.splitlines()]
        if not lines:
            return None
        assert [line[0] for line in lines].count("start") == 1, f"{path.name} says {whole!r}"
        _, started, site, cards, fence_pid = lines[0]
        return Execution(
            job_id,
            int(epoch),
            int(rank),
            int(pid),
            int(fence_pid),
            site,
            int(cards),
            float(started),
            float(lines[-1][1]),
            lines[-1][0] == "stop",
        )


# --- what must hold ---------------------------------------------------------------


def faults(
    executions: Sequence[Execution], jobs: Mapping[str, Job], cards: Mapping[str, int]
) -> list[str]:
    """What is wrong with this history; `jobs` are all that were acknowledged, by id.

    `cards` says how many each site has. Empty when every job succeeded once, no two attempts
    of one ever lived together, gangs were whole, and no site held more than it has.
    """
    by_job: dict[str, list[Execution]] = defaultdict(list)
    for execution in executions:
        by_job[execution.job_id].append(execution)
    found = [f"{job_id} ran and was never acknowledged" for job_id in by_job.keys() - jobs.keys()]
    for job_id, job in jobs.items():
        found += [f"{job_id}: {fault}" for fault in _faults_of(job, by_job[job_id])]
    return found + list(_overfull(executions, cards))


def run_again(executions: Iterable[Execution]) -> set[str]:
    """The jobs of which more than one attempt began."""
    attempts = {(each.job_id, each.epoch) for each in executions}
    ids = [job_id for job_id, _ in attempts]
    return {job_id for job_id in ids if ids.count(job_id) > 1}


def _faults_of(job: Job, executions: Sequence[Execution]) -> Iterator[str]:
    if job.state is not JobState.SUCCEEDED:
        yield f"ended {job.state} {job.failure}"
    epochs = [attempt.epoch for attempt in job.attempts]  # offers that were refused are left out
    if epochs != sorted(set(epochs)):
        yield f"has the epochs {epochs}"
    successes = [attempt.epoch for attempt in job.attempts if attempt.outcome == "succeeded"]
    if successes != epochs[-1:]:
        yield f"succeeded in the attempts {successes} of {epochs}"
    by_epoch: dict[int, list[Execution]] = defaultdict(list)
    for execution in executions:
        by_epoch[execution.epoch].append(execution)
    for epoch, ranks in by_epoch.items():
        yield from _faults_of_attempt(job, epoch, ranks)
    whole = [epoch for epoch, ranks in by_epoch.items() if all(rank.stopped for rank in ranks)]
    if whole != successes:
        yield f"came to its end in the attempts {whole}, and the broker says {successes}"
    for (epoch, ranks), (later, others) in pairwise(sorted(by_epoch.items())):
        if min(each.started for each in others) < max(each.seen for each in ranks):
            yield f"attempt {later} began while attempt {epoch} lived"


def _faults_of_attempt(job: Job, epoch: int, ranks: Sequence[Execution]) -> Iterator[str]:
    known = next((attempt for attempt in job.attempts if attempt.epoch == epoch), None)
    if known is None:
        yield f"attempt {epoch} ran and the broker knows nothing of it"
        return
    numbers = sorted(each.rank for each in ranks)
    if len(set(numbers)) < len(numbers):
        yield f"attempt {epoch} was started twice: ranks {numbers}"
    elif numbers != [*range(known.num_nodes)]:
        yield f"attempt {epoch} was half a gang: ranks {numbers} of {known.num_nodes}"
    if {each.site for each in ranks} != {known.site}:
        yield f"attempt {epoch} was granted to {known.site} and ran elsewhere too"


def _overfull(executions: Iterable[Execution], cards: Mapping[str, int]) -> Iterator[str]:
    """Sites where more cards were in use at once than there are."""
    changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for each in executions:
        changes[each.site] += [(each.started, each.cards), (each.seen, -each.cards)]
    for site, steps in changes.items():
        used = most = 0
        for _, change in sorted(steps):  # at one instant, ends come before starts
            used += change
            most = max(most, used)
        if most > cards[site]:
            yield f"{site} has {cards[site]} cards and used {most} at once"


# --- what must not be left ------------------------------------------------------------


def processes_left(folder: Path) -> list[str]:
    """Living processes of jobs of the federation in `folder`, and their fences."""
    mark = os.fsencode(folder)
    left = []
    for process in filter(lambda entry: entry.name.isdecimal(), Path("/proc").iterdir()):
        with suppress(OSError):  # it ended meanwhile
            command = (process / "cmdline").read_bytes()
            variables = (process / "environ").read_bytes().split(b"\0")
            of_job = any(each.startswith(b"SUAN_JOB_ID=") for each in variables)
            here = any(each.startswith(b"SUAN_HOSTFILE=" + mark) for each in variables)
            is_fence = b"fence.py\0" + mark in command
            if (of_job and here) or is_fence:
                left.append(f"{process.name}: {command.decode(errors='replace')[:200]}")
    return left
