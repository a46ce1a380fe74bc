"""Files of jobs and commands beside them, at the broker: what is asked of the site, and of whom."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from support_core import Desk
from support_loop import until

from broker.asks import CommandAsk, CommandPart, FileAsk, FileEntry, FilePart
from broker.core.command_messages import BeginCommand
from broker.core.lifecycle import AttemptState, JobState
from broker.core.messages import Done, Refusal
from broker.core.rows import Attempt, Failure, Job
from broker.leader import Port
from broker.services import commands, files
from broker.services.commands import Commands, require_command_right
from broker.services.files import Files
from broker.services.files_wire import ask_to_wire, part_from_wire
from suan.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, SuanError, Unavailable
from suan.identity.principal import Principal, Role
from suan.v1 import file_pb2, session_pb2
from suan.v1 import jobs_service_pb2 as pb

ATTEMPT = Attempt(2, "east", "east/npu", "ascend-910b", 0, (), 1.0, AttemptState.RUNNING, 2.0)
JOB = Job("j1", "a", "", "li", "train", "", 0.0, state=JobState.RUNNING, attempts=(ATTEMPT,))
LI = Principal("bench", Role.USER, "li", tenant="a")
ID = "0" * 32


@dataclass
class Site:
    """A port behind which one site answers from memory."""

    data: bytes = b""
    failure: Failure | None = None
    outputs: list[CommandPart] = field(default_factory=list)
    asks: list[Any] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def ask(self, site: str, ask: Any) -> Any:
        assert site == "east" and (ask.job_id, ask.epoch) == ("j1", 2)
        self.asks.append(ask)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.failure:
            return ask.failed(self.failure)
        if isinstance(ask, CommandAsk):
            return CommandPart() if ask.is_unwanted else self.outputs.pop(0)
        entry = FileEntry("big", "file", len(self.data), 5, version="v")
        return FilePart(entry, data=self.data[ask.offset : ask.offset + ask.limit_bytes])

    async def post(self, event: Any) -> Any:
        self.notes.append(event)
        return Done()


def port(site: Site) -> Port:
    return cast(Port, site)


# --- files --------------------------------------------------------------------------


async def read(site: Site, **wanted: Any) -> bytes:
    found, offset = b"", wanted.get("offset", 0)
    request = pb.ReadFileRequest(id="j1", path="outputs/big", **wanted)
    async with aclosing(Files(port(site)).read(JOB, request)) as responses:
        async for response in responses:
            assert response.offset == offset + len(found)
            found += response.data
    return found


async def test_parts_come_in_order_and_a_few_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 3)
    site = Site(bytes(range(50)))
    assert await read(site) == site.data
    assert await read(site, offset=7, end=20) == site.data[7:20]
    assert await read(site, offset=50) == b""
    assert 1 < site.most_at_once <= files.PARTS_AHEAD


async def test_who_stops_reading_asks_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 1)
    site = Site(bytes(1000))
    request = pb.ReadFileRequest(id="j1", path="outputs/big")
    async with aclosing(Files(port(site)).read(JOB, request)) as responses:
        await anext(responses)
        await anext(responses)
    await asyncio.sleep(0)
    assert len(site.asks) <= 2 + files.PARTS_AHEAD


async def test_a_file_that_became_shorter_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PART_BYTES", 4)

    class Shrinking(Site):
        async def ask(self, site: str, ask: Any) -> Any:
            part = await super().ask(site, ask)
            self.data = self.data[:6]
            return part

    assert await read(Shrinking(bytes(100))) == bytes(6)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure("network", "SiteAway", "away"), Unavailable),
        (Failure("user", "NoSuchFile", "none"), NotFound),
        (Failure("policy", "PathNotAllowed", "no"), PermissionDenied),
        (Failure("user", "IsADirectory", "no"), InvalidRequest),
        (Failure("site", "FilesUnreadable", "no"), Conflict),
        (Failure("site", "FilesForgotten", "gone"), NotFound),
    ],
)
async def test_what_the_site_says_no_with(failure: Failure, error: type[SuanError]) -> None:
    with pytest.raises(error, match="east") as caught:
        await read(Site(failure=failure))
    assert caught.value.code == failure.code


async def test_senseless_questions_never_reach_the_site() -> None:
    site, reader = Site(), Files(port(Site()))
    for path in ("a" * 5000, "a\0b"):
        with pytest.raises(InvalidRequest):
            await reader.list(JOB, pb.ListFilesRequest(id="j1", path=path))
    with pytest.raises(InvalidRequest):
        await read(site, offset=1 << 63)
    waiting = replace(JOB, attempts=(replace(ATTEMPT, started_at=0.0),))
    for job, epoch in ((waiting, 0), (JOB, 7)):
        with pytest.raises(NotFound) as caught:
            await reader.list(job, pb.ListFilesRequest(id="j1", epoch=epoch))
        assert caught.value.code == "NoFiles"
    assert site.asks == []


def test_what_a_site_sends_is_cut_to_size() -> None:
    entry = file_pb2.FileEntry(name="x" * 9999, kind="socket", version="y" * 999)
    chunk = session_pb2.FileChunk(request_id="7", entry=entry, entries=[entry] * 1500)
    answered = part_from_wire(session_pb2.AgentMessage(file_chunk=chunk))
    assert answered is not None and isinstance(answered[1], FilePart)
    assert (answered[0], len(answered[1].entries)) == ("7", 1000)
    found = answered[1].entry
    assert (len(found.name), found.kind, len(found.version)) == (4096, "other", 64)
    asked = ask_to_wire("7", FileAsk("j1", 2, "outputs", lists=True, after="x")).file_request
    assert (asked.id.epoch, asked.path, asked.list, asked.after) == (2, "outputs", True, "x")
    request = ask_to_wire("8", CommandAsk("j1", 2, ID, 1, ("id",), is_unwanted=True))
    body = request.command_request
    assert (body.rank, list(body.argv), body.end, body.command_id) == (1, ["id"], True, ID)


# --- commands -----------------------------------------------------------------------


def wanted(**fields: Any) -> pb.ExecRequest:
    return pb.ExecRequest(**{"id": "j1", "command_id": ID, "argv": ["echo", "pass word"]} | fields)


async def test_a_command_is_noted_first_and_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "GONE_SECONDS", 0.0)
    site = Site(outputs=[CommandPart(b"ab"), CommandPart(), CommandPart(b"c", b"d"),
                         CommandPart(has_ended=True, exit_code=3)])  # fmt: skip
    responses = [each async for each in Commands(port(site)).run(JOB, wanted(), LI)]
    assert [(each.stdout, each.stderr) for each in responses] == [
        (b"", b""), (b"ab", b""), (b"c", b"d"), (b"", b""),
    ]  # fmt: skip
    assert (responses[-1].ended, responses[-1].exit_code, responses[0].epoch) == (True, 3, 2)
    (note,) = site.notes
    assert (note.job_id, note.epoch, note.actor) == ("j1", 2, LI.uri)
    assert "echo" in note.command and "sha256" in note.command and "pass" not in note.command
    assert [ask.argv for ask in site.asks[:2]] == [("echo", "pass word"), ()]
    assert (site.asks[-1].stdout_offset, site.asks[-1].stderr_offset) == (3, 1)
    await until(lambda: site.asks[-1].is_unwanted)


async def test_who_comes_back_goes_on_and_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(outputs=[CommandPart(has_ended=True)])
    request = wanted(epoch=2, stdout_offset=9)
    assert [each async for each in Commands(port(site)).run(JOB, request, LI)][-1].ended
    assert site.notes == []
    assert (site.asks[0].argv, site.asks[0].stdout_offset) == ((), 9)


async def test_a_command_ends_with_its_reader_but_not_when_he_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "GONE_SECONDS", 0.01)
    site = Site(outputs=[CommandPart(b"a")] * 1000)
    room = Commands(port(site))

    async def first_of(request: pb.ExecRequest) -> Any:
        responses = room.run(JOB, request, LI)
        await anext(responses)
        await anext(responses)
        return responses

    first = await first_of(wanted())
    second = await first_of(wanted(epoch=2))
    await first.aclose()
    await asyncio.sleep(0.05)
    assert not any(ask.is_unwanted for ask in site.asks)
    await second.aclose()
    await until(lambda: site.asks[-1].is_unwanted)


@pytest.mark.parametrize(
    "fields",
    [
        {"argv": []},
        {"argv": [""]},
        {"argv": ["x" * 70_000]},
        {"command_id": "../x"},
        {"timeout_seconds": float("nan")},
        {"timeout_seconds": 1e9},
        {"stdout_offset": 1 << 63},
    ],
)
async def test_senseless_commands_are_refused(fields: dict[str, Any]) -> None:
    site = Site()
    with pytest.raises(InvalidRequest):
        await anext(Commands(port(site)).run(JOB, wanted(**fields), LI))
    assert (site.asks, site.notes) == ([], [])


async def test_only_beside_what_runs() -> None:
    site = Site()
    ended = replace(ATTEMPT, state=AttemptState.ENDED, outcome="succeeded")
    for job, epoch in ((replace(JOB, attempts=(ended,)), 0), (JOB, 1)):
        with pytest.raises(Conflict) as caught:
            await anext(Commands(port(site)).run(job, wanted(epoch=epoch), LI))
        assert caught.value.code == "NotRunning"
    assert site.asks == []


def test_whose_jobs() -> None:
    require_command_right(LI, JOB)
    require_command_right(Principal("bench", Role.TENANT_ADMIN, "boss", tenant="a"), JOB)
    with pytest.raises(PermissionDenied) as caught:
        require_command_right(Principal("bench", Role.USER, "zhao", tenant="a"), JOB)
    assert caught.value.code == "NotYourJob"


def test_the_core_writes_it_down_while_the_job_runs() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    assert code(desk.ask(BeginCommand("a", 1, 0, "'id'", "li"))) == "NotRunning"
    desk.place(desk.offer("a", "east"))
    desk.started("east", "a")
    assert desk.ask(BeginCommand("a", 1, 2, "'id'", "li")) == Done()
    act = desk.core.memory.state.audit[desk.core.memory.state.audit_seq]
    assert (act.actor, act.action, act.object) == ("li", "job.exec", "job/a")
    assert act.detail == "epoch 1 rank 2: 'id'"
    for job_id, epoch in (("a", 2), ("b", 1)):
        assert code(desk.ask(BeginCommand(job_id, epoch, 0, "'id'", "li"))) == "NotRunning"
    desk.cancel("a")
    assert code(desk.ask(BeginCommand("a", 1, 0, "'id'", "li"))) == "NotRunning"


def code(reply: Any) -> str:
    return reply.code if isinstance(reply, Refusal) else ""
