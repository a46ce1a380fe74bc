"""One job of a trace, whatever format it came from. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceJob:
    """A rigid gang as it ran: `cards` (processors, in older traces) for `run_seconds`.

    Times count from the first job that was selected. What a trace does not say is 0 or
    empty; it is synthesised elsewhere, and said so.
    """

    name: str
    submit_seconds: float
    run_seconds: float
    cards: int
    line: int = 0  # of the file it stands in
    nodes: int = 0  # 0: not stated
    time_limit_seconds: float = 0.0  # what the user asked for; 0: not stated
    tenant: str = ""
    user: str = ""
    site: str = ""  # that ran it
    accelerators: tuple[str, ...] = ()  # models it accepts, as the trace calls them; empty: any
    card_share: float = 1.0  # of its one card, where it asked for less than a whole one
