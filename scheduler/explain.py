"""Why is this job where it is, and what would help? The same round, asked about one class.

There is no second implementation: the round is solved as `place` solves it, and when
the class has had its turns, changes to its demand are tried on what is left.
"""

from __future__ import annotations

from dataclasses import replace

from scheduler.model import Demand, Explanation, Policy, QueueClass, Snapshot
from scheduler.placement import PlacementRound
from scheduler.whatif import suggest

PLAN_KEY = "(plan)"  # no class of a broker is called so


def explain(snapshot: Snapshot, class_key: str, policy: Policy | None = None) -> Explanation:
    """Explain one class of the queue, with suggestions. Raises KeyError when it is not there."""
    solver = PlacementRound(snapshot, policy)
    told = solver.run(
        lambda case: suggest(solver, case) if case.queued.key == class_key else (), class_key
    ).explanations
    return dict(told)[class_key]


def plan(
    snapshot: Snapshot,
    demand: Demand,
    tenant: str,
    project: str = "",
    priority: int = 0,
    policy: Policy | None = None,
) -> Explanation:
    """Explain a job that is not submitted yet, as if it joined the queue now."""
    wished = QueueClass(
        PLAN_KEY, demand, tenant, project, priority, ("plan",), 1, oldest_submitted_at=snapshot.now
    )
    return explain(replace(snapshot, queue=(*snapshot.queue, wished)), PLAN_KEY, policy)
