"""How long a class will run, to the order of the queue: before any pool was looked at.

The stated duration, else the stated operations at the best known peak, else the time
limit, else a default. Rougher than `runtime`, which asks every pool; knows models only.
"""

from __future__ import annotations

from scheduler.model import Accelerator, Demand, Policy, Variant
from scheduler.speed import peak_tflops

LENGTH_SECONDS_MIN = 1.0


class Lengths:
    """Expected run times by demand, each worked out once."""

    def __init__(self, accelerators: tuple[Accelerator, ...], policy: Policy) -> None:
        self._models = {each.model: each for each in accelerators}
        self._policy = policy

    def seconds(self, demand: Demand) -> float:
        """The expected run of one job where it runs fastest."""
        return max(LENGTH_SECONDS_MIN, self._stated(demand))

    def _stated(self, demand: Demand) -> float:
        work = demand.work
        if work.measured:
            return min(seconds for _, seconds in work.measured)
        if work.seconds > 0:
            return work.seconds
        if work.operations > 0:
            speed = max((self._speed(demand, way) for way in demand.variants), default=0.0)
            if speed > 0:
                return work.operations / speed
        return demand.time_limit_seconds or self._policy.run_seconds_default

    def _speed(self, demand: Demand, variant: Variant) -> float:
        """Operations per second of a gang; 0.0: unknown."""
        if not isinstance(variant.accelerator, str):
            peak = variant.accelerator.tflops_min
        else:
            model, work = self._models.get(variant.accelerator), demand.work
            peak = peak_tflops(model, work.precision, work.fallbacks)
        return variant.cards * peak * 1e12 * self._policy.utilisation_default
