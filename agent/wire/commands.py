"""What is asked and answered about commands beside runs, as messages of the session."""

from __future__ import annotations

import math

from agent.backends import run_name
from agent.reach.command_messages import CommandAnswer, CommandRequest
from suan.v1 import job_pb2, session_pb2


def command_request_from_wire(body: session_pb2.CommandRequest) -> CommandRequest:
    """A request; a time that makes no sense is taken as not said."""
    timeout, wait = body.timeout_seconds, body.wait_seconds
    return CommandRequest(
        request_id=body.request_id,
        name=run_name(body.id.job_id, body.id.epoch),
        command_id=body.command_id,
        rank=body.rank,
        argv=tuple(body.argv),
        timeout_seconds=timeout if math.isfinite(timeout) and timeout > 0 else 0.0,
        takes_input=body.takes_input,
        stdout_offset=body.stdout_offset,
        stderr_offset=body.stderr_offset,
        limit_bytes=body.limit_bytes,
        wait_seconds=wait if math.isfinite(wait) and wait > 0 else 0.0,
        is_unwanted=body.end,
        actor=body.actor,
        input=body.input,
        input_offset=body.input_offset,
        input_ends=body.input_end,
    )


def command_chunk(session: str, answer: CommandAnswer) -> session_pb2.AgentMessage:
    """The answer to a command request."""
    chunk = session_pb2.CommandChunk(
        session=session,
        request_id=answer.request_id,
        stdout=answer.stdout,
        stderr=answer.stderr,
        ended=answer.has_ended,
        exit_code=answer.exit_code,
        input_taken=answer.input_taken,
    )
    if answer.failure is not None:
        failure = answer.failure
        chunk.failure.CopyFrom(
            job_pb2.Failure(category=failure.category, code=failure.code, message=failure.message)
        )
    return session_pb2.AgentMessage(command_chunk=chunk)
