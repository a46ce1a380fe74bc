"""How much of its time a gang makes progress that lasts, although cards fail.

Failures come at random, at a rate per card and day; one failure stops the whole gang, which
restarts from its last checkpoint. Times in seconds, arrays over pools. Source of the
formulae: J. T. Daly, "A higher order estimate of the optimum checkpoint interval for restart
dumps", Future Generation Computer Systems 22 (2006), after J. W. Young, CACM 17 (1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats
from scheduler.model import Checkpoint

CHECKPOINT_SECONDS = 60.0  # to write one, where its size is not stated (assumed)
CHECKPOINT_GB_PER_SECOND = 5.0  # where the site states none (assumed)
AVAILABILITY_MIN = 0.05  # a gang that fails faster than it computes is priced, not divided by 0
FAILURES_PER_CARD_DAY_MAX = 86_400.0  # one a second: beyond, the figure is a mistake
_SECONDS_PER_DAY = 86_400.0
_RATE_MIN, _RATE_MAX = 1e-30, 1.0  # per second: never, and beyond any true figure
_EXPONENT_MAX = 50.0
_WRITE_SECONDS_MIN, _WRITE_SECONDS_MAX = 0.01, 86_400.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What failures make of a run in each pool."""

    availability: Floats  # lasting progress ÷ wall time
    checkpoint_every_seconds: Floats  # the interval to advise; 0.0: no checkpoint pays


@dataclass(frozen=True, slots=True)
class Reliability:
    """What failures cost gangs of one size and one checkpoint in each pool.

    In seconds, but `rate` in failures per second and `in_pieces`, a share of time.
    """

    rate: Floats
    restarts: Floats  # e^(R ÷ M): what restarts that fail again make of a try
    write_seconds: Floats  # of one checkpoint
    best_seconds: Floats  # the interval between two checkpoints that loses least
    in_pieces: Floats  # availability of a long run, at that interval or at the job's own
    every_seconds: float = 0.0  # the job's own interval; 0: the best
    never: bool = False  # nothing fails anywhere

    def outlook(self, run_seconds: Floats) -> Outlook:
        """What becomes of runs that take `run_seconds` undisturbed.

        A run that ends before a checkpoint pays is one piece without any.
        """
        if self.never and not self.every_seconds:
            return Outlook(np.ones(len(self.rate)), np.zeros(len(self.rate)))
        whole = progress(run_seconds, 0.0, self.rate, self.restarts)
        pays = (self.best_seconds < run_seconds) & (self.in_pieces > whole)
        one_piece = run_seconds <= self.every_seconds if self.every_seconds else ~pays
        share = np.where(one_piece, whole, self.in_pieces)
        return Outlook(
            availability=np.minimum(np.maximum(share, AVAILABILITY_MIN), 1.0),
            checkpoint_every_seconds=np.where(pays, self.best_seconds, 0.0),
        )


def reliability(
    cards: int,
    failures_per_card_day: Floats,
    restart_seconds: Floats,
    checkpoint_gb_per_second: Floats,
    checkpoint: Checkpoint,
) -> Reliability:
    """What failures cost gangs of `cards`, by the pools' figures and the job's checkpoint.

    A checkpoint of stated size is written at the site's bandwidth and read back at a restart.
    """
    per_day = np.minimum(failures_per_card_day, FAILURES_PER_CARD_DAY_MAX) * cards
    rate = np.clip(per_day / _SECONDS_PER_DAY, _RATE_MIN, _RATE_MAX)
    if checkpoint.size_bytes > 0:
        stated = checkpoint_gb_per_second > 0
        gb_per_second = np.where(stated, checkpoint_gb_per_second, CHECKPOINT_GB_PER_SECOND)
        write = checkpoint.size_bytes / (gb_per_second * 1e9)
        write = np.clip(write, _WRITE_SECONDS_MIN, _WRITE_SECONDS_MAX)
        restart_seconds = restart_seconds + write
    else:
        write = np.full(len(rate), CHECKPOINT_SECONDS)
    restarts = np.exp(np.minimum(restart_seconds * rate, _EXPONENT_MAX))
    best = best_interval_seconds(write, rate)
    own = max(0.0, checkpoint.every_seconds)
    in_pieces = progress(np.full(len(rate), own) if own else best, write, rate, restarts)
    never = not per_day.any()
    return Reliability(rate, restarts, write, best, in_pieces, own, never)


def best_interval_seconds(write_seconds: Floats, rate: Floats) -> Floats:
    """Computing between two checkpoints that loses least, for failures at `rate` per second.

    Daly's equation 37, with M = 1 ÷ rate and write time d: where d < 2 M
    sqrt(2 d M) (1 + sqrt(d ÷ 2M) ÷ 3 + (d ÷ 2M) ÷ 9) - d, else M.
    """
    part = write_seconds * rate / 2.0  # d ÷ 2M
    root = np.sqrt(part)
    first_order = write_seconds / root  # sqrt(2 d M)
    best = first_order * (1.0 + root / 3.0 + part / 9.0) - write_seconds
    return np.where(part < 1.0, best, 1.0 / rate)


def progress(piece: Floats, write: Floats | float, rate: Floats, restarts: Floats) -> Floats:
    """Progress ÷ mean wall time of pieces of work with a checkpoint after each.

    A piece of t seconds takes M e^(R ÷ M) (e^((t + d) ÷ M) - 1) on average, R: restart
    (Daly's equation 20).
    """
    tries = np.expm1(np.minimum((piece + write) * rate, _EXPONENT_MAX))
    return np.asarray(piece * rate / (restarts * tries))
