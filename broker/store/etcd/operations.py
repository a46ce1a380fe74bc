"""Records as etcd's operations, and an account of the rows that are kept in parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from broker.core.rows import Put, Record
from broker.store.codec import encode
from broker.store.etcd.connection import Connection
from broker.store.etcd.keys import Keys, delete, end_of, put
from broker.store.etcd.loader import messages
from broker.store.etcd.parts import is_long, part, place_of, place_of_part, row_of_place
from broker.store.etcd.ranges import Ranges
from broker.store.etcd.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Batch:
    """One commit: what is written before it, unseen, and what it does."""

    early: list[Any]
    operations: list[Any]
    parted: dict[str, bytes]  # row -> place of its parts, for the rows it parts
    plain: list[str]  # rows that were in parts and are not any more


class Operations:
    """Turns records into batches. `places`: where parts of which row may lie."""

    def __init__(self, keys: Keys, sizes: Sizes) -> None:
        self._keys = keys
        self._sizes = sizes
        self._places: dict[str, set[bytes]] = {}

    def batch(self, records: Sequence[Record]) -> Batch:
        """Of several records for one key the last one counts; rows come before deletions.

        Raises TypeError for a row that cannot be encoded.
        """
        final = {record.key: record for record in records}
        values = {r.key: encode(r.row) for r in final.values() if isinstance(r, Put)}
        batch = Batch([], [], {}, [])
        for key, value in values.items():
            if is_long(value, self._sizes.piece_bytes):
                value, parts = part(self._keys, key, value, self._sizes.piece_bytes)
                batch.early.extend(parts)
                batch.parted[key] = place_of(value)
                self._places.setdefault(key, set()).add(batch.parted[key])
            batch.operations.append(put(self._keys.row(key), value))
        gone = [key for key in final if key not in values]
        batch.operations.extend(delete(self._keys.row(key)) for key in gone)
        for key in self._places.keys() & final.keys():
            self._drop_parts(key, batch)
        return batch

    def done(self, batch: Batch) -> None:
        """The batch is durable."""
        for key, place in batch.parted.items():
            self._places[key] = {place}
        for key in batch.plain:
            del self._places[key]

    def sweep(self, connection: Connection, revision: int) -> list[Any]:
        """Take the account anew; the operations that delete parts which no row names."""
        ranges, keys = Ranges(connection, revision), self._keys
        found = ranges.read(keys.parts, end_of(keys.parts), keys_only=True)
        self._places = {}
        orphans = []
        for place in dict.fromkeys(place_of_part(pair.key) for pair in found):
            row = row_of_place(keys, place)
            request = messages().RangeRequest(key=keys.row(row), revision=revision)
            pairs = connection.read("KV.Range", request).kvs
            if pairs and place_of(pairs[0].value) == place:
                self._places[row] = {place}
            else:
                orphans.append(delete(place, end_of(place)))
        return orphans

    def _drop_parts(self, key: str, batch: Batch) -> None:
        kept = batch.parted.get(key)
        if kept is None:
            batch.plain.append(key)
        for place in self._places[key] - {kept}:
            batch.operations.append(delete(place, end_of(place)))
