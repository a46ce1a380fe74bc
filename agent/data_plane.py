"""The site's data plane beside its attempts: brings what the broker wants ahead of need, and
tells it what the cache holds and how far the attempts' inputs are.

Nothing here decides what runs. Whatever fails is told in the log and borne: an attempt that
needs the data fetches it itself. What is wanted outlives the session that said so, and ends by
its own time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from agent.backends import parse_run_name
from agent.data_messages import Prestage, PrestagesWanted, SendCache, SendStaging
from agent.staging import Staging, StagingRefused
from agent.supervisor.values import AttemptId

TELL_SECONDS = 2.0  # between two looks at what is to be told
LIST_REST = 10.0  # times the length of a look at the cache until the next one
KEYS_MAX = 1_000  # files that are told
PROGRESS_MAX = 1_000  # attempts that are told

log = logging.getLogger(__name__)

ProgressOf = Callable[[], Mapping[str, tuple[int, int]]]  # run -> bytes done, and in all


@dataclass(slots=True)
class _Bringing:
    """One input that is wanted; its task may have ended."""

    task: asyncio.Task[None]
    end: asyncio.TimerHandle
    refused: bool = False


class DataPlane:
    """Belongs to one event loop."""

    def __init__(
        self,
        staging: Staging,
        progress_of: ProgressOf,
        send: Callable[[SendCache | SendStaging], None],
        spoken: Callable[[], str],
    ) -> None:
        """`spoken`: the session in which the broker has spoken; "": there is none now."""
        self._staging = staging
        self._progress_of = progress_of
        self._send = send
        self._spoken = spoken
        self._bringing: dict[str, _Bringing] = {}  # by location
        self._session = ""  # in which what follows was told
        self._seq = 0
        self._changes = -1
        self._list_due = 0.0
        self._told_progress = False

    # --- ahead of need ------------------------------------------------------------------

    def want(self, heard: PrestagesWanted) -> None:
        """Bring these and no others; what is under way goes on. What has failed is told, and
        tried again only after it was not wanted for a while."""
        wanted = {each.location: each for each in heard.wanted if each.expires_seconds > 0}
        for location in [each for each in self._bringing if each not in wanted]:
            self._end(location)
        for each in wanted.values():
            self._begin(each)

    @property
    def bringing(self) -> tuple[str, ...]:
        """The locations that are wanted, those that are there too."""
        return tuple(self._bringing)

    def _begin(self, wanted: Prestage) -> None:
        loop, location = asyncio.get_running_loop(), wanted.location
        end = loop.call_later(wanted.expires_seconds, self._end, location)
        known = self._bringing.get(location)
        if known is None:
            self._bringing[location] = _Bringing(loop.create_task(self._bring(wanted)), end)
            return
        known.end.cancel()
        known.end = end
        with contextlib.suppress(StagingRefused):  # its task says so
            self._staging.ease(location, wanted.bytes_per_second)

    def _end(self, location: str) -> None:
        ended = self._bringing.pop(location)
        ended.end.cancel()
        ended.task.cancel()

    async def _bring(self, wanted: Prestage) -> None:
        shown = wanted.location.partition("?")[0]
        try:
            await self._staging.bring(wanted.location, wanted.bytes_per_second)
            log.info("%s was brought ahead of need", shown)
        except StagingRefused as refused:
            log.info("%s is not brought ahead of need: %s", shown, refused)
            known = self._bringing.get(wanted.location)
            if known is not None and known.task is asyncio.current_task():
                known.refused = True
                self._changes = -1  # tell it

    # --- what is told -------------------------------------------------------------------

    async def run(self) -> None:
        """Tell the broker what it does not know yet, until cancelled."""
        while True:
            await self._tell(self._spoken())
            await asyncio.sleep(TELL_SECONDS)

    async def close(self) -> None:
        """Give up what is under way; what it brought is kept."""
        tasks = [each.task for each in self._bringing.values()]
        for location in tuple(self._bringing):
            self._end(location)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, session: str) -> None:
        if session != self._session:
            self._session, self._seq, self._changes = session, 0, -1
            self._told_progress = False
        if not session:
            return
        self._tell_progress()
        if self._changes != self._staging.changes and time.monotonic() >= self._list_due:
            await self._tell_cache()

    def _tell_progress(self) -> None:
        progress = tuple(
            (AttemptId(*parse_run_name(name)), *done_and_all)
            for name, done_and_all in islice(self._progress_of().items(), PROGRESS_MAX)
        )
        if progress or self._told_progress:
            self._told_progress = bool(progress)
            self._send(SendStaging(self._session, self._next(), progress))

    async def _tell_cache(self) -> None:
        changes, begun = self._staging.changes, time.monotonic()
        try:
            keys = await self._staging.cached(KEYS_MAX)
        except StagingRefused as refused:
            log.warning("what the cache holds is not known: %s", refused)
            keys = ()
        self._changes = changes
        self._list_due = time.monotonic() + LIST_REST * (time.monotonic() - begun)
        failed = (at for at, each in self._bringing.items() if each.refused)
        named, bytes_max = tuple(map(self._staging.key_of, failed)), self._staging.bytes_max
        self._send(SendCache(self._session, self._next(), keys, bytes_max, named))

    def _next(self) -> int:
        self._seq += 1
        return self._seq
