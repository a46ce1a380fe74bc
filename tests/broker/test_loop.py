"""Store, then act: replies and sends leave after their commit, in order, whatever fails."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from support_core import Forgetful, digest_of
from support_loop import Bench, at_work, until

from broker import loop as loop_module
from broker.core import core
from broker.core.messages import (
    Accepted,
    Cancel,
    Done,
    Heartbeat,
    HeartbeatReply,
    Proposals,
    Refusal,
    Results,
    SetDrain,
    Stops,
    Tick,
)
from broker.loop import STOPPING
from broker.store import StaleTerm, StoreError

FULL = StoreError("DiskFull", "no room")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "COMMIT_RETRY_SECONDS", 0.001)


def accepted(job_id: str) -> Results:
    return Results((Accepted(job_id),))


def beat(bench: Bench, seq: int = 1, digest: int = 0) -> Heartbeat:
    presence = bench.desk.core.memory.presence["east"]
    return Heartbeat("east", "s1", seq, digest, presence.grant_seq, presence.report_seq)


def said(bench: Bench, kind: type) -> list[object]:
    return [send.message for send, _ in bench.released if isinstance(send.message, kind)]


# --- store, then act --------------------------------------------------------------------


async def test_a_reply_leaves_after_its_commit() -> None:
    async with at_work() as bench:
        bench.store.hold()
        reply = bench.submit("a")
        await until(lambda: bench.store.at_the_door)
        assert not reply.done()
        assert "job/a" not in bench.store.rows
        bench.store.let_go()
        assert await reply == accepted("a")
        assert "job/a" in bench.store.rows


async def test_a_send_leaves_after_its_commit() -> None:
    async with at_work("east") as bench:
        bench.desk.hello("east")
        bench.desk.run("a", "east")
        bench.store.hold()
        reply = bench.post(Cancel(("a",), "lab", "li"))
        await until(lambda: bench.store.at_the_door)
        assert bench.released == []
        before = bench.store.rows["job/a"]
        bench.store.let_go()
        await reply
        assert said(bench, Stops) == [Stops((("a", 1, "Cancelled"),))]
        assert bench.store.rows["job/a"] != before


async def test_the_next_batch_is_decided_while_one_commits_and_waits_for_it() -> None:
    async with at_work() as bench:
        bench.store.hold()
        first = bench.submit("a")
        await until(lambda: bench.store.at_the_door)
        later = [bench.submit(job_id) for job_id in "bcd"]
        await until(lambda: "d" in bench.desk.state.jobs)
        assert not any(task.done() for task in (first, *later))
        assert bench.store.commits == []
        bench.store.let_go()
        assert [await task for task in (first, *later)] == [accepted(name) for name in "abcd"]


async def test_what_comes_while_one_commits_waits_for_no_more_than_the_next_commit() -> None:
    """Also when the next batch was begun before: a modest client waits for two, not for three."""
    async with at_work() as bench:
        bench.store.hold()
        tasks = [bench.submit("a")]
        await until(lambda: bench.store.at_the_door)
        for name in "bcd":
            tasks.append(bench.submit(name))
            await until(partial(bench.desk.state.jobs.get, name))
        again = bench.post(Cancel(("c",), "lab", "li"))
        await until(lambda: bench.desk.job("c").terminal)
        bench.store.let_go()
        assert [await task for task in tasks] == [accepted(name) for name in "abcd"]
        assert await again == accepted("c")
        jobs = [[k for k in keys if k.startswith("job/")] for keys in bench.store.commits]
        assert jobs == [["job/a"], ["job/b", "job/d", "job/c"]]
        bench.desk.restart()
        assert bench.desk.job("c").state.value == "cancelled"


async def test_many_requests_share_a_commit_and_keep_their_order() -> None:
    async with at_work() as bench:
        bench.store.hold()
        first = bench.submit("first")
        await until(lambda: bench.store.at_the_door)
        names = [f"j{number:03}" for number in range(200)]
        order: list[str] = []
        for name in names:
            bench.submit(name).add_done_callback(lambda _, name=name: order.append(name))
        bench.store.let_go()
        await first
        await until(lambda: len(order) == len(names))
        assert order == names
        jobs = [key for keys in bench.store.commits for key in keys if key.startswith("job/")]
        assert jobs == ["job/first", *(f"job/{name}" for name in names)]
        assert len(bench.store.commits) <= 4


async def test_what_stores_nothing_commits_nothing() -> None:
    async with at_work("east") as bench:
        bench.desk.hello("east")
        bench.loop.post_soon(beat(bench))
        await until(lambda: said(bench, HeartbeatReply))
        assert await bench.post(SetDrain("east", False, "", "admin")) == Done(changed=False)
        assert bench.store.at_the_door == 0


async def test_what_stores_nothing_waits_for_what_was_before_it() -> None:
    async with at_work("east") as bench:
        bench.desk.hello("east")
        bench.store.hold()
        reply = bench.submit("a")
        await until(lambda: bench.store.at_the_door)
        bench.loop.post_soon(beat(bench))
        await until(lambda: bench.desk.core.memory.presence["east"].heartbeat_seq == 1)
        assert bench.released == []
        bench.store.let_go()
        await reply
        await until(lambda: said(bench, HeartbeatReply))


# --- a store that fails -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"), [("DiskFull", "RESOURCE_EXHAUSTED"), ("StoreFailed", "UNAVAILABLE")]
)
async def test_while_the_store_fails_requests_are_refused_and_none_is_lost(
    code: str, status: str
) -> None:
    async with at_work() as bench:
        bench.store.hold()
        first = bench.submit("a")
        await until(lambda: bench.store.at_the_door)
        second = bench.submit("b")
        await until(lambda: "b" in bench.desk.state.jobs)
        bench.store.faults.extend(StoreError(code, "no room") for _ in range(3))
        bench.store.let_go()
        await until(lambda: bench.loop.store_failure is not None)
        bench.store.hold()
        refusal = await bench.submit("c")
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.status) == (code, status)
        assert "no room" in refusal.message
        assert not first.done()
        bench.store.let_go()
        assert [await first, await second] == [accepted("a"), accepted("b")]
        assert bench.loop.store_failure is None
        assert await bench.submit("c") == accepted("c")
        assert {"job/a", "job/b", "job/c"} <= bench.store.rows.keys()


async def test_each_new_reason_why_the_store_fails_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refused = StoreError("StoreRefused", "permission denied")
    async with at_work() as bench:
        bench.store.faults.extend([FULL, FULL, refused, refused])
        assert await bench.submit("a") == accepted("a")
    said_of = [record.getMessage() for record in caplog.records if record.name == "broker.loop"]
    assert [text for text in said_of if "cannot store" in text] == [
        "cannot store: DiskFull: no room; trying again",
        "cannot store: StoreRefused: permission denied; trying again",
    ]


async def failing(bench: Bench) -> None:
    """One commit has failed and is tried in vain until faults are cleared."""
    bench.store.faults.extend([FULL] * 1_000_000)
    bench.submit("stuck")
    await until(lambda: bench.loop.store_failure is not None)


async def test_while_the_store_fails_leases_are_renewed() -> None:
    async with at_work("east") as bench:
        bench.desk.hello("east")
        bench.desk.run("a", "east")
        await failing(bench)
        for seq in range(1, 4):
            bench.loop.post_soon(beat(bench, seq, digest_of(("a", 1))))
        assert said(bench, HeartbeatReply) == [
            HeartbeatReply(seq, 1, False, (), 10.0) for seq in range(1, 4)
        ]
        assert "job/stuck" not in bench.store.rows


async def test_while_the_store_fails_nobody_is_told_what_is_not_stored() -> None:
    async with at_work("east") as bench:
        bench.desk.hello("east")
        bench.desk.run("a", "east")
        bench.store.faults.extend([FULL] * 1_000_000)
        reply = bench.post(Cancel(("a",), "lab", "li"))
        await until(lambda: bench.loop.store_failure is not None)
        bench.loop.post_soon(beat(bench, 1, digest_of(("a", 1))))
        assert said(bench, HeartbeatReply) == [HeartbeatReply(1, 1, False, (), 10.0)]
        assert not reply.done()
        bench.store.faults.clear()
        await reply
        assert said(bench, Stops) == [Stops((("a", 1, "Cancelled"),))]


async def test_what_a_heartbeat_found_out_meanwhile_is_stored_afterwards_in_its_order() -> None:
    async with at_work("east", "west") as bench:
        desk = bench.desk
        desk.hello("east")
        desk.hello("west")
        desk.run("a", "east")
        for _ in range(13):  # silent for so long that its attempt is orphaned
            desk.advance(10.0, tick=False)
            desk.beat("west")
            desk.advance(0.0)
        assert desk.attempt("a").state.value == "orphaned"
        bench.clock = desk.now
        await failing(bench)
        bench.loop.post_soon(beat(bench, 1, digest_of(("a", 1))))
        assert desk.attempt("a").state.value == "running"
        bench.store.faults.clear()
        await until(lambda: bench.loop.store_failure is None)
        assert await bench.post(Cancel(("a",), "lab", "li")) == accepted("a")
        desk.restart()
        assert desk.job("a").state.value == "cancelling"
        assert desk.attempt("a").state.value == "running"


# --- the end ------------------------------------------------------------------------------


async def test_another_leader_ends_the_loop_and_nobody_waits_for_ever() -> None:
    async with at_work() as bench:
        bench.store.hold()
        tasks = [bench.submit("a")]
        await until(lambda: bench.store.at_the_door)
        tasks.append(bench.submit("b"))
        await until(lambda: "b" in bench.desk.state.jobs)
        tasks.append(bench.submit("c"))
        await asyncio.sleep(0)
        bench.store.campaign(Forgetful())
        rows = dict(bench.store.rows)
        bench.store.let_go()
        with pytest.raises(StaleTerm):
            await bench.running
        assert [await task for task in tasks] == [STOPPING] * 3
        assert await bench.submit("d") == STOPPING
        assert bench.store.rows == rows
        assert bench.released == []


async def test_another_leader_is_noticed_also_when_nothing_else_happens() -> None:
    async with at_work() as bench:
        bench.store.campaign(Forgetful())
        assert await bench.submit("a") == STOPPING
        with pytest.raises(StaleTerm):
            await bench.running


async def test_a_cancelled_loop_ends_the_commit_under_way() -> None:
    async with at_work() as bench:
        bench.store.hold()
        first = bench.submit("a")
        await until(lambda: bench.store.at_the_door)
        decided = bench.submit("b")
        await until(lambda: "b" in bench.desk.state.jobs)
        waiting = bench.submit("c")
        await asyncio.sleep(0)
        bench.running.cancel()
        await asyncio.sleep(0)
        bench.store.let_go()
        assert await first == accepted("a"), "it is durable, so it is said"
        assert [await decided, await waiting] == [STOPPING] * 2
        assert "job/a" in bench.store.rows
        assert "job/b" not in bench.store.rows


async def test_a_cancelled_loop_does_not_wait_for_ever_for_a_store_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop_module, "DRAIN_SECONDS", 0.01)
    async with at_work() as bench:
        bench.store.faults.extend([FULL] * 1_000_000)
        reply = bench.submit("a")
        await until(lambda: bench.loop.store_failure is not None)
        bench.running.cancel()
        assert await reply == STOPPING
        await asyncio.wait({bench.running})
        assert bench.running.cancelled()


async def test_a_mistake_of_the_core_ends_the_loop_and_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mistake(*_: object) -> None:
        raise KeyError("our bug")

    monkeypatch.setitem(core.HANDLERS, Proposals, mistake)
    async with at_work() as bench:
        reply = bench.post(Proposals((), (), 0.0))
        with pytest.raises(KeyError):
            await bench.running
        assert await reply == STOPPING


async def test_a_mistake_of_the_release_ends_the_loop_and_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def mistake(*_: object) -> None:
        raise KeyError("our bug")

    async with at_work() as bench:
        monkeypatch.setattr(bench.loop, "_release", mistake)
        assert await bench.submit("a") == STOPPING
        with pytest.raises(KeyError):
            await bench.running


# --- bounds -------------------------------------------------------------------------------


async def test_the_queue_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "EVENTS_WAITING_MAX", 3)
    monkeypatch.setattr(loop_module, "EVENTS_PER_BATCH_MAX", 1)
    async with at_work("east") as bench:
        bench.desk.hello("east")
        bench.store.hold()
        tasks = [bench.submit("a")]
        await until(lambda: bench.store.at_the_door)
        tasks.append(bench.submit("b"))
        await until(lambda: "b" in bench.desk.state.jobs)
        tasks += [bench.submit(name) for name in "cde"]
        await asyncio.sleep(0)
        refusal = await bench.submit("f")
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.status) == ("BrokerBusy", "RESOURCE_EXHAUSTED")
        bench.loop.post_soon(beat(bench))
        bench.store.let_go()
        assert [await task for task in tasks] == [accepted(name) for name in "abcde"]
        assert "f" not in bench.desk.state.jobs
        assert said(bench, HeartbeatReply) == [], "an agent sends again what was dropped"


async def test_a_batch_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "EVENTS_PER_BATCH_MAX", 10)
    async with at_work() as bench:
        bench.store.hold()
        tasks = [bench.submit("first")]
        await until(lambda: bench.store.at_the_door)
        tasks += [bench.submit(f"j{number}") for number in range(35)]
        bench.store.let_go()
        for task in tasks:
            await task
        sizes = [sum(key.startswith("job/") for key in keys) for keys in bench.store.commits]
        assert sum(sizes) == 36
        assert max(sizes) == 10


async def test_ticks_do_not_pile_up_and_time_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stall the heartbeats that wait are heard before anybody's silence is judged."""
    handled: list[str] = []
    due_still: list[bool] = []
    for kind in (Tick, Heartbeat):
        real = core.HANDLERS[kind]

        def note(tx: object, event: object, real: object = real, kind: type = kind) -> object:
            handled.append(kind.__name__)
            if kind is Tick:
                due_still.append(bench.loop._tick_due)
            return real(tx, event)  # type: ignore[operator]

        monkeypatch.setitem(core.HANDLERS, kind, note)
    async with at_work("east", tick_seconds=0.001) as bench:
        bench.desk.hello("east")
        await until(lambda: handled.count("Tick") > 3)
        bench.store.hold()
        reply = bench.submit("a")
        await until(lambda: bench.store.at_the_door)
        blocked = bench.submit("b")
        await until(lambda: "b" in bench.desk.state.jobs)
        monkeypatch.setattr(loop_module, "EVENTS_PER_BATCH_MAX", 1)  # it is full
        handled.clear()
        due_still.clear()
        for seq in range(1, 6):
            bench.loop._tick_due = False
            await until(lambda: bench.loop._tick_due)  # one more has fallen due
            bench.loop.post_soon(beat(bench, seq))
        assert handled == []
        monkeypatch.setattr(loop_module, "EVENTS_PER_BATCH_MAX", 2_000)
        bench.store.let_go()
        await reply
        await blocked
        await until(lambda: "Tick" in handled)
        assert handled[: handled.index("Tick") + 1] == ["Heartbeat"] * 5 + ["Tick"]
        assert not due_still[0], "five that fell due are one"
