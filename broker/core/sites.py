"""What is decided about whole sites: drained by a deadline, removed, found dead by people.

Every act enters the audit log before its effect.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

from broker.core.messages import (
    ConfirmDead,
    Done,
    Goodbye,
    Refusal,
    Removed,
    RemoveSite,
    Reply,
    SetDrain,
    Stops,
)
from broker.core.overlap import end_copy
from broker.core.presence import SitePresence
from broker.core.reports import give_up, lose_attempt
from broker.core.rows import Failure, Site
from broker.core.transaction import Transaction
from scheduler.model import SiteState

PRESSED_PER_HEARTBEAT_MAX = 1_000  # attempts that a drain asks to stop
JOBS_NAMED_MAX = 10  # in a message


def on_set_drain(tx: Transaction, event: SetDrain) -> Reply:
    """Place nothing new at a site, or again; by a deadline, if there is one, stop what runs."""
    site = tx.state.sites.get(event.site)
    if site is None:
        return no_site(event.site)
    if not 0 <= event.deadline_seconds <= tx.limits.drain_seconds_max:
        longest = tx.limits.drain_seconds_max
        message = f"a deadline {event.deadline_seconds:g} s away; at most {longest:g} s"
        return Refusal("DeadlineTooFar", message, "INVALID_ARGUMENT", "leave it out to wait")
    deadline = event.deadline_seconds if event.draining else 0.0
    drain_by = tx.now.wall + deadline if deadline else 0.0
    said = replace(site, draining=event.draining, reason=event.reason, drain_by=drain_by)
    if said == site:
        return Done(changed=False)
    action = "site.drain" if event.draining else "site.resume"
    detail = f"{event.reason} (stops after {deadline:g} s)" if deadline else event.reason
    tx.audit(event.actor, action, site.key, detail)
    tx.put(said)
    tx.memory.drain_due.pop(site.name, None)
    if deadline:
        tx.memory.drain_due[site.name] = tx.now.elapsed + deadline
    return Done()


def press_drain(tx: Transaction, presence: SitePresence) -> None:
    """After a drain's deadline: ask what still runs to write its checkpoint and stop."""
    site = tx.state.sites[presence.site]
    if not _overdue(tx, site):
        return
    live = islice(tx.state.live_at(site.name), PRESSED_PER_HEARTBEAT_MAX)
    if stops := tuple((job.id, attempt.epoch, "Preempted") for job, attempt in live):
        tx.send(presence, Stops(stops))


def _overdue(tx: Transaction, site: Site) -> bool:
    """By the elapsed clock: wall time, which may jump, only carries it over a restart."""
    if not site.draining or not site.drain_by:
        return False
    due = tx.memory.drain_due.get(site.name)
    if due is None:
        left = min(max(site.drain_by - tx.now.wall, 0.0), tx.limits.drain_seconds_max)
        due = tx.memory.drain_due[site.name] = tx.now.elapsed + left
    return tx.now.elapsed >= due


def on_remove_site(tx: Transaction, event: RemoveSite) -> Reply:
    """Forget a site. While attempts live there, only on the word that they may be orphaned.

    Their jobs fail: an attempt that may be alive must not be started anywhere else. Copies of
    class overlap, whose jobs live elsewhere, are only counted no more.
    """
    site = tx.state.sites.get(event.site)
    if site is None:
        return no_site(event.site)
    live, copies = list(tx.state.live_at(site.name)), list(tx.state.copies_at(site.name))
    if (live or copies) and not event.orphan:
        return _busy(site.name, [job.id for job, _ in (*live, *copies)])
    orphaned = tuple(job.id for job, _ in live)
    tx.audit(event.actor, "site.remove", site.key, f"{len(orphaned)} orphaned")
    for job, copy in copies:
        end_copy(tx, job, copy, "lost", tx.now.wall)
    failure = Failure("site", "SiteRemoved", f"{event.site} was removed by {event.actor}")
    for job_id in orphaned:
        job = tx.state.jobs[job_id]
        give_up(tx, job, job.attempts[-1], failure)
    presence = tx.memory.presence.pop(event.site, None)
    if presence is not None and presence.connected:
        tx.send(presence, Goodbye("SiteRemoved", "an administrator removed this site"))
    tx.memory.drain_due.pop(site.name, None)
    tx.memory.ahead.hold(site.name, ())
    tx.delete(site.key)
    tx.delete(f"join/{event.site}")
    return Removed(orphaned)


def _busy(site: str, job_ids: list[str]) -> Refusal:
    named = ", ".join(job_ids[:JOBS_NAMED_MAX])
    more = len(job_ids) - JOBS_NAMED_MAX
    return Refusal(
        "SiteBusy",
        f"{len(job_ids)} attempts live at {site}: {named}" + (f" and {more} more" * (more > 0)),
        "FAILED_PRECONDITION",
        f"`suan site drain {site} --deadline 1h` first, or give them up with --orphan",
    )


def on_confirm_dead(tx: Transaction, event: ConfirmDead) -> Reply:
    """Somebody vouches that an attempt at a silent site is dead: its job is free at once.

    Were it alive all the same, the job would run twice until its site comes back and is told
    to stop it; so a site that answers is left to speak for itself.
    """
    job = tx.state.jobs.get(event.job_id)
    if event.site not in tx.state.sites:
        return no_site(event.site)
    if job is None:
        return Refusal("JobNotFound", f"no job {event.job_id}", "NOT_FOUND", "see `suan ps -a`")
    if not _is_silent(tx, event.site):
        return Refusal(
            "SiteAnswers",
            f"{event.site} was heard a moment ago, or may be soon; it speaks for its attempts",
            "FAILED_PRECONDITION",
            "`suan cancel` ends the job; or wait until the site is suspect",
        )
    here = {a.epoch: a for a in job.attempts if a.live and a.site == event.site}
    attempt = here.get(event.epoch)
    if attempt is None:
        known = ", ".join(map(str, here)) or "none"
        return Refusal(
            "NothingToConfirm",
            f"attempt {event.epoch} of {job.id} is not thought to live at {event.site}; of its"
            f" attempts there: {known}",
            "FAILED_PRECONDITION",
            "its number is in the name of its run, suan-<job>-<attempt>, and in `suan get`",
        )
    tx.audit(event.actor, "attempt.confirm-dead", job.key, f"epoch {event.epoch} at {event.site}")
    message = f"{event.actor} confirmed that it is dead at {event.site}"
    if attempt is job.live_attempt:
        lose_attempt(tx, job, attempt, "ConfirmedDead", message)
    else:
        end_copy(tx, job, attempt, "lost", tx.now.wall)
    return Done()


def _is_silent(tx: Transaction, site: str) -> bool:
    """A site not heard yet by a new leader may only be slow to find it."""
    presence = tx.memory.presence.get(site)
    if presence is not None:
        return presence.silence is not SiteState.OPEN
    return tx.lease_clock - tx.memory.started_elapsed > tx.limits.lost_seconds


def no_site(name: str) -> Refusal:
    return Refusal("SiteNotFound", f"no site {name}", "NOT_FOUND", "see `suan site list`")
