"""Output on its way to the broker: only what is new, in bounded parts, after everything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from processes import until

from agent.backends import Backend, LogPart, Stream
from agent.data_messages import SendStaging
from agent.reach import tails
from agent.reach.tail_messages import SendTails, TailAck, TailsAcked, Where
from agent.reach.tails import Tails
from agent.session.lanes import Lanes
from agent.wire.encode import LogAnswer
from agent.wire.tails import tails_ack_from_wire, tails_to_wire
from broker.kept_logs.store import KeptLogs
from broker.services.kept_logs import Keeping
from suan.log_windows import STREAM_BYTES_MAX
from suan.v1 import session_pb2

OUT: Where = (0, Stream.STDOUT)
JOB = "01890a5d-ac96-774b-bcce-b302099a8057"
RUN = f"suan-{JOB}-1"


class Site:
    """Runs and what they wrote, in memory."""

    def __init__(self) -> None:
        self.ended: dict[str, bool] = {}
        self.logs: dict[str, dict[Where, bytes]] = {}

    def write(self, data: bytes, where: Where = OUT, run: str = RUN) -> None:
        self.ended.setdefault(run, False)
        logs = self.logs.setdefault(run, {})
        logs[where] = logs.get(where, b"") + data

    def end(self, run: str = RUN) -> None:
        self.ended[run] = True

    async def ranks(self, name: str) -> int:
        return 1 + max((rank for rank, _ in self.logs[name]), default=0)

    async def log_sizes(self, name: str) -> Mapping[Where, int]:
        return {where: len(data) for where, data in self.logs[name].items()}

    async def read_log(
        self, name: str, rank: int, stream: Stream, offset: int, limit_bytes: int
    ) -> LogPart:
        data = self.logs[name][rank, stream][offset : offset + limit_bytes]
        return LogPart(data, offset + len(data), False)


class Broker:
    """The broker's own way from a message to a file, and how much came over the wire."""

    def __init__(self, directory: Path) -> None:
        self.disk = KeptLogs(directory, 1 << 30, 3_600.0)
        self.messages: list[SendTails] = []
        self.hear: Callable[[TailsAcked], None] = lambda heard: None
        self.keeping = Keeping(cast(Any, self), "here", self._answer)
        self.keeps = True

    async def keep(self, site: str, sent: Any) -> Any:
        return self.disk.add(sent) if self.keeps else ()

    def send(self, send: SendTails) -> None:
        message = tails_to_wire(send)
        assert message.ByteSize() < tails.MESSAGE_BYTES_MAX * 2
        self.messages.append(send)
        self.keeping.take(
            session_pb2.AgentMessage.FromString(message.SerializeToString()).log_tails
        )

    def _answer(self, message: session_pb2.BrokerMessage) -> None:
        self.hear(tails_ack_from_wire(message.log_tails_ack))

    def sent(self) -> list[tuple[int, bytes]]:
        """Every piece that came, with its place."""
        return [
            (piece.offset, piece.data)
            for message in self.messages
            for tail in message.tails
            for piece in tail.pieces
        ]

    def kept(self, run: str = RUN) -> bytes:
        found = self.disk.read(run.removeprefix("suan-").rpartition("-")[0], 1)
        return b"".join(piece.data for piece in found.pieces) if found else b""

    def complete(self, run: str = RUN) -> bool:
        found = self.disk.read(run.removeprefix("suan-").rpartition("-")[0], 1)
        return found is not None and found.at_end


@asynccontextmanager
async def sending(site: Site, broker: Broker) -> AsyncIterator[None]:
    sender = Tails(
        cast(Backend, site),
        lambda: site.ended.items(),
        site.ranks,
        broker.send,
        lambda: "s1",
    )
    broker.hear = sender.acknowledged
    task = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_SECONDS", "FIRST_SECONDS", "ROUND_SECONDS", "REST_SECONDS"):
        monkeypatch.setattr(tails, name, 0.01)
    monkeypatch.setattr(tails, "BYTES_PER_SECOND_MAX", 1 << 30)


async def test_what_is_new_goes_once_and_the_end_is_told(tmp_path: Path) -> None:
    site, broker = Site(), Broker(tmp_path)
    site.write(b"one\n")
    async with sending(site, broker):
        await asyncio.to_thread(until, lambda: broker.kept() == b"one\n")
        site.write(b"two\n")
        await asyncio.to_thread(until, lambda: broker.kept() == b"one\ntwo\n")
        site.write(b"three")
        site.end()
        await asyncio.to_thread(until, broker.complete)
        told = len(broker.messages)
        site.write(b"", run=RUN.replace("8057", "8058"))
        site.write(b"x", run=RUN.replace("8057", "8059"))
        await asyncio.to_thread(until, lambda: broker.kept(RUN.replace("8057", "8059")))
        assert len(broker.messages) == told + 1  # nothing more of a run that is complete
    assert broker.sent() == [(0, b"one\n"), (4, b"two\n"), (8, b"three"), (0, b"x")]


async def test_an_agent_that_comes_back_does_not_send_all_again(tmp_path: Path) -> None:
    site, broker = Site(), Broker(tmp_path)
    site.write(b"line\n" * 40_000)
    for again in (b"", b"more\n"):
        site.write(again)
        broker.messages.clear()
        async with sending(site, broker):
            await asyncio.to_thread(until, lambda: broker.kept().endswith(b"line\n" + again))  # noqa: B023
    assert broker.sent() == [(200_000, b"more\n")]


async def test_of_much_the_newest_is_sent_from_a_lines_beginning(tmp_path: Path) -> None:
    site, broker = Site(), Broker(tmp_path)
    written = b"".join(b"%d\n" % number for number in range(200_000))
    for rank in range(3):
        site.write(written, (rank, Stream.STDERR))
    site.end()
    async with sending(site, broker):
        await asyncio.to_thread(until, broker.complete)
    for message in broker.messages:
        size = sum(len(piece.data) for tail in message.tails for piece in tail.pieces)
        assert size <= tails.MESSAGE_BYTES_MAX
    kept = broker.disk.read(JOB, 1)
    assert kept is not None and kept.ranks == 3
    for rank in range(3):
        pieces = [piece for piece in kept.pieces if piece.rank == rank]
        data = b"".join(piece.data for piece in pieces)
        assert written.endswith(data) and pieces[0].offset == len(written) - len(data)
        assert STREAM_BYTES_MAX - 10 < len(data) <= STREAM_BYTES_MAX
        assert written[pieces[0].offset - 1 :].startswith(b"\n")


async def test_of_a_progress_bar_the_last_state_is_sent(tmp_path: Path) -> None:
    site, broker = Site(), Broker(tmp_path)
    bar = b"".join(b"\r%5d of 9999" % step for step in range(10_000))
    site.write(b"begin\n" + bar + b"\nend\n")
    site.end()
    async with sending(site, broker):
        await asyncio.to_thread(until, broker.complete)
    end = 6 + len(bar) + 5
    last = b"\r 9999 of 9999\nend\n"
    assert broker.sent() == [(0, b"begin\n"), (end - len(last), last)]


async def test_a_broker_that_cannot_keep_is_asked_again(tmp_path: Path) -> None:
    site, broker = Site(), Broker(tmp_path)
    site.write(b"one\n")
    broker.keeps = False
    async with sending(site, broker):
        await asyncio.to_thread(until, lambda: len(broker.messages) > 1)
        broker.keeps = True
        await asyncio.to_thread(until, lambda: broker.kept() == b"one\n")


async def test_what_is_not_wanted_is_not_offered_again(tmp_path: Path) -> None:
    site, broker = Site(), Broker(tmp_path)
    other = RUN.replace("8057", "8058")
    site.write(b"one\n")

    def refuse(send: SendTails) -> None:
        broker.messages.append(send)
        acks = tuple(TailAck({}, False, tail.name == RUN) for tail in send.tails)
        asyncio.get_running_loop().call_soon(lambda: broker.hear(TailsAcked("s1", send.seq, acks)))

    broker.send = refuse  # type: ignore[method-assign]
    async with sending(site, broker):
        await asyncio.to_thread(until, lambda: broker.messages)
        site.write(b"two\n")
        site.write(b"x\n", run=other)
        await asyncio.to_thread(until, lambda: len(broker.messages) > 2)
    names = [tail.name for message in broker.messages for tail in message.tails]
    assert names[0] == RUN and set(names[1:]) == {other}


async def test_everything_else_goes_first() -> None:
    lanes = Lanes()
    output = SendTails("s1", 1, ())
    lanes.put(output)
    lanes.put(SendStaging("s1", 1, ()))
    lanes.put_log(LogAnswer("7"))
    assert [type(await lanes.next()) for _ in range(3)] == [SendStaging, LogAnswer, SendTails]
