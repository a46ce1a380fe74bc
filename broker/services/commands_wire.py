"""Between questions for commands beside jobs and their messages."""

from __future__ import annotations

from broker.asks import CommandAsk, CommandPart
from broker.core.rows import Failure
from broker.services.session_wire import FAILURE_TEXT_MAX
from suan.v1 import session_pb2


def command_request_to_wire(request_id: str, ask: CommandAsk) -> session_pb2.BrokerMessage:
    return session_pb2.BrokerMessage(
        command_request=session_pb2.CommandRequest(
            request_id=request_id,
            id=session_pb2.AttemptId(job_id=ask.job_id, epoch=ask.epoch),
            command_id=ask.command_id,
            rank=ask.rank,
            argv=ask.argv,
            timeout_seconds=ask.timeout_seconds,
            takes_input=ask.takes_input,
            stdout_offset=ask.stdout_offset,
            stderr_offset=ask.stderr_offset,
            limit_bytes=ask.limit_bytes,
            wait_seconds=ask.wait_seconds,
            end=ask.is_unwanted,
            actor=ask.actor,
            input=ask.input,
            input_offset=ask.input_offset,
            input_end=ask.input_ends,
        )
    )


def command_part_from_wire(message: session_pb2.CommandChunk) -> CommandPart:
    failure = None
    if message.HasField("failure"):
        said = message.failure
        failure = Failure(said.category[:32], said.code[:64], said.message[:FAILURE_TEXT_MAX])
    return CommandPart(
        message.stdout,
        message.stderr,
        message.ended,
        message.exit_code,
        message.input_taken,
        failure,
    )
