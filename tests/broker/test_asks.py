"""Questions to sites: passed on, answered once, and never waited for without end."""

from __future__ import annotations

import asyncio

import pytest
from support_core import Desk
from support_loop import until

from broker import asks as asks_module
from broker.asks import Asks, FilePart, LogAsk, LogPart, SiteAsk
from broker.core.messages import SessionClosed
from broker.core.presence import SitePresence

ASK = LogAsk("a", 1, 0, "stdout", 0, 4096, 0.0)
PART = LogPart(b"hello", 5, at_end=True, ranks=1)


@pytest.fixture
def presence() -> SitePresence:
    desk = Desk("east")
    desk.hello("east")
    found: SitePresence = desk.core.memory.presence["east"]
    return found


def code(part: LogPart) -> str:
    return part.failure.code if part.failure else ""


async def test_a_question_goes_to_the_session_and_its_answer_comes_back(
    presence: SitePresence,
) -> None:
    sent: list[SiteAsk] = []
    asks = Asks(sent.append)
    waiting = asyncio.create_task(asks.ask(presence, ASK))
    await until(lambda: sent)
    assert (sent[0].gateway, sent[0].site, sent[0].session) == ("g", "east", "s1")
    asks.answer(sent[0].request_id, PART)
    assert await waiting == PART


async def test_answers_find_their_askers(presence: SitePresence) -> None:
    sent: list[SiteAsk] = []
    asks = Asks(sent.append)
    waiting = [asyncio.create_task(asks.ask(presence, ASK)) for _ in range(10)]
    await until(lambda: len(sent) == 10)
    for number, ask in reversed(list(enumerate(sent))):
        asks.answer(ask.request_id, LogPart(next_offset=number))
    assert [(await task).next_offset for task in waiting] == list(range(10))


async def test_an_answer_nobody_waits_for_is_dropped(presence: SitePresence) -> None:
    sent: list[SiteAsk] = []
    asks = Asks(sent.append)
    waiting = asyncio.create_task(asks.ask(presence, ASK))
    await until(lambda: sent)
    asks.answer("never asked", PART)
    asks.answer(sent[0].request_id, PART)
    asks.answer(sent[0].request_id, LogPart(b"again"))
    assert await waiting == PART
    asks.answer(sent[0].request_id, PART)


@pytest.mark.parametrize("case", ["unknown", "closed"])
async def test_a_site_that_is_away(case: str) -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.step(SessionClosed("east", "s1"))
    away = desk.core.memory.presence["east"] if case == "closed" else None
    sent: list[SiteAsk] = []
    assert code(await Asks(sent.append).ask(away, ASK)) == "SiteAway"
    assert sent == []


async def test_a_site_that_does_not_answer(
    presence: SitePresence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks_module, "ANSWER_SECONDS", 0.01)
    asks = Asks(lambda _: None)
    assert code(await asks.ask(presence, ASK)) == "SiteSilent"


async def test_open_questions_are_bounded_and_those_given_up_make_room(
    presence: SitePresence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asks_module, "ASKS_OPEN_MAX", 2)
    sent: list[SiteAsk] = []
    asks = Asks(sent.append)
    waiting = [asyncio.create_task(asks.ask(presence, ASK)) for _ in range(2)]
    await until(lambda: len(sent) == 2)
    assert code(await asks.ask(presence, ASK)) == "BrokerBusy"
    waiting[0].cancel()
    await asyncio.wait({waiting[0]})
    again = asyncio.create_task(asks.ask(presence, ASK))
    await until(lambda: len(sent) == 3)
    asks.answer(sent[2].request_id, PART)
    assert await again == PART
    waiting[1].cancel()


async def test_a_session_that_ends_answers_nothing_more(presence: SitePresence) -> None:
    """Its questions end at once; those of another session go on."""
    sent: list[SiteAsk] = []
    asks = Asks(sent.append)
    first = asyncio.create_task(asks.ask(presence, ASK))
    await until(lambda: sent)
    presence.session = "s2"
    second = asyncio.create_task(asks.ask(presence, ASK))
    await until(lambda: len(sent) == 2)
    asks.lose("s1")
    asks.lose("s1")
    assert code(await first) == "SiteAway"
    asks.answer(sent[1].request_id, PART)
    assert await second == PART
    asks.lose("s2")


async def test_an_answer_of_another_kind_is_none(presence: SitePresence) -> None:
    sent: list[SiteAsk] = []
    asks = Asks(sent.append)
    waiting = asyncio.create_task(asks.ask(presence, ASK))
    await until(lambda: sent)
    asks.answer(sent[0].request_id, FilePart(data=b"a file"))
    assert code(await waiting) == "AnswerUnreadable"
    assert len(sent[0].request_id) > 32  # nobody guesses it
