"""May this grant be taken? The site's own rules, the cards, and what is left of the lease.

Reads, changes nothing; a refusal is a value with a code. The order of the questions is the
order of reliability.md 5.6, with the site's rules first: its policy always wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.backends import LeaseClass, NodeShare
from agent.inventory import Inventory, Refusal
from agent.supervisor.values import NEVER, Failure, Grant, Mode, Settings

JOURNAL_FULL = Failure(
    "site",
    "DiskFull",
    "the disk of the site's agent is full; it takes no new jobs until there is room",
)
NOT_RECONCILED = Failure(
    "broker", "NotReconciled", "granted before the site's attempts were reconciled"
)
STALE_EPOCH = Failure(
    "broker", "StaleEpoch", "this attempt, or a later one of its job, was here before"
)
_MODES: Mapping[Mode, Failure] = MappingProxyType(
    {
        Mode.PAUSED: Failure("site", "SitePaused", "the site's operator has paused it"),
        Mode.DRAINING: Failure("site", "SiteDraining", "the site is being drained"),
    }
)
_PLACES: Mapping[Refusal, Failure] = MappingProxyType(
    {
        Refusal.CAPACITY_GONE: Failure("site", "NotEnoughCards", "the cards are no longer free"),
        Refusal.UNKNOWN_POOL: Failure("broker", "UnknownPool", "the site has no such pool"),
        Refusal.UNKNOWN_SUPERNODE: Failure(
            "broker", "UnknownSupernode", "the pool has no such supernode"
        ),
        Refusal.BAD_SHAPE: Failure("broker", "BadShape", "no node of the pool could ever hold it"),
    }
)


def site_refusal(grant: Grant, settings: Settings, mode: Mode) -> Failure | None:
    """The site's own rules."""
    if mode is not Mode.OPEN:
        return _MODES[mode]
    tenant, allowed = grant.order.tenant, settings.tenants_allowed
    if tenant in settings.tenants_denied or (allowed and tenant not in allowed):
        return Failure("policy", "SiteRuleRefused", f"the site runs no jobs of tenant {tenant!r}")
    limit = settings.time_limit_seconds_max
    if limit and grant.order.time_limit_seconds > limit:
        message = f"the site runs jobs with a time limit of at most {limit:g} s"
        return Failure("policy", "SiteRuleRefused", message)
    return None


def find_place(grant: Grant, inventory: Inventory) -> tuple[NodeShare, ...] | Failure:
    """Concrete nodes and devices for the whole gang, which nobody holds."""
    declared = inventory.declared(grant.pool)
    wanted = grant.order.model
    if declared is not None and wanted and wanted != declared.accelerator:
        message = f"pool {grant.pool} has {declared.accelerator}, the job wants {wanted}"
        return Failure("broker", "UnknownAccelerator", message)
    place = inventory.allocate(grant.pool, grant.slices)
    return _PLACES[place] if isinstance(place, Refusal) else place


def lease_end(
    grant: Grant, anchors: Mapping[int, float], elapsed: float, settings: Settings
) -> float | Failure:
    """The lease's end in elapsed seconds, counted from when its anchor was sent."""
    if grant.order.lease_class is LeaseClass.PROOF:
        return NEVER
    sent_at = anchors.get(grant.anchor_seq)
    if sent_at is None:
        message = f"heartbeat {grant.anchor_seq}, from which the lease counts, is not known here"
        return Failure("network", "LeaseTooShort", message)
    deadline = sent_at + grant.lease_seconds
    if deadline - elapsed <= settings.start_margin_seconds:
        message = f"{deadline - elapsed:.1f} s are left of the lease; too little for a start"
        return Failure("network", "LeaseTooShort", message)
    return deadline
