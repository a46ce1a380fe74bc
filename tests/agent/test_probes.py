"""The vendors' tools: what is read of their output, and what happens when they misbehave."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from processes import alive, until

from agent.inventory import DeclaredNode, DeclaredPool
from agent.probes import ascend, hygon, nvidia, run
from agent.probes.assess import assess, model_of
from agent.probes.reading import CardReading, Readings, number
from agent.probes.run import read_cards
from agent.probes.tools import Bounds, ProbeFailed
from suan.catalogue import load

FIXTURES = Path(__file__).parent / "fixtures"


def text(name: str) -> str:
    return (FIXTURES / name).read_text()


def healthy(readings: Readings) -> list[int]:
    return [card.index for card in readings.cards if card.healthy]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("41.0C", 41.0), ("97%", 97.0), ("0000", 0.0), ("-", None), ("N/A", None), ("", None)],
)
def test_number(cell: str, value: float | None) -> None:
    assert number(cell) == value


# --- nvidia-smi ---------------------------------------------------------------


def test_nvidia_cards() -> None:
    readings = nvidia.parse(text("nvidia-smi.csv"))
    assert [card.index for card in readings.cards] == [0, 1, 2, 3]
    busy = readings.cards[1]
    assert (busy.raw_name, busy.kind, busy.healthy) == ("NVIDIA H100 80GB HBM3", "gpu", True)
    assert (busy.power_watts, busy.temperature_celsius) == (688.12, 74.0)
    assert (busy.utilisation_percent, busy.memory_used_mib) == (100.0, 80620.0)
    assert busy.memory_total_mib == 81559.0
    assert dict(busy.raw)["pci.bus_id"] == "00000000:3B:00.0"


def test_nvidia_faults() -> None:
    readings = nvidia.parse(text("nvidia-smi.csv"))
    assert healthy(readings) == [0, 1]
    assert readings.cards[2].health == "uncorrected ECC errors"
    assert readings.cards[3].health == "[GPU requires reset]"
    assert readings.cards[3].power_watts is None


def test_nvidia_without_ecc_is_healthy() -> None:
    assert healthy(nvidia.parse(text("nvidia-smi-consumer.csv"))) == [0]


def test_nvidia_lost_card_warns_and_keeps_the_others() -> None:
    readings = nvidia.parse(text("nvidia-smi-lost.csv"))
    assert healthy(readings) == [0]
    assert "Unable to determine the device handle" in readings.warnings[0]


# --- npu-smi ------------------------------------------------------------------


def test_ascend_one_chip_to_a_card() -> None:
    readings = ascend.parse(text("npu-smi-info-910b.txt"))
    assert [card.index for card in readings.cards] == list(range(8))
    busy = readings.cards[1]
    assert (busy.raw_name, busy.kind, busy.health) == ("910B3", "npu", "OK")
    assert (busy.power_watts, busy.temperature_celsius) == (92.4, 45.0)
    assert (busy.utilisation_percent, busy.memory_used_mib) == (87.0, 41230.0)
    assert busy.memory_total_mib == 65536.0


def test_ascend_health() -> None:
    readings = ascend.parse(text("npu-smi-info-910b.txt"))
    assert healthy(readings) == [0, 1, 2, 3, 4, 6, 7]
    assert [card.health for card in readings.cards[5:7]] == ["Critical", "Warning"]


def test_ascend_two_chips_to_a_card() -> None:
    readings = ascend.parse(text("npu-smi-info-910c.txt"), text("npu-smi-info-m-910c.txt"))
    assert [card.index for card in readings.cards] == list(range(8))
    assert [card.power_watts for card in readings.cards[:2]] == [162.6, None]
    assert healthy(readings) == [0, 1, 2, 3, 4, 6, 7]
    alone = ascend.parse(text("npu-smi-info-910c.txt"))
    assert [card.index for card in alone.cards] == list(range(8))


def test_ascend_mapping_leaves_out_controllers_and_lost_cards() -> None:
    chips = ascend.parse_mapping(text("npu-smi-info-m-910b.txt"))
    assert [(chip.npu, chip.chip, chip.logical) for chip in chips] == [
        (npu, 0, npu - 8) for npu in range(8, 16)
    ]
    assert chips[0].name == "Ascend 910B3"


def test_ascend_mapping_gives_the_number_programs_use() -> None:
    table = text("npu-smi-info-910b.txt").replace("| 0     910B3", "| 9     910B3")
    readings = ascend.parse(table, text("npu-smi-info-m-910b.txt"))
    assert readings.cards[0].index == 1


def test_ascend_without_hbm() -> None:
    (card,) = ascend.parse(text("npu-smi-info-310b.txt")).cards
    assert (card.index, card.memory_used_mib, card.memory_total_mib) == (0, 957.0, 10810.0)


def test_ascend_without_driver_warns() -> None:
    readings = ascend.parse(text("npu-smi-no-driver.txt"))
    assert readings.cards == ()
    assert "initialize failed" in readings.warnings[0]


# --- hy-smi and rocm-smi ------------------------------------------------------


def test_hygon_cards() -> None:
    readings = hygon.parse(text("hy-smi.txt"), text("hy-smi-detail.json"))
    assert [card.index for card in readings.cards] == list(range(8))
    busy = readings.cards[1]
    assert (busy.raw_name, busy.kind, busy.healthy) == ("K100_AI", "dcu", True)
    assert (busy.power_watts, busy.temperature_celsius) == (105.0, 42.0)
    assert (busy.utilisation_percent, busy.memory_used_percent) == (88.3, 97.0)
    assert (busy.memory_used_mib, busy.memory_total_mib) == (63554.0, 65520.0)


def test_hygon_card_that_does_not_answer() -> None:
    readings = hygon.parse(text("hy-smi.txt"), text("hy-smi-detail.json"))
    assert healthy(readings) == list(range(7))
    assert (readings.cards[7].health, readings.cards[7].raw_name) == ("no answer", "")


def test_hygon_table_alone_and_newer_heading() -> None:
    newer = text("hy-smi.txt").replace("DCU ", "HCU ").replace("DCU%", "HCU%")
    readings = hygon.parse(newer)
    assert len(readings.cards) == 8
    assert readings.cards[0].utilisation_percent == 88.3
    assert readings.cards[0].memory_total_mib is None


def test_rocm_smi_of_older_hygon() -> None:
    readings = hygon.parse(text("rocm-smi-dcu.txt"), "", hygon.ROCM_TOOL)
    assert [(card.index, card.kind) for card in readings.cards] == [(0, "dcu"), (1, "dcu")]
    assert readings.cards[1].memory_used_percent == 12.0


def test_rocm_smi_of_amd() -> None:
    readings = hygon.parse(
        text("rocm-smi-amd.txt"), text("rocm-smi-amd-detail.json"), hygon.ROCM_TOOL
    )
    first, second = readings.cards
    assert (first.kind, first.raw_name) == ("gpu", "AMD Instinct MI300X")
    assert (first.power_watts, first.utilisation_percent) == (319.0, 100.0)
    assert (first.memory_used_mib, first.memory_total_mib) == (82 * 1024, 192 * 1024)
    assert not second.healthy


@pytest.mark.parametrize("garbage", ["", "\0\0", "| | | |\n" * 3, "{" * 1000, "0 1 2\n", "card0"])
def test_garbage_gives_no_cards_and_no_traceback(garbage: str) -> None:
    assert nvidia.parse(garbage).cards == ()
    assert ascend.parse(garbage, garbage).cards == ()
    assert hygon.parse(garbage, garbage).cards == ()


# --- what may be placed -------------------------------------------------------


def pool(kind: str, cards: int, dies: int = 1) -> DeclaredPool:
    nodes = (DeclaredNode("n0", "127.0.0.1", "s0"),)
    return DeclaredPool("p", "model", kind, nodes, cards, dies)


def test_faulty_busy_and_missing_cards() -> None:
    readings = nvidia.parse(text("nvidia-smi.csv"))
    condition = assess(pool("gpu", 5), "n0", readings)
    assert condition.faulty == {2, 3, 4}  # ECC, reset, not listed
    assert condition.kept_back == {1}


def test_what_we_hold_is_not_somebody_elses() -> None:
    readings = nvidia.parse(text("nvidia-smi.csv"))
    assert assess(pool("gpu", 4), "n0", readings, held={1}).kept_back == frozenset()


def test_one_faulty_die_takes_its_card_out() -> None:
    readings = ascend.parse(text("npu-smi-info-910c.txt"))
    condition = assess(pool("npu", 4, dies=2), "n0", readings)
    assert (condition.faulty, condition.kept_back) == ({2}, frozenset())


def test_memory_in_percent_where_there_are_no_megabytes() -> None:
    readings = hygon.parse(text("hy-smi.txt"))
    assert assess(pool("dcu", 8), "n0", readings).kept_back == {0, 1}


@pytest.mark.parametrize(
    ("tool", "name", "model"),
    [
        ("nvidia-smi", "NVIDIA H100 80GB HBM3", "nvidia-h100"),
        ("npu-smi", "910B3", "ascend-910b"),
        ("npu-smi", "Ascend910", "ascend-910c"),
        ("hy-smi", "K100_AI", "hygon-k100-ai"),
        ("hy-smi", "Our Own Card", "hygon-bw1000"),  # by the site's map
        ("hy-smi", "Never Seen", ""),
    ],
)
def test_names_become_models(tool: str, name: str, model: str) -> None:
    reading = CardReading(0, name, "gpu", True, "OK")
    assert model_of(reading, tool, load(), {"Our Own Card": "hygon-bw1000"}) == model


# --- running the tools --------------------------------------------------------


def install(folder: Path, tool: str, script: str) -> None:
    path = folder / tool
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("agent.probes.tools.TOOL_PLACES", str(tmp_path))
    return tmp_path


async def test_each_probe_runs_its_tool(tools: Path) -> None:
    install(tools, "nvidia-smi", f"cat {FIXTURES}/nvidia-smi.csv; echo query: $1 >&2")
    mapping, table = f"{FIXTURES}/npu-smi-info-m-910c.txt", f"{FIXTURES}/npu-smi-info-910c.txt"
    install(tools, "npu-smi", f'if [ "$2" = -m ]; then cat {mapping}; else cat {table}; fi')
    for tool in ("hy-smi", "rocm-smi"):
        detail, table = f"{FIXTURES}/hy-smi-detail.json", f"{FIXTURES}/hy-smi.txt"
        install(tools, tool, f"if [ $# -gt 0 ]; then cat {detail}; else cat {table}; fi")
    found = {tool: await read_cards(tool) for tool in run.PROBES}
    assert {tool: (readings.tool, len(readings.cards)) for tool, readings in found.items()} == {
        "nvidia-smi": ("nvidia-smi", 4),
        "npu-smi": ("npu-smi", 8),
        "hy-smi": ("hy-smi", 8),
        "rocm-smi": ("rocm-smi", 8),
    }
    assert found["nvidia-smi"].warnings == (f"query: {nvidia.ARGUMENTS[0]}".replace(",", ", "),)


async def failure(tool: str) -> str:
    with pytest.raises(ProbeFailed) as caught:
        await read_cards(tool)
    return caught.value.code


async def test_a_tool_that_is_not_there(tools: Path) -> None:
    assert await failure("npu-smi") == "ToolMissing"


async def test_a_tool_that_hangs_is_killed(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BOUNDS", Bounds(0.3, 1000))
    install(tools, "nvidia-smi", f"echo $$ > {tools}/pid; sleep 1000")
    assert await failure("nvidia-smi") == "ToolTimedOut"
    pid = int((tools / "pid").read_text())
    await asyncio.to_thread(until, lambda: not alive(pid))


async def test_a_tool_that_fails_silently_or_never_ends(tools: Path) -> None:
    install(tools, "nvidia-smi", "exit 9")
    assert await failure("nvidia-smi") == "ToolFailed"
    install(tools, "nvidia-smi", "cat /dev/zero")
    assert await failure("nvidia-smi") == "ToolFailed"


@pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="no nvidia-smi on this machine")
async def test_the_real_nvidia_smi() -> None:
    readings = await read_cards("nvidia-smi")
    assert readings.cards or readings.warnings
    assert all(card.raw_name for card in readings.cards), os.environ["PATH"]
