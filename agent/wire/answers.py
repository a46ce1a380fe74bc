"""All that the broker may ask of a site beside the daemon's loop, and the answers' messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.reach.command_messages import CommandAnswer, CommandRequest
from agent.reach.file_messages import FileAnswer, FileRequest
from agent.wire.commands import command_chunk
from agent.wire.decode import LogRequest
from agent.wire.encode import LogAnswer, log_chunk
from agent.wire.files import file_chunk
from suan.v1 import session_pb2

Request = LogRequest | FileRequest | CommandRequest
Answer = LogAnswer | FileAnswer | CommandAnswer
_ENCODERS: dict[type[Answer], Callable[[str, Any], session_pb2.AgentMessage]] = {
    LogAnswer: log_chunk,
    FileAnswer: file_chunk,
    CommandAnswer: command_chunk,
}


def answer_to_wire(session: str, answer: Answer) -> session_pb2.AgentMessage:
    """The message that says `answer`."""
    return _ENCODERS[type(answer)](session, answer)
