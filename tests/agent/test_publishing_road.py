"""An agent that publishes: what a live job commits, as the broker hears of it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_broker import ScriptedBroker, job, serving
from site_agent import agent, config
from staging_site import wait

from agent.publishing import publisher
from suan.models import Output, Retry

# One state for each word that comes; a large file that never changes is part of all of them.
STEPS = """
import pathlib, suan, sys
job = suan.context()
(job.checkpoint_path / "vocabulary").write_text("the same")
for line in open(sys.argv[1]):
    new = job.checkpoint_path / "new"
    new.write_text(line)
    new.rename(job.checkpoint_path / "state")
    job.commit_checkpoint()
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "WATCH_SECONDS", 0.02)


@asynccontextmanager
async def at_work(base: Path, broker: ScriptedBroker) -> AsyncIterator[None]:
    """An agent with a store."""
    (base / "store").mkdir(exist_ok=True)
    settings = replace(config(base / "state"), store=str(base / "store"))
    settings.state_dir.mkdir(exist_ok=True)
    async with agent(broker.address, settings):
        await broker.connected(len(broker.talks) + 1)
        yield


def commits(broker: ScriptedBroker) -> list[int]:
    """The numbers of the states that were told, each once."""
    told = (report.commit for report in broker.reports("j1") if report.HasField("commit"))
    return sorted({commit.number for commit in told if commit.kind == "checkpoint"})


async def test_states_are_told_as_they_come_and_superseded_ones_go(tmp_path: Path) -> None:
    words, program = tmp_path / "words", tmp_path / "program.py"
    program.write_text(STEPS)
    os.mkfifo(words)
    prefix = tmp_path / "store" / "j1" / "1"
    broker = ScriptedBroker()
    async with serving(broker), at_work(tmp_path, broker):
        broker.grant(("j1", 1), spec=job(f"exec {sys.executable} {program} {words}"))
        with await asyncio.to_thread(words.open, "w") as hand:
            for number in (1, 2, 3, 4):
                hand.write(f"state {number}\n")
                hand.flush()
                await broker.until(lambda number=number: number in commits(broker))  # type: ignore[misc]

            def swept() -> bool:
                manifests = {path.parent.name for path in prefix.glob("*/manifest.json")}
                return manifests == {"checkpoint-3", "checkpoint-4"}

            await wait(lambda: swept() and len(list(prefix.glob("blobs/*"))) == 3)
        await broker.until(lambda: broker.told("j1")[-1] == "succeeded")
    manifest = json.loads((prefix / "checkpoint-4" / "manifest.json").read_text())
    found = {each["path"]: (prefix / each["at"]).read_text() for each in manifest["files"]}
    assert found == {"state": "state 4\n", "vocabulary": "the same"}


async def test_the_end_is_told_last_and_once_whatever_the_agent_went_through(
    tmp_path: Path,
) -> None:
    """Stopped while the store is away, with outputs and a last state to be published."""
    run = "echo model > $SUAN_OUTPUT_DIR/model; echo 7 > $SUAN_CHECKPOINT_DIR/state; exit 3"
    outputs = (Output("model", when="always"),)
    broker = ScriptedBroker()
    async with serving(broker):
        async with at_work(tmp_path, broker):
            (tmp_path / "store").rename(tmp_path / "away")
            broker.grant(("j1", 1), spec=job(run, outputs=outputs, retry=Retry(1)))
            await broker.until(lambda: len(broker.reports("j1")) == 2)  # started, released
        (tmp_path / "away").rename(tmp_path / "store")
        async with at_work(tmp_path, broker):
            await broker.until(lambda: broker.told("j1")[-1] == "failed")
    kinds = [report.kind for report in broker.reports("j1")]
    assert kinds == [2, 4, 5, 5, 3], "started, released, two commits, ended"
    assert [report.commit.kind for report in broker.reports("j1") if report.kind == 5] == [
        "checkpoint",
        "outputs",
    ]
    assert (tmp_path / "store/j1/1/outputs-1/files/model").read_text() == "model\n"
