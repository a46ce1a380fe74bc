"""A federation under load while its processes are killed: the means, and when it has settled.

What must hold of the jobs stands in `witness`; which kills are done, in the tests.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from witness import Witness, faults, processes_left, run_again

from bench.federation import Federation, SiteSpec, wait_until
from bench.load import credentials_of
from suan.client import Client
from suan.errors import Unavailable
from suan.models import Job, JobSpec
from suan.submission import submissions
from suan.v1.jobs_service_pb2 import SubmitRequest
from suan.v1.jobs_service_pb2_grpc import JobsStub

LOAD_PAUSE_SECONDS = 0.15  # between two requests
SETTLE_SECONDS = 100.0  # on a machine that others use too
NODES, CARDS_PER_NODE = 2, 4
MODELS = {"shenzhen": "ascend-910b", "zhengzhou": "hygon-bw1000", "guiyang": "nvidia-h20"}
SITES = tuple(
    SiteSpec(
        name,
        {"name": "main", "accelerator": model, "nodes": NODES, "cards_per_node": CARDS_PER_NODE},
    )
    for name, model in MODELS.items()
)
CARDS = dict.fromkeys(MODELS, NODES * CARDS_PER_NODE)
# A second of silence is long here, and a refused shape is offered again soon.
LIMITS = {"heartbeat_seconds": 1.0, "hold_seconds": 1.0}


@contextmanager
def at_work(folder: Path, *sites: SiteSpec, runtime: str = "local") -> Iterator[Federation]:
    """A federation of these sites that runs, and is ended with all that it runs."""
    federation = Federation(folder, runtime, LIMITS)
    try:
        federation.start_broker()
        federation.join(*sites)
        yield federation
    finally:
        federation.stop()


@contextmanager
def jobs_of(federation: Federation) -> Iterator[JobsStub]:
    """The broker's Jobs service as its user, past all that the SDK checks and mends."""
    credentials = credentials_of(federation.user)
    options = [("grpc.max_send_message_length", -1)]
    with grpc.secure_channel(federation.address, credentials, options) as channel:
        yield JobsStub(channel)


# --- load -------------------------------------------------------------------------


class Load(threading.Thread):
    """A client that submits all the time, each request again with its ids until it is taken."""

    def __init__(self, federation: Federation, wishes: Iterable[list[JobSpec]]) -> None:
        super().__init__(name="load", daemon=True)
        self.accepted: list[str] = []
        self._failure: BaseException | None = None
        self._federation = federation
        self._wishes = wishes
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._submit())
        except BaseException as error:
            self._failure = error

    def end(self) -> list[str]:
        """The ids that were accepted, after the request under way. Raises what failed."""
        self._ending.set()
        self.join(SETTLE_SECONDS)
        if self._failure is not None:
            raise self._failure
        assert not self.is_alive(), "the broker takes no jobs"
        return self.accepted

    async def _submit(self) -> None:
        address, identity = self._federation.address, self._federation.user
        async with Client.connect(address=address, identity=identity) as client:
            for specs in self._wishes:
                request = SubmitRequest(jobs=[job for s in specs for job in submissions(s)])
                await _taken(client, request)
                self.accepted += [job.id for job in request.jobs]
                assert await _taken(client, request) == {True}, "the same ids are new jobs"
                if await asyncio.to_thread(self._ending.wait, LOAD_PAUSE_SECONDS):
                    return


async def _taken(client: Client, request: SubmitRequest) -> set[bool]:
    """Submit until it is taken: whether the jobs were there already."""
    stub = JobsStub(client.transport.channel)
    while True:
        try:
            response = await client.transport.call(stub.Submit, request)
        except Unavailable:
            continue
        assert all(result.accepted for result in response.results), response
        return {result.existed for result in response.results}


def wishes(witness: Witness, chance: random.Random) -> Iterator[list[JobSpec]]:
    """Batches of short jobs without end: at one kind of site or any, gangs among them."""
    models = list(MODELS.values())
    while True:
        yield [
            witness.spec(
                *chance.choice([*([model] for model in models), models]),
                seconds=chance.uniform(0.1, 1.5),
                nodes=chance.choice([1, 1, 2]),
                cards=chance.choice([1, 1, 1, 4]),
            )
            for _ in range(chance.choice([1, 2, 4]))
        ]


# --- kills ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kill:
    """One step of a schedule: wait, kill, wait, start again, and go on at once."""

    target: str  # "broker" or a site
    pause_seconds: float
    down_seconds: float


def schedule(chance: random.Random, count: int) -> list[Kill]:
    """Some kills follow each other at once; some hit a process that is just starting."""
    kills: list[Kill] = []
    for _ in range(count):
        again = bool(kills) and chance.random() < 0.3
        target = kills[-1].target if again else chance.choice(["broker", *MODELS])
        pause = chance.choice([0.0, 0.2, 0.7, 1.5, 2.5])
        kills.append(Kill(target, pause, chance.choice([0.0, 0.0, 0.3, 0.8])))
    return kills


def carry_out(federation: Federation, kills: Iterable[Kill]) -> None:
    for kill in kills:
        time.sleep(kill.pause_seconds)
        daemon = federation.agents.get(kill.target, federation.broker)
        daemon.require_running()  # nothing but us ends a daemon
        daemon.kill()
        time.sleep(kill.down_seconds)
        if daemon is federation.broker:
            federation.launch_broker()
        else:
            daemon.start()


# --- the end ----------------------------------------------------------------------


def settle(federation: Federation, ids: Iterable[str]) -> dict[str, Job]:
    """These jobs, once they have ended, all cards are free again and no process is left."""
    jobs: dict[str, Job] = {}
    with federation.client() as client:

        def ended() -> bool:
            for daemon in (federation.broker, *federation.agents.values()):
                daemon.require_running()
            known = {job.id: job for job in client.list()}
            assert known.keys() >= set(ids), f"lost: {set(ids) - known.keys()}"
            jobs.update({key: known[key] for key in ids})
            return all(job.state.terminal for job in jobs.values())

        def all_free() -> bool:
            return {offer.site: offer.cards_free for offer in client.offers()} == CARDS

        try:
            wait_until(ended, "all jobs to end", SETTLE_SECONDS)
        except TimeoutError as error:
            raise AssertionError(
                [job for job in jobs.values() if not job.state.terminal]
            ) from error
        wait_until(all_free, "all cards to be free", SETTLE_SECONDS)
    wait_until(lambda: not processes_left(federation.folder), "all processes to end")
    return jobs


def require_once(federation: Federation, witness: Witness, ids: Iterable[str]) -> dict[str, Job]:
    """Every job succeeds, has begun once, and leaves nothing behind."""
    jobs = settle(federation, ids)
    executions = witness.executions()
    assert faults(executions, jobs, CARDS) == []
    assert run_again(executions) == set()
    assert witness.mute() == []
    require_no_traceback(federation)
    return jobs


def require_no_traceback(federation: Federation) -> None:
    """No daemon has told people about our code instead of their trouble."""
    for log in federation.folder.glob("*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()[-4000:]
