"""The client of a federation with several brokers, of which one leads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from standin import Fault, Identities, Served, identities, served

from suan import retry, sync, transport
from suan.client import Client
from suan.errors import ExitCode, Unauthenticated, Unavailable
from suan.models import JobSpec, JobState, Variant

T = TypeVar("T")
SPEC = JobSpec(name="train", variants=(Variant("ascend-910b", run="python train.py"),))
STANDS_BY = Fault(Unavailable("this broker does not lead now", "name all", "NotLeader"))
ALWAYS = 1_000  # more calls than any test makes


@pytest.fixture
def other(keys: Identities) -> Iterator[Served]:
    with served(keys) as running:
        yield running


@pytest.fixture
def frozen() -> Iterator[str]:
    """Where connections are taken and nobody answers, as by a process that is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def stand_by(*stands: Served) -> None:
    for stand in stands:
        for method in ("Submit", "Get", "Offers", "ListSites", "CreateToken"):
            stand.broker.fail(method, *[STANDS_BY] * ALWAYS)


def addresses(*of: Served | str) -> str:
    return ",".join(each if isinstance(each, str) else each.address for each in of)


def call(named: str, stand: Served, work: Callable[[Client], Awaitable[T]], **options: Any) -> T:
    async def done() -> T:
        identity = options.pop("identity", stand.keys.user)
        async with Client.connect(address=named, identity=identity, **options) as opened:
            opened.transport.backoff = retry.Backoff(0.001, 0.01)
            return await work(opened)

    return asyncio.run(asyncio.wait_for(done(), 60))


def test_the_leader_is_found_and_remembered(stand: Served, other: Served) -> None:
    stand_by(stand)

    async def work(client: Client) -> None:
        for _ in range(3):
            await client.submit(SPEC)
        await client.sites()

    call(addresses(stand, other), stand, work)
    assert stand.broker.count("Submit") == 1
    assert stand.broker.count("ListSites") == 0
    assert len(other.broker.jobs) == 3


def test_a_broker_that_is_not_there_costs_nothing(stand: Served, other: Served) -> None:
    closed = "127.0.0.1:1"
    call(addresses(closed, other), stand, lambda c: c.submit(SPEC))
    assert len(other.broker.jobs) == 1


def test_all_brokers_that_are_not_there_are_named(stand: Served) -> None:
    named = addresses("127.0.0.1:1", "127.0.0.1:2")
    with pytest.raises(Unavailable) as caught:
        call(named, stand, lambda c: c.submit(SPEC), deadline_seconds=0.5)
    assert (caught.value.code, caught.value.exit_code) == (
        "BrokerUnreachable",
        ExitCode.UNREACHABLE,
    )
    assert all(address in caught.value.message for address in named.split(","))
    assert caught.value.hint


def test_a_broker_that_hangs_costs_one_try(
    frozen: str, stand: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "FIRST_TRY_SECONDS", 0.3)

    async def work(client: Client) -> None:
        await client.submit(SPEC)
        assert client.transport.turns.current == 1
        await client.submit(SPEC)

    call(addresses(frozen, stand), stand, work)
    assert len(stand.broker.jobs) == 2


def test_while_nobody_leads_it_is_waited_for(stand: Served, other: Served) -> None:
    told: list[str] = []
    stand_by(stand, other)

    def elected(reason: Any) -> None:
        told.append(reason.code)
        other.do(other.broker.forgive)

    call(addresses(stand, other), stand, lambda c: c.submit(SPEC), on_wait=elected)
    assert told == ["NotLeader"]
    assert len(other.broker.jobs) == 1


def test_when_nobody_comes_to_lead_the_brokers_are_named(stand: Served, other: Served) -> None:
    stand_by(stand, other)
    named = addresses(stand, other)
    with pytest.raises(Unavailable) as caught:
        call(named, stand, lambda c: c.offers(), deadline_seconds=0.3)
    assert caught.value.code == "NotLeader"
    assert f"none of the brokers {named} leads now" in caught.value.message


def test_one_broker_alone_says_itself_that_it_does_not_lead(stand: Served) -> None:
    stand_by(stand)
    with pytest.raises(Unavailable) as caught:
        call(stand.address, stand, lambda c: c.offers(), deadline_seconds=0.3)
    assert (caught.value.code, caught.value.hint) == ("NotLeader", "name all")


def test_a_lost_answer_does_not_make_a_second_job(stand: Served, other: Served) -> None:
    """The old leader has stored it, and died before it could say so."""

    def taken_over() -> None:
        other.do(lambda: other.broker.remember(stand.broker))

    stand.broker.fail("Submit", Fault(after=True, meanwhile=taken_over))
    (submitted,) = call(addresses(stand, other), stand, lambda c: c.submit(SPEC))
    assert submitted.existed
    assert list(other.broker.jobs) == [submitted.id]


def test_a_call_that_may_not_be_repeated_is_not_after_a_time_out(
    frozen: str, stand: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "TRY_SECONDS", 0.3)
    with pytest.raises(Unavailable):
        call(addresses(frozen, stand), stand, lambda c: c.create_token("a"))
    assert stand.broker.count("CreateToken") == 0


def test_a_watch_goes_on_at_the_next_leader(keys: Identities, other: Served) -> None:
    with contextlib.ExitStack() as first_life:
        first = first_life.enter_context(served(keys))

        async def work(client: Client) -> list[JobState]:
            (submitted,) = await client.submit(SPEC)
            states = []
            async for job in client.watch([submitted.id]):
                states.append(job.state)
                if job.state is JobState.QUEUED:
                    other.do(lambda: other.broker.remember(first.broker))
                    await asyncio.to_thread(first_life.close)
                    other.do(lambda: other.broker.end(submitted.id))
                elif job.state.terminal:
                    break
            return states

        states = call(addresses(first, other), first, work)
    assert states[0] is JobState.QUEUED
    assert states[-1] is JobState.SUCCEEDED


def test_what_no_waiting_heals_is_told_at_once(stand: Served, other: Served, tmp_path: Any) -> None:
    stranger = identities(tmp_path, "elsewhere").user
    with pytest.raises(Unauthenticated) as caught:
        call(addresses(stand, other), stand, lambda c: c.offers(), identity=stranger)
    assert caught.value.code == "BrokerNotTrusted"


def test_the_blocking_client_finds_the_leader_too(stand: Served, other: Served) -> None:
    stand_by(stand)
    named = addresses(stand, other)
    with sync.Client.connect(address=named, identity=stand.keys.user) as client:
        assert client.address == named
        client.submit(SPEC)
    assert len(other.broker.jobs) == 1


def test_the_command_line_takes_a_list(
    stand: Served, other: Served, at_stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_by(stand)
    monkeypatch.setenv("SUAN_ADDRESS", addresses(stand, other))
    assert at_stand("offers").code == ExitCode.OK
    identity = str(stand.keys.user)
    listed = ("--address", addresses(stand, other), "--identity", identity)
    assert at_stand("context", "set", "both", *listed).code == ExitCode.OK
    monkeypatch.delenv("SUAN_ADDRESS")
    assert at_stand("--context", "both", "offers").code == ExitCode.OK
    assert (stand.broker.count("Offers"), other.broker.count("Offers")) == (2, 2)
