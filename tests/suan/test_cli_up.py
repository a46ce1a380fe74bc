"""A federation on this machine: its files, its processes, and the whole of it up and down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config.file import load_config as load_agent_config
from broker.config import load_config as load_broker_config
from suan import catalogue
from suan.cli.local import processes
from suan.cli.local.processes import Daemon, recorded, start
from suan.cli.local.samples import NETWORK_FILE, SAMPLES
from suan.cli.up import SITES_MAX
from suan.network import load

DEPLOY = Path(__file__).parents[2] / "deploy"
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


# --- files ------------------------------------------------------------------


def test_the_samples_are_sites_of_the_network_with_models_of_the_catalogue() -> None:
    cities = {node.name for node in load(NETWORK_FILE.read_bytes()).network.nodes}
    assert len(SAMPLES) == SITES_MAX == len({sample.site for sample in SAMPLES})
    assert {sample.site for sample in SAMPLES} <= cities
    assert {sample.accelerator for sample in SAMPLES} <= set(catalogue.load().models())


def test_the_samples_network_is_part_of_the_national_one() -> None:
    sample = load(NETWORK_FILE.read_bytes()).network
    whole = load((DEPLOY / "networks" / "china.yaml").read_bytes()).network
    names = {node.name for node in sample.nodes}
    assert set(sample.nodes) == {node for node in whole.nodes if node.name in names}
    assert set(sample.links) == {link for link in whole.links if {link.a, link.b} <= names}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.site)
def test_what_up_writes_is_an_agents_configuration(sample: Any, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(json.dumps(sample.config("127.0.0.1:7443")))
    config = load_agent_config(file, catalogue.load())
    example = DEPLOY / "examples" / f"{sample.site}.yaml"
    if not example.exists():
        assert sample not in SAMPLES[:3]
        return
    shown = load_agent_config(example, catalogue.load())
    assert (shown.pools, shown.city, shown.region) == (config.pools, config.city, config.region)
    assert (shown.broker, shown.backend) == (config.broker, config.backend)
    assert shown.grace_seconds == config.grace_seconds


def test_the_example_of_a_broker_is_understood() -> None:
    config = load_broker_config(DEPLOY / "examples" / "broker.yaml", {})
    assert config.runtime == "ray"
    assert config.limits == type(config.limits)()


# --- processes --------------------------------------------------------------


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = start(SLEEP, tmp_path / "d.json", tmp_path / "d.log")
    yield made
    made.stop()


def test_a_daemon_lives_in_a_session_of_its_own(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert daemon.alive()
    assert os.getsid(daemon.pid) == daemon.pid
    assert recorded(tmp_path / "d.json") == daemon
    processes.wait_until(lambda: (tmp_path / "d.log").read_text() == "up\n", "its words", 20)


def test_a_stopped_daemon_is_gone_and_stopping_again_does_nothing(daemon: Daemon) -> None:
    daemon.stop()
    assert not daemon.alive()
    daemon.stop()


def test_another_process_with_the_same_id_is_left_alone(daemon: Daemon) -> None:
    mistaken = Daemon(daemon.pid, "another moment")
    assert not mistaken.alive()
    mistaken.stop()
    assert daemon.alive()


def test_a_record_that_is_none_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("{")
    assert recorded(tmp_path / "r.json") is None
    assert recorded(tmp_path / "absent.json") is None


# --- the whole --------------------------------------------------------------


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because Unix sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="suan-up-") as name:
        place = Path(name) / "local"
        yield place
        command = [sys.executable, "-m", "suan.cli", "down", "--state-dir", str(place)]
        if place.exists():
            subprocess.run(command, capture_output=True, timeout=120, check=False)


def processes_of(folder: Path) -> list[str]:
    """Command lines of all processes that name the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in line and "pytest" not in line:
            found.append(line)
    return found


def test_up_run_down_and_up_again(suan: Any, folder: Path) -> None:
    place = ("--state-dir", str(folder))
    up = suan("up", "--sites", "1", *place)
    assert up.code == 0, up.err
    assert "✔ site shenzhen" in up.err
    ran = suan("run", "--gpus", "ascend-910b:1", "--", "echo hello from $SUAN_SITE")
    assert (ran.code, ran.out) == (0, "hello from shenzhen\n"), ran.err
    long = suan("run", "-d", "--gpus", "ascend-910b:1", "--", "sleep 600").out.strip()

    def runs() -> bool:
        return bool(json.loads(suan("get", long, "-o", "json").out)["state"] == "RUNNING")

    processes.wait_until(runs, "the job to run", 60)
    assert suan("--context", "local-admin", "site", "list", "-o", "name").out == "shenzhen\n"
    again = suan("up", "--sites", "1", *place)  # nothing to do
    assert again.code == 0, again.err
    down = suan("down", *place)
    assert down.code == 0, down.err
    assert processes_of(folder) == []
    assert suan("up", "--sites", "1", *place).code == 0
    assert suan("get", long, "-o", "name").out == f"{long}\n"
    gone = suan("down", "--delete", *place)
    assert gone.code == 0, gone.err
    assert not folder.exists() and processes_of(folder) == []
    assert suan("context", "list", "-o", "name").out == ""
    assert suan("down", *place).code == 3


def test_a_broker_that_cannot_start_is_quoted(suan: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "listen.json").write_text('{"main": "127.0.0.1:1x", "join": "127.0.0.1:0"}')
    outcome = suan("up", "--state-dir", str(folder))
    assert outcome.code == 1
    assert "[DaemonEnded]" in outcome.err and "127.0.0.1:1x" in outcome.err
