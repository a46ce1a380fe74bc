"""Durable rows behind one contract: memory, SQLite and etcd.

A store keeps bytes by key. It knows the codec and nothing of what rows mean. `commit`
is atomic, durable when it returns, and refused once another leader has begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from broker.core.rows import Put, Record
from broker.core.state import AUDIT_KEPT

KINDS = (
    "bundle/",
    "dataset/",
    "job/",
    "join/",
    "network/",
    "maintenance/",
    "site/",
    "learned/",
    "spec/",
    "tenant/",
    "token/",
    "usage/",
)  # prefixes of all keys but the audit log's


class Standby(Protocol):
    """What a broker that waits for its turn has seen of the rows."""

    def load(self, rows: Iterator[Put]) -> None:
        """Begin, or begin again, from all rows that a leader needs."""

    def apply(self, records: Sequence[Record]) -> None:
        """What the leader has committed since."""


class Readable(Protocol):
    """A store, or a view of one."""

    def load(self, prefix: str = "", last: int = 0) -> Iterator[Put]:
        """As `Store.load`."""


def load_state(store: Readable) -> Iterator[Put]:
    """All rows that a leader needs: of the audit log, which only grows, the newest."""
    for prefix in KINDS:
        yield from store.load(prefix)
    yield from store.load("audit/", last=AUDIT_KEPT)


class StoreError(Exception):
    """The store could not do it now; trying again may help. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class StaleTerm(Exception):
    """Another leader has begun: this one may change nothing more."""


class Store(Protocol):
    """What every store does. Calls block; the loop makes them on a thread of its own."""

    def campaign(self, standby: Standby) -> int:
        """Become the leader; the new term, larger than any before.

        When it returns, `standby` holds the whole durable state. A store that several
        brokers share waits here for the leader before, and keeps `standby` fed meanwhile.
        Raises StoreError: "StoreLocked" while another process on this machine leads,
        "StoreClosed" when `close` was called meanwhile.
        """

    def led_seconds(self) -> float:
        """How long this process may still be sure that no other leads; 0.0: no longer.

        Infinite where a lock of this machine keeps all others away.
        """

    def load(self, prefix: str = "", last: int = 0) -> Iterator[Put]:
        """The rows whose key begins with `prefix`, in the order of their keys.

        With `last`, only so many, those with the greatest keys.
        Raises StoreError, or UnreadableRow with the key of the row.
        """

    def commit(self, records: Sequence[Record], term: int) -> None:
        """Make all records durable, or none. Of several for one key the last one counts.

        Raises StaleTerm or StoreError.
        """

    def close(self) -> None:
        """Give up the lead, or the wait for it, and the files. From any thread."""
