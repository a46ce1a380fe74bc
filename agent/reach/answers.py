"""Who answers which of the broker's questions: each kind its own room.

Answers are read beside the daemon's loop and change nothing that it decides on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from agent.reach.command_messages import CommandRequest
from agent.reach.commands import Commands
from agent.reach.file_messages import FileRequest
from agent.reach.files import Files
from agent.reach.logs import Logs
from agent.wire.answers import Answer, Request
from agent.wire.decode import LogRequest


class Answers:
    """The rooms of this site that answer."""

    def __init__(self, logs: Logs, files: Files, commands: Commands) -> None:
        self._rooms: Mapping[type[Request], Callable[[Any], Awaitable[Answer]]] = MappingProxyType(
            {
                LogRequest: logs.answer,
                FileRequest: files.answer,
                CommandRequest: commands.answer,
            }
        )

    async def answer(self, request: Request) -> Answer:
        return await self._rooms[type(request)](request)
