"""What is asked of a study. Knows nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """All options of the command."""

    trace: Path
    federation: Path
    policy: Path | None = None
    load: float = 0.0  # 0: as the trace comes
    seed: int = 0
    first: int = 0  # jobs; 0: all
    compare: tuple[str, ...] = ("suan",)
    round_seconds: float | None = None  # between two rounds of suan; None: its default
    cut_links: tuple[str, ...] = ()
    fail_sites: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    report: Path | None = None
