"""A site that is gone for good: what its jobs wrote is still there to be read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Desk

from bench.federation import ASCEND, Federation, SiteSpec, wait_until
from suan.models import JobSpec, JobState, Variant

PROGRESS = r"""
printf 'begin\n'
for step in 10 40 70 100; do printf '\r%s%% of the model is here' "$step"; done
printf '\nerror text\n' >&2
printf '\nend\n'
"""
LIVE = "seq 1 30000; echo the last line; until [ -e {stop} ]; do sleep 0.1; done"


@pytest.fixture
def far(folder: Path) -> Iterator[Federation]:
    federation = Federation(folder)
    try:
        federation.start_broker()
        federation.join(SiteSpec("far", ASCEND))
        yield federation
    finally:
        (folder / "stop").touch()
        federation.stop()


def test_logs_outlive_their_site(far: Federation, folder: Path) -> None:
    desk = Desk(folder, {"SUAN_ADDRESS": far.address, "SUAN_IDENTITY": str(far.user)})
    with far.client() as client:

        def submitted(run: str) -> str:
            return client.submit(JobSpec((Variant("ascend-910b", run=run),), name="j"))[0].id

        ended, live = submitted(PROGRESS), submitted(LIVE.format(stop=folder / "stop"))
        client.wait([ended])
        wait_until(lambda: client.get(live).state is JobState.RUNNING, "the job to run")
    kept = folder / "broker" / "logs"
    for job, words in ((ended, b"end\n"), (live, b"the last line\n")):
        file = kept / job[-2:] / f"{job}.1"
        wait_until(lambda f=file, w=words: f.exists() and w in f.read_bytes(), "the broker's part")
    assert desk.suan("logs", live).out.startswith("1\n2\n3\n")

    far.agents["far"].kill()
    shutil.rmtree(folder / "sites" / "far" / "state", ignore_errors=True)
    far.broker.stop()  # and what is kept does not live in a process
    far.start_broker()

    read = desk.suan("logs", ended)
    assert (read.status, read.out) == (0, "begin\n100% of the model is here\nend\n")
    note, *lines = read.err.splitlines()
    assert "far cannot be asked (SiteAway)" in note and "missing" not in note
    assert lines == ["", "error text"]
    assert desk.suan("logs", ended, "--raw").out.encode() == (
        b"begin\n\r100% of the model is here\nend\n"
    )

    read = desk.suan("logs", live, "--tail", "2")
    assert (read.status, read.out) == (0, "30000\nthe last line\n")
    assert "what came later is missing" in read.err
    whole = desk.suan("logs", live).out.splitlines()
    assert whole[-1] == "the last line"
    assert whole[0] == "1" and len(whole) == 30_001

    stranger = desk.suan("logs", ended, identity=far.identity("zhang.san", "team-b"))
    assert stranger.status != 0 and "error text" not in stranger.out + stranger.err
