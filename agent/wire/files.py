"""What is asked and answered about the files of runs, as messages of the session."""

from __future__ import annotations

from agent.backends import run_name
from agent.reach.file_messages import FileAnswer, FileEntry, FileRequest
from suan.v1 import file_pb2, job_pb2, session_pb2


def file_request_from_wire(body: session_pb2.FileRequest) -> FileRequest:
    return FileRequest(
        request_id=body.request_id,
        name=run_name(body.id.job_id, body.id.epoch),
        path=body.path,
        lists=body.list,
        after=body.after,
        offset=body.offset,
        limit_bytes=body.limit_bytes,
    )


def file_chunk(session: str, answer: FileAnswer) -> session_pb2.AgentMessage:
    """The answer to a file request."""
    chunk = session_pb2.FileChunk(
        session=session,
        request_id=answer.request_id,
        entry=_entry(answer.entry),
        entries=[_entry(entry) for entry in answer.entries],
        more=answer.more,
        data=answer.data,
    )
    if answer.failure is not None:
        failure = answer.failure
        chunk.failure.CopyFrom(
            job_pb2.Failure(category=failure.category, code=failure.code, message=failure.message)
        )
    return session_pb2.AgentMessage(file_chunk=chunk)


def _entry(entry: FileEntry) -> file_pb2.FileEntry:
    return file_pb2.FileEntry(
        name=entry.name,
        kind=entry.kind,
        size_bytes=entry.size_bytes,
        modified_ns=entry.modified_ns,
        executable=entry.executable,
        version=entry.version,
    )
