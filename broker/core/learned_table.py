"""What finished runs taught, as a table: rows by age, by tenant and by family.

Part of the state: changed by the rows that are applied, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from broker.core.rows import Learned

K = TypeVar("K")


class LearnedTable:
    """The rows by key, those that learned longest ago first, and indexes over them."""

    def __init__(self) -> None:
        self.seq = 0  # of the newest
        self._rows: dict[str, Learned] = {}
        self._of_tenant: dict[str, dict[str, None]] = {}
        self._of_family: dict[tuple[str, str], dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> Learned | None:
        return self._rows.get(key)

    def put(self, row: Learned) -> None:
        """Take a row in as the newest."""
        self.delete(row.key)
        self._rows[row.key] = row
        self._of_tenant.setdefault(row.tenant, {})[row.key] = None
        self._of_family.setdefault((row.tenant, row.family), {})[row.key] = None
        self.seq = max(self.seq, row.seq)

    def delete(self, key: str) -> None:
        row = self._rows.pop(key, None)
        if row is not None:
            _discard(self._of_tenant, row.tenant, key)
            _discard(self._of_family, (row.tenant, row.family), key)

    def order(self) -> None:
        """After a replay, whose rows come in any order."""
        rows = sorted(self._rows.values(), key=lambda row: row.seq)
        for row in rows:
            self.put(row)

    def surplus(self, tenant: str, per_tenant_max: int, rows_max: int) -> list[str]:
        """The keys to forget: of this tenant's rows, then of all, the oldest beyond the limits."""
        own = self._of_tenant.get(tenant, {})
        found = dict.fromkeys(islice(own, max(0, len(own) - per_tenant_max)))
        beyond = max(0, len(self._rows) - len(found) - rows_max)
        others = (key for key in self._rows if key not in found)
        return [*found, *islice(others, beyond)]

    def of(self, families: Iterable[tuple[str, str]]) -> Iterator[Learned]:
        """What is known of these (tenant, family)."""
        for named in families:
            for key in self._of_family.get(named, ()):
                yield self._rows[key]


def _discard(index: dict[K, dict[str, None]], name: K, key: str) -> None:
    index[name].pop(key)
    if not index[name]:
        del index[name]
