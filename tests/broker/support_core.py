"""A broker in virtual time for tests of the core: no loop, no wire, no thread.

`Desk` hands events to a real `Core`, checks the tables after each step and keeps the
records in a real store, so that a test can restart the broker at any moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from broker.core.core import Core
from broker.core.digest import attempt_digest
from broker.core.limits import Limits
from broker.core.messages import (
    Accepted,
    Approve,
    Cancel,
    CapacityReport,
    CreateToken,
    Event,
    Grant,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Held,
    Hello,
    Join,
    Now,
    Proposals,
    Refusal,
    Refused,
    Report,
    Reports,
    Results,
    Send,
    SiteFacts,
    Step,
    Submission,
    Submit,
    Tick,
    Verdicts,
)
from broker.core.rows import Attempt, Failure, Job, JoinToken, Put, Record, Spec
from broker.core.snapshot import take_snapshot
from broker.leadership import StandbyState
from broker.store.memory import MemoryStore
from scheduler.corrections import family_of
from scheduler.model import (
    Accelerator,
    Demand,
    Placement,
    Pool,
    Precision,
    Round,
    Score,
    Site,
    Slice,
    Supernode,
    Variant,
)
from scheduler.placement import place

WALL = 1_790_000_000.0  # wall seconds at which every test begins
MODEL = "ascend-910b"
ACCELERATORS = (
    Accelerator(MODEL, "huawei", "npu", 1, 64.0, 1.6, ((Precision.BF16, 320.0),), 8, 400.0),
)
SCORE = Score(0.0, 0.0, 60.0, 0.0, 0.0)
M = TypeVar("M")


def spec_of(
    name: str = "train",
    cards: int = 1,
    nodes: int = 1,
    retry_max: int = 0,
    retry_on: tuple[str, ...] = (),
    lease_class: str = "restart",
    lease_seconds: float = 600.0,
    parallel_max: int = 0,
    priority: int = 0,
    inputs: tuple[str, ...] = (),
    writes: tuple[tuple[str, str], ...] = (),
) -> Spec:
    """A specification; its bytes hold all that `parse_spec` needs to build it again."""
    data = json.dumps(
        {
            "name": name,
            "cards": cards,
            "nodes": nodes,
            "retry_max": retry_max,
            "retry_on": retry_on,
            "lease_class": lease_class,
            "lease_seconds": lease_seconds,
            "parallel_max": parallel_max,
            "priority": priority,
            "inputs": inputs,
            "writes": writes,
        },
        sort_keys=True,
    ).encode()
    data_names = ",".join((*inputs, *(name for _, name in writes)))
    sha256 = f"sha-{name}-{cards}x{nodes}-{priority}-{parallel_max}-{data_names}"
    return parse_spec(sha256, data)


def parse_spec(sha256: str, data: bytes) -> Spec:
    wish = json.loads(data)
    shape = Variant(MODEL, nodes=wish.pop("nodes"), cards_per_node=wish.pop("cards"))
    wish["retry_on"] = tuple(wish["retry_on"])
    inputs, wish["writes"] = tuple(wish.pop("inputs")), tuple(map(tuple, wish["writes"]))
    family = family_of(wish["name"])
    demand = Demand((shape,), inputs, family=family, needs_store=bool(wish["writes"]))
    return Spec(sha256=sha256, data=data, demand=demand, **wish)


def pool_of(site: str, free: int = 8, usable: int = 8, nodes: int = 1, name: str = "main") -> Pool:
    """`nodes` nodes of 8 cards in one supernode, with `free` free cards on each."""
    levels = [0] * 9
    levels[free] = nodes
    return Pool(
        site=site,
        name=name,
        accelerator=MODEL,
        cards_per_node=8,
        cards_total=8 * nodes,
        cards_usable=usable * nodes,
        supernodes=(Supernode("s0", tuple(levels)),),
    )


def facts_of(site: str, paused: bool = False) -> SiteFacts:
    return SiteFacts(Site(site, city=site), agent_version="test", paused=paused)


def digest_of(*keys: tuple[str, int]) -> int:
    digest = 0
    for job_id, epoch in keys:
        digest ^= attempt_digest(job_id, epoch)
    return digest


class Desk:
    """One broker, its clock and its store; sites and jobs by name."""

    def __init__(self, *sites: str, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.store = MemoryStore(parse_spec)
        self.elapsed = 0.0
        self.wall = WALL
        self.sends: list[Send] = []  # of the last step
        self.core = self._lead()
        for site in sites:
            self.register(site)

    # --- the broker -------------------------------------------------------

    def _lead(self) -> Core:
        standby = StandbyState()
        term = self.store.campaign(standby)
        return Core(standby.state, self.limits, term, self.now, ACCELERATORS)

    def restart(self) -> None:
        """Another leader takes over what the store holds; its clock begins anew."""
        self.elapsed = 0.0
        self.core = self._lead()
        self.core.memory.state.check()

    @property
    def now(self) -> Now:
        return Now(self.elapsed, self.wall)

    @property
    def state(self) -> Any:
        return self.core.memory.state

    def step(self, *events: Event) -> Step:
        """One batch, made durable."""
        step = self.core.handle(events, self.now)
        self.state.check()
        self.store.commit(step.records, self.core.memory.term)
        self.sends = list(step.sends)
        return step

    def ask(self, event: Event) -> Any:
        """One event and its reply."""
        return self.step(event).replies[0]

    def advance(self, seconds: float, tick: bool = True) -> None:
        """Let time pass, then tick once."""
        self.elapsed += seconds
        self.wall += seconds
        if tick:
            self.step(Tick())

    def sent(self, kind: type[M]) -> list[M]:
        """The messages of this kind that the last step sent."""
        return [send.message for send in self.sends if isinstance(send.message, kind)]

    # --- clients ----------------------------------------------------------

    def submit(self, *ids: str, spec: Spec | None = None, tenant: str = "lab", **more: Any) -> Any:
        """Submit jobs alike; the reply's results."""
        spec = spec or spec_of()
        jobs = tuple(Submission(job_id, spec.sha256, **more) for job_id in ids)
        reply = self.ask(Submit(tenant, "vision", "li", jobs, (spec,)))
        assert isinstance(reply, Results)
        return reply.results

    def cancel(self, *ids: str, tenant: str = "lab") -> tuple[Accepted | Refused, ...]:
        reply = self.ask(Cancel(ids, tenant, "user/li"))
        assert isinstance(reply, Results)
        return reply.results

    def job(self, job_id: str) -> Job:
        job: Job = self.state.jobs[job_id]
        return job

    def attempt(self, job_id: str) -> Attempt:
        newest = self.job(job_id).attempt
        assert newest is not None
        return newest

    # --- administrators ---------------------------------------------------

    def register(self, site: str) -> None:
        """Token, join and approval, as an administrator and a site do it."""
        token = JoinToken(f"t-{site}", "secret", site, self.wall + 600.0)
        assert not isinstance(self.ask(CreateToken(token, "admin")), Refusal)
        self.ask(Join(site, token.id, "secret", f"key-{site}", b"csr", f"print-{site}"))
        self.ask(Approve(site, f"print-{site}", b"certificate", "admin"))

    # --- agents -----------------------------------------------------------

    def hello(
        self,
        site: str,
        session: str = "s1",
        held: tuple[Held, ...] = (),
        pools: tuple[Pool, ...] | None = None,
        **more: Any,
    ) -> Verdicts | None:
        """Open a session; the verdicts, or None when it was not welcome."""
        pools = (pool_of(site),) if pools is None else pools
        self.step(
            Hello(
                **{
                    "site": site,
                    "session": session,
                    "agent_id": f"agent-{site}",
                    "boot_id": "boot",
                    "gateway": "g",
                    "held": held,
                    "facts": facts_of(site),
                    "capacity": CapacityReport(1, pools, 0, full=True),
                    **more,
                }
            )
        )
        verdicts = self.sent(Verdicts)
        return verdicts[0] if verdicts else None

    def beat(self, site: str, session: str = "s1", **more: Any) -> HeartbeatReply | None:
        """A heartbeat of an agent that holds what the broker believes, unless told otherwise."""
        presence = self.core.memory.presence[site]
        known = self.state.attempts.get(site)
        said = {
            "seq": presence.heartbeat_seq + 1,
            "digest": known.digest if known else 0,
            "grant_seq_seen": presence.grant_seq,
            "report_seq_head": presence.report_seq,
            **more,
        }
        self.step(Heartbeat(site, session, **said))
        replies = self.sent(HeartbeatReply)
        return replies[0] if replies else None

    def report(
        self, site: str, kind: str, job_id: str, epoch: int = 1, session: str = "s1", **more: Any
    ) -> Step:
        """One report of an attempt; `outcome`, `failure` and the like in `more`."""
        presence = self.core.memory.presence.get(site)
        seq = more.pop("report_seq", presence.report_seq + 1 if presence else 1)
        if kind == "rejected":
            refused = Failure("site", "NotEnoughCards", "the cards are no longer free")
            more = {"outcome": "rejected", "failure": refused, **more}
        report = Report(seq, job_id, epoch, kind, self.wall, **more)
        return self.step(Reports(site, session, (report,)))

    def started(self, site: str, job_id: str, epoch: int = 1, **more: Any) -> None:
        self.report(site, "started", job_id, epoch, **more)

    def succeeded(self, site: str, job_id: str, epoch: int = 1, **more: Any) -> None:
        self.report(site, "ended", job_id, epoch, outcome="succeeded", **more)

    def failed(
        self, site: str, job_id: str, epoch: int = 1, category: str = "user", **more: Any
    ) -> None:
        failure = Failure(category, more.pop("code", "NonZeroExit"), "ended with exit code 1")
        self.report(
            site, "ended", job_id, epoch, outcome="failed", exit_code=1, failure=failure, **more
        )

    # --- rounds -----------------------------------------------------------

    def offer(self, job_id: str, site: str, cards: int = 1, nodes: int = 1) -> Placement:
        return Placement(job_id, 0, f"{site}/main", (Slice("s0", nodes, cards),), SCORE)

    def place(self, *placements: Placement) -> list[Grant]:
        """Propose; the grants that the core made of it."""
        self.step(Proposals(placements, (), self.wall))
        return [grant for message in self.sent(Grants) for grant in message.grants]

    def round(self) -> Round:
        """A real round of the scheduler on the present, not yet handed in."""
        return place(take_snapshot(self.core.memory, self.now, ACCELERATORS))

    def run(self, job_id: str, site: str, spec: Spec | None = None) -> None:
        """Submit, place and start one job."""
        spec = spec or spec_of()
        self.submit(job_id, spec=spec)
        shape = spec.demand.variants[0]
        assert self.place(self.offer(job_id, site, shape.cards_per_node, shape.nodes))
        self.started(site, job_id)


def running(job_id: str, epoch: int = 1) -> Held:
    return Held(job_id, epoch, running=True)


def ended(job_id: str, epoch: int = 1) -> Held:
    return Held(job_id, epoch, ended=True)


def with_limits(**changed: Any) -> Limits:
    return replace(Limits(), **changed)


class Forgetful:
    """A standby that needs no rows."""

    def load(self, rows: Iterator[Put]) -> None:
        pass

    def apply(self, records: Sequence[Record]) -> None:
        pass
