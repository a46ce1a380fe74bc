"""What waits for an agent: urgent first, and only so much for one that does not read."""

from __future__ import annotations

import asyncio

import pytest

from broker import sessions
from broker.sessions import Session
from suan.v1.session_pb2 import BrokerMessage, Grants, HeartbeatReply


def reply(seq: int) -> BrokerMessage:
    return BrokerMessage(heartbeat_reply=HeartbeatReply(seq=seq))


def bulk(size: int = 1) -> BrokerMessage:
    return BrokerMessage(grants=Grants(specs={"sha": bytes(size)}))


async def test_replies_to_heartbeats_go_first() -> None:
    session = Session("east", "s1")
    session.put(bulk(), urgent=False)
    session.put(reply(1), urgent=True)
    assert await session.next() == reply(1)
    assert await session.next() == bulk()


@pytest.mark.parametrize(("limit", "size"), [("OUTBOX_MESSAGES_MAX", 1), ("OUTBOX_BYTES_MAX", 999)])
async def test_an_agent_that_does_not_read_loses_its_session(
    limit: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, limit, 10 * size)
    session = Session("east", "s1")
    for _ in range(100):
        session.put(bulk(size), urgent=False)
    assert session.closing
    sent = [await session.next() for _ in range(11)]
    assert sent[-1] is None, "what was queued is sent, and no more"


async def test_one_that_reads_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OUTBOX_BYTES_MAX", 2_000)
    session = Session("east", "s1")
    for _ in range(100):
        session.put(bulk(999), urgent=False)
        assert await asyncio.wait_for(session.next(), 1.0) == bulk(999)
    assert not session.closing
