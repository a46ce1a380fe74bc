"""The durable state in memory, with its indexes. `apply(record)` is the only mutator.

Everything here can be rebuilt by applying the store's rows; `check()` says what must hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any

from broker.core.digest import attempt_digest
from broker.core.learned_table import LearnedTable
from broker.core.lifecycle import AttemptState, JobState
from broker.core.queue import Queue
from broker.core.rows import (
    Attempt,
    Audit,
    Bundle,
    Dataset,
    Delete,
    Job,
    JoinToken,
    Learned,
    Maintenance,
    NetworkMap,
    PendingJoin,
    Put,
    Record,
    Row,
    Site,
    Spec,
    Tenant,
    Usage,
    Yielding,
)
from scheduler.model import Entitlement
from scheduler.priority import PriorityClass

AUDIT_KEPT = 10_000  # entries in memory


class SiteAttempts:
    """The live attempts at one site: epoch by job, and the digest both sides compare."""

    __slots__ = ("copies", "digest", "epochs", "orphaned", "stopping", "yielding")

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self.stopping: dict[str, int] = {}  # those whose job is being cancelled
        self.orphaned: dict[str, int] = {}  # those whose site was lost
        self.yielding: dict[str, int] = {}  # those that were asked to make room for others
        self.copies: dict[tuple[str, int], None] = {}  # replaced, and not proved dead
        self.digest = 0

    def add(self, job_id: str, epoch: int) -> None:
        self.epochs[job_id] = epoch
        self.digest ^= attempt_digest(job_id, epoch)

    def note(self, job: Job, attempt: Attempt) -> None:
        """What else there is to know of a live attempt, as it is now."""
        for known, holds in (
            (self.stopping, job.state is JobState.CANCELLING),
            (self.orphaned, attempt.state is AttemptState.ORPHANED),
            (self.yielding, attempt.yielding is not None),
        ):
            if holds:
                known[job.id] = attempt.epoch
            elif known:
                known.pop(job.id, None)

    def discard(self, job_id: str) -> None:
        epoch = self.epochs.pop(job_id, None)
        self.stopping.pop(job_id, None)
        self.orphaned.pop(job_id, None)
        self.yielding.pop(job_id, None)
        if epoch is not None:
            self.digest ^= attempt_digest(job_id, epoch)


def _held(attempt: Attempt | None) -> tuple[int, bool]:
    """What must differ for the running counts to change."""
    return (attempt.epoch, attempt.holds_cards) if attempt else (0, False)


def _entitlements(row: Tenant) -> tuple[Entitlement, ...]:
    """Weights and quotas of a tenant and of its projects."""
    own = Entitlement(row.name, "", row.weight, row.quotas)
    return own, *(Entitlement(row.name, p.name, p.weight, p.quotas) for p in row.projects)


class State:
    """Tables by kind of row, and indexes over jobs."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.specs: dict[str, Spec] = {}
        self.sites: dict[str, Site] = {}
        self.tokens: dict[str, JoinToken] = {}
        self.joins: dict[str, PendingJoin] = {}
        self.tenants: dict[str, Tenant] = {}
        self.entitlements: dict[str, tuple[Entitlement, ...]] = {}  # by tenant, its projects' too
        self.datasets: dict[str, Dataset] = {}
        self.bundles: dict[str, Bundle] = {}
        self.network = NetworkMap()
        self.learned = LearnedTable()
        self.usages: dict[tuple[str, str], Usage] = {}  # by tenant and project; latest last
        self.maintenance: Maintenance | None = None
        self.audit: dict[int, Audit] = {}
        self.audit_seq = 0
        self.audit_hash = ""
        self.revision = 0
        # indexes
        self.queue = Queue()
        self.attempts: dict[str, SiteAttempts] = {}  # by site
        self.arrays: dict[str, dict[str, None]] = {}  # array id -> job ids
        self.by_tenant: dict[str, dict[str, None]] = {}  # oldest first
        self.spec_uses: dict[str, int] = {}
        self.finished: dict[str, None] = {}  # oldest first
        self.cards_held: dict[str, int] = {}  # tenant -> cards of live attempts
        self.holdings: dict[tuple[str, str], dict[str, int]] = {}  # project -> cards by model
        self.live_classes: dict[PriorityClass, int] = {}  # live attempts by priority class
        self.yielded: dict[tuple[str, int], Yielding] = {}  # attempts stopped for others, by time
        self.cards_leased: dict[str, int] = {}  # pool key -> cards of live attempts
        self.fetching: dict[str, None] = {}  # jobs whose live attempt waits for inputs
        self.array_live: dict[str, int] = {}  # array id -> live attempts
        self.bundle_uses: dict[str, int] = {}  # bundle -> specs that name it
        self.bundle_bytes = 0
        self.datasets_of: dict[str, int] = {}  # tenant -> datasets that its jobs have written
        self._tables: dict[str, dict[str, Any]] = {  # by the kind that begins a key
            "site": self.sites,
            "token": self.tokens,
            "join": self.joins,
            "tenant": self.tenants,
            "dataset": self.datasets,
            "bundle": self.bundles,
            "spec": self.specs,
        }

    def apply(self, record: Record) -> None:
        """Make one record true. Specs must be applied before the jobs that name them."""
        if isinstance(record, Delete):
            self._delete(record.key)
            return
        row = record.row
        if isinstance(row, Job):
            self._put_job(row)
        elif isinstance(row, NetworkMap):
            self.network = row
        elif isinstance(row, Maintenance):
            self.maintenance = row
        elif isinstance(row, Learned):
            self.learned.put(row)
        elif isinstance(row, Usage):
            self.usages.pop((row.tenant, row.project), None)
            self.usages[row.tenant, row.project] = row
        elif isinstance(row, Audit):
            self.audit[row.seq] = row
            self.audit.pop(row.seq - AUDIT_KEPT, None)  # older entries stay in the store
            self.audit_seq, self.audit_hash = row.seq, row.hash
        else:
            kind, _, name = row.key.partition("/")
            self._count(self._tables[kind].get(name), -1)
            self._count(row, +1)
            self._tables[kind][name] = row
            if isinstance(row, Tenant):
                self.entitlements[name] = _entitlements(row)

    def _delete(self, key: str) -> None:
        kind, _, name = key.partition("/")
        if kind == "job":
            self._delete_job(name)
        elif kind == "maintenance":
            self.maintenance = None
        elif kind == "learned":
            self.learned.delete(key)
        elif kind == "usage":
            tenant, _, project = name.partition("/")
            self.usages.pop((tenant, project), None)
        elif kind in self._tables:
            self._count(self._tables[kind].pop(name, None), -1)
            if kind == "tenant":
                self.entitlements.pop(name, None)

    def _count(self, row: Row | None, sign: int) -> None:
        if isinstance(row, Dataset):
            tenant = row.tenant_of(row.name)
            self.datasets_of[tenant] = self.datasets_of.get(tenant, 0) + sign
        elif isinstance(row, Bundle):
            self.bundle_bytes += sign * len(row.data)
        elif isinstance(row, Spec) and row.bundle_sha256:
            sha256 = row.bundle_sha256
            self.bundle_uses[sha256] = self.bundle_uses.get(sha256, 0) + sign
            if not self.bundle_uses[sha256]:
                del self.bundle_uses[sha256]

    # --- jobs -------------------------------------------------------------

    def _put_job(self, job: Job) -> None:
        old = self.jobs.get(job.id)
        if old is None:
            self.by_tenant.setdefault(job.tenant, {})[job.id] = None
            if job.array_id:
                self.arrays.setdefault(job.array_id, {})[job.id] = None
            self.spec_uses[job.spec_sha256] = self.spec_uses.get(job.spec_sha256, 0) + 1
        else:
            self._unfile(old)
        self.jobs[job.id] = job
        self.revision = max(self.revision, job.revision)
        if job.state is JobState.QUEUED:
            self.queue.add(job, self.specs[job.spec_sha256], again=old is not None)
        elif job.terminal:
            self.finished[job.id] = None
        self._follow(old, job)
        for attempt in job.attempts:
            if attempt.yielding is not None:
                self.yielded.setdefault((job.id, attempt.epoch), attempt.yielding)

    def _unfile(self, job: Job) -> None:
        if job.state is JobState.QUEUED:
            self.queue.discard(job, self.specs[job.spec_sha256])
        elif job.terminal:
            self.finished.pop(job.id, None)

    def _follow(self, old: Job | None, new: Job | None) -> None:
        """Keep account of a job's live attempt; most changes of a job do not change it."""
        before = old.live_attempt if old else None
        after = new.live_attempt if new else None
        moved = _held(before) != _held(after)
        if old is not None and before is not None and moved:
            self._hold(old, before, -1)
            self.attempts[before.site].discard(old.id)
        if new is not None and after is not None:
            site = self.attempts.setdefault(after.site, SiteAttempts())
            if moved:
                self._hold(new, after, +1)
                site.add(new.id, after.epoch)
            site.note(new, after)
            if after.waits_for_inputs:
                self.fetching[new.id] = None
        if old is not None and not (after and after.waits_for_inputs):
            self.fetching.pop(old.id, None)
        self._follow_copies(old, new)

    def _follow_copies(self, old: Job | None, new: Job | None) -> None:
        """Copies hold cards like any attempt, but are no attempt that the job waits for."""
        before = {copy.epoch: copy for copy in old.copies} if old else {}
        after = {copy.epoch: copy for copy in new.copies} if new else {}
        if before.keys() == after.keys():
            return
        for epoch in before.keys() - after.keys():
            assert old is not None
            self._hold_cards(old, before[epoch], -1)
            del self.attempts[before[epoch].site].copies[old.id, epoch]
        for epoch in after.keys() - before.keys():
            assert new is not None
            self._hold_cards(new, after[epoch], +1)
            site = self.attempts.setdefault(after[epoch].site, SiteAttempts())
            site.copies[new.id, epoch] = None

    def _hold_cards(self, job: Job, attempt: Attempt, sign: int) -> None:
        cards = sign * attempt.cards_held
        self.cards_held[job.tenant] = self.cards_held.get(job.tenant, 0) + cards
        self.cards_leased[attempt.pool] = self.cards_leased.get(attempt.pool, 0) + cards
        own = PriorityClass.of(job.priority)
        self.live_classes[own] = self.live_classes.get(own, 0) + sign
        held = self.holdings.setdefault((job.tenant, job.project), {})
        held[attempt.accelerator] = held.get(attempt.accelerator, 0) + cards
        if not held[attempt.accelerator]:
            del held[attempt.accelerator]
            if not held:
                del self.holdings[job.tenant, job.project]

    def _hold(self, job: Job, attempt: Attempt, sign: int) -> None:
        self._hold_cards(job, attempt, sign)
        if job.array_id:
            self.array_live[job.array_id] = self.array_live.get(job.array_id, 0) + sign

    def _delete_job(self, job_id: str) -> None:
        job = self.jobs.pop(job_id, None)
        if job is None:
            return
        self._unfile(job)
        self._follow(job, None)
        for attempt in job.attempts:
            self.yielded.pop((job_id, attempt.epoch), None)
        self.by_tenant[job.tenant].pop(job_id, None)
        if job.array_id:
            members = self.arrays[job.array_id]
            members.pop(job_id, None)
            if not members:
                del self.arrays[job.array_id]
                self.array_live.pop(job.array_id, None)
        self.spec_uses[job.spec_sha256] -= 1
        if not self.spec_uses[job.spec_sha256]:
            del self.spec_uses[job.spec_sha256]

    def order_finished(self) -> None:
        """After a replay: rows come in the order of submission, some indexes are by time."""
        self.yielded = dict(sorted(self.yielded.items(), key=lambda item: item[1].at))
        self.finished = dict.fromkeys(
            sorted(self.finished, key=lambda job_id: self.jobs[job_id].finished_at)
        )

    # --- reading ----------------------------------------------------------

    def live_at(self, site: str) -> Iterator[tuple[Job, Attempt]]:
        """The jobs with a live attempt at `site`, each with that attempt."""
        held = self.attempts.get(site)
        for job_id in tuple(held.epochs) if held else ():
            job = self.jobs[job_id]
            attempt = job.live_attempt
            if attempt is not None:
                yield job, attempt

    def copies_at(self, site: str) -> Iterator[tuple[Job, Attempt]]:
        """The jobs with a replaced attempt at `site` that may be alive, each with that copy."""
        held = self.attempts.get(site)
        for job_id, epoch in tuple(held.copies) if held else ():
            job = self.jobs[job_id]
            copy = job.attempt_of(epoch)
            if copy is not None:
                yield job, copy

    def queued_of(self, tenant: str) -> int:
        return self.queue.by_tenant.get(tenant, 0)

    def check(self) -> None:
        """Assert what must hold of the tables and their indexes."""
        queued = {job.id for job in self.jobs.values() if job.state is JobState.QUEUED}
        assert queued == set(self.queue.ids()), "queue index differs from the jobs"
        for job in self.jobs.values():
            epochs = [attempt.epoch for attempt in job.attempts]
            assert epochs == sorted(set(epochs)), f"epochs of {job.id} do not increase: {epochs}"
            overlaps = self.specs[job.spec_sha256].lease_class == "overlap"
            assert not job.copies or overlaps, f"two live attempts of {job.id}"
            assert all(c.state is AttemptState.ORPHANED for c in job.copies), job.id
            assert not (job.terminal and any(a.live for a in job.attempts)), job.id
            live = job.live_attempt is not None
            busy = job.state in (JobState.PLACED, JobState.RUNNING, JobState.CANCELLING)
            assert live == busy, f"job {job.id} is {job.state} with live attempt: {live}"
            assert job.spec_sha256 in self.specs, f"spec of {job.id} is missing"
        for site, held in self.attempts.items():
            digest = 0
            for job_id, epoch in held.epochs.items():
                attempt = self.jobs[job_id].live_attempt
                assert attempt is not None, f"{job_id} is listed at {site} but has ended"
                assert (attempt.site, attempt.epoch) == (site, epoch), f"{job_id} at {site}"
                digest ^= attempt_digest(job_id, epoch)
            assert digest == held.digest, f"digest of {site} differs"
            for job_id, epoch in held.copies:
                copies = {copy.epoch: copy.site for copy in self.jobs[job_id].copies}
                assert copies.get(epoch) == site, f"copy {job_id}/{epoch} at {site}"
        listed = sum(len(held.copies) for held in self.attempts.values())
        assert listed == sum(len(job.copies) for job in self.jobs.values()), "copies"
        self._check_counts()

    def _check_counts(self) -> None:
        """Assert that the running counts are those that a fresh count gives."""
        fresh = State()
        fresh.specs = self.specs
        for job in self.jobs.values():
            fresh._put_job(job)
        for name in ("cards_held", "cards_leased", "array_live", "live_classes"):
            counted = {key: count for key, count in getattr(self, name).items() if count}
            assert counted == {k: n for k, n in getattr(fresh, name).items() if n}, name
        assert fresh.queue.by_tenant.items() <= self.queue.by_tenant.items()
        assert fresh.queue.count == self.queue.count
        assert fresh.queue.by_key.keys() == self.queue.by_key.keys()
        assert sorted(fresh.queue.late(inf)) == sorted(self.queue.late(inf)), "with a deadline"
        assert fresh.spec_uses == self.spec_uses
        assert fresh.fetching.keys() == self.fetching.keys()
        assert fresh.holdings == self.holdings
        assert fresh.yielded == self.yielded
        assert fresh.finished.keys() == self.finished.keys()


def replay(rows: Iterator[Put]) -> State:
    """The state that these rows give, specs first whatever their order."""
    state = State()
    jobs: list[Put] = []
    for put in rows:
        if isinstance(put.row, Job):
            jobs.append(put)
        else:
            state.apply(put)
    jobs.sort(key=lambda put: (put.row.submitted_at, put.row.key))  # type: ignore[union-attr]
    for put in jobs:
        state.apply(put)
    state.order_finished()
    state.learned.order()
    return state
