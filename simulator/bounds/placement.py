"""An upper bound on what one round of placement can be worth, by prices.

Jobs j with n_j cards are worth v_jg in group g (a city's cards of one kind), C_g cards are
free, each job goes to one group at most. For any prices p >= 0 the value of any assignment is
sum v = sum (v_jg - p_g n_j) + sum p_g n_j <= sum_j max(0, max_g v_jg - p_g n_j) + sum_g p_g C_g,
because no group gives more cards than it has. So every p gives a certificate; better prices
only make it tighter. At best it is the value of the linear relaxation.
"""

from __future__ import annotations

import numpy as np

from simulator.replay.instance import Floats

STEPS = 200  # of ascent, each one pass over jobs x groups


def placement_bound(values: Floats, cards: Floats, capacity: Floats, prices: Floats) -> float:
    """The certificate of `prices` [group], not negative; `values` [job, group], -inf: cannot."""
    if np.any(prices < 0) or not np.all(np.isfinite(prices)):
        raise ValueError("prices must be finite and not negative")
    net = (values - cards[:, None] * prices).max(axis=1, initial=0.0)
    return float(net.sum() + (prices * capacity).sum())


def placement_prices(
    values: Floats,
    cards: Floats,
    capacity: Floats,
    prices: Floats | None = None,
    steps: int = STEPS,
) -> Floats:
    """Prices with a small bound, by subgradient steps from `prices`; the best that were seen."""
    prices = np.zeros(len(capacity)) if prices is None else prices.copy()
    best, best_bound = prices.copy(), placement_bound(values, cards, capacity, prices)
    density = np.where(np.isfinite(values), values, 0.0) / np.maximum(cards[:, None], 1.0)
    stride = float(density.max(initial=0.0)) / 4.0
    for step in range(steps):
        net = values - cards[:, None] * prices
        group = net.argmax(axis=1)
        wanted = net[np.arange(len(net)), group] > 0
        asked = np.bincount(group[wanted], cards[wanted], minlength=len(capacity))
        slope = (asked - capacity) / np.maximum(capacity, 1.0)
        size = float(np.abs(slope).max(initial=0.0))
        if size == 0:
            break
        prices = np.maximum(0.0, prices + stride / (1.0 + step) ** 0.5 * slope / size)
        bound = placement_bound(values, cards, capacity, prices)
        if bound < best_bound:
            best, best_bound = prices.copy(), bound
    return best
