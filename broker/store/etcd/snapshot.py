"""All rows as of one revision.

A commit that was decided but not yet carried out in full is laid over the rows, so that
whoever reads sees each commit whole or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import groupby
from operator import itemgetter

from broker.core.rows import Put
from broker.store.codec import ParseSpec, decode
from broker.store.etcd.connection import Connection
from broker.store.etcd.keys import Keys, end_of, get
from broker.store.etcd.loader import messages
from broker.store.etcd.parts import read_whole
from broker.store.etcd.ranges import Ranges

Change = tuple[bytes, bytes | None]  # key under rows/, and its value unless it is deleted


class Snapshot:
    """Reads at the revision of its making. Raises StoreError, Compacted, UnreadableRow."""

    def __init__(self, connection: Connection, keys: Keys, parse_spec: ParseSpec) -> None:
        self._keys = keys
        self._parse_spec = parse_spec
        asked = messages().TxnRequest(success=[get(keys.leader), get(keys.ready)])
        found = connection.read("KV.Txn", asked)
        leader, ready = (each.response_range.kvs for each in found.responses)
        self.revision = int(found.header.revision)
        self.led = bool(leader)
        self.ready = bool(ready)
        self._ranges = Ranges(connection, self.revision)
        pending = self._ranges.read(keys.pending, end_of(keys.pending))
        self.pieces = {pair.key: pair.value for pair in pending}
        self._overlay = dict(decided(self.pieces, ready[0].value, keys)) if ready else {}

    def load(self, prefix: str = "", last: int = 0) -> Iterator[Put]:
        """As the contract of stores has it."""
        low = self._keys.row(prefix)
        high = end_of(low)
        over = sorted(change for change in self._overlay.items() if low <= change[0] < high)
        if last:
            low = self._ranges.tail(low, high, last + len(over))
        rows = self._merged(low, high, over)
        for key, value in deque(rows, last) if last else rows:
            whole = read_whole(value, self._ranges.read)
            yield Put(decode(self._keys.name(key), whole, self._parse_spec))

    def _merged(self, low: bytes, high: bytes, over: list[Change]) -> Iterator[tuple[bytes, bytes]]:
        """The stored rows with what lies over them, in the order of their keys."""
        stored = ((pair.key, pair.value) for pair in self._ranges.read(low, high))
        both: Iterator[Change] = merge(stored, over, key=itemgetter(0))
        for key, found in groupby(both, key=itemgetter(0)):
            *_, (_, value) = found  # the stored one comes first
            if value is not None:
                yield key, value


def decided(pieces: dict[bytes, bytes], step: bytes, keys: Keys) -> Iterator[Change]:
    """What the commit of this step does to rows, in its order."""
    place = keys.pieces(step)
    for key, piece in sorted(pieces.items()):
        if not key.startswith(place):
            continue
        for operation in messages().TxnRequest.FromString(piece).success:
            if operation.HasField("request_put"):
                change = operation.request_put.key, operation.request_put.value
            else:
                change = operation.request_delete_range.key, None
            if change[0].startswith(keys.rows):
                yield change
