"""An instance as the bounds see it: per job and kind, not per pool.

Pools of one kind are merged into one, and a job's data are as near as in the nearest of
them. Every schedule of the instance is a schedule of this relaxation, with the same ends:
so what bounds the relaxation from below bounds the instance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.replay.instance import Floats, Instance


@dataclass(frozen=True, slots=True)
class Demand:
    """The jobs that fit somewhere, by kind; inf where a job fits no pool of the kind."""

    submit: Floats  # [job], seconds, ascending
    cards: Floats  # [job]
    run: Floats  # [job, kind], seconds
    stage: Floats  # [job, kind], seconds to the nearest pool of the kind; inf as `run`
    capacity: Floats  # [kind], cards

    @classmethod
    def of(cls, instance: Instance) -> Demand:
        known, pools = instance.known, instance.known.pools
        jobs = instance.feasible
        stage = np.full((int(jobs.sum()), len(pools.kinds)), np.inf)
        near = np.where(known.allowed, known.stage_seconds, np.inf)[jobs]
        for pool, kind in enumerate(pools.kind.tolist()):
            stage[:, kind] = np.minimum(stage[:, kind], near[:, pool])
        run = np.where(np.isfinite(stage), instance.run_seconds[jobs], np.inf)
        cards = known.cards[jobs].astype(np.float64)
        return cls(known.submit_seconds[jobs], cards, run, stage, pools.cards_by_kind)

    def __len__(self) -> int:
        return len(self.submit)

    @property
    def work(self) -> Floats:
        """[job, kind]: card-seconds."""
        return self.run * self.cards[:, None]

    @property
    def release(self) -> Floats:
        """[job]: when its data are at the nearest pool; no run begins before."""
        return np.asarray(self.submit + self.stage.min(axis=1), np.float64)

    @property
    def solo(self) -> Floats:
        """[job]: staging and run when nobody else is there."""
        return np.asarray((self.stage + self.run).min(axis=1), np.float64)
