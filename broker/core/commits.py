"""What sites have committed: a job's last checkpoint, and its outputs.

A commit counts once. Of two checkpoints the one of the higher epoch is the later one, and
within an epoch the one of the higher number: whatever comes late, and from wherever, never
takes the place of a later one. Outputs count of the newest attempt alone; those that the job
wants as datasets become them in the same transaction.
"""

from __future__ import annotations

from dataclasses import replace

from broker.core.commit import Commit, makes_sense
from broker.core.datasets import publish
from broker.core.ignored import Ignored, out_of_range
from broker.core.messages import Report
from broker.core.rows import Job
from broker.core.transaction import Transaction

OUTPUTS_MAX = 64  # of one job that are kept; a site publishes no more


def on_commit(tx: Transaction, site: str, report: Report) -> None:
    """Keep what a site has committed of one of a job's attempts there."""
    job, commit = tx.state.jobs.get(report.job_id), report.commit
    attempt = job.attempt_of(report.epoch) if job else None
    if job is None or attempt is None:
        tx.ignore(Ignored.ATTEMPT_UNKNOWN)
        return
    if attempt.site != site:
        tx.ignore(Ignored.ATTEMPT_FOREIGN)
        return
    if commit is None or out_of_range(commit.number, commit.files):
        tx.ignore(Ignored.REPORT_UNREADABLE)
        return
    commit = replace(commit, epoch=report.epoch, site=site, at=report.at)
    if not makes_sense(commit, job.id):
        tx.ignore(Ignored.REPORT_UNREADABLE)
    elif job.terminal:
        tx.ignore(Ignored.REPORT_REPEATED)
    elif commit.kind == "checkpoint":
        _keep_checkpoint(tx, job, commit)
    else:
        _keep_output(tx, job, commit)


def _keep_checkpoint(tx: Transaction, job: Job, commit: Commit) -> None:
    last = job.checkpoint
    if last is not None and last.order >= commit.order:
        same = last.order == commit.order
        tx.ignore(Ignored.REPORT_REPEATED if same else Ignored.ATTEMPT_SUPERSEDED)
        return
    tx.put(replace(job, checkpoint=commit, revision=tx.state.revision + 1))


def _keep_output(tx: Transaction, job: Job, commit: Commit) -> None:
    if job.attempts[-1].epoch != commit.epoch:
        tx.ignore(Ignored.ATTEMPT_SUPERSEDED)
        return
    kept = tuple(
        each for each in job.outputs if each.epoch == commit.epoch and each.number != commit.number
    )
    if commit in (replace(each, dataset="") for each in job.outputs):
        tx.ignore(Ignored.REPORT_REPEATED)
    elif len(kept) >= OUTPUTS_MAX:
        tx.ignore(Ignored.NUMBER_OUT_OF_RANGE)
    else:
        commit = publish(tx, job, commit)
        tx.put(replace(job, outputs=(*kept, commit), revision=tx.state.revision + 1))
