"""The leader: the loop, the planner, the feed and the open questions, as one.

Everything that gateways need of it stands in `Port`, so that a gateway cannot tell
whether the leader lives in its own process or behind Ray.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import compress
from typing import Any, Protocol

from broker.asks import Ask, Asks, P, Part, SiteAsk
from broker.cached_inputs import with_cached
from broker.clock import Clock, system_clock
from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.messages import Event, Reply, Send, SessionClosed
from broker.core.rows import Job, Put, Record
from broker.feed import Changes, Feed
from broker.kept_logs import Tail, TailAck
from broker.kept_logs.store import KeptLogs
from broker.leadership import Lead, not_leader
from broker.loop import Loop
from broker.planner import Place, Planner
from broker.queries import Query, answer
from broker.store import StaleTerm, Store
from scheduler.explain import explain, plan
from scheduler.model import Accelerator, Demand, Explanation, Policy

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
ROUND_SECONDS = 0.02
LEAD_LOOK_SECONDS_MAX = 1.0  # between two looks at whether this broker still leads
KEEPS_MAX = 256  # messages with output that wait for the disk, of at most about 128 KiB
Outbound = Send | SiteAsk
Deliver = Callable[[Sequence[Outbound]], None]


class Port(Protocol):
    """What a gateway may ask of the leader."""

    async def post(self, event: Event) -> Reply | None:
        """The reply to `event`, when its effect is durable."""

    def post_soon(self, event: Event) -> None:
        """Hand in an event of an agent; nobody waits for it."""

    async def read(self, query: Query) -> Any:
        """The answer to a query about the present."""

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        """Jobs that changed after revision `after`."""

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        """Why the class `key` is where it is, and when that was decided (wall seconds)."""

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        """What would become of a job, were it submitted now."""

    async def ask(self, site: str, ask: Ask[P]) -> P:
        """A site's answer."""

    def answer(self, request_id: str, part: Part) -> None:
        """Hand in a site's answer."""

    async def keep(self, site: str, tails: Sequence[Tail]) -> tuple[TailAck, ...]:
        """Keep output that a site sends. None: nothing can be kept now."""

    async def kept(self, job_id: str, epoch: int) -> Tail | None:
        """What is kept of an attempt's output."""


class Leader:
    """Serves `Port` in this process for one term: `run`, then `close`.

    It answers nothing once another broker may have begun to lead.
    """

    def __init__(
        self,
        store: Store,
        lead: Lead,
        accelerators: tuple[Accelerator, ...],
        place: Place,
        limits: Limits | None = None,
        clock: Clock | None = None,
        policy: Policy | None = None,
        kept_logs: KeptLogs | None = None,
    ) -> None:
        clock = clock or system_clock()
        self._policy = policy or Policy()
        core = Core(lead.state, limits or Limits(), lead.term, clock(), accelerators)
        self.term = lead.term
        self._store = store
        self._works: list[asyncio.Task[None]] = []
        self._memory = core.memory
        self._loop = Loop(core, store, clock, self._release)
        self._planner = Planner(self._loop, accelerators, self._policy, place, ROUND_SECONDS)
        self._feed = Feed(core.memory.state.revision)
        self._asks = Asks(lambda ask: self._deliver_to(ask.gateway, [ask]))
        self._gateways: dict[str, Deliver] = {}
        self._kept_logs = kept_logs
        self._keeper = ThreadPoolExecutor(1, "kept-logs")  # no round waits behind its disk
        self._keeping = 0

    async def run(self) -> None:
        """Serve for ever. Raises StaleTerm as soon as another broker may have begun to lead."""
        works = (self._loop.run(TICK_SECONDS), self._planner.run(), self._keep_lead())
        self._works = [asyncio.create_task(work) for work in works]
        ended, _ = await asyncio.wait(self._works, return_when=asyncio.FIRST_COMPLETED)
        for work in ended:
            work.result()

    async def close(self) -> None:
        """End what `run` began; whoever waits for a reply gets one, a commit under way ends."""
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)

    async def _keep_lead(self) -> None:
        while True:
            left = self._store.led_seconds()
            if left <= 0:
                raise StaleTerm(f"the lead of term {self.term} could not be renewed")
            await asyncio.sleep(min(left, LEAD_LOOK_SECONDS_MAX))

    def _require_lead(self) -> None:
        if self._store.led_seconds() <= 0:
            raise not_leader()

    def attach(self, gateway: str, deliver: Deliver) -> None:
        """Where sends for the sessions of `gateway` go."""
        self._gateways[gateway] = deliver

    # --- Port -------------------------------------------------------------

    async def post(self, event: Event) -> Reply | None:
        return await self._loop.post(event)

    def post_soon(self, event: Event) -> None:
        if isinstance(event, SessionClosed):
            self._asks.lose(event.session)
        self._loop.post_soon(event)

    async def read(self, query: Query) -> Any:
        self._require_lead()
        return answer(self._memory, query)

    async def changes(self, after: int, wait_seconds: float) -> Changes:
        found = await self._feed.changes(after, wait_seconds)
        self._require_lead()
        return found

    async def explain(self, key: str, job_id: str) -> tuple[Explanation | None, float]:
        self._require_lead()
        job = self._memory.state.jobs.get(job_id)
        found: Explanation | None
        found, decided_at = self._memory.explanations.get(key, (None, 0.0))
        if job is not None and job.state == "queued":
            snapshot = self._planner.snapshot(asked=key)
            with suppress(KeyError):  # none of its jobs may be placed now: its last word stands
                found = await asyncio.to_thread(explain, snapshot, key, self._policy)
                decided_at = snapshot.now
        spec = self._memory.state.specs.get(job.spec_sha256) if job is not None else None
        if spec is not None and found is not None:
            found = with_cached(self._memory, found, spec.demand.inputs)
        return found, decided_at

    async def plan(self, demand: Demand, tenant: str) -> Explanation:
        self._require_lead()
        snapshot = self._planner.snapshot(demand, tenant)
        found = await asyncio.to_thread(plan, snapshot, demand, tenant, policy=self._policy)
        return with_cached(self._memory, found, demand.inputs)

    async def ask(self, site: str, ask: Ask[P]) -> P:
        return await self._asks.ask(self._memory.presence.get(site), ask)

    def answer(self, request_id: str, part: Part) -> None:
        self._asks.answer(request_id, part)

    async def keep(self, site: str, tails: Sequence[Tail]) -> tuple[TailAck, ...]:
        self._require_lead()
        if self._kept_logs is None or self._keeping >= KEEPS_MAX:
            return ()
        ran = [self._ran_at(site, tail) for tail in tails]
        loop = asyncio.get_running_loop()
        self._keeping += 1
        try:
            wanted = tuple(compress(tails, ran))
            kept = await loop.run_in_executor(self._keeper, self._kept_logs.add, wanted)
        except OSError as error:
            log.error("the output that %s sends cannot be kept: %s", site, error)
            return ()
        finally:
            self._keeping -= 1
        acks = iter(kept)
        return tuple(next(acks) if here else TailAck(unwanted=True) for here in ran)

    def _ran_at(self, site: str, tail: Tail) -> bool:
        """Nobody may put words into the log of a job that he did not run."""
        job = self._memory.state.jobs.get(tail.job_id)
        attempts = job.attempts if job is not None else ()
        return any((each.epoch, each.site) == (tail.epoch, site) for each in attempts)

    async def kept(self, job_id: str, epoch: int) -> Tail | None:
        self._require_lead()
        if self._kept_logs is None:
            return None
        try:
            return await asyncio.to_thread(self._kept_logs.read, job_id, epoch)
        except OSError as error:
            log.error("kept output of %s cannot be read: %s", job_id, error)
            return None

    # --- after a commit ---------------------------------------------------

    def _release(self, sends: Sequence[Send], records: Sequence[Record]) -> None:
        by_gateway: dict[str, list[Outbound]] = {}
        for send in sends:
            by_gateway.setdefault(send.gateway, []).append(send)
        for gateway, batch in by_gateway.items():
            self._deliver_to(gateway, batch)
        jobs = [r.row for r in records if isinstance(r, Put) and isinstance(r.row, Job)]
        if jobs:
            self._feed.publish(jobs)
        self._planner.wake()

    def _deliver_to(self, gateway: str, batch: Sequence[Outbound]) -> None:
        deliver = self._gateways.get(gateway)
        if deliver is None:
            log.warning("gateway %s is gone; %d messages dropped", gateway, len(batch))
        else:
            deliver(batch)
