"""What a new leader may believe: nothing of a site that has not spoken in its term."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_core import ACCELERATORS, SCORE, WALL, digest_of, facts_of, pool_of, running, spec_of
from support_loop import PATIENCE_SECONDS, submission, until
from support_office import Office, OfficeStore

from broker.core.lifecycle import JobState
from broker.core.limits import Limits
from broker.core.messages import (
    Approve,
    CapacityReport,
    CreateToken,
    Done,
    Grants,
    Heartbeat,
    HeartbeatReply,
    Held,
    Hello,
    Join,
    Now,
    Proposals,
    Report,
    Reports,
    Results,
    Tick,
    Verdicts,
)
from broker.core.rows import Job, JoinToken
from broker.kept_logs import Piece, Tail, TailAck
from broker.kept_logs.store import KeptLogs
from broker.leader import Leader, Outbound
from broker.leadership import win
from broker.planner import place_here
from broker.queries import GetJob
from broker.store import StaleTerm
from scheduler.model import Placement, Slice
from suan.errors import Unavailable

SITE = "shenzhen"
LIMITS = Limits()


class Term:
    """One broker in office; `elapsed` is its own clock, `sent` what left it."""

    def __init__(self, leader: Leader, store: OfficeStore, clock: Callable[[float], None]) -> None:
        self.leader = leader
        self.store = store
        self.sent: list[Any] = []
        self.running: asyncio.Task[None]
        self.at = clock
        leader.attach("g", self._deliver)

    def _deliver(self, batch: Sequence[Outbound]) -> None:
        self.sent += [getattr(item, "message", None) for item in batch]

    async def hello(self, *held: Held, session: str = "s1") -> None:
        capacity = CapacityReport(1, (pool_of(SITE),), 0, full=True)
        facts = facts_of(SITE)
        event = Hello(SITE, session, f"agent-{SITE}", "boot", "g", held, facts, capacity)
        await self.leader.post(event)

    async def job(self, job_id: str) -> Job:
        found = await self.leader.read(GetJob(job_id, "lab"))
        assert isinstance(found.job, Job)
        return found.job

    async def pass_time(self, elapsed: float) -> None:
        self.at(elapsed)
        await self.leader.post(Tick())

    def granted(self) -> list[str]:
        grants = [message for message in self.sent if isinstance(message, Grants)]
        return [grant.job_id for message in grants for grant in message.grants]


@asynccontextmanager
async def leading(
    office: Office, elapsed: float = 0.0, kept_logs: KeptLogs | None = None
) -> AsyncIterator[Term]:
    """A broker that takes the lead, whose clock stands at `elapsed` then."""
    store, now = OfficeStore(office), [elapsed]
    office.give(store)
    lead = await win(store)
    leader = Leader(
        store,
        lead,
        ACCELERATORS,
        place_here(),
        LIMITS,
        lambda: Now(now[0], WALL + now[0]),
        kept_logs=kept_logs,
    )
    term = Term(leader, store, lambda to: now.__setitem__(0, to))
    term.running = asyncio.create_task(leader.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield term
    finally:
        term.running.cancel()
        await asyncio.wait({term.running})
        await leader.close()


async def register(term: Term) -> None:
    token = JoinToken("t", "secret", SITE, WALL + 600.0)
    await term.leader.post(CreateToken(token, "admin"))
    await term.leader.post(Join(SITE, "t", "secret", "key", b"csr", "print"))
    await term.leader.post(Approve(SITE, "print", b"certificate", "admin"))


async def run_one(term: Term, job_id: str) -> None:
    """A job that the scheduler has placed at the site, and that runs there."""
    await term.leader.post(submission(job_id))
    await until(lambda: job_id in term.granted())
    await term.leader.post(Reports(SITE, "s1", (Report(1, job_id, 1, "started", WALL),)))


async def test_nothing_is_placed_at_a_site_before_it_has_reconciled_in_this_term() -> None:
    office = Office()
    async with leading(office) as first:
        await register(first)
        await first.hello()
        await run_one(first, "a")
        async with leading(office) as second:
            with pytest.raises(StaleTerm):
                await first.running
            assert isinstance(await second.leader.post(submission("b")), Results)
            at_site = Placement("b", 0, f"{SITE}/main", (Slice("s0", 1, 1),), SCORE)
            proposed = Proposals((at_site,), (), WALL)
            assert await second.leader.post(proposed) == Done(changed=False)
            assert (await second.job("b")).state is JobState.QUEUED
            assert (await second.job("a")).state is JobState.RUNNING

            await second.hello(running("a"), session="s2")
            (verdicts,) = [said for said in second.sent if isinstance(said, Verdicts)]
            assert verdicts.keep == (("a", 1),)
            assert verdicts.term == second.leader.term > first.leader.term
            await until(lambda: second.granted() == ["b"])


async def test_every_lease_runs_its_full_length_again() -> None:
    """The old leader may have answered a heartbeat in its last moment."""
    office = Office()
    takeback = LIMITS.takeback_seconds(spec_of().lease_seconds)
    async with leading(office) as first:
        await register(first)
        await first.hello()
        await run_one(first, "a")
        await first.pass_time(takeback - 1.0)
        assert (await first.job("a")).state is JobState.RUNNING
    began = 5_000.0  # by the clock of another machine
    async with leading(office, began) as second:
        await second.pass_time(began + takeback - 1.0)
        assert (await second.job("a")).state is JobState.RUNNING
        await second.pass_time(began + takeback + 1.0)
        job = await second.job("a")
        assert (job.state, job.attempts[-1].outcome) == (JobState.QUEUED, "lost")


async def test_a_heartbeat_that_reaches_an_old_leader_renews_nothing() -> None:
    office = Office()
    async with leading(office) as first:
        await register(first)
        await first.hello()
        await run_one(first, "a")
        office.give(None)
        first.leader.post_soon(Heartbeat(SITE, "s1", 1, digest_of(("a", 1)), 1, 1))
        with pytest.raises(StaleTerm):
            await first.running
    assert not [said for said in first.sent if isinstance(said, HeartbeatReply)]


async def test_an_old_leader_answers_no_question() -> None:
    """It does not even have to notice first: a machine that slept has the calls of long ago."""
    office = Office()
    async with leading(office) as first:
        await first.leader.post(submission("a"))
        office.give(None)
        for question in (
            first.leader.read(GetJob("a", "lab")),
            first.leader.changes(-1, 0.0),
            first.leader.plan(spec_of().demand, "lab"),
            first.leader.explain("", "a"),
        ):
            with pytest.raises(Unavailable) as caught:
                await question
            assert caught.value.code == "NotLeader"


async def test_a_site_speaks_only_for_the_jobs_that_it_ran(tmp_path: Path) -> None:
    """Nobody puts words into another's log; the next leader on this disk has what was kept."""
    office, disk = Office(), KeptLogs(tmp_path, 1 << 20, 3_600.0)
    said = Tail("a", 1, 1, (Piece(0, "stdout", 0, b"mine", WALL),), at=WALL)
    async with leading(office, kept_logs=disk) as first:
        await register(first)
        await first.hello()
        await run_one(first, "a")
        others = [replace(said, job_id="b"), replace(said, epoch=2)]
        for site, sent in (("elsewhere", said), (SITE, others[0]), (SITE, others[1])):
            assert [ack.unwanted for ack in await first.leader.keep(site, [sent])] == [True]
        acks = await first.leader.keep(SITE, [others[0], said])
        assert acks == (TailAck(unwanted=True), TailAck(((0, "stdout", 4),)))
        assert await first.leader.kept("b", 1) is None
    async with leading(office, kept_logs=disk) as second:
        kept = await second.leader.kept("a", 1)
        assert kept is not None and kept.pieces == said.pieces
    async with leading(office) as nowhere:
        assert await nowhere.leader.keep(SITE, [said]) == ()
        assert await nowhere.leader.kept("a", 1) is None
