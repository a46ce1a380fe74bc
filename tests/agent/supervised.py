"""A supervisor under test: a site of two pools, a hand-driven clock, and words of a broker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from agent.backends import Exit, LeaseClass, Reason, run_name
from agent.inventory import DeclaredNode, DeclaredPool, Inventory
from agent.supervisor import Decision, State, Supervisor
from agent.supervisor.messages import (
    Event,
    GrantsReceived,
    HeartbeatReplied,
    Opened,
    Record,
    ReportAdded,
    RunEnded,
    SendHeartbeat,
    Tick,
    VerdictsReceived,
)
from agent.supervisor.values import AttemptId, Grant, Moment, Report, Settings, Task
from scheduler.model import Slice

SESSION = "s1"
LEASE_SECONDS = 600.0
WALL = 1_800_000_000.0
T = TypeVar("T")


def pool(name: str, nodes: int = 4, cards: int = 8, model: str = "ascend-910b") -> DeclaredPool:
    declared = tuple(DeclaredNode(f"{name}-n{n}", "127.0.0.1", f"{name}-s0") for n in range(nodes))
    return DeclaredPool(name, model, "npu", declared, cards)


def inventory() -> Inventory:
    return Inventory("shenzhen", (pool("train"), pool("spare", nodes=1)))


def grant(
    job_id: str = "j1",
    epoch: int = 1,
    *,
    grant_seq: int = 1,
    anchor_seq: int = 0,
    pool: str = "train",
    nodes: int = 1,
    cards: int = 8,
    lease_class: LeaseClass = LeaseClass.RESTART,
    lease_seconds: float = LEASE_SECONDS,
    tenant: str = "team-a",
    **task: Any,
) -> Grant:
    asked = Task(nodes, cards, task.pop("run", "true"), **task)
    return Grant(
        name=run_name(job_id, epoch),
        job_id=job_id,
        epoch=epoch,
        grant_seq=grant_seq,
        anchor_seq=anchor_seq,
        pool=pool,
        slices=(Slice(f"{pool}-s0", nodes, cards),),
        lease_class=lease_class,
        lease_seconds=lease_seconds,
        tenant=tenant,
        task=asked,
    )


def exited(
    job_id: str = "j1",
    epoch: int = 1,
    *,
    exit_code: int = 0,
    reason: Reason = Reason.EXITED,
    started_at: float = WALL,
    **fields: Any,
) -> RunEnded:
    name = run_name(job_id, epoch)
    return RunEnded(Exit(name, exit_code, 0, reason, started_at, WALL + 9, (exit_code,), **fields))


class Site:
    """One supervisor and its clock; each call of `tell` is one step of the daemon."""

    def __init__(
        self, settings: Settings | None = None, state: State | None = None, jitter: float = 0.5
    ) -> None:
        self.settings = settings or Settings()
        self.state = state or State(inventory())
        self.supervisor = Supervisor(self.state, self.settings, lambda: jitter)
        self.elapsed = 1_000.0
        self.wall_jump = 0.0  # seconds by which somebody has set the wall clock wrong
        self.journal: list[Record] = []

    def tell(self, *events: Event) -> Decision:
        """Events that come together, and what follows from them."""
        now = Moment(self.elapsed, WALL + self.elapsed + self.wall_jump)
        decision = self.supervisor.handle([*events, Tick()], now)
        self.journal.extend(decision.records)
        self.state.check()
        return decision

    def pass_time(self, seconds: float) -> Decision:
        self.elapsed += seconds
        return self.tell()

    def meet(self, session: str = SESSION, **verdicts: Any) -> Decision:
        """Open a session and be judged."""
        self.tell(Opened(session))
        return self.tell(VerdictsReceived(session, term=verdicts.pop("term", 1), **verdicts))

    def give(self, *grants: Grant, session: str = SESSION, term: int = 1) -> Decision:
        return self.tell(GrantsReceived(session, term, grants))

    def beat(self) -> int:
        """Let the next heartbeat be sent; its seq."""
        sent = effects(self.pass_time(10.5), SendHeartbeat)
        assert len(sent) == 1
        return sent[0].seq

    def reply(self, seq: int, **fields: Any) -> Decision:
        return self.tell(HeartbeatReplied(SESSION, seq, fields.pop("term", 1), **fields))

    def restarted(self) -> Site:
        """The same site after kill -9: the journal's records, and nothing else."""
        state = State(inventory())
        for record in self.journal:
            state.apply(record)
        site = Site(self.settings, replace_kept(state))
        site.elapsed, site.journal = self.elapsed, list(self.journal)
        return site


def replace_kept(state: State) -> State:
    state.kept.clear()  # the backend knows it, the journal does not
    return state


def effects(decision: Decision, kind: type[T]) -> list[T]:
    return [effect for effect in decision.effects if isinstance(effect, kind)]


def reports(decision: Decision) -> list[Report]:
    return [record.report for record in decision.records if isinstance(record, ReportAdded)]


def said(decision: Decision) -> list[tuple[str, str, str]]:
    """The reports of a step: kind, outcome and code."""
    return [
        (report.kind.value, report.outcome, report.failure.code if report.failure else "")
        for report in reports(decision)
    ]


def one(job_id: str = "j1", epoch: int = 1) -> AttemptId:
    return AttemptId(job_id, epoch)


def without_anchor(given: Grant) -> Grant:
    return replace(given, anchor_seq=77)
