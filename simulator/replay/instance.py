"""A federation and the jobs of a trace as arrays: what policies, loop and bounds work on.

A job is its row, sorted by submission; a pool and a kind (model of accelerator) are
columns. Infinite seconds say "cannot". Knows numbers only: neither files nor policies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools, as card counts of one kind each."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]  # models
    kind: Ints  # [pool]: which of `kinds`
    cards: Ints  # [pool]
    yuan_per_card_hour: Floats  # [pool]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def cards_by_kind(self) -> Floats:
        """[kind]: cards of all its pools."""
        return np.bincount(self.kind, self.cards, minlength=len(self.kinds)).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Jobs that fit the same pools with the same width share a shape."""

    of_job: tuple[int, ...]  # [job]
    cards: tuple[int, ...]  # [shape]
    pools: tuple[tuple[int, ...], ...]  # [shape]: where it could ever start; () is nowhere

    @classmethod
    def of(cls, cards: Ints, allowed: Bools) -> Shapes:
        """From each job's cards and [job, pool] where it may start."""
        columns = np.column_stack([cards, np.packbits(allowed, axis=1).astype(np.int64)])
        rows, first, of_job = np.unique(columns, axis=0, return_index=True, return_inverse=True)
        pools = tuple(tuple(np.flatnonzero(allowed[at]).tolist()) for at in first)
        return cls(tuple(of_job.reshape(-1).tolist()), tuple(rows[:, 0].tolist()), pools)


@dataclass(frozen=True, slots=True)
class Known:
    """What a policy may know of the jobs: all but how long they really run."""

    pools: Pools
    submit_seconds: Floats  # [job], ascending, from 0
    cards: Ints  # [job]
    tenant: Ints  # [job]: which of `tenants`
    tenants: tuple[str, ...]
    estimate_seconds: Floats  # [job, kind]: expected run; inf: cannot run there
    stage_seconds: Floats  # [job, pool]: to bring its data there; inf: must not or cannot
    shapes: Shapes

    def __len__(self) -> int:
        return len(self.submit_seconds)

    @property
    def allowed(self) -> Bools:
        """[job, pool]: where the job could start if the pool were empty."""
        return _allowed(self.pools, self.cards, self.estimate_seconds, self.stage_seconds)


@dataclass(frozen=True, slots=True)
class Instance:
    """What is known, and the truth that only the loop and the bounds may see."""

    known: Known
    names: tuple[str, ...]  # [job]
    run_seconds: Floats  # [job, kind]

    @classmethod
    def of(
        cls,
        pools: Pools,
        submit_seconds: Floats,
        cards: Ints,
        run_seconds: Floats,
        stage_seconds: Floats,
        tenant: Ints | None = None,
        tenants: tuple[str, ...] = ("all",),
        names: tuple[str, ...] = (),
    ) -> Instance:
        """An instance with exact estimates. Raises ValueError unless sorted by submission."""
        if np.any(np.diff(submit_seconds) < 0):
            raise ValueError("jobs must be sorted by submission")
        known = Known(
            pools=pools,
            submit_seconds=submit_seconds,
            cards=cards,
            tenant=np.zeros(len(cards), np.int64) if tenant is None else tenant,
            tenants=tenants,
            estimate_seconds=run_seconds,
            stage_seconds=stage_seconds,
            shapes=Shapes.of(cards, _allowed(pools, cards, run_seconds, stage_seconds)),
        )
        return cls(known, names or tuple(str(at) for at in range(len(cards))), run_seconds)

    def __len__(self) -> int:
        return len(self.known)

    @property
    def feasible(self) -> Bools:
        """[job]: some pool could hold it."""
        return np.asarray(self.known.allowed.any(axis=1), np.bool_)

    def estimated(self, estimate_seconds: Floats) -> Instance:
        """The same with these estimates; where a job cannot run, it still cannot."""
        exact = np.where(np.isfinite(self.run_seconds), estimate_seconds, np.inf)
        return replace(self, known=replace(self.known, estimate_seconds=exact))

    def guessed(self, sigma: float, seed: int) -> Instance:
        """Estimates wrong by a log-normal factor per job, the same on every kind."""
        noise = np.exp(np.random.default_rng(seed).normal(0.0, sigma, len(self)))
        return self.estimated(self.run_seconds * noise[:, None])

    def stretched(self, factor: float) -> Instance:
        """All submissions `factor` times as far apart."""
        submit = self.known.submit_seconds * factor
        return replace(self, known=replace(self.known, submit_seconds=submit))

    def solo_seconds(self) -> Floats:
        """[job]: staging and run in the best pool when nobody else is there; inf: nowhere."""
        known = self.known
        whole = known.stage_seconds + self.run_seconds[:, known.pools.kind]
        return np.asarray(np.where(known.allowed, whole, np.inf).min(axis=1), np.float64)

    def chosen(self, jobs: Ints, pools: Pools | None = None) -> Instance:
        """Only these jobs with their estimates, perhaps in pools of other sizes."""
        known, places = self.known, pools or self.known.pools
        exact = Instance.of(
            places,
            known.submit_seconds[jobs],
            known.cards[jobs],
            self.run_seconds[jobs],
            known.stage_seconds[jobs],
            known.tenant[jobs],
            known.tenants,
            tuple(self.names[at] for at in jobs),
        )
        return exact.estimated(known.estimate_seconds[jobs])


def _allowed(pools: Pools, cards: Ints, run_seconds: Floats, stage_seconds: Floats) -> Bools:
    runs = np.isfinite(run_seconds)[:, pools.kind] & np.isfinite(stage_seconds)
    return np.asarray(runs & (cards[:, None] <= pools.cards), np.bool_)
