"""What projects have held: a mean that forgets, kept in rows so that a restart keeps it too.

Cards c held over a time Δ take the mean m to m · 2^(−Δ/h) + c · (1 − 2^(−Δ/h)), h being the
half-life; Slurm's decayed usage is the same but for a factor. A row is written only when what
its project holds changes, with all that led up to it, so that time alone writes nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from broker.core.limits import Limits
from broker.core.rows import Job, Usage
from scheduler.model import claims

if TYPE_CHECKING:
    from broker.core.state import State
    from broker.core.transaction import Transaction

FADED_CARDS = 0.01  # a mean below this is as good as none
LOOKED_AT_PER_TICK = 100  # rows, those that have not changed for longest
MODELS_MAX = 64  # of one row: those with the largest means


def after(state: State, limits: Limits, job: Job, wall: float) -> Usage | None:
    """The row to write before this row of the job is: if what its project holds changes."""
    if _live(state.jobs.get(job.id)) == _live(job):
        return None
    party = job.tenant, job.project
    if party not in state.usages and len(state.usages) >= limits.usages_max:
        return None  # it is judged by what it holds now alone
    return _until(state, limits, party, wall)


def _live(job: Job | None) -> list[int]:
    return [attempt.epoch for attempt in job.attempts if attempt.holds_cards] if job else []


def _until(state: State, limits: Limits, party: tuple[str, str], wall: float) -> Usage:
    """The project's mean up to now. A wall clock that jumps back adds nothing."""
    means = _means(state, limits, party, wall)
    largest = sorted(means.items(), key=lambda item: -item[1])[:MODELS_MAX]
    return Usage(*party, at=wall, mean_cards=tuple(sorted(each for each in largest if each[1] > 0)))


def _means(state: State, limits: Limits, party: tuple[str, str], wall: float) -> dict[str, float]:
    """By model, in order of name."""
    row = state.usages.get(party) or Usage(*party, at=wall)
    kept = 2.0 ** (-max(0.0, wall - row.at) / limits.usage_half_life_seconds)
    before, held = dict(row.mean_cards), state.holdings.get(party, {})
    return {
        model: kept * before.get(model, 0.0) + (1.0 - kept) * held.get(model, 0)
        for model in sorted({*before, *held})
    }


def usages(state: State, limits: Limits, wall: float) -> tuple[claims.Usage, ...]:
    """What every project holds and has held, as a round may know it."""
    parties = dict.fromkeys([*state.usages, *state.holdings])
    return tuple(
        claims.Usage(
            *party,
            cards=tuple(sorted(state.holdings.get(party, {}).items())),
            mean_cards=tuple(i for i in _means(state, limits, party, wall).items() if i[1] > 0),
        )
        for party in parties
    )


def forget_faded(tx: Transaction) -> None:
    """Drop the rows of projects that hold nothing and have not for a long time."""
    state = tx.state
    for party in list(islice(state.usages, LOOKED_AT_PER_TICK)):
        if not state.holdings.get(party):
            row = _until(state, tx.limits, party, tx.now.wall)
            if sum(mean for _, mean in row.mean_cards) < FADED_CARDS:
                tx.delete(row.key)
