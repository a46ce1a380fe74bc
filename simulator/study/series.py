"""What is plotted: series of numbers from an outcome, thinned out to what a plot can show."""

from __future__ import annotations

import numpy as np

from simulator.replay import Outcome
from simulator.replay.instance import Floats, Instance

POINTS_MAX = 400
DAY = 86_400.0

Series = tuple[Floats, Floats]


def use_over_time(instance: Instance, outcome: Outcome) -> Series:
    """(Days, share of all cards that jobs held on average in each interval)."""
    done = np.isfinite(outcome.ended_seconds)
    if not done.any():
        return np.zeros(0), np.zeros(0)
    start, end = outcome.started_seconds[done], outcome.ended_seconds[done]
    cards = instance.known.cards[done].astype(np.float64)
    edges = np.linspace(0.0, max(float(end.max()), 1.0), POINTS_MAX + 1)
    held = _held_until(edges, end, cards) - _held_until(edges, start, cards)
    # `held` is cards x seconds after each moment's edge; its differences are what was held.
    share = -np.diff(held) / np.diff(edges) / max(1.0, float(instance.known.pools.cards.sum()))
    return (edges[:-1] + edges[1:]) / 2 / DAY, share


def _held_until(edges: Floats, moments: Floats, cards: Floats) -> Floats:
    """[edge]: sum of cards x seconds from the edge to each later moment."""
    order = np.argsort(moments, kind="stable")
    at, weight = moments[order], cards[order]
    left_cards = np.append(np.cumsum(weight[::-1])[::-1], 0.0)
    left_sum = np.append(np.cumsum((weight * at)[::-1])[::-1], 0.0)
    first = np.searchsorted(at, edges)
    return np.asarray(left_sum[first] - left_cards[first] * edges, np.float64)


def completion_share(instance: Instance, outcome: Outcome) -> Series:
    """(Seconds, share of all jobs that ended within them)."""
    done = np.isfinite(outcome.ended_seconds)
    if not done.any():
        return np.zeros(0), np.zeros(0)
    jct = np.sort((outcome.ended_seconds - instance.known.submit_seconds)[done])
    share = np.arange(1, len(jct) + 1) / len(instance)
    chosen = np.unique(np.linspace(0, len(jct) - 1, POINTS_MAX).astype(np.int64))
    return np.maximum(jct[chosen], 1.0), share[chosen]
