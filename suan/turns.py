"""Whose turn it is among brokers of which one leads, and nobody says which.

The last one that answered is asked first. One that was silent is passed over for a while,
so that a machine that hangs does not cost a time-out in every round. Knows no wire.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PASS_OVER_SECONDS = 10.0  # longer than it takes another one to take the lead


class Turns:
    """`current` is the number of the broker to ask now, from 0 to `count` - 1."""

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self.current = 0
        self._clock = clock
        self._silent_until = [0.0] * count

    def heard(self, number: int) -> None:
        """This one leads."""
        self._silent_until[number] = 0.0
        self.current = number

    def pass_on(self, number: int, *, silent: bool) -> None:
        """This one does not lead, or did not answer: the next one, unless others went on."""
        now = self._clock()
        self._silent_until[number] = now + PASS_OVER_SECONDS if silent else 0.0
        if number != self.current:
            return
        others = [(number + step) % self.count for step in range(1, self.count + 1)]
        awake = [other for other in others if self._silent_until[other] <= now]
        self.current = (awake or others)[0]
