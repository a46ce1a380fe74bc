"""Several brokers: the agent dials them in turn until one of them leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from scripted_broker import ScriptedBroker, serving
from supervised import inventory
from test_session import PROFILE

from agent.session import dialler as module
from agent.session.dialler import Dialler
from agent.session.stream import RETRY_SPREAD, STANDBY_FAILURES_MAX, Session
from agent.supervisor import State, Supervisor
from agent.supervisor.messages import Event, Opened, VerdictsReceived
from agent.supervisor.values import Moment, Settings
from agent.wire.encode import LogAnswer
from suan.errors import InvalidRequest, ResourceExhausted, SuanError, Unavailable
from suan.retry import Backoff
from suan.status import encode

BOTH = "a.example.cn:1,b.example.cn:2"
NOT_LEADER = Unavailable("this broker does not lead now", "", "NotLeader")


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were dialled."""
    found: list[str] = []

    def channel(address: str, _identity: Path) -> grpc.aio.Channel:
        found.append(address.partition(".")[0])
        return grpc.aio.insecure_channel("127.0.0.1:1")

    monkeypatch.setattr(module, "secure_channel", channel)
    return found


async def test_each_is_dialled_in_turn(dialled: list[str], tmp_path: Path) -> None:
    dialler = Dialler(BOTH, tmp_path)
    for _ in range(4):
        dialler.connect()
    assert dialled == ["a", "b", "a", "b"]


async def test_a_silent_one_is_passed_over(dialled: list[str], tmp_path: Path) -> None:
    dialler = Dialler(BOTH, tmp_path)
    dialler.connect()
    dialler.fell_silent()
    for _ in range(3):
        dialler.connect()
    assert dialled == ["a", "b", "b", "b"]


async def test_only_when_none_answers_the_reason_is_looked_for(
    dialled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "diagnose", lambda *_: Unavailable("it is off", "", "Off"))
    dialler = Dialler(BOTH, tmp_path)
    codes = []
    for _ in range(4):
        dialler.connect()
        codes.append(dialler.diagnose().code)
    assert codes == ["BrokerPassedOver", "Off", "BrokerPassedOver", "Off"]
    dialler.connect()  # this one answers, that it does not lead
    dialler.connect()
    assert dialler.diagnose().code == "BrokerPassedOver"
    assert dialled == ["a", "b", "a", "b", "a", "a"]  # b was silent a moment ago


async def test_one_alone_is_diagnosed_at_once(
    dialled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "diagnose", lambda *_: Unavailable("it is off", "", "Off"))
    dialler = Dialler("a.example.cn:1", tmp_path)
    dialler.connect()
    assert dialler.diagnose().code == "Off"


def test_addresses_are_checked_before_anything_is_dialled(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        Dialler("a.example.cn:1,b", tmp_path)


# --- sessions over it ---------------------------------------------------------------


class Refusing(ScriptedBroker):
    """Ends every stream with `refusal` while there is one."""

    refusal: SuanError | None = None

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        if self.refusal is not None:
            await anext(aiter(request_iterator))
            await context.abort(*encode(self.refusal))
        async for message in super().Session(request_iterator, context):
            yield message


class Site:
    """A session over several brokers; `pauses` is how long it would have waited."""

    def __init__(self, *addresses: str) -> None:
        self.pauses: list[float] = []
        self.welcomed: list[str] = []  # addresses, in the order of the verdicts
        self._turn = -1
        self._changed = asyncio.Event()

        def connect() -> grpc.aio.Channel:
            self._turn = (self._turn + 1) % len(addresses)
            return grpc.aio.insecure_channel(addresses[self._turn])

        async def deliver(event: Event) -> None:
            if isinstance(event, Opened):
                supervisor = Supervisor(State(inventory()), Settings(), lambda: 0.5)
                self.session.send(supervisor.hello(event.session, Moment(1.0, 1_790_000_000.0)))
            elif isinstance(event, VerdictsReceived):
                self.welcomed.append(addresses[self._turn])
            self._changed.set()

        async def answer(_request: Any) -> LogAnswer:
            raise AssertionError("nobody asks for logs")

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            self._changed.set()
            await asyncio.sleep(0)

        self.session = Session(
            PROFILE,
            30.0,
            connect,
            deliver,
            answer,
            lambda: Unavailable("nothing answers", "", "BrokerUnreachable"),
            Backoff(0.5, 30.0, random=lambda: 1.0, sleep=sleep),
            brokers=len(addresses),
        )

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(30.0):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def dialling(*addresses: str) -> AsyncIterator[Site]:
    site = Site(*addresses)
    running = asyncio.create_task(site.session.run())
    try:
        yield site
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_session_goes_on_to_the_broker_that_leads() -> None:
    standing_by, leading = Refusing(), ScriptedBroker()
    standing_by.refusal = NOT_LEADER
    async with serving(standing_by) as first, serving(leading) as second:
        async with dialling(first, second) as site:
            await site.until(lambda: site.welcomed)
            assert site.welcomed == [second]


@pytest.mark.parametrize("code", ["TermPassed", ""])
async def test_a_leader_that_lost_its_term_is_left(code: str) -> None:
    old, new = ScriptedBroker(), ScriptedBroker()
    async with serving(old) as first, serving(new) as second:
        async with dialling(first, second) as site:
            await site.until(lambda: site.welcomed)
            old.goodbye = code
            old.talk.end()
            await site.until(lambda: len(site.welcomed) == 2)
            assert site.welcomed == [first, second]


async def test_while_brokers_stand_by_the_pauses_stay_short() -> None:
    brokers = [Refusing(), Refusing()]
    for broker in brokers:
        broker.refusal = NOT_LEADER
    async with serving(brokers[0]) as first, serving(brokers[1]) as second:
        async with dialling(first, second) as site:
            await site.until(lambda: len(site.pauses) >= 8)
    assert site.pauses[:3] == [0.5, 1.0, 2.0]
    assert max(site.pauses) == 0.5 * 2 ** (STANDBY_FAILURES_MAX - 1)


async def test_where_a_broker_is_overrun_it_is_waited_for_as_long_as_it_asks() -> None:
    broker = Refusing()
    broker.refusal = ResourceExhausted("too many sites", "", "TooManyHellos", 12.0)
    async with serving(broker) as address, dialling(address) as site:
        await site.until(lambda: len(site.pauses) >= 2)
        broker.refusal = None
        await site.until(lambda: site.welcomed)
    assert site.pauses[:2] == [12.0 * (1 + RETRY_SPREAD)] * 2
