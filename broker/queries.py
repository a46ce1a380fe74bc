"""Questions about the present, answered by the leader from memory: no effect, no wait.

A query is a value, so that it can cross to another process; `answer` is where it meets
the state. `tenant` empty means the caller may see every tenant's jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from broker.conditions import Condition, condition_of
from broker.core.ignored import Ignored
from broker.core.lifecycle import JobState
from broker.core.messages import SiteFacts
from broker.core.rows import (
    Audit,
    Bundle,
    Dataset,
    Job,
    Maintenance,
    NetworkMap,
    PendingJoin,
    Site,
    Spec,
    Tenant,
)
from broker.core.transaction import Memory
from broker.core.transfers import Booked
from scheduler.model import Pool, SiteState

ID_PART_MIN = 4  # characters of a shortened id
JOBS_SEARCHED_MAX = 100_000  # the newest, for one that is named by a part of its id
JOBS_LOOKED_AT_MAX = 20_000  # for one page: nobody's search may hold up the others


@dataclass(frozen=True, slots=True)
class GetJob:
    """A job by its id, or by an unambiguous beginning or ending of it if it is not too old."""

    id: str
    tenant: str


@dataclass(frozen=True, slots=True)
class JobFound:
    """`matches` is how many jobs the given part of an id fits; `job` is set when it is one."""

    matches: int
    job: Job | None = None
    spec: Spec | None = None
    condition: Condition | None = None
    staging: tuple[int, int] | None = None  # bytes of its inputs, done and in all, while they come


@dataclass(frozen=True, slots=True)
class ListJobs:
    """A page of jobs, newest first, older than the job `before`."""

    tenant: str
    page_size: int
    before: str = ""
    states: tuple[JobState, ...] = ()
    site: str = ""
    array_id: str = ""
    name_prefix: str = ""
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobPage:
    """`next_before`: the `before` of the next page; "" at the end. A page may be short of jobs."""

    jobs: tuple[Job, ...]
    next_before: str
    revision: int


@dataclass(frozen=True, slots=True)
class ListSites:
    """All sites, or the named one."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class SiteView:
    """A registered site with its soft state, if it was heard of."""

    row: Site
    state: SiteState
    facts: SiteFacts | None
    pools: tuple[Pool, ...]
    heard_at: float
    cards_leased: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of a small table: pending | tenants | datasets | network | accelerators."""

    name: str


@dataclass(frozen=True, slots=True)
class GetBundle:
    sha256: str


@dataclass(frozen=True, slots=True)
class GetPending:
    site: str


@dataclass(frozen=True, slots=True)
class ListAudit:
    after_seq: int
    limit: int


@dataclass(frozen=True, slots=True)
class GetMaintenance:
    """What was announced, and which sites have made their longer leases durable."""


@dataclass(frozen=True, slots=True)
class MaintenanceSite:
    name: str
    state: SiteState
    attempts: int
    extended: bool


@dataclass(frozen=True, slots=True)
class MaintenanceView:
    """`extension_seconds`: left of what leases are extended by; `takeback_seconds`: until any
    lease may be taken back again."""

    row: Maintenance
    extension_seconds: float
    takeback_seconds: float
    sites: tuple[MaintenanceSite, ...]


@dataclass(frozen=True, slots=True)
class GetCarried:
    """What transfers take of each link of the network now, in Gb/s; empty: nothing."""


@dataclass(frozen=True, slots=True)
class ListTransfers:
    """The transfers of inputs that are booked, those that are stranded last."""


@dataclass(frozen=True, slots=True)
class Counters:
    """How often something was ignored since this leader began: every name with its count."""


Query = (
    GetJob
    | ListJobs
    | ListSites
    | Table
    | GetBundle
    | GetPending
    | ListAudit
    | GetMaintenance
    | GetCarried
    | ListTransfers
    | Counters
)


def answer(memory: Memory, query: Query) -> Any:
    """The answer to `query`; its type belongs to the query's."""
    return _ANSWERS[type(query)](memory, query)


def _get_job(memory: Memory, query: GetJob) -> JobFound:
    state = memory.state
    exact = state.jobs.get(query.id)
    if exact is not None and query.tenant in ("", exact.tenant):
        return _found(memory, exact)
    if len(query.id) < ID_PART_MIN:
        return JobFound(0)
    fits = [
        job_id
        for job_id in islice(_visible(memory, query.tenant), JOBS_SEARCHED_MAX)
        if job_id.endswith(query.id) or job_id.startswith(query.id)
    ]
    if len(fits) != 1:
        return JobFound(len(fits))
    return _found(memory, state.jobs[fits[0]])


def _found(memory: Memory, job: Job) -> JobFound:
    spec, attempt = memory.state.specs[job.spec_sha256], job.live_attempt
    presence = memory.presence.get(attempt.site) if attempt is not None else None
    staging = None
    if attempt is not None and presence is not None and not attempt.started_at:
        staging = presence.staging.get((job.id, attempt.epoch))
    return JobFound(1, job, spec, condition_of(memory, job), staging)


def _visible(memory: Memory, tenant: str) -> Iterator[str]:
    """Ids, newest first."""
    state = memory.state
    return reversed(state.by_tenant.get(tenant, {}) if tenant else state.jobs)


def _list_jobs(memory: Memory, query: ListJobs) -> JobPage:
    jobs = memory.state.jobs
    if query.ids:
        ids: Iterator[str] = iter(query.ids)
    elif query.array_id:
        ids = reversed(memory.state.arrays.get(query.array_id, {}))
    else:
        ids = _visible(memory, query.tenant)
    if query.before:
        ids = _after(ids, query.before)
    page: list[Job] = []
    last = ""
    for last in islice(ids, JOBS_LOOKED_AT_MAX):
        job = jobs.get(last)
        if job is not None and _fits(job, query):
            page.append(job)
            if len(page) == query.page_size:
                break
    more = next(ids, None) is not None
    return JobPage(tuple(page), last if more else "", memory.state.revision)


def _after(ids: Iterator[str], before: str) -> Iterator[str]:
    for job_id in ids:
        if job_id == before:
            break
    return ids


def _fits(job: Job, query: ListJobs) -> bool:
    attempt = job.attempt
    return (
        query.tenant in ("", job.tenant)
        and (not query.states or job.state in query.states)
        and (not query.site or (attempt is not None and attempt.site == query.site))
        and (not query.array_id or job.array_id == query.array_id)
        and job.name.startswith(query.name_prefix)
    )


def _list_sites(memory: Memory, query: ListSites) -> tuple[SiteView, ...]:
    rows = memory.state.sites
    names = [query.name] if query.name else sorted(rows)
    return tuple(_site_view(memory, rows[name]) for name in names if name in rows)


def _site_view(memory: Memory, row: Site) -> SiteView:
    presence = memory.presence.get(row.name)
    leased = [attempt.cards_held for _, attempt in memory.state.live_at(row.name)]
    if presence is None:
        return SiteView(row, SiteState.UNSEEN, None, (), 0.0, sum(leased), len(leased))
    return SiteView(
        row=row,
        state=presence.state(row.draining),
        facts=presence.facts,
        pools=tuple(use.placeable() for use in presence.pools.values()),
        heard_at=presence.heard_wall,
        cards_leased=sum(leased),
        attempts=len(leased),
    )


def _table(
    memory: Memory, query: Table
) -> tuple[PendingJoin, ...] | tuple[Tenant, ...] | tuple[Dataset, ...] | NetworkMap:
    state = memory.state
    if query.name == "pending":
        return tuple(row for row in state.joins.values() if not row.certificate_pem)
    if query.name == "tenants":
        return tuple(state.tenants.values())
    if query.name == "datasets":
        return tuple(state.datasets.values())
    if query.name == "network":
        return state.network
    raise ValueError(f"no table {query.name}")


def _bundle(memory: Memory, query: GetBundle) -> Bundle | None:
    return memory.state.bundles.get(query.sha256)


def _pending(memory: Memory, query: GetPending) -> PendingJoin | None:
    return memory.state.joins.get(query.site)


def _audit(memory: Memory, query: ListAudit) -> tuple[Audit, ...]:
    kept = memory.state.audit
    newer = (row for seq, row in kept.items() if seq > query.after_seq)
    return tuple(islice(newer, query.limit))


def _maintenance(memory: Memory, _query: GetMaintenance) -> MaintenanceView | None:
    row, now = memory.state.maintenance, memory.ticked_elapsed
    if row is None:
        return None
    sites = []
    for name in sorted(memory.state.sites):
        presence = memory.presence.get(name)
        state = presence.state(memory.state.sites[name].draining) if presence else SiteState.UNSEEN
        held = memory.state.attempts.get(name)
        extended = presence is not None and presence.extended
        sites.append(MaintenanceSite(name, state, len(held.epochs) if held else 0, extended))
    return MaintenanceView(
        row,
        extension_seconds=max(0.0, memory.extended_until - now),
        takeback_seconds=max(0.0, memory.takeback_after - now),
        sites=tuple(sites),
    )


def _counters(memory: Memory, _query: Counters) -> tuple[tuple[str, int], ...]:
    ignored = ((reason.value, memory.ignored.get(reason, 0)) for reason in Ignored)
    return (*ignored, *memory.transfers.counts.named(), *memory.rounds.named())


def _carried(memory: Memory, _query: GetCarried) -> tuple[float, ...]:
    return memory.transfers.carried_gbps(memory.state.network)


def _transfers(memory: Memory, _query: ListTransfers) -> tuple[Booked, ...]:
    return memory.transfers.view()


_ANSWERS: dict[type, Callable[[Memory, Any], Any]] = {
    GetJob: _get_job,
    ListJobs: _list_jobs,
    ListSites: _list_sites,
    Table: _table,
    GetBundle: _bundle,
    GetPending: _pending,
    ListAudit: _audit,
    GetMaintenance: _maintenance,
    GetCarried: _carried,
    ListTransfers: _transfers,
    Counters: _counters,
}
