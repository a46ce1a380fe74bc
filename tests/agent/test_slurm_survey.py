"""What the agent does when Slurm's commands are missing, fail, hang or print garbage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.probes import slurm_read
from agent.probes.slurm_capacity import CardType
from agent.probes.slurm_read import Slurm
from agent.probes.tools import Bounds, ProbeFailed
from agent.slurm_survey import SlurmSurvey

FIXTURES = Path(__file__).parent / "fixtures" / "slurm"
CARDS = {"npu:910b": CardType("ascend-910b", "npu"), "dcu:k100": CardType("hygon-k100", "dcu")}


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


class Commands:
    """Slurm's commands as scripts on the path."""

    def __init__(self, directory: Path, version: str = "22.05.8") -> None:
        self.directory = directory
        directory.mkdir()
        self.write("sinfo", f"echo slurm {version}")
        nodes, partitions = (FIXTURES / f"22.05-{part}.txt" for part in ("nodes", "partitions"))
        self.write(
            "scontrol",
            f'case "$2" in node) cat "{nodes}";; partition) cat "{partitions}";; '
            'config) echo "MaxMemPerCPU = 3888";; *) echo no >&2; exit 1;; esac',
        )
        self.write("squeue", "true")

    def write(self, tool: str, script: str) -> None:
        path = self.directory / tool
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.directory}:/usr/bin:/bin")
    return made


def survey() -> SlurmSurvey:
    return SlurmSurvey("s", Slurm({"PATH": "/usr/bin:/bin"}), CARDS)


async def test_a_recorded_site(commands: Commands) -> None:
    reading = survey()
    assert await reading.look(nobody)
    usable = {pool.name: pool.cards_usable for pool in reading.inventory().pools()}
    assert usable == {"ascend": 5, "hygon": 4}
    assert not await reading.look(nobody)


@pytest.mark.parametrize(
    "script",
    [
        "echo slurm_load_node error: Unable to contact slurm controller >&2; exit 1",
        "echo '<html>502</html>'",
        "exit 3",
    ],
)
async def test_what_was_known_stands(commands: Commands, script: str) -> None:
    reading = survey()
    assert await reading.look(nobody)
    before = reading.inventory().pools()
    commands.write("scontrol", script)
    assert not await reading.look(nobody)
    assert reading.inventory().pools() == before


async def test_a_version_with_json_but_without_its_plugin(commands: Commands) -> None:
    commands.write("sinfo", "echo slurm 24.05.4")
    nodes = (FIXTURES / "22.05-nodes.txt", FIXTURES / "22.05-partitions.txt")
    commands.write(
        "scontrol",
        'for a; do [ "$a" = --json ] && { echo garbage; exit 0; }; done; '
        f'case "$2" in node) cat "{nodes[0]}";; partition) cat "{nodes[1]}";; esac',
    )
    commands.write("squeue", 'for a; do [ "$a" = --json ] && exit 1; done; true')
    assert len((await Slurm({}).view()).nodes) == 3


async def test_a_version_with_json(commands: Commands) -> None:
    commands.write("sinfo", "echo slurm 24.05.4")
    commands.write(
        "scontrol",
        f'case "$2" in nodes) cat "{FIXTURES / "24.05-nodes.json"}";; partition) '
        "echo 'PartitionName=ascend Nodes=npu[1-4] State=UP MaxTime=UNLIMITED';; esac",
    )
    commands.write("squeue", f'cat "{FIXTURES / "24.05-squeue.json"}"')
    reading = survey()
    assert await reading.look(nobody)
    (pool,) = reading.inventory().pools()
    assert (pool.cards_total, pool.cards_usable) == (32, 12)


async def test_a_tool_that_hangs(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_read, "BOUNDS", Bounds(0.2, 1000))
    commands.write("sinfo", "exec sleep 1000")
    with pytest.raises(ProbeFailed) as failed:
        await asyncio.wait_for(Slurm({}).version(), 30)
    assert failed.value.code == "ToolTimedOut"


async def test_a_tool_that_says_too_much(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_read, "BOUNDS", Bounds(60.0, 1000))
    commands.write("sinfo", "yes")
    with pytest.raises(ProbeFailed) as failed:
        await asyncio.wait_for(Slurm({}).version(), 30)
    assert failed.value.code == "ToolFailed"


async def test_a_version_that_nobody_understands(commands: Commands) -> None:
    commands.write("sinfo", "echo welcome to the machine")
    with pytest.raises(ProbeFailed, match="not understood"):
        await Slurm({}).version()
