"""Rows in memory, encoded as a durable store would: for tests and simulations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

from broker.core.rows import Put, Record
from broker.store import StaleTerm, Standby, load_state
from broker.store.codec import ParseSpec, decode, encode


class MemoryStore:
    """A store whose `rows` outlive the broker that used it, as long as the process lives."""

    def __init__(self, parse_spec: ParseSpec) -> None:
        self.rows: dict[str, bytes] = {}
        self.term = 0
        self._parse_spec = parse_spec

    def campaign(self, standby: Standby) -> int:
        self.term += 1
        standby.load(load_state(self))
        return self.term

    def led_seconds(self) -> float:
        return inf

    def load(self, prefix: str = "", last: int = 0) -> Iterator[Put]:
        keys = sorted(key for key in self.rows if key.startswith(prefix))
        for key in keys[-last:]:
            yield Put(decode(key, self.rows[key], self._parse_spec))

    def commit(self, records: Sequence[Record], term: int) -> None:
        if term != self.term:
            raise StaleTerm(f"term {term} has passed, {self.term} leads")
        changes = [(r.key, encode(r.row) if isinstance(r, Put) else None) for r in records]
        for key, value in changes:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value

    def close(self) -> None:
        pass
