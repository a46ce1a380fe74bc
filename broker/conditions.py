"""What is unusual about a job that waits for a silent site or a cut line, in words for people.

No state of the job's life: it passes by itself when the site speaks again, or the line is
mended. Reads the leader's memory, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.core.rows import Attempt, Job
from broker.core.transaction import Memory
from scheduler.model import SiteState


@dataclass(frozen=True, slots=True)
class Condition:
    """`code` is stable; `message` says what is, `hint` what can be done."""

    code: str  # SiteSuspect | AttemptUnknown | DataUnreachable
    message: str
    hint: str


def condition_of(memory: Memory, job: Job) -> Condition | None:
    """What its site's silence means for a job, or what it lacks; None: nothing unusual."""
    attempt = job.live_attempt
    if attempt is None:
        return None
    presence = memory.presence.get(attempt.site)
    silence = presence.state(draining=False) if presence else SiteState.UNSEEN
    if silence not in (SiteState.SUSPECT, SiteState.LOST, SiteState.UNSEEN):
        return _stranded(memory, attempt)
    code = "SiteSuspect" if silence is SiteState.SUSPECT else "AttemptUnknown"
    what = f"{attempt.site} is {silence}: whether attempt {attempt.epoch} lives is unknown; "
    follows, hint = _by_class(memory, job, attempt)
    return Condition(code, what + follows, hint)


def _stranded(memory: Memory, attempt: Attempt) -> Condition | None:
    """An input that has no way to come any more, as the network is."""
    lost = memory.transfers.strands(attempt) if attempt.waits_for_inputs else None
    if lost is None:
        return None
    message = f"no way is left from {lost.source} to {lost.target} for {lost.dataset}"
    return Condition("DataUnreachable", message, "wait for the link, or cancel and submit again")


def _by_class(memory: Memory, job: Job, attempt: Attempt) -> tuple[str, str]:
    """What follows by the class of the job's lease, and what can be done."""
    spec = memory.state.specs[job.spec_sha256]
    named = f"{attempt.site} {job.id} {attempt.epoch}"
    free = f"`suan site confirm-dead {named}`, by who has looked at the site"
    if spec.ended_by_time:
        seconds = memory.limits.takeback_seconds(spec.lease_seconds)
        follows = f"after {seconds:.0f} s of silence it has been stopped there and is tried again"
        return follows, "wait: nothing needs to be done"
    if spec.lease_class == "proof":
        return "time never ends it, so the job waits for proof", f"wait for the site; or {free}"
    copies = len(job.copies)
    if copies < memory.limits.overlap_extra:
        return "another copy is started elsewhere", "wait: nothing needs to be done"
    return (
        f"no other copy is started, for {copies} more may be alive at silent sites",
        f"wait for a site; or {free}",
    )
