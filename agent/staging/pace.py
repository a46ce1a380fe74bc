"""How fast one download may go: ahead of need at a rate, and at once when a job waits for it.

Shared by the thread that downloads and by those who change their minds meanwhile.
"""

from __future__ import annotations

import threading
import time


class Pace:
    """Made in a hurry; `ease` and `hurry` may be called at any time, from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._eased = False
        self._rate = 0.0  # bytes per second; 0: as fast as it goes
        self._owed_bytes = 0.0  # received beyond the rate, as of `_at`
        self._at = time.monotonic()

    @property
    def eased(self) -> bool:
        """Whether no job waits for it yet."""
        return self._eased

    def ease(self, bytes_per_second: float) -> None:
        """Nobody waits for it: at most so fast (0: no rate is set)."""
        self._set(True, max(0.0, bytes_per_second))

    def hurry(self) -> None:
        """As fast as it goes; whoever pauses goes on."""
        self._set(False, 0.0)

    def take(self, size_bytes: int) -> None:
        """Return once so many more bytes fit under the rate."""
        with self._changed:
            self._pass()
            self._owed_bytes += size_bytes
            while self._rate and self._owed_bytes > 0:
                self._changed.wait(min(self._owed_bytes / self._rate, threading.TIMEOUT_MAX))
                self._pass()

    def _set(self, eased: bool, rate: float) -> None:
        with self._changed:
            self._pass()
            self._eased, self._rate = eased, rate
            self._changed.notify_all()

    def _pass(self) -> None:
        """Time that went by pays off what is owed; idle time is not saved up."""
        now = time.monotonic()
        paid = (now - self._at) * self._rate if self._rate else self._owed_bytes
        self._owed_bytes, self._at = max(0.0, self._owed_bytes - paid), now
