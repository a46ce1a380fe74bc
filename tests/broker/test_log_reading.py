"""Reading logs part by part: where it begins, that it can be resumed, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from broker.asks import LogAsk, LogPart
from broker.core.lifecycle import AttemptState, JobState
from broker.core.rows import Attempt, Failure, Job
from broker.kept_logs import Piece, Tail
from broker.leader import Port
from broker.services import logs
from broker.services.logs import CURSORS_MAX, read_logs
from broker.services.session_wire import log_request_to_wire
from suan.errors import InvalidRequest, NotFound, Unavailable
from suan.v1 import jobs_service_pb2 as pb

ATTEMPT = Attempt(2, "east", "east/npu", "ascend-910b", 0, (), 1.0, AttemptState.RUNNING, 2.0)
JOB = Job("j1", "a", "", "li", "train", "", 0.0, state=JobState.RUNNING, attempts=(ATTEMPT,))
OUT, ERR = (0, "stdout"), (0, "stderr")
Where = tuple[int, str]


@dataclass
class Site:
    """A port behind which one site answers from memory; a log may grow until it has ended."""

    logs: dict[Where, bytes]
    ended: bool = True
    since: dict[float, int] = field(default_factory=dict)  # moment -> offset, in each log
    asks: list[LogAsk] = field(default_factory=list)
    failure: Failure | None = None
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    tail: Tail | None = None  # what the broker has kept of it

    async def ask(self, site: str, ask: LogAsk) -> LogPart:
        assert site == "east" and (ask.job_id, ask.epoch) == ("j1", 2)
        self.asks.append(ask)
        if self.failure:
            return LogPart(failure=self.failure)
        offset = self.since[ask.since] if ask.since else ask.offset
        where = (ask.rank, ask.stream)
        if ask.wait_seconds and not self.ended and offset >= len(self.logs[where]):
            await self.grown.wait()
        data = self.logs[where][offset : offset + ask.limit_bytes]
        end = offset + len(data)
        ranks = 1 + max(rank for rank, _ in self.logs)
        return LogPart(data, end, self.ended and end == len(self.logs[where]), ranks)

    async def kept(self, job_id: str, epoch: int) -> Tail | None:
        assert (job_id, epoch) == ("j1", 2)
        return self.tail

    def grow(self, where: Where, data: bytes) -> None:
        self.logs[where] += data
        self.grown.set()
        self.grown = asyncio.Event()


def reading(site: Site, **wanted: Any) -> AsyncIterator[Any]:
    return read_logs(cast(Port, site), JOB, pb.LogsRequest(id="j1", **wanted))


async def read(site: Site, **wanted: Any) -> dict[Where, tuple[int, bytes]]:
    """Of each stream where reading began, and what came; without a gap, or this fails."""
    found: dict[Where, tuple[int, bytes]] = {}
    async for response in reading(site, **wanted):
        begin, data = found.setdefault((response.rank, response.stream), (response.offset, b""))
        assert response.offset == begin + len(data)
        found[response.rank, response.stream] = (begin, data + response.data)
    return found


def cursor(where: Where, offset: int) -> pb.LogCursor:
    return pb.LogCursor(rank=where[0], stream=where[1], offset=offset)


async def test_every_response_says_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PART_BYTES", 3)
    site = Site({OUT: b"one\ntwo\n", ERR: b"", (1, "stdout"): b"x", (1, "stderr"): b"y"})
    found = await read(site)
    assert found == {where: (0, data) for where, data in site.logs.items()}
    assert len(site.asks) > 6


async def test_reading_since_begins_where_the_site_says() -> None:
    site = Site({OUT: b"one\ntwo\n", ERR: b""}, since={1.8e9: 4})
    site.logs[ERR] = b"err\nerr\n"
    assert await read(site, since=1.8e9) == {OUT: (4, b"two\n"), ERR: (4, b"err\n")}
    assert await read(site, since=1.8e9, stream="stdout") == {OUT: (4, b"two\n")}


async def test_the_tail_of_what_came_since(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "PART_BYTES", 5)
    site = Site({OUT: b"1\n2\n3\n4\n5\n", ERR: b""}, since={1.8e9: 4})
    tail = [
        (await read(site, stream="stdout", since=since, tail_lines=lines))[OUT]
        for since, lines in ((0.0, 2), (1.8e9, 2), (1.8e9, 9), (0.0, 9))
    ]
    assert tail == [(6, b"4\n5\n"), (6, b"4\n5\n"), (4, b"3\n4\n5\n"), (0, b"1\n2\n3\n4\n5\n")]


async def test_a_cursor_goes_on_exactly_there() -> None:
    """And not where `tail_lines` and `since` would begin now; streams without one do that."""
    site = Site({OUT: b"one\ntwo\nthree", ERR: b"a\nb\nc\n"}, since={1.8e9: 4})
    wanted = {"epoch": 2, "since": 1.8e9, "tail_lines": 1}
    found = await read(site, after=[cursor(OUT, 2), cursor((7, "stdout"), 5)], **wanted)
    assert found == {OUT: (2, b"e\ntwo\nthree"), ERR: (4, b"c\n")}
    whole = await read(site, epoch=2, after=[cursor(OUT, 13), cursor(ERR, 0)])
    assert whole == {OUT: (13, b""), ERR: (0, b"a\nb\nc\n")}


async def test_a_follower_is_told_at_once_where_it_is() -> None:
    """So it can go on from there, also when its stream breaks before anything was written."""
    site = Site({OUT: b"old\n", ERR: b""}, ended=False, since={1.8e9: 4})
    wanted = {"follow": True, "since": 1.8e9, "stream": "stdout"}
    async with asyncio.timeout(30), aclosing(reading(site, **wanted)) as responses:  # type: ignore[type-var]
        first = await anext(responses)
        assert (first.data, first.offset, first.HasField("offset")) == (b"", 4, True)
        site.grow(OUT, b"new\n")
        second = await anext(responses)
        assert (second.data, second.offset) == (b"new\n", 4)


@pytest.mark.parametrize(
    "wanted",
    [
        {"since": float("nan")},
        {"since": float("inf")},
        {"since": -1.0},
        {"after": [cursor(OUT, 5)]},
        {"after": [cursor(OUT, 1 << 63)], "epoch": 2},
        {"after": [cursor(OUT, 5)] * (CURSORS_MAX + 1), "epoch": 2},
    ],
)
async def test_what_makes_no_sense_is_refused(wanted: dict[str, Any]) -> None:
    site = Site({OUT: b"one\n", ERR: b""})
    with pytest.raises(InvalidRequest):
        await read(site, **wanted)
    assert site.asks == []


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure("network", "SiteAway", "away"), Unavailable),
        (Failure("broker", "BrokerBusy", "too many"), Unavailable),
        (Failure("site", "LogsForgotten", "gone"), NotFound),
    ],
)
async def test_only_what_passes_is_worth_another_try(
    failure: Failure, error: type[Exception]
) -> None:
    with pytest.raises(error, match="east"):
        await read(Site({OUT: b"", ERR: b""}, failure=failure))


def test_the_site_is_asked_for_the_moment() -> None:
    ask = LogAsk("j1", 2, 3, "stderr", 0, 10, 1.0, since=1.8e9)
    asked = log_request_to_wire("7", ask).log_request
    assert (asked.id.epoch, asked.rank, asked.stream, asked.since) == (2, 3, "stderr", 1.8e9)


def test_a_site_that_counts_wrongly_gives_no_offset_below_zero() -> None:
    assert LogPart(b"hello", 3).offset == 0


# --- what was kept -------------------------------------------------------------------------

AWAY = Failure("network", "SiteAway", "away")
KEPT = Tail(
    "j1",
    2,
    2,
    (
        Piece(*OUT, 100, b"1\n2\n", 10.0),
        Piece(1, "stdout", 0, b"other\n", 10.0),
        Piece(*OUT, 150, b"\r99%\n3\n", 20.0),
    ),
    at=20.0,
)


def away(failure: Failure = AWAY) -> Site:
    return Site({}, failure=failure, tail=KEPT)


async def came(site: Site, **wanted: Any) -> list[tuple[int, bytes]]:
    """What comes of the first rank's output, with its place."""
    found = [each async for each in reading(site, **{"rank": 0, "stream": "stdout", **wanted})]
    assert all((each.kept.site, each.kept.at) == ("east", 20.0) for each in found)
    return [(each.offset, each.data) for each in found]


@pytest.mark.parametrize("code", ["SiteAway", "SiteSilent", "LogsForgotten", "LogsUnreadable"])
async def test_what_was_kept_stands_in_for_a_site(code: str) -> None:
    site = away(Failure("network", code, "no"))
    found = [each async for each in reading(site)]
    assert {(each.rank, each.stream) for each in found} == {
        (rank, stream) for rank in (0, 1) for stream in ("stdout", "stderr")
    }
    assert {each.kept.code for each in found} == {code} and not found[0].kept.at_end
    out = [(100, b""), (100, b"1\n2\n"), (150, b"\r99%\n3\n")]
    assert [(r.offset, r.data) for r in found if (r.rank, r.stream) == OUT] == out


async def test_kept_output_is_read_from_a_cursor_a_moment_or_its_end() -> None:
    assert await came(away(), epoch=2, after=[cursor(OUT, 102)]) == [
        (102, b""),
        (102, b"2\n"),
        (150, b"\r99%\n3\n"),
    ]
    assert await came(away(), epoch=2, after=[cursor(OUT, 157)]) == [(157, b"")]
    assert await came(away(), since=15.0) == [(150, b""), (150, b"\r99%\n3\n")]
    assert await came(away(), tail_lines=1) == [(155, b""), (155, b"3\n")]
    assert await came(away(), tail_lines=3) == [
        (102, b""),
        (102, b"2\n"),
        (150, b"\r99%\n3\n"),
    ]
    with pytest.raises(NotFound, match="ranks 0 to 1"):
        await came(away(), rank=2)


@pytest.mark.parametrize("wanted", [{"follow": True}, {"site_only": True}])
async def test_who_would_rather_wait_for_the_site_is_told(wanted: dict[str, Any]) -> None:
    with pytest.raises(Unavailable, match="east"):
        await came(away(), **wanted)


async def test_a_busy_broker_is_no_reason_to_give_less() -> None:
    with pytest.raises(Unavailable):
        await came(away(Failure("broker", "BrokerBusy", "later")))
