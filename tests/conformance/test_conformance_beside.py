"""Runs are reached into on every kind of site: their files, and commands beside their ranks."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from agent.backends import Backend, BackendRefused, Launch
from agent.reach.command_messages import CommandAnswer, CommandRequest
from agent.reach.commands import Commands
from agent.reach.file_messages import FileRequest
from agent.reach.files import Files
from tests.agent.processes import alive
from tests.conformance.kinds import CARDS_PER_NODE, Site
from tests.conformance.runs import (
    PATIENCE_SECONDS,
    lease,
    next_exit,
    opened,
    order,
    reached,
    seat,
    written,
)

RUN = 'echo "$RANK" > "mark $RANK"; until [ -e "$SUAN_OUTPUT_DIR/go" ]; do sleep 0.05; done'
SHOW = 'echo "$SUAN_JOB_ID $RANK $SUAN_NODE_RANK $HF_HUB_OFFLINE"; cat "mark $RANK"; exit 3'


async def run_command(backend: Backend, name: str, rank: int, *argv: str) -> CommandAnswer:
    """A command, asked for as the broker does, to its end; all that it wrote."""
    room, out, err = Commands(backend, allowed=True), b"", b""
    command_id = secrets.token_hex(16)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            asked = CommandRequest(
                "1", name, command_id, rank, argv, 60.0, False, len(out), len(err), 1 << 16, 5.0
            )
            answer = await room.answer(asked)
            out, err = out + answer.stdout, err + answer.stderr
            if answer.has_ended or answer.failure:
                return CommandAnswer(
                    "1", out, err, answer.has_ended, answer.exit_code, failure=answer.failure
                )


async def test_files_and_commands_of_each_rank(site: Site, state: Path) -> None:
    async with opened(site.backend(state)) as backend:
        shape = {"nodes": site.nodes, "cards_per_node": CARDS_PER_NODE, "launch": Launch.PER_CARD}
        wish = order(site, state, RUN, **shape)
        await backend.submit(wish, lease())
        await reached(backend, wish.name)
        ranks = len(site.nodes) * CARDS_PER_NODE
        for rank in (0, ranks - 1):
            said = await run_command(backend, wish.name, rank, "sh", "-c", SHOW)
            job, node = wish.job_id, rank // CARDS_PER_NODE
            assert said.stdout.decode() == f"{job} {rank} {node} 1\n{rank}\n", said
            assert (said.exit_code, said.stderr) == (3, b"")
        with pytest.raises(BackendRefused, match="ranks 0 to"):
            await backend.beside(wish.name, ranks)
        files = Files(backend)
        listed = await files.answer(FileRequest("1", wish.name, "work", lists=True))
        assert [entry.name for entry in listed.entries] == [f"mark {rank}" for rank in range(ranks)]
        read = FileRequest("1", wish.name, "work/mark 0", lists=False, limit_bytes=9)
        assert (await files.answer(read)).data == b"0\n"
        script = f"trap '' TERM; echo $$ > '{seat(state)}/pid'; while :; do sleep 0.05; done"
        stays = asyncio.create_task(run_command(backend, wish.name, ranks - 1, "sh", "-c", script))
        pid = int(await written(seat(state) / "pid"))
        (seat(state) / "go").touch()
        assert (await next_exit(backend)).succeeded
        ended = await stays
        assert (ended.failure and ended.failure.code == "RunEnded") or ended.exit_code > 128
        assert not alive(pid)
        assert (await files.answer(read)).data == b"0\n"
        await backend.forget(wish.name)
        gone = (await files.answer(read)).failure
        assert gone is not None and gone.code in ("NoSuchFile", "FilesForgotten")
        with pytest.raises(KeyError):
            await backend.beside(wish.name, 0)
