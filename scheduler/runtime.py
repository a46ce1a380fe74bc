"""Run time from work: how long a gang would compute in each pool if nothing ever failed.

    work ÷ (cards × peak × utilisation × linearity)

Peaks only rank what has not been measured: a duration measured on a model is taken as it is
for that model. Knows fleet and demand; nothing of failures, of past runs or of data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Bools, Floats
from scheduler.fleet import CARDS_PER_SERVER, Fleet
from scheduler.model import Demand, Policy, Variant, Work
from scheduler.speed import linearity, peak_tflops

RUN_SECONDS_MIN = 1e-3  # no run takes no time: ratios of runs stay finite
RUN_SECONDS_MAX = 1e9  # 31 years: beyond this an estimate is a mistake in the figures
OPERATIONS_MAX = 1e40


@dataclass(frozen=True, slots=True)
class Runtime:
    """Undisturbed seconds in each pool, and where they come from."""

    seconds: Floats
    stated: str  # source where the work could be carried there: measured | scaled | computed
    unstated: str  # source elsewhere: limit | assumed
    exact: Bools  # measured on this model and as many cards
    known: Bools  # the work could be carried there

    def source(self, pool: int) -> str:
        """What the estimate in one pool rests on."""
        if self.exact[pool]:
            return "measured"
        return self.stated if self.known[pool] else self.unstated


def runtime(fleet: Fleet, demand: Demand, variant: Variant, policy: Policy) -> Runtime:
    """The run of `variant` in every pool; the time limit or a default where it is unknown."""
    work, cards = demand.work, max(1, variant.cards)
    limit = demand.time_limit_seconds
    nowhere = np.zeros(len(fleet), np.bool_)
    seconds = np.full(len(fleet), limit if limit > 0 else policy.run_seconds_default)
    stated, exact, known = "computed", nowhere, nowhere
    if work.seconds > 0:
        seconds, exact = _carried(fleet, work, cards, policy)
        stated, known = "scaled", ~nowhere
    elif work.operations > 0:
        speed = cards * 1e12 * fleet.peak_tflops(work.precision, work.fallbacks)
        speed = speed * fleet.utilisation * fleet.linearity(cards)
        known = np.asarray(speed > 0)
        np.divide(min(work.operations, OPERATIONS_MAX), speed, out=seconds, where=known)
    seconds = np.minimum(np.maximum(seconds, RUN_SECONDS_MIN), RUN_SECONDS_MAX)
    return Runtime(seconds, stated, "limit" if limit > 0 else "assumed", exact, known)


def _carried(fleet: Fleet, work: Work, cards: int, policy: Policy) -> tuple[Floats, Bools]:
    """(A measured duration in each pool, where it is exact): carried to others by cards, peak,
    utilisation and linearity.

    Where either peak is unknown, or no model is named, only the cards are scaled.
    """
    cards_then = work.cards if work.cards > 0 else cards
    measured = min(work.seconds, RUN_SECONDS_MAX)
    if not work.accelerator and cards_then == cards:
        return np.full(len(fleet), measured), np.ones(len(fleet), np.bool_)
    same_model = fleet.matching(work.accelerator) | np.full(len(fleet), not work.accelerator)
    then = np.full(len(fleet), measured)
    for model, seconds_there in work.measured:
        if seconds_there > 0:
            here = fleet.matching(model)
            then = np.where(here, min(seconds_there, RUN_SECONDS_MAX), then)
            same_model = same_model | here
    exact = same_model & (cards_then == cards)
    if exact.all():
        return then, exact
    measured_on = fleet.models.get(work.accelerator)
    domain = measured_on.supernode_cards if measured_on else CARDS_PER_SERVER
    kept_then = np.where(same_model, fleet.linearity(cards_then), linearity((), domain, cards_then))
    seconds = then * cards_then * kept_then / (cards * fleet.linearity(cards))
    peak_then = peak_tflops(measured_on, work.precision, work.fallbacks)
    peaks = fleet.peak_tflops(work.precision, work.fallbacks)
    ratio = np.divide(
        peak_then * policy.utilisation_default,
        peaks * fleet.utilisation,
        out=np.ones(len(fleet)),
        where=~same_model & (peaks > 0) & (peak_then > 0),
    )
    return np.where(exact, then, seconds * ratio), exact
