"""A model agent's attempts: taken, started, stopped, ended, and reported."""

from __future__ import annotations

from math import inf

from support_core import WALL
from support_sim_rules import Key
from support_sim_run import Run
from support_sim_site import Attempt, Site

from broker.core.messages import Grant, Report, Reports
from broker.core.rows import Failure

START_MARGIN_SECONDS = 5.0
NOT_STARTED = Failure("site", "NotStarted", "it was never started here and never will be")
NO_CARDS = Failure("site", "NotEnoughCards", "the cards are no longer free")
TOO_SHORT = Failure("network", "LeaseTooShort", "too little of the lease is left")
ENDINGS = {  # why a run is over -> outcome, failure
    "succeeded": ("succeeded", None),
    "failed": ("failed", Failure("user", "NonZeroExit")),
    "LeaseEnded": ("lost", Failure("network", "LeaseEnded")),
    "Cancelled": ("cancelled", Failure("user", "Cancelled")),
    "Superseded": ("cancelled", Failure("broker", "Superseded")),
    "MachineRebooted": ("lost", Failure("site", "MachineRebooted")),
}


class Attempts(Site):
    """An epoch is started at most once, never after a promise, never past its lease."""

    guard_lives_apart = True  # a mutant puts it into the agent
    lease_from_receipt = False  # a mutant counts leases from when the answer came
    _reconciled: bool
    _anchors: dict[int, float]
    _grant_seq: int

    # --- attempts -----------------------------------------------------------------------

    def _take(self, grant: Grant) -> None:
        key = grant.job_id, grant.epoch
        if grant.epoch <= self.disk.marks.get(grant.job_id, 0):
            return  # held already, or promised never to start
        self.disk.marks[grant.job_id] = grant.epoch
        now = self.machine.elapsed()
        sent_at = self._anchors.get(grant.anchor_seq, -inf)
        origin = now if self.lease_from_receipt else sent_at
        deadline = inf if grant.lease_class == "proof" else origin + grant.lease_seconds
        if deadline - now <= START_MARGIN_SECONDS:
            self._report(key, "rejected", "rejected", TOO_SHORT)
            return
        free = self._node()
        if any(free.nodes_fitting(part.cards) < part.nodes for part in grant.slices):
            self._report(key, "rejected", "rejected", NO_CARDS)
            return
        self.disk.attempts[key] = Attempt(key, grant.slices, grant.lease_seconds, deadline, now)
        self._tell(key, f"accepts {key[1]}")
        slow = self.world.between(0.0, 30.0 if self.world.chance(0.1) else 2.0)
        self._later(slow, lambda: self._begin(key))

    def _begin(self, key: Key) -> None:
        attempt = self.disk.attempts.get(key)
        if attempt is None or attempt.phase != "accepted":
            return
        if attempt.stop or attempt.deadline <= self.machine.elapsed():
            self._never_started(attempt)
            return
        self.machine.runs[key] = Run(
            self.machine, key, attempt.deadline, self._over, self._is_guarded
        )
        if self.world.chance(0.05):
            self.crash(self.world.between(1.0, 60.0))  # before it is written down
        else:
            self._adopt(attempt)

    def _is_guarded(self) -> bool:
        return self.guard_lives_apart or (self.up and self.world.now >= self.paused_until)

    def _adopt(self, attempt: Attempt) -> None:
        attempt.phase = "running"
        self._report(attempt.key, "started")
        if attempt.stop:
            self.machine.runs[attempt.key].kill(attempt.stop, self.world.between(0.0, 8.0))

    def _never_started(self, attempt: Attempt) -> None:
        attempt.phase = "ended"
        self._report(attempt.key, "rejected", "rejected", NOT_STARTED)

    def _over(self, run: Run) -> None:
        if run.machine is self.machine:
            self._later(0.0, lambda: self._ended(run))

    def _ended(self, run: Run) -> None:
        attempt = self.disk.attempts.get(run.key)
        if attempt is None or attempt.phase == "ended":
            return
        if attempt.phase == "accepted":
            self._report(attempt.key, "started")
        attempt.phase = "ended"
        outcome, failure = ENDINGS[run.result]
        self._report(run.key, "ended", outcome, failure)
        self._later(self.world.between(0.0, 1.0), self._tell_capacity)

    def _recover(self) -> None:
        """After a crash nothing is started: what the machine has is adopted or told."""
        for attempt in list(self.disk.attempts.values()):
            if attempt.phase == "ended":
                continue
            run = self.machine.runs.get(attempt.key)
            if run is None:
                self._never_started(attempt)
            elif not run.alive:
                self._ended(run)
            elif attempt.phase == "accepted":
                self._adopt(attempt)

    def _stop(self, key: Key, reason: str) -> None:
        attempt = self.disk.attempts.get(key)
        if attempt is None:
            if self.disk.marks.get(key[0], 0) < key[1]:
                self._promise(key)
            return
        if attempt.phase == "accepted":
            attempt.stop = attempt.stop or reason
            if key not in self.machine.runs:
                self._never_started(attempt)
        elif attempt.phase == "running":
            attempt.stop = attempt.stop or reason
            self.machine.runs[key].kill(attempt.stop, self.world.between(0.0, 8.0))

    def _promise(self, key: Key) -> None:
        """Never to start it. What is held, or known to have been here, is no promise."""
        if key in self.disk.attempts:
            return
        self.disk.marks[key[0]] = max(self.disk.marks.get(key[0], 0), key[1])
        self._tell(key, f"promises never to start {key[1]}")
        self._report(key, "rejected", "rejected", NOT_STARTED)

    # --- reports ----------------------------------------------------------------------

    def _report(
        self, key: Key, kind: str, outcome: str = "", failure: Failure | None = None
    ) -> None:
        self._tell(key, f"reports {kind} {key[1]} {outcome}")
        self.disk.report_seq += 1
        report = Report(
            self.disk.report_seq, *key, kind, WALL + self.world.now, outcome, failure=failure
        )
        self.disk.outbox[report.report_seq] = report
        if self.stream is not None and self._reconciled:
            self._up(Reports(self.site, self.stream.session, (report,)))

    def _send_outbox(self) -> None:
        self._progress_at = self.machine.elapsed()
        if self.disk.outbox and self.stream is not None and self._reconciled:
            reports = tuple(self.disk.outbox.values())
            self._up(Reports(self.site, self.stream.session, reports))

    def _tell(self, key: Key, text: str) -> None:
        self.world.rules.tell(key[0], self.site, text)
