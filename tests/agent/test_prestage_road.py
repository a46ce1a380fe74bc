"""Data before the cards: a real broker sends for a waiting job's input, a real agent brings it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, serving

from bench.federation import Federation, SiteSpec, wait_until
from scheduler.model import Link, Network, NetworkNode
from suan.models import Input, JobSpec, JobState, Variant
from suan.network.file import NetworkFile
from suan.views import Dataset, Replica

BODY = b"MQIFVKTL" * 1000
PART = len(BODY) // 2
SITE = {"settings": {"data_hosts": ["127.0.0.1"]}}


def pool(accelerator: str) -> dict[str, Any]:
    return {"name": "main", "accelerator": accelerator, "nodes": 1, "cards_per_node": 8}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because Unix sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="suan-data-") as name:
        yield Path(name)


@pytest.fixture
def federation(folder: Path) -> Iterator[Federation]:
    """The data are at `store`; the cards that the jobs want are at `west`."""
    made = Federation(folder)
    try:
        made.start_broker()
        made.join(
            SiteSpec("store", pool("hygon-bw1000")), SiteSpec("west", pool("ascend-910b"), **SITE)
        )
        yield made
    finally:
        made.stop()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


def wish(name: str, run: str, *inputs: Input) -> JobSpec:
    """All of west's cards, for a quarter of an hour at most: so it is known when they are free."""
    variant = Variant("ascend-910b", accelerators_per_node=8, run=run)
    return JobSpec((variant,), name=name, inputs=inputs, time_limit_seconds=900.0)


def test_the_input_of_a_job_that_waits_is_there_before_its_cards_are(
    federation: Federation, server: FileServer, folder: Path
) -> None:
    gate = folder / "gate"
    served = server.put("/protein", BODY, hold_at=PART)
    url = f"{server.url('/protein')}#sha256={hashlib.sha256(BODY).hexdigest()}"
    nodes = (NetworkNode("store"), NetworkNode("west"))
    line = Network(nodes, (Link("store", "west", 0.1, 5.0),))
    with federation.client(federation.admin) as admin:
        admin.apply_network(NetworkFile(line))
        # A quarter of an hour by the model, as long as the cards are taken.
        admin.put_dataset(Dataset("protein", 10**10, (Replica("store", url),)))
    with federation.client() as client:
        (busy,) = client.submit(wish("busy", f"while [ ! -e {gate} ]; do sleep 0.05; done"))
        wait_until(lambda: client.get(busy.id).state is JobState.RUNNING, "the first job to run")
        reads = Input("/data", "ds://protein")
        (waiting,) = client.submit(wish("next", "wc -c < $SUAN_DATA_DIR/protein", reads))
        wait_until(lambda: server.seen, "the input to be sent for")
        assert client.get(waiting.id).state is JobState.QUEUED
        assert (server.seen[0].target, server.statuses) == ("/protein", [200])
        served.go.set()

        def cached() -> bool:
            told = client.explain(waiting.id).explanation.candidates
            return [each.cached for each in told] == [("protein",)]

        wait_until(cached, "the broker to know that it is there")
        (candidate,) = client.explain(waiting.id).explanation.candidates
        assert candidate.score.stage_seconds == 0.0
        gate.touch()
        (ended,) = client.wait([waiting.id])
        assert ended.state is JobState.SUCCEEDED
        said = b"".join(chunk.data for chunk in client.logs(waiting.id))
        assert said.split() == [str(len(BODY)).encode()]
    assert server.statuses == [200]
