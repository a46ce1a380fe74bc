"""Keeps count of card failures and card-days over restarts, and says the site's failure rate.

Looks at what the survey has read, by elapsed time alone: the wall clock never enters. Time in
which no agent looked counts for nothing, and so do failures in it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

from agent.cards.failure_rate import FailureCount, FailureTally, failures_per_card_day
from agent.clock import lease_now
from agent.survey import Surveying
from suan.errors import SuanError
from suan.identity.files import write_file

FILE = "failures.json"
FILE_BYTES_MAX = 4096
LOOK_SECONDS = 30.0  # between two looks
SAVE_SECONDS = 900.0  # between two writes of card-days; failures are written at once

log = logging.getLogger(__name__)


def read_count(state_dir: Path) -> FailureCount:
    """What is kept there; nothing where it is not there or cannot be understood."""
    path = state_dir / FILE
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(FILE_BYTES_MAX))
        failures, card_days = int(said["failures"]), float(said["card_days"])
        if failures < 0 or not 0.0 <= card_days < math.inf:
            raise ValueError("a count below zero or without end")
        return FailureCount(failures, card_days)
    except FileNotFoundError:
        return FailureCount()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        log.warning("%s cannot be read, so card failures are counted anew: %r", path, error)
        return FailureCount()


def write_count(state_dir: Path, seen: FailureCount) -> None:
    """Raises InvalidRequest (FileUnwritable)."""
    said = {"failures": seen.failures, "card_days": round(seen.card_days, 6)}
    write_file(state_dir / FILE, json.dumps(said).encode(), force=True)


class FailureWatch:
    """Counts beside a survey."""

    def __init__(
        self,
        state_dir: Path,
        stated: float,
        survey: Surveying,
        tell: Callable[[float], None],
        seconds: float = LOOK_SECONDS,
        clock: Callable[[], float] = lease_now,
    ) -> None:
        """`stated`: the operator's rate. `tell` hears the rate after each look."""
        self.stated = stated
        self._state_dir = state_dir
        self._survey = survey
        self._tell = tell
        self._seconds = seconds
        self._clock = clock
        self._tally = FailureTally(read_count(state_dir))
        self._looked_at = self._saved_at = clock()
        self._saved = self._tally.seen

    @property
    def seen(self) -> FailureCount:
        return self._tally.seen

    @property
    def rate(self) -> float:
        """Failures per card and day: what is advertised."""
        return failures_per_card_day(self.stated, self.seen)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)

    async def look(self) -> None:
        """Count what has come since the look before; what must last is written."""
        now = self._clock()
        cards = {pool.name: pool.cards_per_node for pool in self._survey.declared_pools}
        seconds, self._looked_at = now - self._looked_at, now
        failures = self._tally.look(self._survey.conditions, cards, seconds)
        self._tell(self.rate)
        if failures or now - self._saved_at >= SAVE_SECONDS:
            await self._save(now)

    async def _save(self, now: float) -> None:
        self._saved_at = now
        if self.seen == self._saved:
            return
        try:
            await asyncio.to_thread(write_count, self._state_dir, self.seen)
            self._saved = self.seen
        except SuanError as error:
            log.warning("the count of card failures was not written: %s", error)
