# ruff: noqa: ASYNC240
"""Preflight: a fit machine passes, and each thing that is wrong is said with advice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.checks import preflight as module
from agent.checks.check import Check, Status
from agent.checks.preflight import preflight, worst
from agent.checks.store import check_store
from agent.config.file import AgentConfig, load_config
from agent.probes import tools
from bench.ports import free_ports
from suan.catalogue import load

FIXTURES = Path(__file__).parent / "fixtures"


@asynccontextmanager
async def listener() -> AsyncIterator[str]:
    """A broker's address that takes connections."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


def configured(folder: Path, broker: str = "127.0.0.1:1", pool: str = "") -> AgentConfig:
    pool = pool or "{name: p, accelerator: ascend-910b, nodes: 2, cards_per_node: 8}"
    path = folder / "agent.yaml"
    path.write_text(f"site: s\nbroker: {broker}\nstate_dir: state\npools: [{pool}]\n")
    return load_config(path, load())


def named(checks: tuple[Check, ...], name: str) -> Check:
    return next(check for check in checks if check.name == name)


@pytest.fixture
def npu_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tool on the path that prints what is in the file."""
    table = tmp_path / "table"
    table.write_text((FIXTURES / "npu-smi-info-910b.txt").read_text())
    tool = tmp_path / "bin" / "npu-smi"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$2" = -m ] || cat "{table}"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    monkeypatch.setattr(tools, "TOOL_PLACES", "")
    return table


PROBED = "{name: p, accelerator: ascend-910b, nodes: 1, cards_per_node: 8, probe: npu-smi}"


async def test_a_fit_machine(tmp_path: Path, npu_smi: Path) -> None:
    healthy = npu_smi.read_text().replace("Critical", "OK      ").replace("41230", " 3410")
    npu_smi.write_text(healthy)
    async with listener() as broker:
        checks = await preflight(configured(tmp_path, broker, PROBED), load())
    assert [check.name for check in checks] == [
        "backend",
        "fence",
        "limits",
        "users",
        "images",
        "accelerators p",
        "names",
        "policy",
        "disk",
        "store",
        "clock",
        "network",
    ]
    # The clock of a test machine may run free, and its tests may run as root.
    ours = [check for check in checks if check.name not in ("clock", "users")]
    assert [check for check in ours if check.status is not Status.OK] == []
    assert named(checks, "names").message == "910B3 → ascend-910b"
    assert not (tmp_path / "state").exists()  # nothing stays


async def test_a_broker_that_is_not_there(tmp_path: Path) -> None:
    check = await module.check_network(f"127.0.0.1:{free_ports(1)[0]}")
    assert check.status is Status.FAIL
    assert "outbound" in check.hint


@pytest.mark.parametrize("broker", ["no.such.host.invalid:443", "127.0.0.1:99999"])
async def test_broker_addresses_that_lead_nowhere(broker: str) -> None:
    assert (await module.check_network(broker)).status is Status.FAIL


async def test_declared_cards_without_a_probe(tmp_path: Path) -> None:
    checks = await preflight(configured(tmp_path), load())
    assert "16 cards as declared" in named(checks, "accelerators p").message
    assert named(checks, "names").status is Status.OK


async def test_cards_in_trouble(tmp_path: Path, npu_smi: Path) -> None:
    config = configured(tmp_path, pool=PROBED)
    check = named(await preflight(config, load()), "accelerators p")
    assert (check.status, "faulty: cards 5" in check.message) == (Status.WARN, True)
    npu_smi.write_text(npu_smi.read_text().replace("Critical", "OK      "))
    check = named(await preflight(config, load()), "accelerators p")
    assert (check.status, "others: cards 1" in check.message) == (Status.WARN, True)


async def test_fewer_cards_than_declared(tmp_path: Path, npu_smi: Path) -> None:
    pool = PROBED.replace("cards_per_node: 8", "cards_per_node: 16")
    check = named(await preflight(configured(tmp_path, pool=pool), load()), "accelerators p")
    assert (check.status, "sees 8 devices" in check.message) == (Status.FAIL, True)


async def test_a_tool_that_is_missing(tmp_path: Path, npu_smi: Path) -> None:
    (tmp_path / "bin" / "npu-smi").unlink()
    check = named(await preflight(configured(tmp_path, pool=PROBED), load()), "accelerators p")
    assert (check.status, "npu-smi is not on this machine" in check.message) == (Status.FAIL, True)


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [("910B4", Status.FAIL, "910B4 is"), ("B9999", Status.WARN, "not known: B9999")],
)
async def test_names_that_do_not_fit(
    tmp_path: Path, npu_smi: Path, name: str, status: Status, word: str
) -> None:
    npu_smi.write_text(npu_smi.read_text().replace("910B3", name))
    config = configured(tmp_path, pool=PROBED)
    check = named(await preflight(config, load()), "names")
    assert (check.status, word in check.message) == (status, True)
    mapped = replace(config, names={name: "ascend-910b"})
    assert named(await preflight(mapped, load()), "names").status is Status.OK


def test_a_disk_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.check_disk(tmp_path / "not" / "yet").status is Status.OK
    monkeypatch.setattr(module, "FREE_BYTES_WANTED", 1 << 62)
    assert module.check_disk(tmp_path).status is Status.WARN
    monkeypatch.setattr(module, "FREE_BYTES_MIN", 1 << 62)
    assert module.check_disk(tmp_path).status is Status.FAIL
    assert module.check_disk(Path("/proc/1")).status is Status.FAIL
    monkeypatch.setattr(module, "file_system", lambda place: "nfs4")
    assert "local disk" in module.check_disk(tmp_path).hint


def test_the_noop_backend_is_called_what_it_is(tmp_path: Path) -> None:
    check = module.check_backend(replace(configured(tmp_path), backend="noop"))
    assert (check.status, "nothing of them is run" in check.message) == (Status.WARN, True)


async def test_a_fence_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    check = await module.check_fence(tmp_path)
    assert (check.status, "LaunchFailed" in check.message) == (Status.FAIL, True)
    monkeypatch.setattr("sys.executable", "/no/such/python")
    assert (await module.check_fence(tmp_path)).status is Status.FAIL
    assert list(tmp_path.iterdir()) == []


async def test_a_store_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    own = configured(tmp_path)
    assert "stay at this site" in (await check_store(own)).message
    place = tmp_path / "store"
    given = replace(own, store=str(place))
    missing = await check_store(given)
    assert missing.status is Status.FAIL and "is not there" in missing.message and missing.hint
    place.mkdir()
    assert (await check_store(given)).status is Status.OK
    assert list(place.iterdir()) == []
    no_account = await check_store(replace(own, store="s3://bucket/a"))
    assert no_account.status is Status.FAIL and "data_s3_endpoint" in no_account.hint


async def test_a_store_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def hang(*_: object) -> bytes:
        answers.wait()
        return b""

    monkeypatch.setattr("agent.publishing.directory.DirectoryStore.create", hang)
    try:
        check = await check_store(replace(configured(tmp_path), store=str(tmp_path)), 0.05)
        assert check.status is Status.FAIL and "0.05 s" in check.message
    finally:
        answers.set()


async def test_a_store_that_lets_commits_be_overwritten_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an S3-compatible server that does not know If-None-Match."""
    monkeypatch.setattr(
        "agent.publishing.directory.DirectoryStore.create", lambda self, key, data, end: data
    )
    check = await check_store(replace(configured(tmp_path), store=str(tmp_path)))
    assert check.status is Status.FAIL and "over another" in check.message


def test_worst() -> None:
    checks = [Check("a", Status.OK, ""), Check("b", Status.FAIL, ""), Check("c", Status.WARN, "")]
    assert worst(checks) is Status.FAIL
    assert worst(checks[:1]) is Status.OK
    assert worst([]) is Status.OK
