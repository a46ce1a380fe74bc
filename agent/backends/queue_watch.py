"""Watches the runs of one cluster manager: answers their nodes, and finds out how each ended.

What a run did is told by its fences' records; the manager's word is taken where one is missing
or cannot know. It is asked by the site's one poll, for all runs together. Submits nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic

from agent.backends import Exit, Reason, layout
from agent.backends.judge import NOT_STARTED, Manager, W, is_open_to_doubt, judged, says
from agent.backends.prepare import StateDirectory
from agent.backends.rundir import RunDirectory
from agent.probes.tools import ProbeFailed
from agent.supervisor.ignored import LEASE_SECONDS_MAX

ANSWER_SECONDS = 0.1  # between two looks at the nodes' questions …
LOOK_SECONDS = 0.5  # … and at their records …
REST = 2.0  # … or so many times what a look took: a slow file system is not pressed
STOP_MARGIN_SECONDS = 30.0  # after a stop's grace the manager is asked to kill
_NEVER = float("-inf")
_LOGGER = logging.getLogger(__name__)


class QueueWatch(Generic[W]):
    """The live runs of one cluster manager. `ended` is called once for each run that is over."""

    def __init__(
        self,
        state: StateDirectory,
        asks: Path,
        manager: Manager[W],
        clock: Callable[[], float],
        wait_seconds_max: float,
        ended: Callable[[RunDirectory, Exit], Awaitable[None]],
        apart: bool = False,
    ) -> None:
        """`wait_seconds_max`: in the manager's queue; then the run is given back to the broker.

        `apart`: the nodes of runs are other users' processes, who ask in places of their own,
        and whose records end nothing that the manager says is alive.
        """
        self._state = state
        self._asks = asks
        self._manager = manager
        self._clock = clock
        self._wait_seconds_max = wait_seconds_max
        self._ended = ended
        self._apart = apart
        self._live: dict[str, float] = {}  # when each was submitted; a question before says nothing
        self._stops: dict[str, float] = {}  # when it shall be killed what does not end
        self._alive_until: dict[str, float] = {}  # a fence without an answer is dead by then
        self._words: Mapping[str, W] = {}
        self._words_at = _NEVER  # when the last answered question was put
        self._judging = asyncio.Lock()  # each end is told once
        # Its own thread: no lease waits behind files of other runs that are being written.
        self._answering = ThreadPoolExecutor(1, "suan-answers")

    def works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What is to run for as long as runs are watched."""
        return (
            self._again("answering the nodes", self._answer, ANSWER_SECONDS),
            self._again("looking at the runs", self._look, LOOK_SECONDS, rests=True),
            self._again(f"asking {self._manager.name}", self._query, 0.0),
        )

    def close(self) -> None:
        """When the works have ended."""
        self._answering.shutdown(wait=False)

    def live_runs(self) -> tuple[RunDirectory, ...]:
        return tuple(self._state.run(name) for name in self._live)

    def is_live(self, name: str) -> bool:
        return name in self._live

    def adopt(self, run: RunDirectory) -> None:
        """Go on watching a run that was found.

        The lease of another boot, or of another machine where the agent ran before, says nothing
        here: then nobody knows what the nodes were answered last, but no lease is longer.
        """
        now = self._clock()
        self._live[run.name] = now
        if run.wish_to_stop():
            self._stops[run.name] = now + STOP_MARGIN_SECONDS
        lease = layout.lease_of(run)
        left = layout.seconds_of(*lease) if lease else LEASE_SECONDS_MAX
        self._alive_until[run.name] = now + left

    def submitting(self, name: str) -> None:
        """Until it is with the manager, nobody judges it by the manager's word."""
        self._live[name] = float("inf")

    def submitted(self, name: str) -> None:
        if name in self._live:
            self._live[name] = self._clock()

    def drop(self, name: str) -> None:
        """Nothing of it can be alive any more."""
        self._live.pop(name, None)
        self._alive_until.pop(name, None)

    def stop_within(self, name: str, grace_seconds: float) -> None:
        """Let the manager end it if it has not ended by itself some time after its grace."""
        at = self._clock() + grace_seconds + STOP_MARGIN_SECONDS
        self._stops.setdefault(name, at)

    # --- looking, asking --------------------------------------------------------

    async def _again(
        self,
        what: str,
        work: Callable[[], Awaitable[None]],
        pause_seconds: float,
        rests: bool = False,
    ) -> None:
        failing = False
        while True:
            began = self._clock()
            try:
                await work()
                failing = False
            except (OSError, ValueError, KeyError, ProbeFailed) as error:
                if not failing:
                    _LOGGER.error("%s failed, and will be tried again: %s", what, error)
                failing = True
            took = self._clock() - began
            await asyncio.sleep(max(pause_seconds, REST * took if rests else 0.0))

    async def _answer(self) -> None:
        """Tell the nodes that ask how long their leases are."""
        if not self._live:
            return
        loop, runs = asyncio.get_running_loop(), self._state.runs
        answered = await loop.run_in_executor(self._answering, layout.answer_asks, self._asks, runs)
        if self._apart:
            live = self.live_runs()
            answered |= await loop.run_in_executor(self._answering, layout.answer_apart, live)
        for name, seconds in answered.items():
            self._alive_until[name] = self._clock() + seconds

    async def _look(self) -> None:
        """Take in the records of those that ended."""
        for name in await asyncio.to_thread(layout.seem_ended, self.live_runs()):
            async with self._judging:
                if name in self._live:
                    await self._take_in(name)

    async def _take_in(self, name: str) -> None:
        run = self._state.run(name)
        ended = await asyncio.to_thread(layout.merged_exit, run)
        if ended is None:
            return
        wish = run.wish_to_stop()
        if wish or not is_open_to_doubt(ended, self._manager.name) or self._is_over(name):
            await self._conclude(run, ended, self._words.get(name), wish)

    async def _query(self) -> None:
        """Take in the manager's next word; judge those whose fences cannot speak any more."""
        self._words_at, self._words = await self._manager.words(self._words_at)
        for name in tuple(self._live):
            async with self._judging:
                if name in self._live:
                    await self._judge(name)
        await self._cancel()

    async def _judge(self, name: str) -> None:
        word = self._words.get(name)
        if self._is_over(name):
            await self._bury(name, word)
        elif word is not None and word.may_wait and self._waited_too_long(name):
            await self._give_back(name)

    def _is_over(self, name: str) -> bool:
        """Whether the manager, asked after it was submitted, says that nothing of it lives."""
        if self._words_at <= self._live[name]:
            return False
        word = self._words.get(name)
        return word is None or word.is_over

    def _waited_too_long(self, name: str) -> bool:
        return self._words_at - self._live[name] > self._wait_seconds_max

    # --- ending -------------------------------------------------------------------

    async def _bury(self, name: str, word: W | None) -> None:
        """The manager has nothing of it: end what never began, and tell how the rest ended.

        Of a node that it lost, or a job that it forgot, something may live: it is told to
        end, gets no more lease, and is taken for dead when its last one is over.
        """
        run = self._state.run(name)
        detail = says(self._manager.name)
        detail += f"{word.state}: {word.reason}" if word else "nothing"
        if not await asyncio.to_thread(layout.close_parts, run, Reason.LAUNCH_FAILED, detail):
            if word is None or not word.is_proof:
                await asyncio.to_thread(layout.give_up, run, detail)
                if self._clock() < self._alive_until.get(name, 0.0):
                    return
            await asyncio.to_thread(layout.close_killed, run, detail)
        ended = await asyncio.to_thread(layout.merged_exit, run)
        if ended is not None:
            await self._conclude(run, ended, word, run.wish_to_stop())

    async def _give_back(self, name: str) -> None:
        """The site's own jobs were faster: it will not start here, and another site may have it."""
        run = self._state.run(name)
        if layout.has_begun(run):
            return
        if not await asyncio.to_thread(layout.close_parts, run, Reason.STOPPED, NOT_STARTED):
            return  # it begins just now
        ended = await asyncio.to_thread(layout.merged_exit, run)
        if ended is not None:
            await self._conclude(run, ended, None, run.wish_to_stop())

    async def _cancel(self) -> None:
        """End what did not end when it was stopped, and drop what waits in vain."""
        now = self._clock()
        self._stops = {
            name: at
            for name, at in self._stops.items()
            if (word := self._words.get(name)) is not None and not word.is_over
        }
        ending = [
            word
            for name, word in self._words.items()
            if self._stops.get(name, now + 1) <= now or (word.may_wait and self._never_began(name))
        ]
        if ending:
            await self._manager.cancel(ending)

    def _never_began(self, name: str) -> bool:
        """Of a run that is over."""
        ended = self._state.run(name).exit()
        return ended is not None and not ended.started_at

    async def _conclude(self, run: RunDirectory, told: Exit, word: W | None, wish: str) -> None:
        if self._apart:
            self._stops[run.name] = self._clock() + STOP_MARGIN_SECONDS
        ended = judged(told, self._manager.name, word, wish)
        await asyncio.to_thread(layout.write_exit, run, ended)
        self.drop(run.name)
        await self._ended(run, ended)
