"""What finished runs teach: by how much the estimates of a job family are wrong.

For each (tenant's family, accelerator model) the mean and variance of ln(actual ÷ predicted)
are kept, on a log scale because runs are wrong by factors. Each run counts 5 % less with every
later one (D. H. D. West, CACM 22 (1979), with weights), and one that lies far out is pulled in
before it counts (P. J. Huber, Ann. Math. Statist. 35 (1964)). A prior of a few runs says that
an estimate is right on average. Values in, values out: no clock, no store.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.model import Correction

DECAY = 0.95  # weight of what was known, at each new run: about the last 20 count
FAR = 2.5  # standard deviations beyond which a run is pulled in …
REACH_MIN = 1.0  # … but never within a factor e, so that a sure prior unlearns soon too
PRIOR_RUNS = 1.0  # runs that the prior is worth
FACTOR_MAX = 100.0  # no correction goes further, either way
FAMILY_CHARACTERS_MAX = 128
NORMAL_P90 = 1.2815515655446004  # standard deviations above the mean: 90 % of a normal lie below

# Standard deviation of ln(actual ÷ predicted) before anything is learned (assumed).
PRIOR_DEVIATION: dict[str, float] = {
    "measured": 0.1,  # on this model and as many cards
    "scaled": 0.4,  # measured elsewhere
    "computed": 0.5,  # from operations and peaks
    "limit": 0.8,  # only a time limit was stated
    "assumed": 1.2,  # nothing was
}
_STATED = frozenset({"measured", "scaled", "computed"})
_OTHER_MODEL_DEVIATION = 0.3  # more, where only other models have been seen
_NUMBERS = re.compile(r"(?=[a-f]*[0-9])[0-9a-f]{8,}|[0-9]+")


@dataclass(frozen=True, slots=True)
class Trust:
    """How an estimate is to be read: times `factor`, with a spread on the log scale."""

    factor: float = 1.0
    deviation: float = 0.0
    runs: float = 0.0

    @property
    def p90_factor(self) -> float:
        """Of the corrected estimate: nine in ten runs end within it, if errors are log-normal."""
        return math.exp(min(NORMAL_P90 * self.deviation, math.log(FACTOR_MAX)))


@dataclass(frozen=True, slots=True)
class Past:
    """What finished runs of a tenant's job family taught, by accelerator model; "": of all."""

    rows: Mapping[str, Correction] = field(default_factory=dict)
    _factors: dict[tuple[tuple[str, str], ...], list[float]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def trust(self, model: str, source: str) -> Trust:
        """What it says of an estimate from `source` on a model."""
        return trust(source, self.rows.get(model), self.rows.get(""))

    def factors(self, estimates: tuple[tuple[str, str], ...]) -> list[float]:
        """By how much longer such runs have been, for each (model, source)."""
        if estimates not in self._factors:
            self._factors[estimates] = [self.trust(*each).factor for each in estimates]
        return self._factors[estimates]


NOTHING = Past()  # nobody has run yet


def family_of(name: str) -> str:
    """The pattern of a job's name: numbers and hexadecimal ids become `#`."""
    return _NUMBERS.sub("#", name.strip().lower())[:FAMILY_CHARACTERS_MAX]


def group_of(source: str) -> str:
    """Estimates of one group are wrong alike: "work" | "limit" | "assumed"."""
    return "work" if source in _STATED else source


def updated(
    known: Correction | None, source: str, predicted_seconds: float, actual_seconds: float
) -> Correction | None:
    """`known` after one more run; as it was when either time is none (0, negative, NaN, inf)."""
    if not (0 < predicted_seconds < math.inf and 0 < actual_seconds < math.inf):
        return known
    group = group_of(source)
    if known is None or known.source != group:  # what was predicted otherwise teaches nothing
        known = Correction(source=group)
    centre, spread = _posterior(known, PRIOR_DEVIATION.get(source, PRIOR_DEVIATION["assumed"]))
    reach = max(REACH_MIN, FAR * spread)
    seen = math.log(actual_seconds) - math.log(predicted_seconds)
    seen = min(max(seen, centre - reach), centre + reach)
    before = known.runs * DECAY
    runs = before + 1.0
    step = seen - known.mean
    return Correction(
        runs=runs,
        mean=known.mean + step / runs,
        variance=before / runs * (known.variance + step * step / runs),
        source=group,
    )


def trust(source: str, own: Correction | None, other_models: Correction | None = None) -> Trust:
    """What to make of an estimate from `source`, by runs on its model, else on other models."""
    prior = PRIOR_DEVIATION.get(source, PRIOR_DEVIATION["assumed"])
    group = group_of(source)
    if own is not None and own.source == group:
        mean, deviation = _posterior(own, prior)
        return Trust(_factor(mean), deviation, own.runs)
    if other_models is not None and other_models.source == group:
        mean, deviation = _posterior(other_models, prior)
        return Trust(_factor(mean), math.hypot(deviation, _OTHER_MODEL_DEVIATION))
    return Trust(deviation=prior)


def _posterior(known: Correction, prior_deviation: float) -> tuple[float, float]:
    """Mean and standard deviation with the prior's runs counted in, which are right on average."""
    weight = known.runs + PRIOR_RUNS
    mean = known.runs / weight * known.mean
    apart = known.runs * (known.variance + (known.mean - mean) ** 2)
    variance = (PRIOR_RUNS * (prior_deviation**2 + mean**2) + apart) / weight
    return mean, math.sqrt(variance)


def _factor(mean: float) -> float:
    reach = math.log(FACTOR_MAX)
    return math.exp(min(max(mean, -reach), reach))
