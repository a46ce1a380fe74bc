"""Waiting for the lead with the state at hand, so that taking over costs no load."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from broker.core.rows import Put, Record
from broker.core.state import State, replay


class StandbyState:
    """The state of whoever leads, as far as the store has told it."""

    def __init__(self) -> None:
        self.state = State()

    def load(self, rows: Iterator[Put]) -> None:
        self.state = replay(rows)

    def apply(self, records: Sequence[Record]) -> None:
        for record in records:
            self.state.apply(record)
