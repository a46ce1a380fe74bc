"""How long, how dear and how hungry a demand would be in each pool.

    finish = wait + stage + work ÷ (cards × peak × utilisation × linearity) ÷ availability

This module estimates everything but the wait. Arrays run over the pools of a
`Supply`; times in seconds, money in yuan, energy in kWh. Peaks only rank what has
not been measured: a duration measured on a model is taken as it is for that model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np

from scheduler.arrays import Floats
from scheduler.model import Demand, Policy, Site, Variant, Work
from scheduler.supply import Supply, linearity, peak_tflops

CHECKPOINT_SECONDS = 60.0  # to write one checkpoint, until a site states its own (assumed)
AVAILABILITY_MIN = 0.05  # a gang that fails faster than it computes is priced, not divided by 0
RUN_SECONDS_MAX = 1e9  # 31 years: beyond this an estimate is a mistake in the figures
_SECONDS_PER_DAY = 86_400.0
_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """One variant in every pool, without the wait."""

    stage_seconds: Floats  # inf: the data cannot get there
    run_seconds: Floats
    yuan: Floats
    kwh: Floats

    def slowed(self, factor: float) -> Estimate:
        """The same when the run takes `factor` times as long; transfers are a small part."""
        return Estimate(
            self.stage_seconds, self.run_seconds * factor, self.yuan * factor, self.kwh * factor
        )


@dataclass(frozen=True, slots=True)
class Staging:
    """Moving a demand's data to each pool and its outputs back."""

    seconds: Floats
    yuan: Floats


def estimate(
    supply: Supply, demand: Demand, variant: Variant, staging: Staging, policy: Policy
) -> Estimate:
    """Estimate `variant` of `demand` in every pool."""
    run = run_seconds(supply, demand, variant, policy)
    card_hours = run * variant.cards / _SECONDS_PER_HOUR
    return Estimate(
        stage_seconds=staging.seconds,
        run_seconds=run,
        yuan=card_hours * supply.yuan_per_card_hour + staging.yuan,
        kwh=card_hours * supply.watts / 1000.0 * supply.pue,
    )


def stage(supply: Supply, demand: Demand) -> Staging:
    """Each input from its nearest replica, one after the other, and the outputs back.

    Outputs go to the nearest home of the first input; without inputs they stay where
    they are made. A dataset that nobody knows cannot be moved: inf.
    """
    seconds, yuan = np.zeros(len(supply)), np.zeros(len(supply))
    for name in demand.inputs:
        dataset = supply.datasets.get(name)
        homes = dataset.replicas if dataset else ()
        moved = _from_nearest(supply, homes, dataset.size_bytes if dataset else 0)
        seconds, yuan = seconds + moved.seconds, yuan + moved.yuan
    first = supply.datasets.get(demand.inputs[0]) if demand.inputs else None
    if first and demand.output_bytes > 0:
        back = _from_nearest(supply, first.replicas, demand.output_bytes)
        seconds, yuan = seconds + back.seconds, yuan + back.yuan
    return Staging(seconds, yuan)


def _from_nearest(supply: Supply, homes: tuple[str, ...], size_bytes: int) -> Staging:
    """Fastest transfer between each pool's site and any of `homes` (site names)."""
    best, price = np.full(len(supply), math.inf), np.zeros(len(supply))
    if homes and size_bytes <= 0:
        return Staging(np.zeros(len(supply)), price)
    for home in sorted(homes):
        city = supply.city_of(home)
        to_nodes, yuan_to_nodes = supply.routes.transfers(city, size_bytes)
        # node -1 (a city outside the network) reads the last element: unreachable, no price
        seconds = np.append(to_nodes, math.inf)[supply.node_of]
        yuan = np.append(yuan_to_nodes, 0.0)[supply.node_of]
        here = supply.by_site(("name", home), partial(_is_named, home))
        seconds, yuan = np.where(here, 0.0, seconds), np.where(here, 0.0, yuan)
        nearer = seconds < best
        best, price = np.where(nearer, seconds, best), np.where(nearer, yuan, price)
    return Staging(best, price)


def _is_named(name: str, site: Site) -> bool:
    return site.name == name


def run_seconds(supply: Supply, demand: Demand, variant: Variant, policy: Policy) -> Floats:
    """Expected run in each pool, lost work and checkpoints included."""
    base = _undisturbed(supply, demand, variant, policy)
    base = np.clip(np.nan_to_num(base, nan=policy.run_seconds_default), 0.0, RUN_SECONDS_MAX)
    share = availability(base, variant.cards, supply.failures_per_card_day, supply.restart_seconds)
    return np.minimum(base / share, RUN_SECONDS_MAX)


def _undisturbed(supply: Supply, demand: Demand, variant: Variant, policy: Policy) -> Floats:
    """The run if nothing ever failed; the time limit or the policy's default if unknown."""
    work, cards = demand.work, max(1, variant.cards)
    limit = demand.time_limit_seconds
    unknown = np.full(len(supply), limit if limit > 0 else policy.run_seconds_default)
    if work.seconds > 0:
        return _scaled(supply, work, cards, policy)
    if work.flops > 0:
        speed = cards * supply.peak_tflops(work.precision) * 1e12 * supply.utilisation
        speed = speed * supply.linearity(cards)
        np.divide(work.flops, speed, out=unknown, where=speed > 0)
    return unknown


def _scaled(supply: Supply, work: Work, cards: int, policy: Policy) -> Floats:
    """A measured duration carried to other pools by cards, peak, utilisation and linearity.

    Where either peak is unknown, or no model is named, only the cards are scaled.
    """
    measured_on = supply.models.get(work.accelerator)
    cards_then = work.cards or cards
    domain = measured_on.supernode_cards if measured_on else 8
    speed_then = cards_then * linearity((), domain, cards_then)
    seconds = work.seconds * speed_then / (cards * supply.linearity(cards))
    peak_then = peak_tflops(measured_on, work.precision)
    peaks = supply.peak_tflops(work.precision)
    if cards_then == cards:  # same gang on the same model: the measurement stands
        seconds = np.where(supply.matching(work.accelerator), work.seconds, seconds)
    other = ~supply.matching(work.accelerator) & (peaks > 0) & (peak_then > 0)
    ratio = np.divide(
        peak_then * policy.utilisation_default,
        peaks * supply.utilisation,
        out=np.ones(len(supply)),
        where=other,
    )
    return seconds * ratio


def availability(
    run_seconds: Floats, cards: int, failures_per_card_day: Floats, restart_seconds: Floats
) -> Floats:
    """Share of the time in which a gang makes lasting progress (Young 1974, Daly 2006).

    With mean time between failures M and checkpoint cost d, the best interval loses
    sqrt(2 d / M); a run too short for a checkpoint loses half of itself per failure.
    """
    rate = failures_per_card_day * cards / _SECONDS_PER_DAY
    checkpointed = np.sqrt(2.0 * CHECKPOINT_SECONDS * rate)
    restarted = run_seconds / 2.0 * rate
    lost = np.minimum(checkpointed, restarted) + restart_seconds * rate
    return np.clip(1.0 - lost, AVAILABILITY_MIN, 1.0)


def checkpoint_interval_seconds(
    cards: int, failures_per_card_day: float, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> float:
    """The interval between checkpoints that loses least (Young's first order); inf: never fails."""
    rate = failures_per_card_day * cards / _SECONDS_PER_DAY
    return math.sqrt(2.0 * checkpoint_seconds / rate) if rate > 0 else math.inf
