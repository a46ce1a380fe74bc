"""A store in memory that several brokers share, and whose lead a test gives and takes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from support_core import parse_spec

from broker.core.rows import Record
from broker.store import StaleTerm, Standby, StoreError
from broker.store.memory import MemoryStore

PATIENCE_SECONDS = 20.0  # after which a test is stuck
LED_SECONDS = 9.0


class Office:
    """The one lead, and the rows that whoever has it may change."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}
        self.term = 0
        self.holder: OfficeStore | None = None
        self.changed = threading.Condition()

    def give(self, store: OfficeStore | None) -> None:
        """Take the lead from whoever has it."""
        with self.changed:
            self.holder = store
            self.changed.notify_all()


class OfficeStore(MemoryStore):
    """One broker's view. Honest: who has lost the lead can store nothing."""

    def __init__(self, office: Office) -> None:
        super().__init__(parse_spec)
        self.rows = office.rows
        self.waiting = threading.Event()  # a campaign has begun
        self.closed = False
        self._office = office

    def campaign(self, standby: Standby) -> int:
        self.waiting.set()
        office = self._office
        with office.changed:
            assert office.changed.wait_for(
                lambda: self.closed or office.holder is self, PATIENCE_SECONDS
            )
            if self.closed:
                raise StoreError("StoreClosed", "the store was closed")
            office.term += 1
            self.term = office.term - 1
            return super().campaign(standby)

    def led_seconds(self) -> float:
        led = self._office.holder is self and self._office.term == self.term
        return LED_SECONDS if led else 0.0

    def commit(self, records: Sequence[Record], term: int) -> None:
        if self.led_seconds() <= 0:
            raise StaleTerm(f"term {term} has passed")
        super().commit(records, term)

    def close(self) -> None:
        with self._office.changed:
            self.closed = True
            if self._office.holder is self:
                self._office.holder = None
            self._office.changed.notify_all()
