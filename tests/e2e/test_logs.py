"""Logs on real parts: whoever follows has each byte once, and a moment leads to its lines."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.federation import COMMANDS, Federation, wait_until
from suan.errors import Unavailable
from suan.models import JobSpec, JobState, Variant
from suan.sync import Client

LINES = 40  # that must come between two kills
# Writes to its output and to a copy, until it is told to stop.
TALKER = """
number=0
until [ -e {folder}/stop ]; do
    number=$((number + 1))
    echo "line $number" >> {folder}/copy
    echo "line $number"
    [ $((number % 7)) = 0 ] && echo "warning $number" >&2
    sleep 0.01
done
printf 'the end, without a new line'
"""
# Waits between its lines for the test.
STEPS = "echo first; cat {folder}/one; cat {folder}/two"


@dataclass(frozen=True, slots=True)
class Follower:
    """`suan logs -f` in the background, its two streams in files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def wait(self, condition: Callable[[bytes], bool], what: str) -> None:
        """Until what it has printed fulfils the condition; it must not end before."""

        def fulfilled() -> bool:
            ended = self.process.poll() is not None
            assert condition(self.out.read_bytes()) or not ended, self.err.read_text()
            return condition(self.out.read_bytes())

        wait_until(fulfilled, what)


@contextmanager
def following(federation: Federation, folder: Path, job: str, *options: str) -> Iterator[Follower]:
    """A follower, which must end with the job, and with 0."""
    out, err = folder / "followed.out", folder / "followed.err"
    own = {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)}
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [COMMANDS / "suan", "logs", "-f", job, *options],
            env=dict(os.environ) | own,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield Follower(process, out, err)
        assert process.wait(150) == 0, err.read_text()
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in err.read_text()


def submit(federation: Federation, run: str) -> str:
    with federation.client() as client:
        wish = JobSpec((Variant("ascend-910b", run=run),), name="talker")
        (item,) = client.submit(wish)
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
    return item.id


def wait_lines(follower: Follower) -> None:
    """Until there are LINES more."""
    there = follower.out.read_bytes().count(b"\n")
    follower.wait(lambda said: said.count(b"\n") >= there + LINES, "more lines")


@pytest.mark.timeout(400)  # a busy machine starts Ray slowly
def test_a_follower_has_each_byte_once(federation: Federation, folder: Path) -> None:
    """Although the broker is killed while it follows, and the agent when the job ends."""
    job = submit(federation, TALKER.format(folder=folder))
    agent = federation.agents["shenzhen"]
    with following(federation, folder, job) as follower:
        wait_lines(follower)
        federation.broker.kill()
        federation.start_broker()
        wait_lines(follower)
        agent.kill()
        (folder / "stop").touch()
        agent.start()
    copy = (folder / "copy").read_bytes()
    assert copy.count(b"\n") >= 2 * LINES
    assert follower.out.read_bytes() == copy + b"the end, without a new line"
    warnings = [n for n in range(1, copy.count(b"\n") + 1) if n % 7 == 0]
    said = follower.err.read_text().splitlines()
    assert [line for line in said if line.startswith("warning")] == [
        f"warning {number}" for number in warnings
    ]


def test_since_leaves_out_what_came_before(federation: Federation, folder: Path) -> None:
    """And nothing of what came after, also when the run and its agent have ended meanwhile."""
    gates = [folder / "one", folder / "two"]
    for gate in gates:
        os.mkfifo(gate)
    job = submit(federation, STEPS.format(folder=folder))
    with federation.client() as client:
        wait_until(lambda: read(client, job) == "first\n", "its first line")
        since = quiet_moment(client, job)
        gates[0].write_text("second\nthird\n")
        wait_until(lambda: read(client, job, since=since) == "second\nthird\n", "its next lines")
        assert read(client, job, since=since, tail_lines=1) == "third\n"
        when = datetime.fromtimestamp(since, UTC).isoformat()
        with following(federation, folder, job, "--since", when, "--tail", "1") as follower:
            follower.wait(lambda said: said == b"third\n", "the last line until now")
            gates[1].write_text("last\n")
        assert follower.out.read_bytes() == b"third\nlast\n"
        agent = federation.agents["shenzhen"]
        agent.kill()
        agent.start()
        wait_until(lambda: read(client, job) == "first\nsecond\nthird\nlast\n", "the agent")
        assert read(client, job, since=since) == "second\nthird\nlast\n"
        assert read(client, job, since=time.time()) == ""


def read(client: Client, job: str, **wanted: Any) -> str:
    """What is there; "" while the site is away, and the broker's part stands in for it."""
    with suppress(Unavailable):
        parts = list(client.logs(job, **wanted))
        return b"".join(part.data for part in parts if part.kept is None).decode()
    return ""


def quiet_moment(client: Client, job: str) -> float:
    """A moment after all that was written, once there is a mark between the two."""
    tried: list[float] = []

    def quiet() -> bool:
        tried.append(time.time())
        return read(client, job, since=tried[-1]) == ""

    wait_until(quiet, "what was written to lie in the past")
    return tried[-1]
