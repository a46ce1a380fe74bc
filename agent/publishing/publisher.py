"""Publishes what runs leave: the states that a live run commits, and all the rest at its end.

One publication at a time of each run, the last one when it has ended; then the supervisor is
told, which tells the broker. A state that was published is told again after a restart of the
agent: whoever hears it twice counts it once. Decides nothing of attempts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.backends import Backend, parse_run_name
from agent.publishing import snapshots
from agent.publishing.scan import Tree, scan
from agent.publishing.store import StoreFailed
from agent.publishing.stores import Stores
from agent.publishing.upload import Ending, Known, Place, Uploader, missing
from agent.reach.inside import NotReadable, Outside
from agent.staging.manifest import Manifest
from agent.supervisor.messages import Committed, Event, Publish, Published
from agent.supervisor.values import Commit, Failure, TaskOutput
from suan.errors import InvalidRequest

WATCH_SECONDS = 2.0  # between two looks at what live runs have committed …
WATCH_REST = 10.0  # … and at least so many times the length of a look
PUBLISH_SECONDS_MAX = 6 * 3600.0  # for all that one ended run leaves
OUTPUT_FAILED, OUTPUT_MISSING = "OutputFailed", "OutputMissing"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Run:
    """One run and what is published of it."""

    name: str
    job_id: str
    epoch: int
    end: Ending = field(default_factory=Ending)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    known: Known = field(default_factory=Known)
    number: int = 0  # of the last state that was published, or was to be
    committed: int = 0  # of the last state that was published
    kept: dict[int, Manifest] = field(default_factory=dict)  # states, by number
    dropping: asyncio.Task[None] | None = None
    looking: asyncio.Task[None] | None = None
    ending: asyncio.Task[None] | None = None


class Publisher:
    """Belongs to one event loop."""

    def __init__(
        self,
        backend: Backend,
        stores: Stores,
        post: Callable[[Event], None],
        running: Callable[[], Iterable[str]],
        uploader: Uploader | None = None,
    ) -> None:
        """`running`: the names of the runs that are here now."""
        self._backend = backend
        self._stores = stores
        self._post = post
        self._running = running
        self._uploader = uploader or Uploader()
        self._runs: dict[str, _Run] = {}

    async def run(self) -> None:
        """Publish what live runs commit, until cancelled."""
        while self._stores.has_own:
            began = time.monotonic()
            names = set(self._running())
            for name in names:
                await self._look(self._known(name))
            for name in [name for name in self._runs if name not in names]:
                self._forget(name)
            took = time.monotonic() - began
            await asyncio.sleep(max(WATCH_SECONDS, WATCH_REST * took))

    def publish(self, effect: Publish) -> None:
        """All that an ended run leaves; said again while it is under way, it means nothing."""
        run = self._known(effect.exit.name)
        if run.ending is None:
            run.ending = asyncio.create_task(self._conclude(run, effect))

    def unpublish(self, name: str) -> None:
        """Nobody wants it any more."""
        if (run := self._runs.get(name)) is not None:
            run.end.set("nobody wants it any more")

    def drop_before(self, name: str, number: int) -> None:
        """Nobody will go on from a state of this run with a lower number any more, but somebody
        may have begun to with the last of them: that one is kept."""
        run = self._runs.get(name)
        if run is not None and run.dropping is None and len(_before(run.kept, number)) > 1:
            run.dropping = asyncio.create_task(self._bear(self._drop_before(run, number), run))

    async def close(self) -> None:
        """Give up what is under way: after a restart it goes on."""
        works = ((run.looking, run.ending, run.dropping) for run in self._runs.values())
        tasks = [task for each in works for task in each if task]
        for task in tasks:
            task.cancel()
        for run in self._runs.values():
            run.end.set("the agent ends")
        await asyncio.gather(*tasks, return_exceptions=True)
        self._uploader.close()

    # --- states that a live run commits ---------------------------------------------------

    def _known(self, name: str) -> _Run:
        if name not in self._runs:
            self._runs[name] = _Run(name, *parse_run_name(name))
        return self._runs[name]

    def _forget(self, name: str) -> None:
        run = self._runs[name]
        looking = run.looking is not None and not run.looking.done()
        if not looking and run.ending is None and run.dropping is None:
            del self._runs[name]

    async def _look(self, run: _Run) -> None:
        if run.looking is not None and not run.looking.done():
            return
        directory = await self._place(run, "checkpoints")
        if not directory:
            return
        found = await self._uploader.read(snapshots.newest, directory, run.epoch)
        if found is not None and found.number > run.number:
            state = self._state(run, directory, after=run.number)
            run.looking = asyncio.create_task(self._bear(state, run))

    async def _bear(self, work: Coroutine[Any, Any, None], run: _Run) -> None:
        """A checkpoint that cannot be published is told and borne: the next one may be."""
        try:
            await work
        except _TROUBLE as trouble:
            log.warning("a checkpoint of %s: %s", run.name, trouble)

    async def _state(self, run: _Run, directory: str, after: int) -> None:
        """Publish the last state that the run has committed, if its number is higher."""
        async with run.turn:
            read = self._uploader.read
            found = await read(snapshots.newest, directory, run.epoch)
            if found is None or found.number <= after:
                return
            taken = await read(snapshots.take, directory, found)
            if taken is None:
                return
            run.number = taken.number
            tree = await read(scan, directory, taken.below)
            await self._checkpoint(run, tree, by_job=True)
            await read(snapshots.drop_before, directory, taken)

    async def _checkpoint(self, run: _Run, tree: Tree, by_job: bool) -> None:
        if not tree.files:
            return
        place = Place(run.job_id, run.epoch, "checkpoint", run.number, by_job=by_job)
        store = self._stores.at("")
        commit, manifest = await self._uploader.commit(store, place, tree, run.known, run.end)
        run.kept[run.number] = manifest
        run.committed = run.number
        self._tell(run, commit)

    async def _drop_before(self, run: _Run, number: int) -> None:
        """What later states share with them stays. Nothing is published meanwhile, so nothing
        that is to be shared is taken away."""
        try:
            async with run.turn:
                old = [run.kept.pop(each) for each in _before(run.kept, number)[:-1]]
                live = {entry.at for manifest in run.kept.values() for entry in manifest.files}
                for manifest in old:
                    dead = sorted({entry.at for entry in manifest.files} - live)
                    keys = [manifest.key, *(f"{manifest.prefix}/{at}" for at in dead)]
                    await self._uploader.remove(self._stores.at(""), keys, run.end)
        finally:
            run.dropping = None

    def _tell(self, run: _Run, commit: Commit) -> None:
        log.info("%s is committed: %s", run.name, commit.url)
        self._post(Committed(run.name, commit))

    # --- all the rest, at the end -----------------------------------------------------------

    async def _conclude(self, run: _Run, effect: Publish) -> None:
        seconds = PUBLISH_SECONDS_MAX
        why = f"it took longer than {seconds:g} s"
        timer = asyncio.get_running_loop().call_later(seconds, run.end.set, why)
        failure: Failure | None = None
        try:
            if busy := {task for task in (run.looking, run.dropping) if task is not None}:
                await asyncio.wait(busy)
            if effect.checkpoint:
                await self._bear(self._last_state(run), run)
            for number, output in enumerate(effect.outputs, start=1):
                failure = await self._output(run, number, output, len(effect.outputs)) or failure
        except asyncio.CancelledError:
            raise  # the agent ends: what is left is published after its restart
        except Exception as error:
            log.exception("what %s left is not published", run.name)
            failure = Failure("site", OUTPUT_FAILED, repr(error))
        finally:
            timer.cancel()
        del self._runs[run.name]
        self._post(Published(effect.exit, failure))

    async def _last_state(self, run: _Run) -> None:
        """What it committed last; where it never did, all that lies there now."""
        directory = await self._place(run, "checkpoints")
        if not directory:
            return
        if await self._uploader.read(snapshots.are_used, directory):
            await self._state(run, directory, after=run.committed)
            return
        async with run.turn:
            run.number += 1
            if await self._uploader.read(os.path.isdir, directory):
                tree = await self._uploader.read(scan, directory, "")
                await self._checkpoint(run, tree, by_job=False)

    async def _output(
        self, run: _Run, number: int, output: TaskOutput, outputs: int
    ) -> Failure | None:
        """Publish one output; why it is not, if so."""
        place = Place(run.job_id, run.epoch, "outputs", number, output.path)
        try:
            directory = await self._place(run, "outputs")
            tree = await self._uploader.read(_written, directory, output.path, outputs == 1)
            store = self._stores.at(output.store)
            commit, _ = await self._uploader.commit(store, place, tree, Known(), run.end)
            self._tell(run, commit)
        except StoreFailed as failed:
            code = OUTPUT_MISSING if failed.category == "user" else OUTPUT_FAILED
            message = f"output {output.path!r} is not published: {failed.message}"
            return Failure(failed.category.value, code, message)
        except _TROUBLE as trouble:
            message = f"output {output.path!r} is not published: {trouble}"
            return Failure("site", OUTPUT_FAILED, message)
        return None

    async def _place(self, run: _Run, what: str) -> str:
        """The directory of a run that is called so; "": it has none."""
        with contextlib.suppress(KeyError, OSError, ValueError):
            return (await self._backend.roots(run.name)).get(what, "")
        return ""


_TROUBLE = (StoreFailed, InvalidRequest, OSError, Outside, NotReadable)


def _before(numbers: Iterable[int], number: int) -> list[int]:
    return sorted(each for each in numbers if each < number)


def _written(directory: str, path: str, alone: bool) -> Tree:
    """What the job has written for an output: below its output directory, or, where it has but
    one output and nothing of that name, all of it. Raises StoreFailed."""
    below = path.strip("/")
    try:
        if not directory:
            raise FileNotFoundError(path)
        return scan(directory, below if below != "." else "")
    except (FileNotFoundError, NotADirectoryError, Outside) as error:
        whole = scan(directory, "") if alone and directory else None
        if whole is None or not whole.files:
            raise missing(path) from error
        return whole
