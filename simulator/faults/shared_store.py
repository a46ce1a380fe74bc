"""The store that several brokers share, linearizable, with a leader elected by lease.

The contract of `broker.store` as a service at the other end of a network: whoever keeps
its lease alive longest leads next; a write counts only in the leader's own term, and a
late copy of a write that was made already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from broker.core.rows import Delete, Job, Put, Record
from broker.store import KINDS
from broker.store.codec import decode, encode
from simulator.faults.invariants import Invariants
from simulator.faults.specs import parse_spec
from simulator.faults.world import World

LEASE_SECONDS = 30.0  # of the leader
RENEW_SECONDS = 9.0


class Written(StrEnum):
    """What became of a write."""

    DONE = "done"
    STALE = "stale"  # another leader has begun, or nobody leads
    REFUSED = "refused"  # it could not be stored now


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer to whoever keeps a lease alive. `term` 0: it does not lead."""

    alive: bool
    term: int = 0


Change = tuple[str, bytes | None]  # key -> value; None: deleted


@dataclass(frozen=True, slots=True)
class Write:
    """One batch, and its place among the writes of its term."""

    term: int
    number: int  # 1, 2, … in each term
    changes: tuple[Change, ...]
    jobs: tuple[Job, ...]  # for the witness only, as are the jobs that were dropped
    dropped: tuple[str, ...]


def write_of(term: int, number: int, records: Sequence[Record]) -> Write:
    changes = tuple((r.key, encode(r.row) if isinstance(r, Put) else None) for r in records)
    rows = (record.row for record in records if isinstance(record, Put))
    jobs = tuple(row for row in rows if isinstance(row, Job))
    gone = (record.key for record in records if isinstance(record, Delete))
    dropped = tuple(key.removeprefix("job/") for key in gone if key.startswith("job/"))
    return Write(term, number, changes, jobs, dropped)


class SharedStore:
    """Rows, the log of their changes, and the leader's key."""

    def __init__(self, world: World, invariants: Invariants, rate: float) -> None:
        self.world = world
        self.rows: dict[str, bytes] = {}
        self.log: list[tuple[Change, ...]] = []
        self.term = 0
        self.leader = ""
        self.elections = 0
        self.refuses_until = 0.0  # fault: no room
        self.slow_until = 0.0  # fault: answers take seconds
        self._invariants = invariants
        self._lease_seconds = LEASE_SECONDS / rate
        self._expiries: dict[str, float] = {}  # by owner; dead ones stay, at -inf
        self._number = 0

    # --- the lead ---------------------------------------------------------------

    def keep_alive(self, owner: str) -> Standing:
        """Renew an owner's lease, or begin it: then it waits for the lead."""
        expiry = self._expiries.get(owner)
        if expiry == -inf:
            return Standing(alive=False)
        self._expiries[owner] = self.world.now + self._lease_seconds
        if expiry is None:
            self.world.after(self._lease_seconds, lambda: self._look(owner))
            self._elect()
        return Standing(True, self.term if self.leader == owner else 0)

    def _look(self, owner: str) -> None:
        left = self._expiries[owner] - self.world.now
        if left > 0:
            self.world.after(left, lambda: self._look(owner))
            return
        self._expiries[owner] = -inf
        if self.leader == owner:
            self.leader = ""
            self._elect()

    def _elect(self) -> None:
        waiting = [owner for owner, expiry in self._expiries.items() if expiry != -inf]
        if not self.leader and waiting:
            self.leader = waiting[0]
            self.term += 1
            self._number = 0
            self.elections += 1
            self.world.tell("", "store", f"term {self.term}: {self.leader} leads")

    # --- rows -------------------------------------------------------------------

    def commit(self, write: Write) -> Written:
        """All of it, or nothing; made twice it counts once."""
        if self._is_stale(write):
            return Written.STALE
        if self._is_repeated(write):
            return Written.DONE
        if self.world.now < self.refuses_until:
            return Written.REFUSED
        self._number = write.number
        for key, value in write.changes:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        self.log.append(write.changes)
        self._invariants.stored(write.term, write.jobs, write.dropped)
        return Written.DONE

    def _is_stale(self, write: Write) -> bool:
        return not self.leader or write.term != self.term

    def _is_repeated(self, write: Write) -> bool:
        return write.number <= self._number

    def read_from(self, revision: int) -> Follow:
        """What changed after `revision`, for whoever follows; from 0, all rows."""
        if revision == 0:
            changes = tuple(self.rows.items())
            ordered = sorted(changes, key=lambda change: change[0].startswith("job/"))
            return Follow(0, len(self.log), True, tuple(ordered))
        since = [change for batch in self.log[revision:] for change in batch]
        return Follow(revision, len(self.log), False, tuple(since))

    def answer_seconds(self) -> float:
        """How long an answer takes beyond its way."""
        if self.world.now < self.slow_until:
            return self.world.between(0.5, 8.0)
        return 0.001

    def begin(self, records: Sequence[Record]) -> None:
        """Rows that were there before anything began."""
        write = write_of(0, 0, records)
        self.rows.update((key, value) for key, value in write.changes if value is not None)
        self.log.append(write.changes)


@dataclass(frozen=True, slots=True)
class Follow:
    """Changes after `since` for a standby, up to `revision`; `whole`: they are all rows."""

    since: int
    revision: int
    whole: bool
    changes: tuple[Change, ...]

    def puts(self) -> Iterator[Put]:
        for key, value in self.changes:
            if value is not None and key.startswith((*KINDS, "audit/")):
                yield Put(decode(key, value, parse_spec))

    def records(self) -> Iterator[Record]:
        for key, value in self.changes:
            yield Delete(key) if value is None else Put(decode(key, value, parse_spec))
