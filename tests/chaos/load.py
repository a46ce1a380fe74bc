"""A client that submits all the time and writes down what it asked and what it was told.

Each request is sent again with its ids until it is answered. Some jobs are cancelled a little
later; now and then a request is sent once more after its acknowledgement. All jobs are watched.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from suan.client import Client
from suan.errors import SuanError, Unavailable
from suan.models import JobSpec
from suan.submission import submissions
from suan.v1.jobs_service_pb2 import CancelRequest, SubmitRequest
from suan.v1.jobs_service_pb2_grpc import JobsStub
from tests.chaos.evidence import Diary

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.3, 1.0  # between two requests
CANCEL_CHANCE, CANCEL_SECONDS_MAX = 0.15, 3.0
AGAIN_CHANCE = 0.3
TRY_SECONDS = 5.0  # of one call; a stopped broker answers none
CLOSE_SECONDS = 5.0
END_SECONDS = 60.0  # for the requests under way, when no fault is left


class Load(threading.Thread):
    """The client, on a thread and an event loop of its own."""

    def __init__(
        self,
        address: str,
        identity: Path,
        wishes: Iterator[list[JobSpec]],
        chance: random.Random,
        diary: Diary,
    ) -> None:
        super().__init__(name="load", daemon=True)
        self.acknowledged: list[str] = []
        self._address = address
        self._identity = identity
        self._wishes = wishes
        self._chance = chance
        self._diary = diary
        self._ending = threading.Event()
        self._answered_all = threading.Event()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._life: asyncio.Task[None] = self._loop.create_task(self._live())

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._life)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._failure = error
            self._answered_all.set()

    def end_asking(self) -> str:
        """No further requests: "" once all are answered, else what went wrong."""
        self._ending.set()
        answered = self._answered_all.wait(END_SECONDS)
        if self._failure is not None:
            return f"the client failed: {self._failure!r}"
        return "" if answered else f"requests without an answer after {END_SECONDS:g} s"

    def close(self) -> None:
        """End the watch and whatever is under way."""
        self._ending.set()
        self._loop.call_soon_threadsafe(self._life.cancel)
        self.join(CLOSE_SECONDS)

    # --- on the loop ------------------------------------------------------------------

    async def _live(self) -> None:
        connected = Client.connect(
            address=self._address, identity=self._identity, deadline_seconds=TRY_SECONDS
        )
        async with connected as client:
            watching = asyncio.create_task(self._watch(client))
            try:
                async with asyncio.TaskGroup() as requests:
                    await self._ask(client, requests)
                self._answered_all.set()
                await watching
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _ask(self, client: Client, requests: asyncio.TaskGroup) -> None:
        for specs in self._wishes:
            request = SubmitRequest(jobs=[job for spec in specs for job in submissions(spec)])
            requests.create_task(self._submit(client, request, requests))
            pause = self._chance.uniform(PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX)
            if await asyncio.to_thread(self._ending.wait, pause):
                return

    async def _submit(
        self, client: Client, request: SubmitRequest, requests: asyncio.TaskGroup
    ) -> None:
        jobs = JobsStub(client.transport.channel)
        ids = [job.id for job in request.jobs]
        self._diary.note("submit asked", ids=ids)
        response = await self._answered(client, jobs.Submit, request)
        refused = [each.refusal.code for each in response.results if not each.accepted]
        if refused:
            raise RuntimeError(f"a submission was refused: {refused}")
        self._diary.note("submit acknowledged", ids=ids)
        self.acknowledged += ids
        if self._chance.random() < AGAIN_CHANCE:
            response = await self._answered(client, jobs.Submit, request)
            new = [each.id for each in response.results if not each.existed]
            self._diary.note("taken for new" if new else "submit repeated", ids=new or ids)
        for job_id in ids:
            if self._chance.random() < CANCEL_CHANCE:
                requests.create_task(self._cancel(client, jobs, job_id))

    async def _cancel(self, client: Client, jobs: Any, job_id: str) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, CANCEL_SECONDS_MAX))
        self._diary.note("cancel asked", ids=[job_id])
        response = await self._answered(client, jobs.Cancel, CancelRequest(ids=[job_id]))
        (result,) = response.results
        self._diary.note("cancel answered", ids=[job_id], code=result.refusal.code)

    async def _answered(self, client: Client, method: Any, request: Any) -> Any:
        """The answer to a request that is sent until there is one."""
        while True:
            try:
                return await client.transport.call(method, request)
            except Unavailable:
                await asyncio.sleep(0.1)

    async def _watch(self, client: Client) -> None:
        while True:
            try:
                async for job in client.watch():
                    self._diary.note(
                        "seen", job=job.id, state=str(job.state), revision=job.revision
                    )
            except SuanError as error:
                self._diary.note("watch broken", code=error.code)
                await asyncio.sleep(0.2)
