"""Between questions for files and their messages, to a site and to a client."""

from __future__ import annotations

from itertools import islice
from typing import Any

from broker.asks import Ask, CommandAsk, FileAsk, FileEntry, FilePart, LogAsk, Part
from broker.core.rows import Failure
from broker.services.commands_wire import command_part_from_wire, command_request_to_wire
from broker.services.session_wire import FAILURE_TEXT_MAX, log_part_from_wire, log_request_to_wire
from suan.v1 import file_pb2, session_pb2

LISTED_MAX = 1_000  # entries that a site may send in one part
NAME_LENGTH_MAX = 4096  # characters; a file system's limit is below it
VERSION_LENGTH_MAX = 64
NUMBER_MAX = (1 << 63) - 1
KINDS = ("file", "directory")

# --- with a site --------------------------------------------------------------


def ask_to_wire(request_id: str, ask: Ask[Part]) -> session_pb2.BrokerMessage:
    """The message that asks a site."""
    if isinstance(ask, LogAsk):
        return log_request_to_wire(request_id, ask)
    if isinstance(ask, CommandAsk):
        return command_request_to_wire(request_id, ask)
    assert isinstance(ask, FileAsk)
    return session_pb2.BrokerMessage(
        file_request=session_pb2.FileRequest(
            request_id=request_id,
            id=session_pb2.AttemptId(job_id=ask.job_id, epoch=ask.epoch),
            path=ask.path,
            list=ask.lists,
            after=ask.after,
            offset=ask.offset,
            limit_bytes=ask.limit_bytes,
        )
    )


def part_from_wire(message: session_pb2.AgentMessage) -> tuple[str, Part] | None:
    """The request that a message answers, and its answer; None: it answers none."""
    kind = message.WhichOneof("body")
    if kind == "log_chunk":
        return message.log_chunk.request_id, log_part_from_wire(message.log_chunk)
    if kind == "file_chunk":
        return message.file_chunk.request_id, file_part_from_wire(message.file_chunk)
    if kind == "command_chunk":
        return message.command_chunk.request_id, command_part_from_wire(message.command_chunk)
    return None


def file_part_from_wire(message: session_pb2.FileChunk) -> FilePart:
    """A site's answer; what makes no sense in it becomes an entry that nobody copies."""
    return FilePart(
        entry=_entry_from_wire(message.entry),
        entries=tuple(_entry_from_wire(entry) for entry in islice(message.entries, LISTED_MAX)),
        more=message.more,
        data=message.data,
        failure=failure_from_wire(message.failure) if message.HasField("failure") else None,
    )


def failure_from_wire(failure: Any) -> Failure:
    return Failure(failure.category[:32], failure.code[:64], failure.message[:FAILURE_TEXT_MAX])


def _entry_from_wire(entry: file_pb2.FileEntry) -> FileEntry:
    kind = entry.kind if entry.kind in KINDS else "other"
    return FileEntry(
        entry.name[:NAME_LENGTH_MAX],
        kind,
        min(entry.size_bytes, NUMBER_MAX),
        entry.modified_ns,
        entry.executable,
        entry.version[:VERSION_LENGTH_MAX],
    )


# --- with a client ------------------------------------------------------------


def entry_to_wire(entry: FileEntry) -> file_pb2.FileEntry:
    return file_pb2.FileEntry(
        name=entry.name,
        kind=entry.kind,
        size_bytes=entry.size_bytes,
        modified_ns=entry.modified_ns,
        executable=entry.executable,
        version=entry.version,
    )
