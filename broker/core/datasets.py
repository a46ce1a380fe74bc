"""Datasets of tenants: whose a name is, and the row that a committed output becomes.

By name alone: `<tenant>/<name>` is written by that tenant's jobs and read by nobody else's, a
name without a slash is the federation's, which administrators write. Derived data inherits
residency: what a job writes may go nowhere that something it has read may not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from broker.core.commit import Commit
from broker.core.data_messages import DeleteDataset
from broker.core.messages import Done, Refusal, Reply
from broker.core.rows import Attempt, Dataset, Failure, Job, Replica, Spec
from broker.core.transaction import Transaction

MANIFEST = "#manifest="  # and the SHA-256 of what lies there, which lists the files


def is_manifest(location: str) -> bool:
    return MANIFEST in location


def may_read(tenant: str, name: str) -> bool:
    return Dataset.tenant_of(name) in ("", tenant)


def may_write(tenant: str, name: str) -> bool:
    return bool(tenant) and Dataset.tenant_of(name) == tenant


def foreign(tenant: str, spec: Spec) -> Refusal | None:
    """Why a job of that tenant may not have this specification, if some dataset is not its own."""
    for path, name in spec.writes:
        if not may_write(tenant, name):
            return Refusal(
                "NotYourDataset",
                f"output {path} would become dataset {name}, which is not below {tenant}/",
                "PERMISSION_DENIED",
                f"write `dest: ds://{tenant}/<name>`",
            )
    for name in spec.demand.inputs:
        if not may_read(tenant, name):
            return Refusal(
                "NotYourDataset",
                f"input ds://{name} is another organisation's",
                "PERMISSION_DENIED",
                f"read what is below ds://{tenant}/, or a dataset of the federation",
            )
    return None


def crowded(tx: Transaction, tenant: str, spec: Spec) -> Refusal | None:
    """Whether the catalogue has no room for what such a job writes."""
    new = {name for _, name in spec.writes} - tx.state.datasets.keys()
    why = _no_room(tx, tenant, len(new)) if new else ""
    if not why:
        return None
    hint = "remove what nobody reads any more: `suan dataset remove NAME`"
    return Refusal("TooManyDatasets", why, "RESOURCE_EXHAUSTED", hint)


def regions_of(
    tx: Transaction, spec: Spec, before: Iterable[Attempt] = ()
) -> frozenset[str] | None:
    """Where what such a job reads now, and what `before` were told to read, may all be.

    None: anywhere. It does not grow when an input is registered anew or removed meanwhile.
    """
    rows = (tx.state.datasets.get(name) for name in spec.demand.inputs)
    bounds = [row.regions_allowed for row in rows if row is not None and row.regions_allowed]
    bounds += [attempt.regions for attempt in before if attempt.regions]
    return frozenset(bounds[0]).intersection(*bounds) if bounds else None


def publish(tx: Transaction, job: Job, commit: Commit) -> Commit:
    """Make an output that its job wants as a dataset one, in place of what had that name.

    The commit says which it became, if any. Whoever was granted before reads what it was told.
    """
    name = dict(tx.spec_of(job).writes).get(commit.path, "")
    if not name or _obstacle(tx, job, name, commit.site) is not None:
        return commit
    place = Replica(commit.site, f"{commit.url}{MANIFEST}{commit.sha256}")
    regions = regions_of(tx, tx.spec_of(job), job.attempts) or ()
    tx.put(Dataset(name, commit.size_bytes, (place,), tuple(sorted(regions))))
    return replace(commit, dataset=name)


def unwritten(tx: Transaction, job: Job, attempt: Attempt) -> Failure | None:
    """Why an attempt's success is none: some dataset that it was to write is not there."""
    for path, name in tx.spec_of(job).writes:
        told = [each for each in job.outputs if (each.epoch, each.path) == (attempt.epoch, path)]
        if not told:
            message = f"{attempt.site} has told of no commit of output {path}"
            return Failure("site", "OutputFailed", message)
        if told[-1].dataset != name:
            full = Failure("policy", "TooManyDatasets", f"there was no room for dataset {name}")
            return _obstacle(tx, job, name, attempt.site) or full
    return None


def on_delete_dataset(tx: Transaction, event: DeleteDataset) -> Reply:
    """Forget a dataset, as an administrator (`tenant` empty) or as a user of its tenant."""
    if event.tenant and not may_write(event.tenant, event.name):
        return Refusal(
            "NotYourDataset",
            f"dataset {event.name} is not below {event.tenant}/",
            "PERMISSION_DENIED",
            "ask an administrator of the federation",
        )
    if event.name not in tx.state.datasets:
        hint = "see `suan dataset list`"
        return Refusal("DatasetNotFound", f"no dataset {event.name}", "NOT_FOUND", hint)
    key = tx.state.datasets[event.name].key
    tx.audit(event.actor, "dataset.delete", key)
    tx.delete(key)
    return Done()


def _obstacle(tx: Transaction, job: Job, name: str, site: str) -> Failure | None:
    """Why what a job has written at a site cannot become that dataset."""
    if not may_write(job.tenant, name):
        message = f"dataset {name} is not below {job.tenant}/"
        return Failure("user", "NotYourDataset", message)
    presence = tx.memory.presence.get(site)
    region = presence.facts.profile.region if presence else ""
    regions = regions_of(tx, tx.spec_of(job), job.attempts)
    if regions is not None and region not in regions:
        message = f"{site} lies in {region or 'no region'}, where nothing may be made of its inputs"
        return Failure("policy", "DataResidency", message)
    why = "" if name in tx.state.datasets else _no_room(tx, job.tenant, 1)
    return Failure("policy", "TooManyDatasets", why) if why else None


def _no_room(tx: Transaction, tenant: str, new: int) -> str:
    limits, state = tx.limits, tx.state
    if len(state.datasets) + new > limits.datasets_max:
        return f"the catalogue is full: {limits.datasets_max} datasets"
    if state.datasets_of.get(tenant, 0) + new > limits.datasets_per_tenant_max:
        return f"tenant {tenant} has {limits.datasets_per_tenant_max} datasets, its limit"
    return ""
