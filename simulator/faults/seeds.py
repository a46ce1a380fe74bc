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
    *(
        Found(
            seed,
            "I3: reports were passed over for ever, or acknowledged unseen: a repetition was "
            "lost and nobody says it again, or an old report closed the gap of a newer one",
            "broker.gaps: agents say what is acknowledged; only what covers a gap closes it",
        )
        for seed in (2018, 2482)
    ),
    *(
        Found(
            seed,
            "I3: a job ran for ever: the broker had no room for its last report, took a later "
            "one and acknowledged both",
            "broker.gaps: what follows a report that was lost here is not acknowledged",
        )
        for seed in (235, 296, 299)
    ),
    Found(
        6550,
        "I3: a job waited for a site that drained for ever: a late copy of an old wish to drain it "
        "had come after the last wish to open it",
        "simulation: the administrator looks again when nothing old can be under way any more",
    ),
    Found(
        853,
        "I4: leases were judged by what a site offered after it had given them",
        "simulation: a grant is judged by what was offered before or after its batch",
    ),
    Found(
        70,
        "I1: an agent that began again twice read the lease that its first process had written "
        "by the clock of its second, and renewed it by twenty minutes too many",
        "agent.journal: the first commit of a process writes what it loaded as moved to its clock",
    ),
    Found(
        1265,
        "I2: a broker's wall clock jumped by years, a job that had just ended was forgotten for "
        "its age, and a late copy of its submission was taken for a new one",
        "liveness._wall_is_steady: nothing is forgotten for its age right after a start or a jump",
    ),
    Found(
        609,
        "I3: a job that fits into none of this seed's sites was queued for ever",
        "told as it is, as for seed 16",
    ),
)

# A seed from which each mutant dies within a few; the rest are rarer, for the slow suite.
MUTANTS_DIE_FROM: dict[str, int] = {
    "new-leader-does-not-wait": 0,
    "no-margin": 1,
    "reports-of-any-epoch": 0,
    "capacity-not-checked": 0,
    "strangers-promise": 2,
    "stale-not-stopped": 0,
    "copies-not-counted": 6,
    "maintenance-not-waited-for": 36,
    "ages-by-any-wall": 16,
    "preempted-at-once": 9,
    "sends-before-commit": 0,
    "replies-before-commit": 0,
    "gaps-acknowledged": 83,
    "led-deadline-ignored": 20,
    "writes-of-any-term": 0,
    "late-copies-of-writes": 1,
    "guard-inside-the-agent": 0,
    "lease-from-receipt": 50,
    "any-session-at-site": 23,
    "marks-not-durable": 25,
    "promise-not-kept": 118,
    "starts-after-restart": 14,
    "late-start": 0,
    "half-a-gang": 0,
}
