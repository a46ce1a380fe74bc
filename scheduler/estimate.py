"""How long, how dear and how hungry a demand would be in each pool.

    finish = wait + stage + work ÷ (cards × peak × utilisation × linearity) ÷ availability

This module estimates everything but the wait and the data: `runtime` from the work, times what
past runs taught (`corrections`), divided by `availability`. It rests on the fleet and on those
corrections alone, so that it stands from round to round. Arrays run over ways and pools; times
in seconds, money in yuan, energy in kWh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats
from scheduler.availability import Outlook
from scheduler.corrections import NOTHING, Past
from scheduler.fleet import Fleet
from scheduler.model import Basis, Demand, Policy, Variant
from scheduler.runtime import RUN_SECONDS_MAX, Runtime, runtime
from scheduler.shape import Way
from scheduler.supply import Supply

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Run:
    """The run of one variant in every pool, and all that it rests on."""

    fleet: Fleet
    demand: Demand
    past: Past
    undisturbed: Runtime
    sources: tuple[tuple[str, str], ...]  # of each model and what the estimate there rests on
    outlook: Outlook
    seconds: Floats  # expected: half of such runs end within

    def basis(self, pool: int, slowdown: float = 1.0) -> Basis:
        """What the estimate in one pool rests on, when the layout is so much slower."""
        source = self.undisturbed.source(pool)
        past = self.past.trust(str(self.fleet.models_here[pool]), source)
        seconds, work = float(self.seconds[pool]) * slowdown, self.demand.work
        peak_needed = work.stated and source != "measured"
        return Basis(
            source=source,
            precision=self.fleet.precision_used(pool, work.precision, work.fallbacks)
            if peak_needed
            else "",
            work_seconds=float(self.undisturbed.seconds[pool]) * slowdown,
            learned_factor=past.factor,
            learned_runs=past.runs,
            availability=float(self.outlook.availability[pool]),
            checkpoint_every_seconds=float(self.outlook.checkpoint_every_seconds[pool]),
            p90_seconds=min(seconds * past.p90_factor, RUN_SECONDS_MAX),
        )


@dataclass(frozen=True, slots=True)
class Estimates:
    """The ways of a demand in every pool, [way, pool], without wait and data."""

    fleet: Fleet
    demand: Demand
    ways: tuple[Way, ...]
    runs: tuple[Run, ...]  # by variant
    run_seconds: Floats
    yuan: Floats  # for the cards
    kwh: Floats

    def basis(self, way: int, pool: int) -> Basis:
        """What the run of one way in one pool rests on."""
        layout = self.ways[way]
        return self.runs[layout.variant].basis(pool, layout.slowdown)


def estimate(
    fleet: Fleet, demand: Demand, ways: tuple[Way, ...], policy: Policy, past: Past
) -> Estimates:
    """Estimate all `ways` of a demand in every pool; a slower layout takes longer throughout."""
    runs = tuple(run_of(fleet, demand, variant, policy, past) for variant in demand.variants)
    return _of_ways(fleet, demand, ways, runs)


def learned(known: Estimates, past: Past) -> Estimates:
    """The same estimates by what past runs have taught since."""
    pairs = zip(known.demand.variants, known.runs, strict=True)
    runs = tuple(
        _expected(known.fleet, known.demand, variant, run.undisturbed, run.sources, past)
        for variant, run in pairs
    )
    return _of_ways(known.fleet, known.demand, known.ways, runs)


def _of_ways(
    fleet: Fleet, demand: Demand, ways: tuple[Way, ...], runs: tuple[Run, ...]
) -> Estimates:
    seconds = np.empty((len(ways), len(fleet)))
    cards = np.empty((len(ways), 1))
    for at, way in enumerate(ways):
        np.multiply(runs[way.variant].seconds, way.slowdown, out=seconds[at])
        cards[at] = demand.variants[way.variant].cards
    card_hours = seconds * cards / _SECONDS_PER_HOUR
    return Estimates(
        fleet=fleet,
        demand=demand,
        ways=ways,
        runs=runs,
        run_seconds=seconds,
        yuan=card_hours * fleet.yuan_per_card_hour,
        kwh=card_hours * fleet.watts / 1000.0 * fleet.pue,
    )


def run_of(
    fleet: Fleet, demand: Demand, variant: Variant, policy: Policy, past: Past = NOTHING
) -> Run:
    """Expected run in each pool: past runs, lost work and checkpoints included."""
    undisturbed = runtime(fleet, demand, variant, policy)
    # one source for all pools of a model, since what it rests on are the model's figures
    firsts = ((model, int(pools[0])) for model, pools in fleet.by_model().items())
    sources = tuple((model, undisturbed.source(first)) for model, first in firsts)
    return _expected(fleet, demand, variant, undisturbed, sources, past)


def _expected(
    fleet: Fleet,
    demand: Demand,
    variant: Variant,
    undisturbed: Runtime,
    sources: tuple[tuple[str, str], ...],
    past: Past,
) -> Run:
    """An undisturbed run with what past runs taught, and failures."""
    seconds = undisturbed.seconds
    if past.rows:
        seconds = seconds * np.array(past.factors(sources))[fleet.model_of]
    outlook = fleet.reliability(max(1, variant.cards), demand.checkpoint).outlook(seconds)
    expected = np.minimum(seconds / outlook.availability, RUN_SECONDS_MAX)
    return Run(fleet, demand, past, undisturbed, sources, outlook, expected)


def past_of(supply: Supply, demand: Demand, tenant: str) -> Past:
    """What past runs of the demand's family taught."""
    return supply.pasts.get((tenant, demand.family), NOTHING) if demand.family else NOTHING
