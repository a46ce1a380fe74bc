"""How an ended run is told: outcome and failure, by why it ended and why it was stopped.

One table for what the backend proved, one for what we asked for. Knows values only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from agent.backends import Exit, Reason
from agent.supervisor.values import Failure

CANCELLED, PREEMPTED, SUPERSEDED = "Cancelled", "Preempted", "Superseded"
LEASE_ENDED, SITE_PAUSED, JOURNAL_LOST = "LeaseEnded", "SitePaused", "JournalLost"
SITE_PREEMPTED, NOT_STARTED = "SitePreempted", "NotEnoughCards"
SITE_RECALLED = "SiteRecalled"

# Why a run was asked to end -> outcome, and whose doing it was.
_STOPPED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        CANCELLED: ("cancelled", "user"),
        SUPERSEDED: ("cancelled", "broker"),
        PREEMPTED: ("preempted", "broker"),
        SITE_PAUSED: ("preempted", "site"),
        SITE_PREEMPTED: ("preempted", "site"),
        SITE_RECALLED: ("preempted", "site"),
        NOT_STARTED: ("preempted", "site"),
        LEASE_ENDED: ("lost", "network"),
        JOURNAL_LOST: ("lost", "site"),
    }
)

# Why a run ended by itself -> outcome, and who can mend it. The code is the reason's name.
_ENDED: Mapping[Reason, tuple[str, str]] = MappingProxyType(
    {
        Reason.TIME_LIMIT: ("failed", "user"),
        Reason.OUT_OF_MEMORY: ("failed", "user"),
        Reason.LEASE_ENDED: ("lost", "network"),
        Reason.LAUNCH_FAILED: ("failed", "site"),
        Reason.MACHINE_REBOOTED: ("lost", "site"),
        Reason.UNKNOWN: ("lost", "site"),
    }
)

_MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        CANCELLED: "stopped, because the job was cancelled",
        SUPERSEDED: "stopped: the broker had given the job up here",
        PREEMPTED: "stopped to make room for another job",
        SITE_PAUSED: "stopped by the site's operator",
        SITE_PREEMPTED: "stopped by the site's cluster manager to make room for its own jobs",
        SITE_RECALLED: "stopped: the site took its cards back for its own jobs",
        NOT_STARTED: "the site's own jobs were faster; it did not start there",
        LEASE_ENDED: "stopped: the site could not renew its lease in time",
        JOURNAL_LOST: "stopped: the site's agent found it running but had no record of it",
    }
)


def stopped_for(reason: str) -> Failure:
    """Why something ended that was asked to end."""
    _, category = _STOPPED.get(reason, ("cancelled", "broker"))
    return Failure(category, reason, _MESSAGES.get(reason, "stopped"))


def outcome_of(exit: Exit, stop_reason: str) -> tuple[str, Failure | None]:
    """Outcome word and failure; `stop_reason` is what the run was asked to end for, or ""."""
    if exit.succeeded:
        return "succeeded", None
    if exit.reason is Reason.EXITED:
        signal = f" by signal {exit.signal}" if exit.signal else ""
        message = exit.detail or f"ended{signal} with exit code {exit.exit_code}"
        return "failed", Failure("user", "NonZeroExit", message)
    if exit.reason is Reason.STOPPED:
        code = stop_reason or exit.detail or CANCELLED
        outcome, category = _STOPPED.get(code, ("cancelled", "broker"))
        return outcome, Failure(category, code, _MESSAGES.get(code, "stopped"))
    outcome, category = _ENDED[exit.reason]
    code = exit.reason.value
    return outcome, Failure(category, code, exit.detail or _MESSAGES.get(code, ""))
