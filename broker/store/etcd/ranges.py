"""Reading a range of etcd's keys as of one revision, in answers of some MiB each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from broker.store.etcd.connection import Connection
from broker.store.etcd.errors import TooLarge
from broker.store.etcd.loader import messages
from broker.store.etcd.settings import MIB

PAGE_BYTES = MIB  # aimed at; the row that goes beyond it still fits
PAGE_ROWS_FIRST = 100
PAGE_ROWS_MAX = 10_000
TAIL_BYTES = 24  # of a key, behind what all have in common, that tell where a tail begins


class Ranges:
    """Ranges at `revision`. Raises StoreError, Compacted."""

    def __init__(self, connection: Connection, revision: int) -> None:
        self._connection = connection
        self._revision = revision

    def read(self, low: bytes, high: bytes, keys_only: bool = False) -> Iterator[Any]:
        """The pairs from key `low` to before `high`, in the order of their keys."""
        limit = PAGE_ROWS_FIRST
        while True:
            try:
                page = self._ask(low, high, limit=limit, keys_only=keys_only)
            except TooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            yield from page.kvs
            if not page.more:
                return
            low = page.kvs[-1].key + b"\0"
            size = page.ByteSize() // len(page.kvs) + 1
            limit = max(1, min(PAGE_BYTES // size, PAGE_ROWS_MAX, 2 * limit))

    def tail(self, low: bytes, high: bytes, rows: int) -> bytes:
        """A key from which on there are `rows` pairs, or up to twice as many.

        A few dozen counts find it; a read in descending order would have etcd sort it all.
        """
        first = self._ask(low, high, limit=1, keys_only=True)
        if first.count <= 2 * rows:
            return low
        width = len(low) + TAIL_BYTES
        begin, end = _number(first.kvs[0].key, width), _number(high, width)
        count = int(first.count)
        while count > 2 * rows and end - begin > 1:
            middle = (begin + end) // 2
            behind = int(self._ask(_key(middle, width), high, count_only=True).count)
            if behind >= rows:
                begin, count = middle, behind
            else:
                end = middle
        return max(low, _key(begin, width))

    def _ask(self, low: bytes, high: bytes, **options: Any) -> Any:
        request = messages().RangeRequest(
            key=low, range_end=high, revision=self._revision, **options
        )
        return self._connection.read("KV.Range", request)


def _number(key: bytes, width: int) -> int:
    return int.from_bytes(key[:width].ljust(width, b"\0"), "big")


def _key(number: int, width: int) -> bytes:
    return number.to_bytes(width, "big").rstrip(b"\0")
