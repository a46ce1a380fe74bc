"""The Ray runtime: actors for the leader, the gateways and the planners.

Ray carries the broker and remembers nothing for it: a leader that is killed comes back
from the store with a new term, a gateway comes back empty and its agents say Hello again.
The process that the administrator started watches over the actors and starts them anew.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import ray
import ray.actor
import ray.exceptions

from broker import ray_settings
from broker.asks import LogAsk, LogPart
from broker.config import Config
from broker.core.messages import Event, Reply
from broker.feed import Changes
from broker.gateway import Gateway, Listen
from broker.leader import Leader, Outbound
from broker.local_app import accelerators, open_store
from broker.planner import Place
from broker.queries import Query
from scheduler.model import Demand, Explanation, Policy, Round, Snapshot
from scheduler.placement import place
from suan.errors import Unavailable

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # between two looks at the actors
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
OUTBOUND_WAIT_SECONDS = 5.0
OUTBOUND_MAX = 100_000  # messages waiting for one gateway; beyond, it is taken for gone
CALLS_MAX = 10_000  # open calls of one actor: watchers wait in one each
OBJECT_STORE_BYTES = 200 << 20
Answer = tuple[str, LogPart]
_GONE = (ray.exceptions.RayActorError, ray.exceptions.RayTaskError, ray.exceptions.GetTimeoutError)


def _log_to(config: Config, name: str) -> None:
    logging.basicConfig(
        filename=config.state_dir / f"{name}.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


class LeaderActor:
    """The leader behind Ray. Empty until `start`."""

    def __init__(self, config: Config, planners: Sequence[Any]) -> None:
        _log_to(config, "leader")
        self._config = config
        self._planners = planners
        self._leader: Leader | None = None
        self._waiting: dict[str, list[Outbound]] = {}
        self._arrived: dict[str, asyncio.Event] = {}

    async def start(self) -> int:
        """Load the state and lead; the term. Leading already: the same term again."""
        if self._leader is None:
            leader = Leader(
                open_store(self._config),
                accelerators(),
                _place_on(self._planners),
                self._config.limits,
            )
            self._leader = leader
            task = asyncio.create_task(leader.run())
            task.add_done_callback(_die)  # Ray starts the actor again
        return self._leader.term

    async def term(self) -> int:
        """0 until `start`."""
        return self._leader.term if self._leader else 0

    def _leading(self) -> Leader:
        if self._leader is None:
            raise Unavailable("the leader is starting", "try again shortly", "LeaderStarting")
        return self._leader

    async def attach(self, gateway: str) -> int:
        """A gateway is there, with no session open; the term it is for."""
        leader = self._leading()
        self._waiting[gateway] = []
        self._arrived[gateway] = asyncio.Event()
        leader.attach(gateway, lambda batch: self._queue(gateway, batch))
        return leader.term

    def _queue(self, gateway: str, batch: Sequence[Outbound]) -> None:
        waiting = self._waiting[gateway]
        if len(waiting) < OUTBOUND_MAX:
            waiting.extend(batch)
            self._arrived[gateway].set()

    async def outbound(self, gateway: str, term: int) -> list[Outbound]:
        """What waits for a gateway; Unavailable when it attached to an earlier term."""
        if self._leading().term != term or gateway not in self._arrived:
            raise Unavailable("the leader has changed", "say Hello again", "LeaderChanged")
        arrived = self._arrived[gateway]
        if not self._waiting[gateway]:
            with suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), OUTBOUND_WAIT_SECONDS)
        arrived.clear()
        batch, self._waiting[gateway] = self._waiting[gateway], []
        return batch

    async def admit(self, items: list[Event | Answer]) -> None:
        """Events of agents, in their order, and sites' answers; nobody waits for an effect."""
        leader = self._leading()
        for item in items:
            if isinstance(item, tuple):
                leader.answer(*item)
            else:
                leader.post_soon(item)

    async def post(self, events: list[Event]) -> list[Reply | None]:
        """The replies to `events`."""
        leader = self._leading()
        return list(await asyncio.gather(*(leader.post(event) for event in events)))

    async def read(self, query: Query) -> Any:
        return await self._leading().read(query)

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        return await self._leading().changes(after, wait_seconds)

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        return await self._leading().explain(key, job_id)

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        return await self._leading().plan(demand, tenant)

    async def ask(self, site: str, ask: LogAsk) -> LogPart:
        return await self._leading().ask(site, ask)


def _die(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        log.error("the leader ends", exc_info=task.exception())
        os._exit(1)


def _place_on(planners: Sequence[Any]) -> Place:
    turns = itertools.cycle(planners)

    async def place_there(snapshot: Snapshot, policy: Policy) -> Round:
        result: Round = await next(turns).place.remote(snapshot, policy)
        return result

    return place_there


class PlannerActor:
    """Runs placement rounds; keeps nothing."""

    def place(self, snapshot: Snapshot, policy: Policy) -> Round:
        return place(snapshot, policy)


class RayPort:
    """`Port` over a leader actor: calls are batched, agents' events keep their order."""

    def __init__(self, leader: Any) -> None:
        self._leader = leader
        self._admits: list[Event | Answer] = []
        self._admitting: asyncio.Task[None] | None = None
        self._posts: list[tuple[Event, asyncio.Future[Reply | None]]] = []
        self._posting = False

    async def post(self, event: Event) -> Reply | None:
        running = asyncio.get_running_loop()
        future: asyncio.Future[Reply | None] = running.create_future()
        self._posts.append((event, future))
        if not self._posting:
            self._posting = True
            running.call_soon(lambda: asyncio.ensure_future(self._flush_posts()))
        return await future

    async def _flush_posts(self) -> None:
        batch, self._posts = self._posts, []
        self._posting = False
        try:
            replies = await self._call(self._leader.post.remote([event for event, _ in batch]))
        except Unavailable as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), reply in zip(batch, replies, strict=True):
            if not future.done():
                future.set_result(reply)

    def post_soon(self, event: Event) -> None:
        self._admit(event)

    def answer(self, request_id: str, part: LogPart) -> None:
        self._admit((request_id, part))

    def _admit(self, item: Event | Answer) -> None:
        if len(self._admits) >= OUTBOUND_MAX:
            return  # the leader is away; agents say everything again in their next session
        self._admits.append(item)
        if self._admitting is None or self._admitting.done():
            self._admitting = asyncio.ensure_future(self._flush_admits())

    async def _flush_admits(self) -> None:
        while self._admits:
            batch, self._admits = self._admits, []
            with suppress(Unavailable):
                await self._call(self._leader.admit.remote(batch))

    async def read(self, query: Query) -> Any:
        return await self._call(self._leader.read.remote(query))

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        found: Changes = await self._call(self._leader.changes.remote(after, wait_seconds))
        return found

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        found: tuple[Explanation | None, float] = await self._call(
            self._leader.explain.remote(key, job_id)
        )
        return found

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        found: Explanation = await self._call(self._leader.plan.remote(demand, tenant))
        return found

    async def ask(self, site: str, ask: LogAsk) -> LogPart:
        found: LogPart = await self._call(self._leader.ask.remote(site, ask))
        return found

    async def _call(self, pending: Any) -> Any:
        try:
            return await pending
        except ray.exceptions.RayActorError:
            raise Unavailable(
                "the leader is starting again", "nothing was lost; try again", "LeaderStarting"
            ) from None
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None


class GatewayActor:
    """A gateway behind Ray. Empty until `serve`."""

    def __init__(self, config: Config, name: str, leader: Any) -> None:
        _log_to(config, name)
        self._config = config
        self._name = name
        self._leader = leader
        self._gateway: Gateway | None = None
        self._listen: Listen | None = None
        self._following: asyncio.Task[None] | None = None

    async def serve(self, listen: Listen) -> Listen:
        """Serve at these addresses; serving already: says where."""
        if self._listen is None:
            port = RayPort(self._leader)
            gateway = Gateway(self._name, port, self._config.identity, self._config.ca)
            self._listen = await gateway.start(listen, shared=self._config.gateways > 1)
            self._gateway = gateway
            self._following = asyncio.create_task(self._follow(gateway))
        return self._listen

    async def serving(self) -> bool:
        return self._listen is not None

    async def _follow(self, gateway: Gateway) -> None:
        """Deliver what the leader sends; when it is gone, close the sessions and wait."""
        while True:
            try:
                term = await self._leader.attach.remote(self._name)
                while True:
                    batch = await self._leader.outbound.remote(self._name, term)
                    gateway.sessions.deliver(batch)
            except _GONE as error:
                log.warning("the leader is away: %s", type(error).__name__)
                gateway.sessions.close_all()
                await asyncio.sleep(WATCH_SECONDS)

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
        if self._gateway is not None:
            await self._gateway.stop()


# --- the process that the administrator started ------------------------------


def _start_ray(config: Config) -> str:
    """Connect to the named cluster, or start one of our own on loopback; its folder."""
    runtime_env = {"env_vars": ray_settings.WORKERS}
    if config.ray_address:
        ray.init(address=config.ray_address, runtime_env=runtime_env, log_to_driver=False)
        return ""
    folder = tempfile.mkdtemp(prefix="suan-ray-")
    ray.init(
        address="local",
        num_cpus=max(2, os.cpu_count() or 2),
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        runtime_env=runtime_env,
        _temp_dir=folder,
    )
    return folder


async def serve(
    config: Config, stopped: asyncio.Event, ready: Callable[[Listen], Awaitable[None]]
) -> None:
    """Serve until `stopped`. Actors that die are started again and loaded from the store."""
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = await asyncio.to_thread(_start_ray, config)
    try:
        leader, gateways = _make_actors(config)
        await asyncio.wait_for(leader.start.remote(), START_SECONDS_MAX)
        wanted = Listen(config.listen, config.join_listen, config.health_listen)
        for gateway in gateways:  # the first takes the ports, the others share them
            wanted = await asyncio.wait_for(gateway.serve.remote(wanted), START_SECONDS_MAX)
        await ready(wanted)
        watching = asyncio.create_task(_watch(leader, gateways, wanted))
        await stopped.wait()
        watching.cancel()
        for gateway in gateways:
            with suppress(*_GONE, TimeoutError):
                await asyncio.wait_for(gateway.stop.remote(), STOP_SECONDS_MAX)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        await asyncio.to_thread(ray.shutdown)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def _make_actors(config: Config) -> tuple[Any, list[Any]]:
    for_ever: dict[str, Any] = {"max_restarts": -1, "num_cpus": 0}
    planners = [
        ray.remote(PlannerActor).options(**for_ever).remote() for _ in range(config.planners)
    ]
    served = for_ever | {"max_concurrency": CALLS_MAX}
    leader = ray.remote(LeaderActor).options(**served).remote(config, planners)
    gateways = [
        ray.remote(GatewayActor).options(**served).remote(config, f"gateway-{number}", leader)
        for number in range(config.gateways)
    ]
    return leader, gateways


async def _watch(leader: Any, gateways: list[Any], listen: Listen) -> None:
    """Start again what Ray has restarted empty."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        with suppress(*_GONE, TimeoutError):
            if not await asyncio.wait_for(leader.term.remote(), START_SECONDS_MAX):
                term = await asyncio.wait_for(leader.start.remote(), START_SECONDS_MAX)
                log.warning("the leader was started again, term %d", term)
        for gateway in gateways:
            with suppress(*_GONE, TimeoutError):
                if not await asyncio.wait_for(gateway.serving.remote(), START_SECONDS_MAX):
                    await asyncio.wait_for(gateway.serve.remote(listen), START_SECONDS_MAX)
                    log.warning("a gateway was started again")
