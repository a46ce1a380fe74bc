"""May this grant be taken? The site's own rules, the cards, and what is left of the lease.

Reads, changes nothing; a refusal is a value with a code. The order of the questions is the
order of reliability.md 5.6, with the site's rules first: its policy always wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.backends import LeaseClass, NodeShare, RunOrder
from agent.inventory import DeclaredPool, Inventory, Refusal
from agent.supervisor.ignored import LEASE_SECONDS_MAX
from agent.supervisor.publications import destination_refusal
from agent.supervisor.values import NEVER, Failure, Grant, Mode, Settings, Task

JOURNAL_FULL = Failure(
    "site",
    "DiskFull",
    "the disk of the site's agent is full; it takes no new jobs until there is room",
)
NOT_RECONCILED = Failure(
    "broker", "NotReconciled", "granted before the site's attempts were reconciled"
)
NO_IMAGES = "this site runs jobs natively, not in container images; leave `image` out"
BAD_LEASE = Failure("broker", "BadGrant", "the length of its lease makes no sense")
STALE_EPOCH = Failure(
    "broker", "StaleEpoch", "this attempt, or a later one of its job, was here before"
)
_MODES: Mapping[Mode, Failure] = MappingProxyType(
    {
        Mode.PAUSED: Failure("site", "SitePaused", "the site's operator has paused it"),
        Mode.DRAINING: Failure("site", "SiteDraining", "the site is being drained"),
        Mode.SHADOW: Failure("site", "SitePaused", "the site only reports yet: it is in shadow"),
    }
)
_PLACES: Mapping[Refusal, Failure] = MappingProxyType(
    {
        Refusal.CAPACITY_GONE: Failure("site", "NotEnoughCards", "the cards are no longer free"),
        Refusal.UNKNOWN_POOL: Failure("broker", "UnknownPool", "the site has no such pool"),
        Refusal.UNKNOWN_SUPERNODE: Failure(
            "broker", "UnknownSupernode", "the pool has no such supernode"
        ),
        Refusal.BAD_SHAPE: Failure(
            "broker", "BadShape", "the place that was granted has not the job's shape"
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a grant gets."""

    task: Task
    nodes: tuple[NodeShare, ...]
    deadline: float  # elapsed seconds


def site_refusal(
    grant: Grant, task: Task, settings: Settings, mode: Mode, canary: tuple[str, ...] = ()
) -> Failure | None:
    """The site's own rules; `canary`: whose jobs it takes in that mode."""
    if mode in _MODES:
        return _MODES[mode]
    tenant, allowed = grant.tenant, settings.tenants_allowed
    if mode is Mode.CANARY and tenant not in canary:
        message = f"the site is tried out, and takes no jobs of tenant {tenant!r} yet"
        return Failure("policy", "SiteRuleRefused", message)
    if tenant in settings.tenants_denied or (allowed and tenant not in allowed):
        return Failure("policy", "SiteRuleRefused", f"the site runs no jobs of tenant {tenant!r}")
    if settings.tenants_mapped and tenant not in settings.tenants_mapped:
        message = f"tenant {tenant!r} has no local account at this site"
        return Failure("policy", "TenantNotMapped", message)
    if task.image and not settings.runs_images:
        return Failure("policy", "ImagesUnsupported", NO_IMAGES)
    limit = settings.time_limit_seconds_max
    if limit and task.time_limit_seconds > limit:
        message = f"the site runs jobs with a time limit of at most {limit:g} s"
        return Failure("policy", "SiteRuleRefused", message)
    return destination_refusal(task, settings)


def find_place(grant: Grant, task: Task, inventory: Inventory) -> tuple[NodeShare, ...] | Failure:
    """Concrete nodes and devices for the whole gang, which nobody holds."""
    declared = inventory.declared(grant.pool)
    longest = declared.time_limit_seconds_max if declared is not None else 0.0
    if longest and task.time_limit_seconds > longest:
        message = f"pool {grant.pool} runs jobs with a time limit of at most {longest:g} s"
        return Failure("policy", "SiteRuleRefused", message)
    if declared is not None and task.model not in ("", declared.accelerator):
        message = f"pool {grant.pool} has {declared.accelerator}, the job wants {task.model}"
        return Failure("broker", "UnknownAccelerator", message)
    asked = sum(part.nodes for part in grant.slices)
    if asked != task.num_nodes or any(p.cards != task.cards_per_node for p in grant.slices):
        return _PLACES[Refusal.BAD_SHAPE]
    place = inventory.allocate(grant.pool, grant.slices)
    return _PLACES[place] if isinstance(place, Refusal) else place


def lease_end(
    grant: Grant, anchors: Mapping[int, float], elapsed: float, settings: Settings
) -> float | Failure:
    """The lease's end in elapsed seconds, counted from when its anchor was sent."""
    if grant.lease_class is LeaseClass.PROOF:
        return NEVER
    if not 0 < grant.lease_seconds <= LEASE_SECONDS_MAX:  # also when it is no number
        return BAD_LEASE
    sent_at = anchors.get(grant.anchor_seq)
    if sent_at is None:
        message = f"heartbeat {grant.anchor_seq}, from which the lease counts, is not known here"
        return Failure("network", "LeaseTooShort", message)
    deadline = sent_at + grant.lease_seconds
    if deadline - elapsed <= settings.start_margin_seconds:
        message = f"{deadline - elapsed:.1f} s are left of the lease; too little for a start"
        return Failure("network", "LeaseTooShort", message)
    return deadline


def order_of(
    grant: Grant, admitted: Admission, inventory: Inventory, settings: Settings
) -> RunOrder:
    """What the backend is to run; a job without a time limit gets the pool's or the site's."""
    task, declared = admitted.task, inventory.declared(grant.pool)
    assert declared is not None
    return RunOrder(
        name=grant.name,
        job_id=grant.job_id,
        epoch=grant.epoch,
        site=settings.site,
        nodes=admitted.nodes,
        cards_per_node=task.cards_per_node,
        run=task.run,
        setup=task.setup,
        job_name=grant.job_name,
        tenant=grant.tenant,
        model=declared.accelerator,
        kind=declared.kind,
        image=task.image,
        launch=task.launch,
        environment=task.environment,
        working_directory=task.working_directory,
        time_limit_seconds=task.time_limit_seconds or _longest(declared, settings),
        grace_seconds=_grace(task, declared),
        cpus_per_node=task.cpus_per_node,
        memory_gib_per_node=task.memory_gib_per_node,
        lease_class=grant.lease_class,
        preempted_count=grant.preempted_count,
        array_id=grant.array_id,
        array_index=grant.array_index,
    )


def _grace(task: Task, declared: DeclaredPool) -> float:
    """What the job asks for, but no more than within which its cards may be recalled."""
    recall = declared.policy.recall
    return task.grace_seconds if recall is None else min(task.grace_seconds, recall.grace_seconds)


def _longest(declared: DeclaredPool, settings: Settings) -> float:
    """The longest that a job may run there, seconds; 0: as long as it wants."""
    limits = (declared.time_limit_seconds_max, settings.time_limit_seconds_max)
    return min((limit for limit in limits if limit > 0), default=0.0)
