"""Standbys that tests look into, and the tables of a state as plain values."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from broker.core.rows import Put, Record, Row
from broker.core.state import State
from broker.store import Store, StoreError
from broker.store.etcd import EtcdStore


class Mirror:
    """The rows as the store has told them; counts how often it began anew."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.loads = 0
        self.batches: list[int] = []  # the number of records handed on at a time

    def load(self, rows: Iterator[Put]) -> None:
        self.rows = {put.key: put.row for put in rows}
        self.loads += 1

    def apply(self, records: Sequence[Record]) -> None:
        self.batches.append(len(records))
        for record in records:
            if isinstance(record, Put):
                self.rows[record.key] = record.row
            else:
                self.rows.pop(record.key, None)


class Campaign:
    """A campaign on a thread of its own, as a broker that stands by runs it."""

    def __init__(self, store: Store, standby: Any) -> None:
        self.store = store
        self.term = 0
        self.error: BaseException | None = None
        self._standby = standby
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.term = self.store.campaign(self._standby)
        except BaseException as error:
            self.error = error

    def wait(self, seconds: float = 30.0) -> int:
        """The term that was won. Raises what the campaign raised."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the campaign goes on"
        if self.error is not None:
            raise self.error
        return self.term

    @property
    def waits(self) -> bool:
        return self._thread.is_alive()


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until it holds, looking often."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def rows_of(store: Store) -> dict[str, Row]:
    return {put.key: put.row for put in store.load()}


def tables_of(state: State) -> dict[str, Any]:
    """All that is durable in a state, and the counts that follow from it."""
    state.check()
    names = (
        *("jobs", "specs", "sites", "tokens", "joins", "tenants", "datasets", "bundles"),
        *("network", "audit", "audit_seq", "audit_hash", "revision", "by_tenant", "arrays"),
        *("finished", "cards_held", "cards_leased", "spec_uses", "bundle_bytes"),
    )
    return {name: getattr(state, name) for name in names}


def code_of(error: BaseException | None) -> str:
    assert isinstance(error, StoreError), error
    return error.code


def break_watch(store: EtcdStore) -> None:
    """The connection on which a standby hears of the leader's commits breaks."""
    if store._follower is not None and store._follower._call is not None:
        store._follower._call.cancel()
