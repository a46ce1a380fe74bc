"""The event of a user who wants to run a command beside a job."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BeginCommand:
    """`command`: its program, and a hash of the whole."""

    job_id: str
    epoch: int
    rank: int
    command: str
    actor: str
