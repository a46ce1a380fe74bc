"""Commands beside running jobs: written down before they begin; what they do is the site's."""

from __future__ import annotations

from broker.core.command_messages import BeginCommand
from broker.core.lifecycle import JobState
from broker.core.messages import Done, Refusal, Reply
from broker.core.transaction import Transaction


def on_begin_command(tx: Transaction, event: BeginCommand) -> Reply:
    """Note who runs what beside which job, if that attempt of it runs."""
    job = tx.state.jobs.get(event.job_id)
    attempt = job.live_attempt if job is not None else None
    if (
        job is None
        or attempt is None
        or attempt.epoch != event.epoch
        or job.state is not JobState.RUNNING
    ):
        hint = "a command runs only beside a job that runs: see `suan get`"
        message = f"job {event.job_id} does not run now"
        return Refusal("NotRunning", message, "FAILED_PRECONDITION", hint)
    detail = f"epoch {event.epoch} rank {event.rank}: {event.command}"
    tx.audit(event.actor, "job.exec", job.key, detail)
    return Done()
