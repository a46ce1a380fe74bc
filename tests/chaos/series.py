"""Many schedules, some at a time, each in a process and a folder of its own; and their sum.

A schedule that is not judged within its time limit is a violation as well. However a campaign
ends, by Ctrl-C too, every process that it has started is ended, by its number.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.judge import Violation
from tests.chaos.leftovers import kill_all
from tests.chaos.network import namespaces_allowed
from tests.chaos.performance import Verdict, read_verdict
from tests.chaos.story import story

SCHEDULE_SECONDS_MAX = 300.0  # from start to verdict; a quiet machine needs a tenth
END_SECONDS = 45.0  # for a schedule that is asked to end, before it is killed
POLL_SECONDS = 0.1
PROMISES = ("overlap", "lost", "stuck", "terminal", "epoch", "gang", "reserved", "leaked")
STORIES_MAX = 5  # of one schedule
SAID_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Order:
    """One schedule to be done; `control`: without the guard."""

    seed: int
    network: str  # netns | proxy
    control: bool = False

    @property
    def name(self) -> str:
        """Of its folder."""
        return "-".join([str(self.seed), self.network, *(["control"] if self.control else [])])


@dataclass(slots=True)
class _Run:
    order: Order
    folder: Path
    process: subprocess.Popen[bytes]
    began: float


def choose_network(wanted: str) -> str:
    """`auto`: namespaces where they are allowed, else proxies."""
    if wanted != "auto":
        return wanted
    return "netns" if namespaces_allowed() else "proxy"


def campaign(
    orders: Iterable[Order], jobs: int, folder: Path, keep: bool = False
) -> Iterator[tuple[Order, Verdict]]:
    """The verdicts in the order in which they come; `jobs` schedules run at a time.

    Folders of schedules without a violation are removed, unless `keep`.
    """
    waiting = iter(orders)
    running: list[_Run] = []
    try:
        while True:
            while len(running) < jobs and (order := next(waiting, None)) is not None:
                running.append(_start(order, folder))
            if not running:
                return
            for run in [each for each in running if _is_over(each)]:
                running.remove(run)
                verdict = _conclude(run)
                if not verdict.violations and not keep:
                    shutil.rmtree(run.folder)
                yield run.order, verdict
            time.sleep(POLL_SECONDS)
    finally:
        _end(running)


def _start(order: Order, folder: Path) -> _Run:
    place = folder / order.name
    command = [sys.executable, "-m", "tests.chaos.performance"]
    command += ["--seed", str(order.seed), "--folder", str(place), "--network", order.network]
    command += ["--control"] if order.control else []
    if namespaces_allowed():  # so that disks, too, vanish with the processes
        spaces = ["--net", "--mount"] if order.network == "netns" else ["--mount"]
        command[:0] = ["unshare", *spaces, "--propagation", "private", "--"]
    folder.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{order.name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return _Run(order, place, process, time.monotonic())


def _is_over(run: _Run) -> bool:
    late = time.monotonic() - run.began > SCHEDULE_SECONDS_MAX
    return late or run.process.poll() is not None


def _conclude(run: _Run) -> Verdict:
    """Its verdict, or one that says why there is none."""
    status = run.process.poll()
    _end([run])
    log = run.folder.with_name(f"{run.order.name}.log")
    said = log.read_text(errors="replace")[-SAID_CHARACTERS_MAX:]
    verdict = read_verdict(run.folder)
    if verdict is not None and status == 0:
        log.unlink()
        return verdict
    why = "no verdict in time" if status is None else f"no verdict, exit status {status}"
    seconds = round(time.monotonic() - run.began, 1)
    trouble = Violation("harness", "", f"{why}: {said.strip()}")
    return Verdict(run.order.seed, {}, 0, 0, 0, 0, 0.0, seconds, (trouble,))


def _end(runs: Sequence[_Run]) -> None:
    """End these schedules and all that they have started."""
    for run in runs:
        if run.process.poll() is None:
            run.process.terminate()
    for run in runs:
        try:
            run.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()
        kill_all(run.folder)


# --- what is told ---------------------------------------------------------------------


def line_of(verdict: Verdict) -> str:
    outcome = f"{len(verdict.violations)} VIOLATIONS" if verdict.violations else "ok"
    return (
        f"schedule {verdict.seed}: {sum(verdict.faults.values())} faults, "
        f"{verdict.acknowledged} jobs, {verdict.starts} starts, {verdict.given_up} lost, "
        f"settled in {verdict.settle_seconds:g} s, {verdict.seconds:g} s: {outcome}"
    )


def tell(order: Order, verdict: Verdict, folder: Path, say: Callable[[str], None]) -> None:
    """All about the violations of one schedule, and how to do it again."""
    for violation in verdict.violations:
        say(f"  {violation}")
    place = folder / order.name
    told = dict.fromkeys(violation.job_id for violation in verdict.violations)
    for job_id in list(told)[:STORIES_MAX]:
        say(f"  the story of {f'job {job_id}' if job_id else 'the faults'}:")
        for line in story(place, job_id):
            say(f"    {line}")
    say(f"  all logs: {place}")
    say(
        f"  again (the same faults at the same moments; all else is real time and may differ):\n"
        f"    python -m tests.chaos --schedules {order.seed} --network {order.network}"
    )


def summary(verdicts: Sequence[Verdict], seconds: float) -> str:
    """The sum of a campaign, in one line for each kind of figure."""
    faults: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    for verdict in verdicts:
        faults.update(verdict.faults)
        broken.update(violation.promise for violation in verdict.violations)
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
    settled = sorted(verdict.settle_seconds for verdict in verdicts) or [0.0]
    told = [*PROMISES, *(["harness"] if broken["harness"] else [])]
    return "\n".join(
        (
            f"schedules {len(verdicts)}, seconds {seconds:.0f}",
            f"faults {faults.total()}: {by_kind}",
            f"jobs submitted {sum(v.submitted for v in verdicts)}, "
            f"acknowledged {sum(v.acknowledged for v in verdicts)}, "
            f"starts {sum(v.starts for v in verdicts)}, "
            f"attempts given up {sum(v.given_up for v in verdicts)}",
            f"seconds from the last fault to the last job's end: median "
            f"{settled[len(settled) // 2]:g}, longest {settled[-1]:g}",
            "violations: " + ", ".join(f"{promise} {broken[promise]}" for promise in told),
        )
    )
