"""What an estimate of a run rests on, as text: its source, what past runs taught, failures.

Lines in words for people; the same figures stand in JSON under `score.basis`.
"""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.model import Candidate
from suan.cli.times import length

_SOURCES = {
    "measured": "the measured duration",
    "scaled": "a duration measured elsewhere",
    "computed": "the stated operations",
    "limit": "the time limit, for no work is stated",
    "assumed": "a default, for nothing is stated or the card's peak is unknown",
}
_NEARLY_ALWAYS = 0.9995  # availability from which failures are no news


def basis_lines(candidate: Candidate) -> Iterator[str]:
    """How long the run of one candidate is expected to take, why, and how sure that is."""
    score, basis = candidate.score, candidate.score.basis
    if not basis.source:  # of a broker that does not say
        return
    parts = [f"from {_SOURCES.get(basis.source, basis.source)}"]
    if basis.precision:
        parts.append(f"at {basis.precision} peaks")
    if basis.learned_factor != 1.0 or basis.learned_runs >= 1.0:
        runs = f"{basis.learned_runs:.0f} like it" if basis.learned_runs else "others like it"
        parts.append(f"× {basis.learned_factor:.2f} as {runs} have shown")
    if 0 < basis.availability < _NEARLY_ALWAYS:
        parts.append(f"÷ {basis.availability:.3f} for failures")
    yield f"RUN    {length(score.run_seconds)} at {candidate.pool}: {', '.join(parts)}"
    yield f"       nine in ten such runs end within {length(basis.p90_seconds)}"
    if basis.checkpoint_every_seconds > 0:
        every = length(basis.checkpoint_every_seconds)
        yield f"       a checkpoint every {every} loses least"
