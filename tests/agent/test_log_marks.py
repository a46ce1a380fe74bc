"""Time marks of logs: a moment leads to a line, nothing later is left out, all is bounded."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from processes import until
from scripted_broker import ScriptedBroker, job, serving
from site_agent import agent, config

from agent.backends import NodeShare, RunOrder, Stream
from agent.backends.marking import LogMarker, log_offset
from agent.backends.marks import (
    AGE_PARTS,
    LINE_BYTES_MAX,
    MARKS_MAX,
    Mark,
    MarkFile,
    line_start,
    offset_since,
    read_marks,
)
from agent.backends.process import ProcessBackend
from agent.backends.rundir import RunDirectory
from agent.clock import lease_now

MORNING = 1.8e9
RUN = "suan-j1-1"


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    return tmp_path / "0.out"


# --- the file of one log --------------------------------------------------------------


def test_only_growth_is_noted(marks: Path) -> None:
    file = MarkFile(str(marks))
    for at, size in ((1.0, 0), (2.0, 10), (3.0, 10), (4.0, 25)):
        file.note(MORNING + at, size)
    assert read_marks(marks) == (Mark(MORNING + 2, 10), Mark(MORNING + 4, 25))


def test_a_moment_leads_to_the_mark_before_it() -> None:
    found = (Mark(2.0, 10), Mark(4.0, 25))
    since = {1.9: 0, 2.0: 10, 3.9: 10, 4.0: 25, 9.0: 25}
    assert {at: offset_since(found, at) for at in since} == since
    assert offset_since((), 9.0) == 0


def test_a_writer_goes_on_where_the_last_one_ended(marks: Path) -> None:
    MarkFile(str(marks)).note(MORNING, 10)
    whole = marks.read_bytes()
    marks.write_bytes(whole + whole[:7])  # killed within a write
    MarkFile(str(marks)).note(MORNING + 1, 10)
    MarkFile(str(marks)).note(MORNING + 2, 30)
    assert read_marks(marks) == (Mark(MORNING, 10), Mark(MORNING + 2, 30))


def test_a_clock_that_is_set_back_leaves_nothing_out(marks: Path) -> None:
    """What comes under a time that was there before is not taken for older than it is."""
    file = MarkFile(str(marks))
    for at, size in ((3_600.0, 10), (20.0, 20), (21.0, 30), (3_700.0, 40)):
        file.note(MORNING + at, size)
    found = read_marks(marks)
    assert [mark.at for mark in found] == sorted(mark.at for mark in found)
    assert offset_since(found, MORNING + 21) <= 20
    assert offset_since(found, MORNING + 3_600) <= 30


def test_a_log_that_was_cut_begins_anew(marks: Path) -> None:
    file = MarkFile(str(marks))
    file.note(MORNING, 1_000)
    marks.unlink()
    file.note(MORNING + 1, 5)
    assert read_marks(marks) == (Mark(MORNING + 1, 5),)


def test_marks_are_bounded_and_thinned_by_age(marks: Path) -> None:
    """Two days of a log that never rests: what --since gives too much stays small for its age."""
    chance = random.Random(3)
    file = MarkFile(str(marks))
    written: list[Mark] = []
    at, size = MORNING, 0
    while at < MORNING + 172_800:
        at += 1.0 + chance.random() * 10
        size += chance.randrange(1, 1_000)
        file.note(at, size)
        written.append(Mark(at, size))
    found = read_marks(marks)
    assert len(found) <= MARKS_MAX
    assert marks.stat().st_size <= MARKS_MAX * 16
    assert set(found) <= set(written) and found[-1] == written[-1]
    gaps = [(late.at - early.at, at - early.at) for early, late in itertools.pairwise(found)]
    assert all(gap <= max(11.0, age / AGE_PARTS) for gap, age in gaps)
    assert found[0] == written[0]


# --- lines ----------------------------------------------------------------------------


def test_no_line_is_cut() -> None:
    text = b"one\ntwo\n\nthree"
    starts = [line_start(io.BytesIO(text), offset) for offset in range(len(text) + 1)]
    assert starts == [0, 0, 0, 0, 4, 4, 4, 4, 8, 9, 9, 9, 9, 9, 9]


@pytest.mark.parametrize("length", [1, 70_000, LINE_BYTES_MAX - 1])
def test_long_lines_are_followed_back(length: int) -> None:
    log = io.BytesIO(b"x\n" + b"y" * length + b"\n")
    assert line_start(log, 2 + length) == 2


def test_what_has_no_lines_is_not_read_without_end() -> None:
    class Counted(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.count += size or 0
            return super().read(size)

    log = Counted(b"y" * (3 * LINE_BYTES_MAX))
    assert line_start(log, 3 * LINE_BYTES_MAX) == 3 * LINE_BYTES_MAX
    assert log.count == LINE_BYTES_MAX


# --- the logs of runs -----------------------------------------------------------------


def run_directory(tmp_path: Path, name: str = RUN) -> RunDirectory:
    run = RunDirectory(tmp_path / name)
    run.logs.mkdir(parents=True)
    return run


def write(run: RunDirectory, text: str, rank: int = 0, stream: Stream = Stream.STDOUT) -> None:
    with run.log(rank, stream).open("a") as file:
        file.write(text)


def test_each_log_of_each_run_has_its_marks(tmp_path: Path) -> None:
    now = [MORNING]
    marker = LogMarker(lambda: now[0])
    runs = [run_directory(tmp_path, f"suan-j{number}-1") for number in range(3)]
    write(runs[0], "a\n")
    write(runs[1], "bb\n", rank=5, stream=Stream.STDERR)
    marker.mark(runs)
    now[0] += 10
    write(runs[1], "late", rank=5, stream=Stream.STDERR)
    marker.mark(runs[1:])
    marker.mark(runs)
    late = MORNING + 5
    assert log_offset(runs[0], 0, Stream.STDOUT, late) == 2
    assert log_offset(runs[1], 5, Stream.STDERR, late) == 3
    assert log_offset(runs[1], 5, Stream.STDERR, MORNING + 10) == 3, "the line has not ended"
    assert log_offset(runs[1], 5, Stream.STDERR, MORNING - 1) == 0
    assert log_offset(runs[1], 0, Stream.STDOUT, late) == 0
    assert not runs[2].marks.exists(), "who writes nothing costs nothing"


def test_a_log_without_marks_is_shown_whole(tmp_path: Path) -> None:
    run = run_directory(tmp_path)
    write(run, "old\n")
    assert log_offset(run, 0, Stream.STDOUT, MORNING) == 0


def test_what_cannot_be_marked_harms_nothing(tmp_path: Path) -> None:
    runs = [run_directory(tmp_path, name) for name in ("suan-a-1", "suan-b-1", "suan-c-1")]
    for run in runs:
        write(run, "a\n")
    runs[0].marks.write_text("a file where a directory should be")
    runs[1].log(0, Stream.STDOUT).unlink()
    runs[1].logs.rmdir()
    marker = LogMarker(lambda: MORNING)
    marker.mark(runs)
    assert [log_offset(runs[n], 0, Stream.STDOUT, MORNING + 1) for n in (1, 2)] == [0, 2]


# --- with real runs -------------------------------------------------------------------


@asynccontextmanager
async def backend(state: Path) -> AsyncIterator[ProcessBackend]:
    opened = ProcessBackend(state, {"PATH": os.environ["PATH"]}, {})
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def marked(state: Path, size: int) -> Mark:
    """The mark at `size` bytes of the run's log, once there is one."""
    path = RunDirectory(state / "runs" / RUN).marks / "0.out"

    def found() -> bool:
        return any(mark.offset == size for mark in read_marks(path))

    await asyncio.to_thread(until, found, f"a mark at {size}")
    return next(mark for mark in read_marks(path) if mark.offset == size)


async def test_since_outlives_the_agent_and_the_run(tmp_path: Path) -> None:
    gates = [tmp_path / "first", tmp_path / "second"]
    for gate in gates:
        os.mkfifo(gate)
    script = "echo begun; " + "".join(f"cat {gate}; " for gate in gates)
    order = RunOrder(RUN, "j1", 1, "shenzhen", (NodeShare("n", "127.0.0.1", ()),), 1, script)
    state = tmp_path / "state"
    async with backend(state) as process:
        await process.submit(order, lease_now() + 600)
        begun = await marked(state, 6)
        await asyncio.to_thread(gates[0].write_text, "one\n")
        one = await marked(state, 10)
        assert await process.log_offset(RUN, 0, Stream.STDOUT, begun.at) == 6
    async with backend(state) as process:
        assert await process.log_offset(RUN, 0, Stream.STDOUT, one.at) == 10
        await asyncio.to_thread(gates[1].write_text, "two\n")
        ended = await anext(process.exits())
        assert ended.succeeded
        assert await process.log_offset(RUN, 0, Stream.STDOUT, one.at) == 10
        after = (await marked(state, 14)).at
    async with backend(state) as process:
        assert await process.log_offset(RUN, 0, Stream.STDOUT, begun.at) == 6
        assert await process.log_offset(RUN, 0, Stream.STDOUT, after) == 14
        with pytest.raises(KeyError):
            await process.log_offset("suan-j2-1", 0, Stream.STDOUT, after)


async def test_the_broker_may_ask_since(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, config(tmp_path)):
        await broker.connected()
        broker.grant(("j1", 1), spec=job(f"echo begun; cat {gate}"))
        await broker.until(lambda: broker.told("j1") == ["started"])
        since = (await marked(tmp_path, 6)).at
        nothing_yet = await broker.read_log("j1", 1, since=since)
        assert (nothing_yet.data, nothing_yet.next_offset) == (b"", 6)
        await asyncio.to_thread(gate.write_text, "late\n")
        await broker.until(lambda: len(broker.told("j1")) == 2)
        late = await broker.read_log("j1", 1, since=since, offset=3)
        assert (late.data, late.next_offset, late.at_end) == (b"late\n", 11, True)
        whole = await broker.read_log("j1", 1, since=1.0)
        assert whole.data == b"begun\nlate\n"
