"""How fast cards are: the peak at a precision or at its fallback, and what a gang keeps of it.

Figures of single models and curves; knows neither pools nor jobs.
"""

from __future__ import annotations

import math

import numpy as np

from scheduler.model import Accelerator, Precision

SPREAD_FRACTION = 0.985  # speed kept per doubling of cards beyond one supernode (see `linearity`)

TFLOPS_MAX = 1e9  # of one card: beyond, the figure is a mistake

# Where a model has no figure at a precision, the next one that its results can be computed in.
_WIDER: dict[Precision, tuple[Precision, ...]] = {
    Precision.FP4: (Precision.FP8, Precision.INT8, Precision.BF16),
    Precision.FP8: (Precision.BF16,),
    Precision.INT8: (Precision.FP8, Precision.BF16),
    Precision.BF16: (Precision.FP32,),
    Precision.FP32: (Precision.FP64,),
    Precision.FP64: (),
}


def usable_precision(
    accelerator: Accelerator | None, precision: Precision, fallbacks: tuple[Precision, ...] = ()
) -> Precision | None:
    """The first precision that the card has a peak for: as wanted, then `fallbacks` in order.

    Without `fallbacks`, whatever is wider. None: the peak is unknown.
    """
    if accelerator is None:
        return None
    wanted = (precision, *(fallbacks or _WIDER[precision]))
    return next((name for name in wanted if _known(accelerator.peak(name))), None)


def peak_tflops(
    accelerator: Accelerator | None, precision: Precision, fallbacks: tuple[Precision, ...] = ()
) -> float:
    """Dense peak in TFLOP/s at the usable precision; 0.0: unknown."""
    used = usable_precision(accelerator, precision, fallbacks)
    return accelerator.peak(used) if accelerator is not None and used is not None else 0.0


def linearity(curve: tuple[tuple[int, float], ...], domain_cards: int, cards: int) -> float:
    """Share of linear speed-up that `cards` cards keep, by the measured curve where there is one.

    Between points: linear in log2(cards). Beyond the last, and without a curve:
    `SPREAD_FRACTION` per doubling beyond the last point or beyond one supernode of
    `domain_cards`. That is the Shenzhen figure: 93.12 % of linear at 8,192 cards with 384 to
    a supernode is 0.9312 ** (1 / log2(8192 / 384)) = 0.984 per doubling.
    """
    points = sorted((at, value) for at, value in curve if at > 0 and 0 < value <= 1.0)
    if points and points[0][0] > 1:
        points.insert(0, (1, 1.0))
    at, value = points[-1] if points else (max(1, domain_cards), 1.0)
    if cards >= at:
        return float(value * SPREAD_FRACTION ** math.log2(cards / at))
    if not points:
        return 1.0
    logs = [math.log2(at) for at, _ in points]
    return float(np.interp(math.log2(max(1, cards)), logs, [value for _, value in points]))


def _known(tflops: float) -> bool:
    return 0 < tflops <= TFLOPS_MAX  # false for NaN
