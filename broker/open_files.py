"""How many files and connections this process may hold open: as many as the system lets it."""

from __future__ import annotations

import resource


def raise_limit() -> int:
    """Raise the limit as far as is allowed without rights; the number that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
