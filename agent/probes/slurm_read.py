"""Calls Slurm's commands, bounded in time and output, and reads one view of all it says.

One view costs five calls of the controller whatever the number of nodes, jobs and runs.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

from agent.probes import slurm, slurm_json
from agent.probes.slurm import SlurmJob, SlurmNode, SlurmUnreadable
from agent.probes.slurm_capacity import SlurmView
from agent.probes.tools import Bounds, ProbeFailed, call_tool

BOUNDS = Bounds(
    seconds=60.0,  # a controller under load takes tens of seconds
    output_bytes=256 * 1024 * 1024,  # 5,000 nodes are about 20 MiB of JSON
    hint="see with `sdiag` whether slurmctld is overloaded",
)
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
        said = await call_tool(
            tool,
            *arguments,
            bounds=BOUNDS,
            text=text,
            environment=self._environment,
            hint="install Slurm",
        )
        if said.status:
            words = said.complaint.strip() or f"{tool} ended with {said.status} and said nothing"
            raise ProbeFailed("ToolFailed", words[:1000], "try the same command by hand")
        return said.output

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


def _unreadable(tool: str, said: str) -> ProbeFailed:
    return ProbeFailed(
        "ToolFailed",
        f"{tool} printed what is not understood: {said[:300]!r}",
        "see what the command prints by hand; tell us with `sinfo --version`",
    )
