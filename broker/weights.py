"""How much memory an event takes while it waits, roughly: to bound the queue by bytes."""

from __future__ import annotations

from broker.core.data_messages import CacheReport, StagingReport
from broker.core.messages import Event, Hello, PutBundle, Reconcile, Reports, Submit

EVENT_BYTES = 500  # of any event, without what it carries
ITEM_BYTES = 400  # of a job, an attempt or a report that it carries


def bytes_of(event: Event) -> int:
    """An estimate, never far below the truth."""
    if isinstance(event, Submit):
        specs = sum(len(spec.data) for spec in event.specs)
        return EVENT_BYTES + ITEM_BYTES * len(event.jobs) + 2 * specs
    if isinstance(event, PutBundle):
        return EVENT_BYTES + len(event.bundle.data)
    if isinstance(event, Hello | Reconcile):
        return EVENT_BYTES + ITEM_BYTES * len(event.held)
    if isinstance(event, Reports):
        return EVENT_BYTES + 2 * ITEM_BYTES * len(event.reports)
    if isinstance(event, CacheReport):
        return EVENT_BYTES + ITEM_BYTES * (len(event.keys) + len(event.refused))
    if isinstance(event, StagingReport):
        return EVENT_BYTES + ITEM_BYTES * len(event.progress)
    return EVENT_BYTES
