"""Calls Slurm's commands, bounded in time and output, and reads one view of all it says.

One view costs three calls of the controller whatever the number of nodes, jobs and runs; what
changes with its configuration alone is read now and then.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping

from agent.probes.tools import Bounds, ProbeFailed, call_tool
from agent.slurm import from_json, from_text
from agent.slurm.from_text import SlurmFrame, SlurmJob, SlurmNode, SlurmView
from agent.slurm.notation import SlurmUnreadable

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
        self._without_json: set[str] = set()  # commands that were not built with it

    async def version(self) -> tuple[int, ...]:
        """(23, 2) for 23.02.x. Raises ProbeFailed."""
        if not self._version:
            said = await self.call("sinfo", "--version")
            match = _VERSION.search(said)
            if match is None:
                raise _unreadable("sinfo", said)
            self._version = int(match[1]), int(match[2])
        return self._version

    async def frame(self) -> SlurmFrame:
        """Raises ProbeFailed."""
        configuration = await self.call(*from_text.CONFIGURATION_ARGUMENTS)
        return SlurmFrame(
            version=await self.version(),
            leaf_switches=from_text.parse_topology(await self._said(*from_text.TOPOLOGY_ARGUMENTS)),
            memory_mib_per_cpu_max=from_text.parse_memory_per_cpu_max(configuration),
            qos=from_text.parse_qos(await self._said(*from_text.QOS_ARGUMENTS)),
        )

    async def view(self, frame: SlurmFrame) -> SlurmView:
        """Everything now, within a frame that was read before. Raises ProbeFailed."""
        partitions = await self.call(*from_text.PARTITIONS_ARGUMENTS)
        try:
            return SlurmView(
                frame=frame,
                nodes=await self._nodes(frame.version),
                partitions=from_text.parse_partitions(partitions),
                jobs=await self._jobs(frame.version),
            )
        except SlurmUnreadable as error:
            raise _unreadable("scontrol or squeue", str(error)) from error

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
        if document := await self._json(version, from_json.NODES_ARGUMENTS):
            with contextlib.suppress(SlurmUnreadable):
                return from_json.parse_nodes(document)
        return from_text.parse_nodes(await self.call(*from_text.NODES_ARGUMENTS))

    async def _jobs(self, version: tuple[int, ...]) -> tuple[SlurmJob, ...]:
        if document := await self._json(version, from_json.JOBS_ARGUMENTS):
            with contextlib.suppress(SlurmUnreadable):
                return from_json.parse_jobs(document)
        return from_text.parse_jobs(await self.call(*from_text.JOBS_ARGUMENTS))

    async def _json(self, version: tuple[int, ...], arguments: tuple[str, ...]) -> str:
        """What a command says in JSON; "" where the version has none, or was built without.

        A command that fails so and then says it in text is not asked for JSON again.
        """
        tool, *rest = arguments
        if version < from_json.SINCE or tool in self._without_json:
            return ""
        try:
            return await self.call(tool, *rest)
        except ProbeFailed as failed:
            if failed.code == "ToolTimedOut":
                raise
            self._without_json.add(tool)
            return ""

    async def _said(self, *command: str) -> str:
        """As `call`; "" where the site has no such thing, which some versions call a failure."""
        with contextlib.suppress(ProbeFailed):
            return await self.call(*command)
        return ""


def _unreadable(tool: str, said: str) -> ProbeFailed:
    return ProbeFailed(
        "ToolFailed",
        f"{tool} printed what is not understood: {said[:300]!r}",
        "see what the command prints by hand; tell us with `sinfo --version`",
    )
