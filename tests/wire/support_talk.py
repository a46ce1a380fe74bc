"""A broker's core and the supervisors of sites, joined by the bytes of the wire.

Real core, real scheduler, real supervisors, real encoders and decoders of both sides; only
clocks and backends are played. `up` and `down` may change the bytes on their way: an older
peer is one that does not know some fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from agent.backends import Exit, Reason, parse_run_name, run_name
from agent.inventory import DeclaredNode, DeclaredPool, Inventory
from agent.supervisor import Decision, State, Supervisor
from agent.supervisor.messages import (
    Closed,
    CloseSession,
    Event,
    Launch,
    Opened,
    RunEnded,
    RunStarted,
    SendCapacity,
    SendHeartbeat,
    SendHello,
    SendReconcile,
    SendReports,
    StopRun,
    Tick,
)
from agent.supervisor.values import Moment, Settings
from agent.wire.decode import Decoder, Goodbye, LogRequest
from agent.wire.encode import SiteProfile, encode_parts
from broker.core.core import Core
from broker.core.limits import Limits
from broker.core.messages import (
    Approve,
    Cancel,
    CreateToken,
    Join,
    Now,
    Proposals,
    Reconcile,
    Send,
    Submission,
    Submit,
)
from broker.core.messages import Event as BrokerEvent
from broker.core.messages import Tick as BrokerTick
from broker.core.rows import Attempt, Job, JoinToken
from broker.core.snapshot import take_snapshot
from broker.core.state import State as BrokerState
from broker.services.held_parts import HeldParts
from broker.services.session_wire import (
    event_from_wire,
    held_from_wire,
    hello_from_wire,
    message_to_wire,
)
from broker.services.specs import read_spec
from scheduler.model import Accelerator, Precision
from scheduler.placement import place
from suan.models import JobSpec, Lease, Variant
from suan.v1 import session_pb2
from suan.wire import spec_bytes

MODEL = "ascend-910b"
WALL = 1_790_000_000.0
ACCELERATORS = (
    Accelerator(MODEL, "huawei", "npu", 1, 64.0, 1.6, ((Precision.BF16, 320.0),), 8, 400.0),
)
SENDS = (SendHello, SendReconcile, SendHeartbeat, SendCapacity, SendReports)
Bytes = Callable[[bytes], bytes]


def as_it_is(data: bytes) -> bytes:
    return data


class Site:
    """One site: its supervisor, its session and what it said, as bytes."""

    def __init__(self, name: str, up: Bytes = as_it_is, down: Bytes = as_it_is) -> None:
        self.name = name
        self.up, self.down = up, down
        nodes = tuple(DeclaredNode(f"n{n}", "127.0.0.1", "s0") for n in range(4))
        inventory = Inventory(name, (DeclaredPool("main", MODEL, "npu", nodes, 8),))
        self.supervisor = Supervisor(State(inventory), Settings(site=name), lambda: 0.5)
        self.profile = SiteProfile(name, f"agent-{name}", "boot", name, agent_version="test")
        self.decoder = Decoder(30.0)
        self.session = ""
        self.sessions = 0
        self.listed = HeldParts()
        self.opening: session_pb2.Hello | None = None  # whose list goes on
        self.said: list[bytes] = []  # everything, in order
        self.runs: set[str] = set()
        self.goodbyes: list[Goodbye] = []
        self.closed: list[str] = []

    def open(self) -> Opened:
        """A new stream."""
        self.sessions += 1
        self.session = f"{self.name}-{self.sessions}"
        self.decoder = Decoder(30.0)
        return Opened(self.session)

    def event(self, data: bytes) -> BrokerEvent | None:
        """What the broker makes of a message, as its servicer does."""
        message = session_pb2.AgentMessage.FromString(data)
        if message.WhichOneof("body") == "hello":
            self.opening = message.hello
            hello = hello_from_wire(message.hello, "g")
            self.listed = HeldParts()
            self.listed.add(hello.held)
        elif self.opening is not None:
            self.listed.add(held_from_wire(message.reconcile.attempts))
        else:
            event = event_from_wire(self.name, message)
            if isinstance(event, Reconcile):
                return self.listed.whole(event, message.reconcile.more)
            return event
        part = message.hello if message.WhichOneof("body") == "hello" else message.reconcile
        if part.more:
            return None
        whole = replace(hello_from_wire(self.opening, "g"), held=self.listed.take())
        self.opening = None
        return whole


@dataclass
class Talk:
    """The federation: every message that is due has been delivered after each call."""

    core: Core
    sites: dict[str, Site]
    elapsed: float = 100.0

    @property
    def state(self) -> BrokerState:
        return self.core.memory.state

    def job(self, job_id: str) -> Job:
        return self.state.jobs[job_id]

    def attempt(self, job_id: str) -> Attempt:
        newest = self.job(job_id).attempt
        assert newest is not None
        return newest

    # --- time and words -----------------------------------------------------------

    def broker(self, *events: BrokerEvent) -> None:
        """Events of the broker's own, and all that follows from them."""
        step = self.core.handle(events, Now(self.elapsed, WALL + self.elapsed))
        self.state.check()
        self._deliver(step.sends)

    def tell(self, site: Site, *events: Event) -> None:
        """Events of a site's own, and all that follows from them."""
        now = Moment(self.elapsed + 1_000.0, WALL + self.elapsed)
        decision = site.supervisor.handle([*events, Tick()], now)
        site.supervisor.state.check()
        self._perform(site, decision)

    def pass_time(self, seconds: float) -> None:
        self.elapsed += seconds
        for site in self.sites.values():
            self.tell(site)
        self.broker(BrokerTick())

    def open(self, site: Site) -> None:
        self.tell(site, Closed(site.session))
        self.tell(site, site.open())

    def hear(self, site: Site, data: bytes) -> None:
        """The broker hears these bytes on a site's stream."""
        event = site.event(site.up(data))
        if event is not None:
            self.broker(event)

    def _perform(self, site: Site, decision: Decision) -> None:
        for effect in decision.effects:
            if isinstance(effect, SENDS):
                for message in encode_parts(effect, site.profile):
                    site.said.append(message.SerializeToString())
                    self.hear(site, site.said[-1])
            elif isinstance(effect, Launch):
                site.runs.add(effect.order.name)
                self.tell(site, RunStarted(effect.order.name))
            elif isinstance(effect, StopRun) and effect.name in site.runs:
                self.end(site, effect.name, Reason.STOPPED)
            elif isinstance(effect, CloseSession):
                site.closed.append(effect.code)

    def _deliver(self, sends: Iterable[Send]) -> None:
        for send in sends:
            site = self.sites[send.site]
            if send.session != site.session:
                continue
            for message in message_to_wire(send.session, send.message):
                self._arrive(site, message.SerializeToString())

    def _arrive(self, site: Site, data: bytes) -> None:
        message = session_pb2.BrokerMessage.FromString(site.down(data))
        for heard in site.decoder.decode(message):
            if isinstance(heard, Goodbye):
                site.goodbyes.append(heard)
            elif not isinstance(heard, LogRequest):
                self.tell(site, heard)

    # --- what people and jobs do -----------------------------------------------------

    def submit(self, *ids: str, lease_class: str = "restart", cards: int = 1) -> None:
        variant = Variant(MODEL, accelerators_per_node=cards, run="true")
        wish = JobSpec((variant,), name="job", lease=Lease(lease_class))
        spec = read_spec(spec_bytes(wish))
        jobs = tuple(Submission(job_id, spec.sha256) for job_id in ids)
        self.broker(Submit("lab", "", "li", jobs, (spec,)))

    def place(self) -> None:
        """A round of the scheduler."""
        now = Now(self.elapsed, WALL + self.elapsed)
        done = place(take_snapshot(self.core.memory, now, ACCELERATORS))
        self.broker(Proposals(done.placements, done.explanations, WALL + self.elapsed))

    def cancel(self, *ids: str) -> None:
        self.broker(Cancel(ids, "lab", "user/li"))

    def end(self, site: Site, name: str, reason: Reason = Reason.EXITED) -> None:
        """A run is over."""
        site.runs.discard(name)
        wall = WALL + self.elapsed
        self.tell(site, RunEnded(Exit(name, 0, 0, reason, wall - 1.0, wall)))

    def finish(self, job_id: str) -> None:
        attempt = self.attempt(job_id)
        self.end(self.sites[attempt.site], run_name(job_id, attempt.epoch))

    def alive(self) -> list[tuple[str, int]]:
        """Runs at all sites, as (job, epoch)."""
        return sorted(parse_run_name(name) for site in self.sites.values() for name in site.runs)


def talk(*sites: Site, limits: Limits | None = None) -> Talk:
    """A federation whose sites are registered and have begun their sessions."""
    core = Core(BrokerState(), limits or Limits(), 1, Now(0.0, WALL))
    federation = Talk(core, {site.name: site for site in sites})
    for site in sites:
        token = JoinToken(f"t-{site.name}", "secret", site.name, WALL + 600.0)
        asked = (token.id, "secret", f"key-{site.name}", b"csr", f"print-{site.name}")
        federation.broker(
            CreateToken(token, "admin"),
            Join(site.name, *asked),
            Approve(site.name, f"print-{site.name}", b"certificate", "admin"),
        )
    for site in sites:
        federation.open(site)
    federation.pass_time(1.0)
    return federation
