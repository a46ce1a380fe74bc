"""Calls Slurm's commands, bounded in time and output, and reads one view of all it says.

One view costs five calls of the controller whatever the number of nodes, jobs and runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Mapping

from agent.probes import slurm, slurm_json
from agent.probes.run import ProbeFailed, find_tool
from agent.probes.slurm import SlurmJob, SlurmNode, SlurmUnreadable
from agent.probes.slurm_capacity import SlurmView

CALL_SECONDS_MAX = 60.0  # a controller under load takes tens of seconds
OUTPUT_BYTES_MAX = 256 * 1024 * 1024  # 5,000 nodes are about 20 MiB of JSON
INPUT_BYTES_MAX = 4 * 1024 * 1024
_VERSION = re.compile(r"(\d+)\.(\d+)")
_KEPT = ("HOME", "LANG", "LOGNAME", "PATH", "SLURM_CONF", "SLURM_JWT", "TZ", "USER")


class Slurm:
    """The way to one Slurm; `environment` is the agent's own, of which little is kept."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        kept = {name: environment[name] for name in _KEPT if name in environment}
        self._environment = {**kept, "SLURM_TIME_FORMAT": "%s"}
        self._version: tuple[int, ...] = ()

    async def version(self) -> tuple[int, ...]:
        """(23, 2) for 23.02.x. Raises ProbeFailed."""
        if not self._version:
            said = await self.call("sinfo", "--version")
            match = _VERSION.search(said)
            if match is None:
                raise _unreadable("sinfo", said)
            self._version = int(match[1]), int(match[2])
        return self._version

    async def view(self) -> SlurmView:
        """Everything at about one time. Raises ProbeFailed."""
        version = await self.version()
        partitions = await self.call(*slurm.PARTITIONS_ARGUMENTS)
        try:
            return SlurmView(
                version=version,
                nodes=await self._nodes(version),
                partitions=slurm.parse_partitions(partitions),
                jobs=await self.jobs(),
                leaf_switches=await self._leaf_switches(),
                memory_mib_per_cpu_max=slurm.parse_memory_per_cpu_max(
                    await self.call(*slurm.CONFIGURATION_ARGUMENTS)
                ),
            )
        except SlurmUnreadable as error:
            raise _unreadable("scontrol", str(error)) from error

    async def jobs(self) -> tuple[SlurmJob, ...]:
        """All jobs that hold nodes now. Raises ProbeFailed."""
        try:
            if await self.version() >= slurm_json.SINCE:
                with contextlib.suppress(SlurmUnreadable, ProbeFailed):
                    return slurm_json.parse_jobs(await self.call(*slurm_json.JOBS_ARGUMENTS))
            return slurm.parse_jobs(await self.call(*slurm.JOBS_ARGUMENTS))
        except SlurmUnreadable as error:
            raise _unreadable("squeue", str(error)) from error

    async def call(self, tool: str, *arguments: str, text: bytes = b"") -> str:
        """Standard output of a command that succeeds; `text` is its input. Raises ProbeFailed.

        `code`: "ToolMissing", "ToolTimedOut", "ToolFailed" (the message is what it said).
        """
        path = find_tool(tool)
        if not path:
            raise ProbeFailed("ToolMissing", f"{tool} is not on this machine", "install Slurm")
        process = await asyncio.create_subprocess_exec(
            path,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                output, complaint = await _communicate(process, text)
        except TimeoutError:
            raise ProbeFailed(
                "ToolTimedOut",
                f"{tool} gave no answer within {CALL_SECONDS_MAX:g} s",
                "see with `sdiag` whether slurmctld is overloaded",
            ) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            said = complaint.decode("utf-8", "replace").strip()
            message = said or f"{tool} ended with {process.returncode} and said nothing"
            raise ProbeFailed("ToolFailed", message[:1000], "try the same command by hand")
        return output.decode("utf-8", "replace")

    async def _nodes(self, version: tuple[int, ...]) -> tuple[SlurmNode, ...]:
        """By JSON where the version has it and was built with it, by text else."""
        if version >= slurm_json.SINCE:
            with contextlib.suppress(SlurmUnreadable, ProbeFailed):
                return slurm_json.parse_nodes(await self.call(*slurm_json.NODES_ARGUMENTS))
        return slurm.parse_nodes(await self.call(*slurm.NODES_ARGUMENTS))

    async def _leaf_switches(self) -> dict[str, str]:
        """Empty also where the site has no topology, which some versions call a failure."""
        with contextlib.suppress(ProbeFailed):
            return slurm.parse_topology(await self.call(*slurm.TOPOLOGY_ARGUMENTS))
        return {}


async def _communicate(process: asyncio.subprocess.Process, text: bytes) -> tuple[bytes, bytes]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(text[:INPUT_BYTES_MAX])
        await process.stdin.drain()
    process.stdin.close()
    output, complaint = await asyncio.gather(_read(process.stdout), _read(process.stderr))
    await process.wait()
    return output, complaint


async def _read(stream: asyncio.StreamReader) -> bytes:
    data = bytearray()
    while part := await stream.read(1 << 20):
        data += part
        if len(data) > OUTPUT_BYTES_MAX:
            raise ProbeFailed("ToolFailed", f"it printed more than {OUTPUT_BYTES_MAX} bytes")
    return bytes(data)


def _unreadable(tool: str, said: str) -> ProbeFailed:
    return ProbeFailed(
        "ToolFailed",
        f"{tool} printed what is not understood: {said[:300]!r}",
        "see what the command prints by hand; tell us with `sinfo --version`",
    )
