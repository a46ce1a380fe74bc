"""Learning from finished runs by how much estimates are wrong.

A run teaches when its job succeeds at the first start, so that nothing of an interrupted
attempt is counted; what it is compared with is the estimate without failures. Rows are bounded
in number; the one that learned longest ago is forgotten first.
"""

from __future__ import annotations

from broker.core.rows import Attempt, Job, Learned, learned_key
from broker.core.transaction import Transaction
from scheduler.corrections import updated

ALL_MODELS = ""


def learn(tx: Transaction, job: Job, ended: Attempt) -> None:
    """Compare an attempt that succeeded with its estimate, for its model and for all models."""
    family, score = tx.spec_of(job).demand.family, ended.score
    again = any(attempt.started_at for attempt in job.attempts if attempt.epoch < ended.epoch)
    if not family or score is None or again or not ended.started_at:
        return
    table, limits, seconds = tx.state.learned, tx.limits, ended.ended_at - ended.started_at
    for model in (ended.accelerator, ALL_MODELS):
        known = table.get(learned_key(job.tenant, family, model))
        before = known.correction if known else None
        after = updated(before, score.basis.source, score.basis.work_seconds, seconds)
        if after is not None and after != before:
            tx.put(Learned(job.tenant, family, model, after, table.seq + 1))
    for key in table.surplus(job.tenant, limits.learned_per_tenant_max, limits.learned_max):
        tx.delete(key)
