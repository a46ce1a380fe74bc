"""The vendors' Prometheus exporters: what is read of them, and what happens when they misbehave."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator

import pytest
from exporter_server import TEXT, ExporterServer, Says, exporter_server, recorded

from agent.inventory import DeclaredNode, DeclaredPool
from agent.probes.assess import assess, model_of
from agent.probes.exporters import (
    DCGM_EXPORTER,
    EXPORTERS,
    HCU_EXPORTER,
    NPU_EXPORTER,
    STALE_SECONDS,
    Exporter,
    readings,
    wanted,
)
from agent.probes.exposition import parse
from agent.probes.reading import CardReading, ExporterProbe, Readings
from agent.probes.scrape import BYTES_MAX, Scraper
from agent.probes.tools import ProbeFailed
from suan.catalogue import load


def read(
    exporter: Exporter, text: str, names: dict[str, str] | None = None, now: float | None = None
) -> Readings:
    known = names or {}
    said = parse(text, wanted(exporter, known))
    return readings(exporter, said, time.time() if now is None else now, known)


def by_index(found: Readings) -> dict[int, CardReading]:
    return {card.index: card for card in found.cards}


# --- what they say ----------------------------------------------------------------


def test_npu_exporter() -> None:
    found = read(NPU_EXPORTER, recorded("npu-exporter"))
    cards = by_index(found)
    assert list(cards) == list(range(8))
    busy = cards[1]
    assert (busy.kind, busy.healthy, busy.health) == ("npu", True, "OK")
    assert (busy.power_watts, busy.temperature_celsius) == (301.2, 61.0)
    assert (busy.utilisation_percent, busy.memory_used_mib) == (87.0, 41230.0)
    assert busy.memory_total_mib == 65536.0
    assert ("npu_chip_info_utilization", "87") in busy.raw
    assert model_of(busy, NPU_EXPORTER.tool, load(), {}) == "ascend-910b"


def test_npu_health_is_the_exporters_own_word() -> None:
    cards = by_index(read(NPU_EXPORTER, recorded("npu-exporter")))
    sick, unknown, once_corrupt = cards[5], cards[6], cards[3]
    assert (sick.healthy, sick.health) == (False, "unhealthy")
    assert sick.errors == ("0x80ED4000", "0x80479000")
    assert (unknown.healthy, unknown.health) == (None, "unknown")  # -1: the driver did not answer
    assert (once_corrupt.healthy, once_corrupt.uncorrected_errors) == (True, 2.0)
    assert once_corrupt.errors == ("network down",)


def test_hcu_exporter() -> None:
    cards = by_index(read(HCU_EXPORTER, recorded("hcu-exporter")))
    busy, sick = cards[1], cards[2]
    assert (busy.kind, busy.raw_name, busy.healthy) == ("dcu", "K100_AI", True)
    assert (busy.power_watts, busy.temperature_celsius) == (486.0, 67.0)
    assert (busy.utilisation_percent, busy.memory_used_mib) == (97.0, 56320.0)
    assert busy.memory_total_mib == 65520.0
    assert (sick.healthy, sick.health, sick.uncorrected_errors) == (False, "Unhealthy", 4.0)


def test_the_older_dcu_exporter_has_no_word_on_health() -> None:
    cards = by_index(read(HCU_EXPORTER, recorded("dcu-exporter")))
    assert [card.healthy for card in cards.values()] == [None, None]
    assert cards[1].health == "not told"
    assert cards[1].uncorrected_errors is None  # absence of the series is not absence of errors
    assert cards[1].utilisation_percent == 93.0


def test_dcgm_exporter() -> None:
    cards = by_index(read(DCGM_EXPORTER, recorded("dcgm-exporter")))
    busy = cards[0]
    assert (busy.kind, busy.raw_name, busy.healthy) == ("gpu", "NVIDIA H100 80GB HBM3", True)
    assert (busy.memory_used_mib, busy.memory_total_mib) == (80620.0, 81080.0)
    assert busy.uncorrected_errors is None
    assert (cards[1].healthy, cards[1].errors) == (True, ("XID 31",))  # a program's own
    assert (cards[2].healthy, cards[2].health) == (False, "XID 79")
    assert (cards[3].healthy, cards[3].health) == (False, "row remapping failed")


@pytest.mark.parametrize(
    ("line", "healthy", "health"),
    [
        ('DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{gpu="0"} 2', False, "uncorrected ECC errors"),
        ('DCGM_FI_DEV_ECC_DBE_VOL_TOTAL{gpu="0"} 0', True, "OK"),
        ('DCGM_EXP_GPU_HEALTH_STATUS{gpu="0",health_watch="MEM"} 20', False, "DCGM: failed"),
        ('DCGM_EXP_GPU_HEALTH_STATUS{gpu="0",health_watch="MEM"} 10', True, "OK"),
        ('DCGM_FI_DEV_GPU_TEMP{gpu="0"} 40', None, "not told"),
        ('DCGM_FI_DEV_XID_ERRORS{gpu="0"} NaN', None, "not told"),
    ],
)
def test_what_dcgm_tells_where_it_is_told_to(line: str, healthy: bool | None, health: str) -> None:
    (card,) = read(DCGM_EXPORTER, f"{line}\n").cards
    assert (card.healthy, card.health) == (healthy, health)


def test_a_part_of_a_gpu_says_nothing_of_the_whole() -> None:
    mig = 'DCGM_FI_DEV_FB_USED{gpu="0",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"} 9000\n'
    whole = 'DCGM_FI_DEV_FB_USED{gpu="0"} 20000\n'
    (card,) = read(DCGM_EXPORTER, mig + whole).cards
    assert card.memory_used_mib == 20000.0


def test_what_nobody_reads_is_told_by_its_name() -> None:
    assert read(NPU_EXPORTER, recorded("npu-exporter")).unknown == (
        "machine_npu_nums",
        "npu_chip_info_aicore_current_freq",
    )
    assert read(HCU_EXPORTER, recorded("hcu-exporter")).unknown == (
        "hcu_temp_mem",
        "hcu_xhcl_error_status",
    )


def test_names_that_the_site_has_chosen() -> None:
    text = recorded("hcu-exporter").replace("hcu_health_status", "card_ok")
    text = text.replace("minor_number=", "card=")
    assert read(HCU_EXPORTER, text).cards == ()
    found = read(HCU_EXPORTER, text, {"card_ok": "hcu_health_status", "card": "minor_number"})
    assert [card.healthy for card in found.cards] == [True, True, False, True]
    assert ("card_ok", "0") in found.cards[2].raw  # its raw name is kept
    assert "card_ok" not in found.unknown


def test_utilisations_of_vendors_are_told_apart() -> None:
    """They mean different things, so each exporter has its own word, and nothing adds them up."""
    assert len({exporter.busy for exporter in EXPORTERS.values()}) == len(EXPORTERS)
    files = {"npu-exporter": "npu", "hcu-exporter": "dcu", "dcgm-exporter": "gpu"}
    told = {
        read(EXPORTERS[name], recorded(name)).tool: max(
            card.utilisation_percent or 0.0 for card in read(EXPORTERS[name], recorded(name)).cards
        )
        for name in files
    }
    assert told == {"npu-exporter": 87.0, "hcu-exporter": 97.0, "dcgm-exporter": 100.0}


# --- time -------------------------------------------------------------------------


@pytest.mark.parametrize("age", [STALE_SECONDS + 60, -STALE_SECONDS - 60])
def test_a_sample_of_another_time_says_nothing(age: float) -> None:
    cards = by_index(read(NPU_EXPORTER, recorded("npu-exporter", age)))
    assert {(card.healthy, card.health) for card in cards.values()} == {(None, "stale")}
    assert cards[1].power_watts is None
    assert ("npu_chip_info_power", "301.2") in cards[1].raw


def test_what_was_known_of_a_card_stands_while_nobody_knows() -> None:
    pool = DeclaredPool(
        "a", "ascend-910b", "npu", (DeclaredNode("n0", "127.0.0.1", "s"),), cards_per_node=8
    )
    fresh = assess(pool, "n0", read(NPU_EXPORTER, recorded("npu-exporter")))
    assert (fresh.faulty, fresh.kept_back) == ({5}, {1})
    old = read(NPU_EXPORTER, recorded("npu-exporter", 900))
    assert assess(pool, "n0", old, faulty_before=fresh.faulty).faulty == {5}
    assert assess(pool, "n0", old).faulty == frozenset()
    again = read(NPU_EXPORTER, recorded("npu-exporter"))
    assert assess(pool, "n0", again, faulty_before={5, 6, 7}).faulty == {5, 6}


def test_a_card_that_is_not_told_has_fallen_off() -> None:
    pool = DeclaredPool(
        "a", "hygon-k100-ai", "dcu", (DeclaredNode("n0", "127.0.0.1", "s"),), cards_per_node=5
    )
    assert assess(pool, "n0", read(HCU_EXPORTER, recorded("hcu-exporter"))).faulty == {2, 4}


# --- the way there ----------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[ExporterServer]:
    with exporter_server() as server:
        yield server


def probe(server: ExporterServer, exporter: str = "npu-exporter") -> ExporterProbe:
    return ExporterProbe(exporter, server.url)


async def ask(server: ExporterServer, seconds_max: float = 20.0) -> Readings:
    return await Scraper(seconds_max).read(probe(server), "n0", "127.0.0.1")


async def test_a_real_server(server: ExporterServer) -> None:
    server.says = Says(recorded("npu-exporter"))
    found = await ask(server)
    assert [card.healthy for card in found.cards] == [True] * 5 + [False, None, True]
    ((path, headers),) = server.asked
    assert path == "/metrics"
    assert headers["Accept-Encoding"] == "identity"


async def test_the_exporters_clock_counts(server: ExporterServer) -> None:
    """A node whose clock is an hour behind prints samples that are fresh to itself."""
    server.says = Says(recorded("npu-exporter", 3600))
    assert {card.health for card in (await ask(server)).cards} == {"stale"}
    server.says.clock_behind_seconds = 3600
    assert [card.healthy for card in (await ask(server)).cards][:2] == [True, True]


@pytest.mark.parametrize(
    ("says", "code", "word"),
    [
        (Says("Traceback (most recent call last):\n"), "ToolFailed", "names no card"),
        (Says("\x00\x01\x02\n"), "ToolFailed", "names no card"),
        (Says(""), "ToolFailed", "breaks off"),
        (Says('npu_chip_info_power{id="0} 3\n'), "ToolFailed", "cannot be used"),
        (Says('npu_chip_info_power{id="0"} many\n'), "ToolFailed", "many"),
        (Says('npu_chip_info_power{id="0"} 3'), "ToolFailed", "breaks off"),
        (Says(body=b'npu_chip_info_power{id="0"} \xff\n'), "ToolFailed", "utf-8"),
        (Says('npu_chip_info_power{id="all"} 3\n'), "ToolFailed", "names no card"),
        (Says(status=500), "ToolFailed", "answered 500"),
        (Says(status=302, headers={"Location": "http://10.0.0.1/"}), "ToolFailed", "final URL"),
        (Says(status=204), "ToolFailed", "answered 204"),
        (Says("<html></html>", headers={"Content-Type": "text/html"}), "ToolFailed", "text/html"),
        (Says("x 1\n", headers={}), "ToolFailed", "of no type"),
        (
            Says(
                body=gzip.compress(b"x" * 100),
                headers={"Content-Type": TEXT, "Content-Encoding": "gzip"},
            ),
            "ToolFailed",
            "packed",
        ),
        (
            Says(body=b"# comment\n" * 6554, repeated=1600),  # 100 MiB, of no stated length
            "ToolFailed",
            f"more than {BYTES_MAX} bytes",
        ),
    ],
)
async def test_bad_answers(server: ExporterServer, says: Says, code: str, word: str) -> None:
    server.says = says
    with pytest.raises(ProbeFailed) as failed:
        await ask(server)
    assert failed.value.code == code
    assert word in failed.value.message
    assert failed.value.hint


async def test_a_long_answer_is_not_begun(server: ExporterServer) -> None:
    server.says = Says(body=b"#", headers={"Content-Type": TEXT}, repeated=2)
    server.says.headers["Content-Length"] = str(100 * 2**20)
    with pytest.raises(ProbeFailed, match="104857600 bytes"):
        await ask(server)


async def test_an_answer_that_breaks_off_names_no_faulty_cards(server: ExporterServer) -> None:
    server.says = Says(recorded("npu-exporter"), is_cut=True)
    with pytest.raises(ProbeFailed, match="breaks off"):
        await ask(server)


async def test_an_exporter_that_hangs(server: ExporterServer) -> None:
    go = threading.Event()
    server.says = Says(recorded("npu-exporter"), hangs_until=go)
    with pytest.raises(ProbeFailed) as failed:
        await ask(server, seconds_max=0.2)
    assert failed.value.code == "ToolTimedOut"
    go.set()
    server.says = Says(recorded("npu-exporter"))
    assert len((await ask(server)).cards) == 8


async def test_nobody_listens() -> None:
    with exporter_server() as server:
        gone = probe(server)
    with pytest.raises(ProbeFailed) as failed:
        await Scraper().read(gone, "n0", "127.0.0.1")
    assert failed.value.code == "ToolMissing"


def test_the_url_of_a_node() -> None:
    of = ExporterProbe("npu-exporter", "http://{address}:8082/{node}/metrics")
    assert of.url_of("n1", "10.0.0.1") == "http://10.0.0.1:8082/n1/metrics"
    assert of.url_of("n1", "fd00::1") == "http://[fd00::1]:8082/n1/metrics"
