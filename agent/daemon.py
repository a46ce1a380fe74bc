"""The loop that joins supervisor, journal, backend and session.

Each step: gather events, decide, make the records durable in one commit, then act. While a
commit is under way the next events gather. Decides nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

from agent.backends import Backend
from agent.clock import lease_now
from agent.data_plane import DataPlane
from agent.inbox import Inbox
from agent.journal import ClockReading, Journal, JournalFull
from agent.materials import Materials
from agent.publishing import Publisher
from agent.reach.tails import Tails
from agent.runs import Runs
from agent.session.stream import Session
from agent.supervisor import Decision, Supervisor
from agent.supervisor.messages import (
    CloseSession,
    DropStates,
    Effect,
    Event,
    Forget,
    JournalFailed,
    JournalRecovered,
    Launch,
    ModeSet,
    Publish,
    Record,
    RenewLeases,
    RunEnded,
    RunsFound,
    SendCapacity,
    SendHeartbeat,
    SendHello,
    SendReconcile,
    SendReports,
    StopRun,
    Tick,
    Unpublish,
)
from agent.supervisor.values import Moment
from suan.crash import crash_point

JOURNAL_RETRY_SECONDS = 1.0  # between two tries while the disk is full
STEP_SECONDS_MAX = 1.0  # without anything to do

log = logging.getLogger(__name__)

Keeper = Callable[[], Coroutine[Any, Any, None]]


class Daemon:
    """One site's agent at work."""

    def __init__(
        self,
        supervisor: Supervisor,
        journal: Journal,
        boot_id: str,
        backend: Backend,
        inbox: Inbox,
        runs: Runs,
        materials: Materials,
        session: Session,
        data: DataPlane,
        tails: Tails,
        publisher: Publisher,
    ) -> None:
        self.supervisor = supervisor
        self.session = session
        self.inbox = inbox
        self._journal = journal
        self._boot_id = boot_id
        self._backend = backend
        self._runs = runs
        self._materials = materials
        self._data = data
        self._tails = tails
        self._publisher = publisher
        self._disk = ThreadPoolExecutor(1, "journal")
        self._pending: list[Record] = []  # not on the disk yet, for want of room
        self._retry_at = 0.0
        self._stopping = asyncio.Event()
        self._performers: Mapping[type[Effect], Callable[[Any], None]] = MappingProxyType(
            {
                Launch: runs.launch,
                Publish: publisher.publish,
                DropStates: lambda effect: publisher.drop_before(effect.name, effect.number),
                Unpublish: lambda effect: publisher.unpublish(effect.name),
                StopRun: lambda effect: runs.stop(effect.name, effect.reason),
                RenewLeases: lambda effect: runs.renew(effect.leases),
                Forget: lambda effect: runs.forget(effect.names),
                CloseSession: lambda effect: session.close(effect.session, effect.code),
                SendHello: session.send,
                SendReconcile: session.send,
                SendHeartbeat: session.send,
                SendCapacity: session.send,
                SendReports: session.send,
            }
        )

    def moment(self) -> Moment:
        return Moment(lease_now(), time.time())

    def stop(self) -> None:
        """End `run`; what runs here goes on."""
        self._stopping.set()

    async def run(self, mode: ModeSet, keepers: Iterable[Keeper] = ()) -> None:
        """Until `stop`, or until a part fails for good: then raises what that raised.

        `keepers` are run beside the loop.
        """
        await self._backend.open()
        works = [self._loop, self._read_exits, self.session.run, self._data.run]
        works += [self._tails.run, self._publisher.run, *keepers]
        tasks: list[asyncio.Task[Any]] = []
        try:
            await self._step([RunsFound(await self._found()), mode])
            await self._materials.keep_only(self.supervisor.state.deadlines)
            tasks = [asyncio.create_task(work()) for work in works]
            await self._wait_end(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._data.close()
            await self._publisher.close()
            await self._runs.close()
            await self._backend.close()
            self._disk.shutdown()
            self._journal.close()

    # --- the loop --------------------------------------------------------------------

    async def _loop(self) -> None:
        while True:
            due = self.supervisor.next_due() - lease_now()
            await self._step(await self.inbox.gather(min(due, STEP_SECONDS_MAX)))

    async def _step(self, events: list[Event]) -> None:
        decision = self.supervisor.handle([*events, Tick()], self.moment())
        durable = await self._commit(decision.records)
        effects = decision.effects if durable else self._without_launches(decision)
        _pass_crash_points(effects)
        for effect in effects:
            self._performers[type(effect)](effect)

    async def _commit(self, records: tuple[Record, ...]) -> bool:
        """Whether all records until now are on the disk."""
        if not records and not self._pending:
            return True
        batch = [*self._pending, *records]
        if self._pending and lease_now() < self._retry_at:
            self._pending = batch
            return False
        reading = ClockReading.take(self._boot_id)
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._disk, self._journal.commit, batch, reading)
        except JournalFull as error:
            if not self._pending:
                log.error("no new jobs until the journal can be written: %s", error)
            self._pending = batch
            self._retry_at = lease_now() + JOURNAL_RETRY_SECONDS
            return False
        if self.supervisor.journal_full:
            log.info("the journal can be written again")
            self.inbox.post(JournalRecovered())
        self._pending = []
        return True

    def _without_launches(self, decision: Decision) -> tuple[Effect, ...]:
        """What may be done though its records wait: anything but a start."""
        launches = tuple(
            effect.order.name for effect in decision.effects if isinstance(effect, Launch)
        )
        if launches or not self.supervisor.journal_full:
            self.inbox.post(JournalFailed(launches))
        return tuple(effect for effect in decision.effects if not isinstance(effect, Launch))

    # --- the backend and the end -------------------------------------------------------

    async def _found(self) -> tuple[Any, ...]:
        """All runs that the backend has."""
        states = [await self._backend.find(name) for name in await self._backend.list()]
        return tuple(state for state in states if state is not None)

    async def _read_exits(self) -> None:
        async for ended in self._backend.exits():
            self.inbox.post(RunEnded(ended))
            self._runs.release(ended.name)

    async def _wait_end(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Keepers may come to an end by themselves; an error ends everything."""
        stopping = asyncio.create_task(self._stopping.wait())
        waiting: set[asyncio.Task[Any]] = {*tasks, stopping}
        try:
            while not stopping.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            stopping.cancel()


def _pass_crash_points(effects: tuple[Effect, ...]) -> None:
    for effect in effects:
        if isinstance(effect, Launch):
            crash_point("agent.accepted.before_submit")
        elif isinstance(effect, SendReports):
            crash_point("agent.reported.before_send")
