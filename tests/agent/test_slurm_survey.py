"""What the agent does when Slurm's commands are missing, fail, hang or print garbage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.backends import NodeShare
from agent.probes.tools import Bounds, ProbeFailed
from agent.slurm import poll as slurm_poll
from agent.slurm import read as slurm_read
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from agent.slurm.survey import SlurmSurvey, names_from
from agent.supervisor.messages import Event, InventoryChanged
from scheduler.model import Release
from suan import catalogue

FIXTURES = Path(__file__).parent / "fixtures" / "slurm"
CARDS = names_from(catalogue.load(), {})


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
    return SlurmSurvey("s", SlurmPoll(Slurm({"PATH": "/usr/bin:/bin"}), 0.0), CARDS)


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
    slurm = Slurm({})
    frame = await slurm.frame()
    assert len((await slurm.view(frame)).nodes) == 3
    commands.write("squeue", 'for a; do [ "$a" = --json ] && exec sleep 1000; done; true')
    assert len((await slurm.view(frame)).nodes) == 3  # not asked for JSON again


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


# --- one poll for all -------------------------------------------------------------------


class Clock:
    """Seconds as a test wants them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_one_question_for_all_who_want_to_know(commands: Commands, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    commands.write("squeue", f"echo asked >> '{asked}'")
    clock = Clock()
    poll = SlurmPoll(Slurm({}), 30.0, clock)
    first, second = await asyncio.gather(poll.answer(-1.0), poll.answer(-1.0))
    assert first is second
    assert await poll.answer(99.0) is first
    waiting = asyncio.create_task(poll.answer(first.asked_at))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done  # not before its time
    waiting.cancel()
    clock.now += 30.0
    later = await poll.answer(first.asked_at)
    assert later.asked_at == 130.0
    assert asked.read_text().splitlines() == ["asked", "asked"]


async def test_a_question_without_an_answer_waits_its_time(commands: Commands) -> None:
    commands.write("squeue", "exit 1")
    clock = Clock()
    poll = SlurmPoll(Slurm({}), 30.0, clock)
    with pytest.raises(ProbeFailed):
        await poll.answer(-1.0)
    again = asyncio.create_task(poll.answer(-1.0))
    done, _ = await asyncio.wait([again], timeout=0.2)
    assert not done
    again.cancel()
    commands.write("squeue", "true")
    clock.now += 30.0
    assert (await poll.answer(-1.0)).asked_at == 130.0


async def test_what_a_configuration_changes_is_read_now_and_then(
    commands: Commands, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    script = (commands.directory / "scontrol").read_text().removeprefix("#!/bin/sh\n")
    commands.write("scontrol", f"echo $2 >> '{asked}'\n{script}")
    poll = SlurmPoll(Slurm({}), 0.0)
    last = float("-inf")
    for _ in range(slurm_poll.FRAME_POLLS + 1):
        last = (await poll.answer(last)).asked_at
    words = asked.read_text().split()
    assert words.count("config") == 2
    assert words.count("node") == slurm_poll.FRAME_POLLS + 1


async def test_changes_are_posted(commands: Commands) -> None:
    reading = survey()
    await reading.look(nobody)
    posted: asyncio.Queue[Event] = asyncio.Queue()
    running = asyncio.create_task(reading.run(nobody, posted.put_nowait))
    try:
        commands.write(
            "squeue", "echo '7|RUNNING|None|dcu1|gres:dcu:k100:1|1762007200|local|of theirs'"
        )
        changed = await asyncio.wait_for(posted.get(), 30)
        assert isinstance(changed, InventoryChanged)
        hygon = next(pool for pool in changed.inventory.pools() if pool.name == "hygon")
        assert hygon.releases == (Release(1, 1762007220.0),)
        assert changed.rules[0] == "memory ≤ 3888 MiB per CPU"
    finally:
        running.cancel()


async def test_cards_of_our_runs_are_known_after_a_restart(commands: Commands) -> None:
    """The first reading comes before the journal: which cards runs hold is seen in the second."""
    reading = survey()
    await reading.look(nobody)
    before = reading.inventory().pools()
    posted: asyncio.Queue[Event] = asyncio.Queue()
    commands.write("scontrol", "exit 1")  # no other answer comes

    def held(pool: str, node: str) -> frozenset[int]:
        return frozenset({7}) if node == "npu1" else frozenset()

    running = asyncio.create_task(reading.run(held, posted.put_nowait))
    try:
        changed = await asyncio.wait_for(posted.get(), 30)
        assert isinstance(changed, InventoryChanged)
        after = changed.inventory
        after.occupy("ascend", [NodeShare("npu1", "", (7,))])
        free = {pool.name: pool.cards_free for pool in after.pools()}
        assert free == {pool.name: pool.cards_free - (pool.name == "ascend") for pool in before}
    finally:
        running.cancel()


def test_names() -> None:
    name_of = names_from(catalogue.load(), {"npu": "ascend-910b", "gpu:x": "nvidia-h20"})
    found = {key: name_of(key) for key in ("npu", "npu:910B3", "gpu:x", "dcu", "gpu:910b", "nic:1")}
    models = {key: card.accelerator for key, card in found.items() if card is not None}
    assert models == {"npu": "ascend-910b", "npu:910B3": "ascend-910b", "gpu:x": "nvidia-h20"}
