"""One schedule, from an empty folder to its verdict: `python -m tests.chaos.performance`.

Starts the federation, lets the client submit, does the faults, heals all, waits within bounds
until every job has ended, takes everything down and judges what the jobs have written. The
same seed gives the same faults at the same moments; the processes beside them run in real
time, so a schedule that is done again need not end as it did before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from bench.federation import wait_until
from suan.errors import SuanError
from suan.models import Job
from tests.chaos.evidence import (
    CLIENT_FILE,
    END_FILE,
    FAULTS_FILE,
    WITNESS_FOLDER,
    Diary,
    Sign,
    read_evidence,
    read_lines,
    read_signs,
)
from tests.chaos.faults import SCHEDULE_SECONDS, Fault, Kind, control, schedule
from tests.chaos.judge import Violation, given_up, judge, starts
from tests.chaos.leftovers import kill_all, wait_gone
from tests.chaos.load import Load
from tests.chaos.network import open_network
from tests.chaos.script import control_wishes, wishes
from tests.chaos.stage import Stage, cards_not_free, open_stage

VERDICT_FILE = "verdict.json"
POLL_SECONDS = 0.2
SETTLE_SECONDS = 90.0  # from the last fault's end to the last job's
FREE_SECONDS = 20.0  # and until all cards are free
GONE_SECONDS = 10.0  # and until all processes have ended


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one schedule."""

    seed: int
    faults: dict[str, int]  # how many of each kind hit something
    submitted: int
    acknowledged: int
    starts: int
    given_up: int  # attempts that were lost, so that their jobs were tried again
    settle_seconds: float
    seconds: float
    violations: tuple[Violation, ...]

    def write(self, folder: Path) -> None:
        (folder / VERDICT_FILE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def read_verdict(folder: Path) -> Verdict | None:
    """None while there is none."""
    try:
        values = json.loads((folder / VERDICT_FILE).read_text())
    except (OSError, ValueError):
        return None
    violations = tuple(Violation(**each) for each in values.pop("violations"))
    return Verdict(violations=violations, **values)


def perform(seed: int, folder: Path, network: str, unguarded: bool = False) -> Verdict:
    """Do the schedule of `seed` in `folder`, which is not there yet.

    `unguarded`: the control instead, which must be seen.
    """
    began = time.monotonic()
    (folder / WITNESS_FOLDER).mkdir(parents=True)
    chance = random.Random(f"performance {seed}")
    with (
        closing(Diary(folder / FAULTS_FILE)) as diary,
        closing(Diary(folder / CLIENT_FILE)) as client_diary,
        open_stage(folder, open_network(network), diary, chance) as stage,
    ):
        unable = frozenset() if stage.has_disks else frozenset({Kind.DISK_FULL})
        witness = folder / WITNESS_FOLDER
        wanted = wishes(witness, random.Random(f"jobs {seed}"))
        jobs = control_wishes(witness) if unguarded else wanted
        federation = stage.federation
        load = Load(federation.address, federation.user, jobs, random.Random(seed), client_diary)
        load.start()
        with closing(load):
            faults = control(_begun_at(witness)) if unguarded else schedule(seed, unable)
            _carry_out(stage, faults)
            diary.note("healed")
            healed = time.monotonic()
            end = _settle(stage, load)
            settle_seconds = time.monotonic() - healed
        federation.stop()
        end["leaked"] = [str(left) for left in wait_gone(folder, GONE_SECONDS)]
        (folder / END_FILE).write_text(json.dumps(end, indent=1) + "\n")
        kill_all(folder)
    return _verdict(seed, folder, settle_seconds, time.monotonic() - began)


def _begun_at(witness: Path) -> str:
    """The site of the first job, once it has begun. Raises TimeoutError."""
    signs: list[Sign] = wait_until(lambda: read_signs(witness), "a job to begin")
    return signs[0].site


def _verdict(seed: int, folder: Path, settle_seconds: float, seconds: float) -> Verdict:
    evidence = read_evidence(folder)
    kinds = [line["kind"] for line in read_lines(folder / FAULTS_FILE) if line.get("hit")]
    verdict = Verdict(
        seed,
        {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        len(evidence.asked),
        len(evidence.acknowledged),
        starts(evidence),
        given_up(evidence),
        round(settle_seconds, 1),
        round(seconds, 1),
        tuple(judge(evidence)),
    )
    verdict.write(folder)
    return verdict


def _carry_out(stage: Stage, faults: Sequence[Fault]) -> None:
    """Begin and end each fault at its moment, until the schedule's time is over."""
    steps: list[tuple[float, Callable[[], None]]] = [(SCHEDULE_SECONDS, lambda: None)]
    for fault in faults:
        steps.append((fault.at_seconds, partial(stage.begin, fault)))
        if fault.lasts:
            steps.append((fault.end_seconds, partial(stage.end, fault)))
    start = time.monotonic()
    for at, act in sorted(steps, key=lambda step: step[0]):
        while (wait := start + at - time.monotonic()) > 0:
            time.sleep(min(wait, POLL_SECONDS))
            stage.keep_alive()
        act()


def _settle(stage: Stage, load: Load) -> dict[str, Any]:
    """Wait, within bounds, for the end of all jobs; what the broker then says of them."""
    trouble = load.end_asking()
    asked = tuple(load.acknowledged)
    with stage.federation.client() as client:
        jobs: dict[str, Job] = {}
        reserved: tuple[str, ...] = ()

        def ended() -> bool:
            stage.keep_alive()
            with suppress(SuanError):  # asked again
                jobs.update({job.id: job for job in client.list()})
            return all(job_id in jobs and jobs[job_id].state.terminal for job_id in asked)

        def all_free() -> bool:
            nonlocal reserved
            reserved = cards_not_free(client.offers())
            return not reserved

        _wait(ended, SETTLE_SECONDS)
        _wait(all_free, FREE_SECONDS)
        known = {job.id for job in client.list()}
        final = [client.get(job_id) for job_id in asked if job_id in known]
    return {
        "jobs": [_told(job) for job in final],
        "died": stage.died,
        "reserved": reserved,
        "troubles": [trouble] if trouble else [],
    }


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    """Until it holds, but no longer: what does not hold then is for the judge."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(POLL_SECONDS)


def _told(job: Job) -> dict[str, Any]:
    attempts = [
        {
            "epoch": attempt.epoch,
            "site": attempt.site,
            "outcome": attempt.outcome,
            "num_nodes": attempt.num_nodes,
        }
        for attempt in job.attempts
    ]
    failure = f"{job.failure.code}: {job.failure.message}" if job.failure else ""
    return {
        "job_id": job.id,
        "state": str(job.state),
        "attempts": attempts,
        "failure": failure,
    }


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def main() -> None:
    """Exit status 0: judged (the verdict says how); else the harness failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--network", choices=("netns", "proxy"), required=True)
    parser.add_argument("--control", action="store_true", help="without the guard")
    arguments = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the broker is near
    signal.signal(signal.SIGTERM, _end)
    perform(arguments.seed, arguments.folder.absolute(), arguments.network, arguments.control)


if __name__ == "__main__":
    main()
