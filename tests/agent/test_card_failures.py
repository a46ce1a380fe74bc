"""A card fails while a real agent runs: the broker hears of it, and it is counted for good."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from exporter_server import Says, exporter_server, recorded
from processes import until
from test_agent_cli import AGENT, Federation, background, call, configured, status

STATED = 0.0003
POOL = {"name": "train", "accelerator": "ascend-910b", "nodes": 1, "cards_per_node": 8}


@contextmanager
def running(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    agent = subprocess.Popen([AGENT, "-c", str(config), "run"])
    try:
        yield agent
    finally:
        agent.kill()
        agent.wait()


def counted(config: Path) -> dict[str, Any]:
    answer: dict[str, Any] = status(config)["failures"]
    return answer


def facts(config: Path) -> dict[str, Any]:
    hello = json.loads(call("show-what-we-send", config=config).stdout)["hello"]
    answer: dict[str, Any] = hello["facts"]
    return answer


@pytest.fixture
def federation() -> Federation:
    return Federation()


def test_a_card_that_fails(tmp_path: Path, federation: Federation) -> None:
    with exporter_server() as server, background(federation, tmp_path / "broker") as addresses:
        server.says = Says(recorded("npu-exporter", -60))
        url = f"http://127.0.0.1:{server.server_address[1]}/metrics"
        pool = POOL | {"probe": {"exporter": "npu-exporter", "url": url}}
        fields = {"pools": [pool], "probe_seconds": 1, "failures_per_card_day": STATED}
        config = configured(tmp_path, addresses[0], **fields)
        file = federation.join_file(tmp_path / "join.yaml", addresses[1])
        assert call("join", file, config=config).returncode == 0

        def usable() -> list[int]:
            """What the broker was told last of the pool, of every session."""
            talk = federation.talk
            told = [
                talk.hello.capacity,
                *(m.capacity for m in talk.heard if m.HasField("capacity")),
            ]
            return [pool.cards_usable for each in told for pool in each.pools]

        with running(config) as agent:
            until(lambda: federation.talks and usable(), "the first word")
            assert usable() == [6]  # one is out of order, one is somebody else's
            until(lambda: status(config)["connected"], "the session")
            assert facts(config)["failures_per_card_day"] == pytest.approx(STATED)
            until(lambda: counted(config)["card_days"] > 0, "a look at cards that are in order")
            sick = re.sub(r'(health_status{.*id="0".*}) 1', r"\1 0", server.says.text)
            server.says = Says(sick)
            until(lambda: usable()[-1] == 5, "the broker to hear of the failure")
            until(lambda: counted(config)["seen"] == 1, "the failure to be counted")
            said = counted(config)
            assert said["stated_per_card_day"] == STATED
            assert said["advertised_per_card_day"] == pytest.approx(0.0004, rel=1e-3)
            assert "1 of cards seen" in call("status", config=config).stdout
            shown = call("cards", config=config).stdout.splitlines()
            assert shown[1].split()[:6] == [
                "train",
                "train-n0",
                "0",
                "910B3",
                "FAULTY",
                "(unhealthy)",
            ]
            assert shown[2].split()[4:9] == ["ok", "87%", "301", "61", "40.3/64"]
            assert shown[-1].startswith("LOAD of npu-exporter: AI Core busy")
            raw = json.loads(call("cards", "-o", "json", config=config).stdout)[1]["raw"]
            assert ["npu_chip_info_utilization", "87"] in raw
            agent.send_signal(signal.SIGKILL)
            agent.wait()
        before = len(federation.talks)
        with running(config):
            until(lambda: len(federation.talks) > before, "the next session")
            assert usable()[0] == 5
            told = federation.talk.hello.facts.failures_per_card_day
            assert told == pytest.approx(0.0004, rel=1e-3)
            until(lambda: status(config)["connected"], "the session")
            assert counted(config)["seen"] == 1
