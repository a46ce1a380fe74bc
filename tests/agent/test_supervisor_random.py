"""Random histories of one site against a small model of broker, backend and crashes.

What must hold is judged by what the model did, not by what the supervisor believes: an
epoch is submitted at most once over all restarts, never after it was rejected, and no run
lives past what the answered heartbeats allow.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from supervised import WALL, grant, inventory

from agent.backends import Exit, Phase, Reason, RunState, parse_run_name, run_name
from agent.supervisor import Decision, State, Supervisor
from agent.supervisor.messages import (
    Closed,
    Effect,
    Event,
    GrantsReceived,
    HeartbeatReplied,
    JournalFailed,
    JournalRecovered,
    Launch,
    Opened,
    Record,
    RenewLeases,
    ReportsAcknowledged,
    RunEnded,
    RunRefused,
    RunsFound,
    RunStarted,
    SendHeartbeat,
    SendHello,
    SendReports,
    StopReceived,
    StopRun,
    Tick,
    VerdictsReceived,
)
from agent.supervisor.values import (
    AttemptId,
    Failure,
    Grant,
    Moment,
    Report,
    ReportKind,
    Settings,
)

LEASE_SECONDS = 60.0
STEPS = 400
SEEDS = 25
SEEDS_SLOW = 2_000
JOBS = 6
REFUSED = Failure("site", "Unavailable", "")


@dataclass(slots=True)
class Run:
    """One run at the model's backend, with the fence's own view of its lease."""

    deadline: float
    ended: Exit | None = None


@dataclass(slots=True)
class World:
    """Broker, backend, disk and clock around one supervisor."""

    chance: random.Random
    elapsed: float = 0.0
    disk: list[Record] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    submitted: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)  # as the broker heard
    concluded: dict[str, int] = field(default_factory=dict)  # name -> report_seq
    relapsed: bool = False  # the machine stopped while its disk was full
    started: set[str] = field(default_factory=set)
    sent_at: dict[tuple[str, int], float] = field(default_factory=dict)
    allowed: dict[str, float] = field(default_factory=dict)  # lease ends, by the broker's book
    granted: dict[str, int] = field(default_factory=dict)  # job -> newest epoch
    given: dict[str, Grant] = field(default_factory=dict)
    repeatable: set[str] = field(default_factory=set)  # grants that may still come again
    answers: list[Event] = field(default_factory=list)  # under way to the site
    session: str = ""
    sessions: int = 0
    handled_seq: int = 0
    full: bool = False
    unwritten: list[Record] = field(default_factory=list)  # while the disk is full
    supervisor: Supervisor = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    # --- the daemon ------------------------------------------------------------

    def restart(self) -> None:
        """The site comes up with its disk and its backend, and nothing else."""
        self.relapsed |= self.full
        state = State(inventory())
        for record in self.disk:
            state.apply(record)
        state.kept.clear()
        self.supervisor = Supervisor(state, Settings(outbox_max=40), self.chance.random)
        self.session, self.answers, self.full = "", [], False
        self.unwritten.clear()
        found = tuple(
            RunState(name, Phase.EXITED if run.ended else Phase.RUNNING, run.ended)
            for name, run in self.runs.items()
        )
        self.step([RunsFound(found)])

    def step(self, events: list[Event]) -> None:
        """One step of the daemon; now and then the machine stops in the middle of it."""
        now = Moment(self.elapsed, WALL + self.elapsed)
        decision = self.supervisor.handle([*events, Tick()], now)
        self.supervisor.state.check()
        effects = decision.effects
        if self.full:
            effects = self.withhold(decision)
        else:
            if self.chance.random() < 0.01:
                return self.restart()  # before the commit
            self.disk.extend(decision.records)
        crash_at = self.chance.randrange(len(effects) * 100 + 100)
        for number, effect in enumerate(effects):
            if number == crash_at:
                return self.restart()  # between two effects
            self.perform(effect)
        return None

    def withhold(self, decision: Decision) -> tuple[Effect, ...]:
        """The disk is full: nothing is stored, no launch is begun."""
        launches = [e.order.name for e in decision.effects if isinstance(e, Launch)]
        rest = tuple(e for e in decision.effects if not isinstance(e, Launch))
        self.unwritten.extend(decision.records)
        if launches:
            self.step([JournalFailed(tuple(launches))])
        return rest

    def perform(self, effect: Effect) -> None:
        match effect:
            case Launch():
                self.submit(effect)
            case StopRun(name):
                run = self.runs.get(name)
                if run and not run.ended and self.chance.random() < 0.7:
                    self.end(name, Reason.STOPPED)
            case RenewLeases(leases):
                for name, deadline in leases:
                    assert deadline <= self.allowed[name], f"{name} renewed beyond its answer"
                    run = self.runs.get(name)
                    if run and not run.ended and run.deadline > self.elapsed:
                        run.deadline = deadline
            case SendHello(session):
                self.sent_at[session, 0] = self.elapsed
                self.judge(effect)
            case SendHeartbeat(session, seq):
                self.sent_at[session, seq] = self.elapsed
                self.answer(effect)
            case SendReports(_, reports, _):
                self.hear(reports)

    # --- the backend -------------------------------------------------------------

    def submit(self, launch: Launch) -> None:
        name = launch.order.name
        assert name not in self.submitted, f"{name} submitted twice"
        assert name not in self.rejected, f"{name} submitted after it was rejected"
        assert launch.deadline <= self.allowed[name]
        self.submitted.add(name)
        if self.chance.random() < 0.1 or launch.deadline <= self.elapsed:
            self.answers.append(RunRefused(name, REFUSED))
            return
        self.runs[name] = Run(launch.deadline)
        if self.chance.random() < 0.9:
            self.answers.append(RunStarted(name))

    def end(self, name: str, reason: Reason) -> None:
        run = self.runs[name]
        run.ended = Exit(name, 0, 0, reason, WALL, WALL + self.elapsed)
        self.answers.append(RunEnded(run.ended))

    # --- the broker --------------------------------------------------------------

    def judge(self, hello: SendHello) -> None:
        """Verdicts on all; who was granted and is not named is expected."""
        held = {run_name(item.id.job_id, item.id.epoch) for item in hello.attempts}
        believed = set(self.given) - self.concluded.keys()
        keep = tuple(item.id for item in hello.attempts)
        expect = tuple(AttemptId(*parse_run_name(name)) for name in sorted(believed - held))
        self.handled_seq = 0
        verdicts = VerdictsReceived(hello.session, 1, keep=keep, expect=expect)
        self.answers.append(verdicts)

    def answer(self, beat: SendHeartbeat) -> None:
        """Renew by answering, late, twice or never."""
        self.handled_seq = beat.seq
        for name, given in self.given.items():
            end = self.sent_at[beat.session, beat.seq] + given.lease_seconds
            self.allowed[name] = max(self.allowed[name], end)
        reply = HeartbeatReplied(beat.session, beat.seq, 1)
        self.answers.extend([reply] * self.chance.choice([0, 1, 1, 1, 2]))

    def hear(self, reports: tuple[Report, ...]) -> None:
        numbers = [report.report_seq for report in reports]
        assert numbers == sorted(set(numbers))
        for report in reports:
            self.hear_one(report)
        if self.session and self.chance.random() < 0.8:
            self.answers.append(ReportsAcknowledged(self.session, numbers[-1]))

    def hear_one(self, report: Report) -> None:
        name = report.name
        if report.kind is ReportKind.STARTED:
            assert name in self.submitted
            if name not in self.started:
                assert name not in self.concluded, f"{name} started after its end"
            self.started.add(name)
            return
        if report.kind is ReportKind.REJECTED:
            if name in self.concluded:
                return  # the answer to a grant that was sent again
            assert name not in self.started, f"{name} rejected after its start"
            run = self.runs.get(name)
            assert run is None, f"{name} rejected though it runs"
            self.rejected.add(name)
        known = self.concluded.setdefault(name, report.report_seq)
        assert known == report.report_seq or self.relapsed, f"{name} ended twice"

    def grant(self) -> list[Event]:
        """A new epoch, the same again, or an old one."""
        job = f"j{self.chance.randrange(JOBS)}"
        epoch = self.granted.get(job, 0)
        name = run_name(job, epoch)
        again = sorted(self.repeatable & self.given.keys())
        if again and self.chance.random() < 0.3:
            name = self.chance.choice(again)
        elif epoch == 0 or name in self.concluded:
            epoch += 1
            name = run_name(job, epoch)
            self.granted[job] = epoch
            fits = grant(
                job,
                epoch,
                grant_seq=len(self.given) + 1,
                anchor_seq=self.handled_seq,
                cards=self.chance.choice([4, 8]),
                nodes=self.chance.choice([1, 2]),
                lease_seconds=LEASE_SECONDS,
            )
            self.given[name] = fits
            self.repeatable.add(name)
            self.allowed[name] = self.sent_at[self.session, self.handled_seq] + LEASE_SECONDS
        return [GrantsReceived(self.session, 1, (self.given[name],))]

    # --- what happens --------------------------------------------------------------

    def pass_time(self) -> None:
        """Time goes by; the fence ends what has outlived its lease, whoever is alive."""
        self.elapsed += self.chance.choice([0.1, 1.0, 5.0, 12.0, 40.0])
        for name, run in self.runs.items():
            if run.ended is None and run.deadline <= self.elapsed:
                self.end(name, Reason.LEASE_ENDED)

    def happen(self) -> None:
        """One thing at random."""
        roll = self.chance.random()
        live = [name for name, run in self.runs.items() if run.ended is None]
        if roll < 0.25:
            self.pass_time()
            self.step([])
        elif roll < 0.5 and self.answers:
            count = self.chance.randrange(1, len(self.answers) + 1)
            arrived, self.answers = self.answers[:count], self.answers[count:]
            self.step(arrived)
        elif roll < 0.7 and self.session:
            self.step(self.grant())
        elif roll < 0.76 and live:
            self.end(self.chance.choice(live), Reason.EXITED)
        elif roll < 0.8 and self.session and self.given:
            job_id, epoch = parse_run_name(self.chance.choice(sorted(self.given)))
            self.step([StopReceived(self.session, AttemptId(job_id, epoch), "Cancelled")])
        elif roll < 0.86:
            self.reconnect()
        elif roll < 0.88:
            self.restart()
        elif roll < 0.9:
            self.full = True
        elif self.full:
            self.full = False
            self.disk.extend(self.unwritten)
            self.unwritten.clear()
            self.step([JournalRecovered()])

    def reconnect(self) -> None:
        events: list[Event] = [Closed(self.session)] if self.session else []
        self.sessions += 1
        self.session = f"s{self.sessions}"
        self.repeatable -= self.concluded.keys()
        inner = (RunStarted, RunRefused, RunEnded)
        self.answers = [answer for answer in self.answers if isinstance(answer, inner)]
        self.step([*events, Opened(self.session)])


def settle(world: World) -> None:
    """No more faults: everything that was granted must come to an end."""
    world.chance = random.Random(world.chance.random())
    world.full = False
    world.disk.extend(world.unwritten)
    world.unwritten.clear()
    world.step([JournalRecovered()])
    for _ in range(200):
        if world.session == "" or world.chance.random() < 0.05:
            world.reconnect()
        for name in [name for name, run in world.runs.items() if run.ended is None]:
            world.end(name, Reason.EXITED)
        world.elapsed += 5.0
        arrived, world.answers = world.answers, []
        world.step(arrived)
        if world.given.keys() <= world.concluded.keys() and not world.supervisor.state.attempts:
            return
    raise AssertionError(f"not concluded: {sorted(world.given.keys() - world.concluded.keys())}")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_history_breaks_the_promises(seed: int) -> None:
    live(seed)


@pytest.mark.slow
@pytest.mark.skipif("'slow' not in config.option.markexpr", reason="a campaign: -m slow")
@pytest.mark.timeout(3_600)
def test_no_history_of_a_long_campaign_breaks_the_promises() -> None:
    for seed in range(SEEDS, SEEDS_SLOW):
        live(seed)


def live(seed: int) -> None:
    """One history from its beginning to the last end."""
    world = World(random.Random(seed))
    for _ in range(STEPS):
        world.happen()
    settle(world)
    assert world.submitted
