"""The track record: every seed that ever told something, and from where mutants die quickly.

Each found seed is played in the default suite for good. A change of the product changes
what happens in a seed, so an old one may no longer walk the road on which it found its
defect; it stays all the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A seed that broke an invariant, what it was, and what mended it."""

    seed: int
    what: str
    mended: str


FOUND = (
    Found(
        16,
        "I3: a job that fits nowhere was queued for ever after a broker's wall clock had jumped",
        "told as it is: when such a job fails is a matter of wall time (Federation._fits_nowhere)",
    ),
    Found(
        20,
        "KeyError: a grant that named a spec of an earlier session's message",
        "simulation: each stream has its own specs, and a late message is read with those",
    ),
)

# A seed from which each mutant dies within a few.
MUTANTS_DIE_FROM: dict[str, int] = {}
