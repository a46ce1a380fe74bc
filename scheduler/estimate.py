"""How long, how dear and how hungry a demand would be in each pool.

    finish = wait + stage + work ÷ (cards × peak × utilisation × linearity) ÷ availability

This module estimates everything but the wait: `runtime` from the work, times what past runs
taught (`corrections`), divided by `availability`. Arrays run over the pools of a `Supply`;
times in seconds, money in yuan, energy in kWh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats
from scheduler.availability import Outlook
from scheduler.corrections import Trust, trust
from scheduler.model import Basis, Demand, Policy, Variant
from scheduler.runtime import RUN_SECONDS_MAX, Runtime, runtime
from scheduler.staging import Staging
from scheduler.supply import Supply

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Run:
    """The run of one variant in every pool, and all that it rests on."""

    supply: Supply
    demand: Demand
    tenant: str
    undisturbed: Runtime
    outlook: Outlook
    seconds: Floats  # expected: half of such runs end within

    def basis(self, pool: int, slowdown: float = 1.0) -> Basis:
        """What the estimate in one pool rests on, when the layout is so much slower."""
        source = self.undisturbed.source(pool)
        past = trust_in(self.supply, self.demand, self.tenant, pool, source)
        seconds, work = float(self.seconds[pool]) * slowdown, self.demand.work
        peak_needed = work.stated and source != "measured"
        return Basis(
            source=source,
            precision=self.supply.precision_used(pool, work.precision, work.fallbacks)
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
class Estimate:
    """One variant in every pool, without the wait."""

    stage_seconds: Floats  # inf: the data cannot get there
    run_seconds: Floats
    yuan: Floats
    kwh: Floats
    run: Run
    slowdown: float = 1.0

    def slowed(self, factor: float) -> Estimate:
        """The same when the run takes `factor` times as long; transfers are a small part."""
        return Estimate(
            self.stage_seconds,
            self.run_seconds * factor,
            self.yuan * factor,
            self.kwh * factor,
            self.run,
            self.slowdown * factor,
        )

    def basis(self, pool: int) -> Basis:
        """What the run in one pool rests on."""
        return self.run.basis(pool, self.slowdown)


def estimate(
    supply: Supply,
    demand: Demand,
    variant: Variant,
    staging: Staging,
    policy: Policy,
    tenant: str = "",
) -> Estimate:
    """Estimate `variant` of a `demand` of `tenant` in every pool."""
    run = run_of(supply, demand, variant, policy, tenant)
    card_hours = run.seconds * variant.cards / _SECONDS_PER_HOUR
    return Estimate(
        stage_seconds=staging.seconds,
        run_seconds=run.seconds,
        yuan=card_hours * supply.yuan_per_card_hour + staging.yuan,
        kwh=card_hours * supply.watts / 1000.0 * supply.pue,
        run=run,
    )


def run_of(
    supply: Supply, demand: Demand, variant: Variant, policy: Policy, tenant: str = ""
) -> Run:
    """Expected run in each pool: past runs, lost work and checkpoints included."""
    undisturbed = runtime(supply, demand, variant, policy)
    factor = _learned_factor(supply, demand, tenant, undisturbed)
    seconds = undisturbed.seconds * factor
    outlook = supply.reliability(max(1, variant.cards), demand.checkpoint).outlook(seconds)
    expected = np.minimum(seconds / outlook.availability, RUN_SECONDS_MAX)
    return Run(supply, demand, tenant, undisturbed, outlook, expected)


def run_seconds(
    supply: Supply, demand: Demand, variant: Variant, policy: Policy, tenant: str = ""
) -> Floats:
    """Expected run in each pool, in seconds."""
    return run_of(supply, demand, variant, policy, tenant).seconds


def trust_in(supply: Supply, demand: Demand, tenant: str, pool: int, source: str) -> Trust:
    """What past runs of the demand's family say of an estimate in one pool."""
    past = supply.corrections.get((tenant, demand.family)) if demand.family else None
    if past is None:
        return trust(source, None)
    return trust(source, past.get(supply.pools[pool].accelerator), past.get(""))


def _learned_factor(supply: Supply, demand: Demand, tenant: str, undisturbed: Runtime) -> Floats:
    """[pool]: by how much longer such runs have been than estimated; 1 where nothing is known."""
    factor = np.ones(len(supply))
    if not demand.family or (tenant, demand.family) not in supply.corrections:
        return factor
    for pools in supply.by_model().values():
        # one source for all pools of a model, since what it rests on are the model's figures
        first = int(pools[0])
        past = trust_in(supply, demand, tenant, first, undisturbed.source(first))
        factor[pools] = past.factor
    return factor
