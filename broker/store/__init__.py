"""Durable rows behind one contract: memory, SQLite, and later etcd.

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
    "site/",
    "spec/",
    "tenant/",
    "token/",
)  # prefixes of all keys but the audit log's


def load_state(store: Store) -> Iterator[Put]:
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

    def campaign(self) -> int:
        """Become the leader and return the new term, larger than any before.

        Raises StoreError("StoreLocked") while another process on this machine leads.
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
        """Give up the lead and the files."""
