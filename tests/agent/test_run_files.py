# ruff: noqa: ASYNC240
"""The files of runs: what is shown, and that nothing else is, whatever a job does to its paths."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from agent.backends import Backend
from agent.backends.prepare import StateDirectory
from agent.reach import files
from agent.reach.file_messages import FileAnswer, FileRequest
from agent.reach.files import Files
from agent.reach.inside import NotReadable, Outside, open_inside

NAME = "suan-j1-2"
SECRET = "the neighbour's key"


class Kept:
    """A backend of which only the roots are asked."""

    def __init__(self, roots: Mapping[str, str]) -> None:
        self._roots = roots

    async def roots(self, name: str) -> Mapping[str, str]:
        if name != NAME:
            raise KeyError(name)
        return self._roots


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A run's directory, beside one that is not its own."""
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "key").write_text(SECRET)
    place = tmp_path / "outputs 输出"
    place.mkdir()
    return place


async def asked(place: Path, path: str, name: str = NAME, **wanted: Any) -> FileAnswer:
    given = {"lists": False, "limit_bytes": 1 << 20} | wanted
    there = Files(cast(Backend, Kept({"outputs": str(place), "work": str(place / "gone")})))
    return await there.answer(FileRequest("7", name, path, **given))


async def read(place: Path, path: str, **wanted: Any) -> bytes:
    answer = await asked(place, path, **wanted)
    assert answer.failure is None, answer.failure
    return answer.data


async def names(place: Path, path: str, **wanted: Any) -> list[tuple[str, str]]:
    answer = await asked(place, path, lists=True, **wanted)
    assert answer.failure is None, answer.failure
    return [(entry.name, entry.kind) for entry in answer.entries]


async def code(place: Path, path: str, **wanted: Any) -> str:
    answer = await asked(place, path, **wanted)
    assert SECRET.encode() not in answer.data
    assert answer.failure is not None, path
    return answer.failure.code


# --- what is shown ------------------------------------------------------------------


async def test_roots_directories_and_files(outputs: Path) -> None:
    (outputs / "模型 v1").mkdir()
    weights = outputs / "模型 v1" / "weights final.bin"
    weights.write_bytes(b"0123456789")
    weights.chmod(0o755)
    assert await names(outputs, "") == [("outputs", "directory")]
    assert await names(outputs, "outputs") == [("模型 v1", "directory")]
    (entry,) = (await asked(outputs, "outputs/模型 v1/", lists=True)).entries
    assert (entry.name, entry.size_bytes, entry.executable) == ("weights final.bin", 10, True)
    assert entry.modified_ns == weights.stat().st_mtime_ns
    path = "outputs//模型 v1/./weights final.bin"
    assert await read(outputs, path) == b"0123456789"
    assert await read(outputs, path, offset=4, limit_bytes=3) == b"456"
    assert await read(outputs, path, offset=99) == b""
    assert (await asked(outputs, path, lists=True)).entry == entry


async def test_a_path_as_the_job_prints_it(outputs: Path) -> None:
    (outputs / "a").write_bytes(b"1")
    assert await read(outputs, f"{outputs}/a") == b"1"
    assert await code(outputs, f"{outputs}x/a") == "PathNotAllowed"
    assert await code(outputs, f"{outputs}/../neighbour/key") == "PathNotAllowed"


async def test_a_long_list_comes_in_parts(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LISTED_MAX", 3)
    for number in range(7):
        (outputs / f"f{number}").touch()
    os.mkfifo(os.fsencode(outputs) + b"/f\xff")  # no text at all
    found: list[str] = []
    more = True
    while more:
        answer = await asked(outputs, "outputs", lists=True, after=found[-1] if found else "")
        found += [entry.name for entry in answer.entries]
        more = answer.more
    assert found == ["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f\\xff"]
    monkeypatch.setattr(files, "DIRECTORY_ENTRIES_MAX", 5)
    assert await code(outputs, "outputs", lists=True) == "DirectoryTooLarge"


async def test_a_huge_file_is_read_where_it_is_asked(outputs: Path) -> None:
    size = 3 << 40
    with (outputs / "huge").open("wb") as file:
        file.truncate(size - 4)
        file.seek(size - 4)
        file.write(b"tail")
    answer = await asked(outputs, "outputs/huge", offset=size - 6, limit_bytes=1 << 30)
    assert (answer.data, answer.entry.size_bytes) == (b"\0\0tail", size)
    part = await asked(outputs, "outputs/huge", limit_bytes=1 << 30)
    assert len(part.data) == files.PART_BYTES_MAX


async def test_a_file_that_grows_and_one_that_is_replaced(outputs: Path) -> None:
    path = outputs / "log"
    path.write_bytes(b"one")
    first = (await asked(outputs, "outputs/log")).entry
    with path.open("ab") as file:
        file.write(b"two")
    second = (await asked(outputs, "outputs/log")).entry
    assert (first.version, first.size_bytes) == (second.version, 3)
    assert second.size_bytes == 6
    (outputs / "new").write_bytes(b"other")
    (outputs / "new").rename(path)
    assert (await asked(outputs, "outputs/log")).entry.version != first.version
    path.unlink()
    assert await code(outputs, "outputs/log") == "NoSuchFile"


async def test_links_within_the_run_are_followed(outputs: Path) -> None:
    (outputs / "step-100").mkdir()
    (outputs / "step-100" / "model").write_bytes(b"weights")
    (outputs / "latest").symlink_to("step-100")
    (outputs / "best").symlink_to(outputs / "step-100" / "model")
    (outputs / "step-100" / "up").symlink_to("../step-100/../best")
    assert await read(outputs, "outputs/latest/model") == b"weights"
    assert await read(outputs, "outputs/best") == b"weights"
    assert await read(outputs, "outputs/step-100/up") == b"weights"
    found = dict(await names(outputs, "outputs"))
    # Not through links to directories: they may lead round in a circle.
    assert found == {"best": "file", "latest": "other", "step-100": "directory"}


# --- what is not --------------------------------------------------------------------


async def test_no_path_leads_out(outputs: Path) -> None:
    (outputs / "a").mkdir()
    for path in (
        "..",
        "../neighbour/key",
        "outputs/../neighbour/key",
        "outputs/a/../../neighbour/key",
        "/etc/passwd",
        "/",
        "outputs/" + "a/" * 3000,
        "outputs/a\0b",
    ):
        assert await code(outputs, path) == "PathNotAllowed", path
        assert await code(outputs, path, lists=True) == "PathNotAllowed", path
    assert await code(outputs, "neighbour/key") == "NoSuchFile"
    assert await code(outputs, "work", lists=True) == "NoSuchFile"
    assert await code(outputs, "outputs/a") == "IsADirectory"
    assert await code(outputs, "") == "IsADirectory"
    assert await code(outputs, "outputs", name="suan-j1-3") == "FilesForgotten"


async def test_no_link_leads_out(outputs: Path) -> None:
    neighbour = outputs.parent / "neighbour"
    links = {
        "relative": "../neighbour/key",
        "absolute": str(neighbour / "key"),
        "directory": "../neighbour",
        "round": "a/../../neighbour/key",
        "twice": "relative",
        "alike": f"{outputs}x",
        "root": "/",
        "itself": "itself",
    }
    (outputs / "a").mkdir()
    for name, target in links.items():
        (outputs / name).symlink_to(target)
    for name in links:
        assert await code(outputs, f"outputs/{name}") == "PathNotAllowed", name
    assert await code(outputs, "outputs/directory/key") == "PathNotAllowed"
    assert await code(outputs, "outputs/root/etc/passwd") == "PathNotAllowed"
    assert dict(await names(outputs, "outputs")) == dict.fromkeys(links, "other") | {
        "a": "directory"
    }


async def test_a_root_that_became_a_link_is_closed(outputs: Path) -> None:
    outputs.rmdir()
    outputs.symlink_to(outputs.parent / "neighbour")
    assert await code(outputs, "outputs/key") in ("NoSuchFile", "FilesUnreadable")
    assert await names(outputs, "") == []


async def test_only_files_are_read(outputs: Path) -> None:
    os.mkfifo(outputs / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(outputs)  # the path of a socket is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        for name in ("pipe", "socket"):
            assert await code(outputs, f"outputs/{name}") == "NotAFile"
    assert set(dict(await names(outputs, "outputs")).values()) == {"other"}


async def test_a_path_that_changes_while_it_is_walked(outputs: Path) -> None:
    """A job swaps a directory for a link as fast as it can; the reader never follows it."""
    (outputs / "real").mkdir()
    (outputs / "real" / "key").write_text("mine")
    (outputs / "door").symlink_to("real")
    (outputs / "trap").symlink_to("../neighbour")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for target in ("real", "trap"):
                try:
                    (outputs / target).rename(outputs / "swap")
                    (outputs / "door").rename(outputs / target)
                    (outputs / "swap").rename(outputs / "door")
                except OSError:
                    continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    outcomes = set()
    try:
        for _ in range(2000):
            try:
                descriptor = open_inside(str(outputs), "door/key")
            except (Outside, NotReadable, OSError) as error:
                outcomes.add(type(error).__name__)
                continue
            with os.fdopen(descriptor) as file:
                outcomes.add(file.read())
    finally:
        stop.set()
        swapper.join()
    assert outcomes
    assert SECRET not in outcomes


def test_no_descriptor_is_left_open(outputs: Path) -> None:
    (outputs / "a" / "b").mkdir(parents=True)
    (outputs / "a" / "b" / "out").symlink_to("../../../neighbour/key")
    (outputs / "a" / "b" / "file").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path, error in (("a/b/out", Outside), ("a/none", FileNotFoundError)):
        with pytest.raises(error):
            open_inside(str(outputs), path)
    os.close(open_inside(str(outputs), "a/b/file"))
    os.close(open_inside(str(outputs), "a/b"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_outlives_a_run_is_still_found(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path, 0)
    state.make()
    name = "suan-j1-2"
    state.output("j1", 2).mkdir(parents=True)
    assert state.roots(name) == {"outputs": str(state.output("j1", 2))}
    run = state.run(name)
    run.path.mkdir()
    (run.path / "order.json").write_text('{"places": {"outputs": "/srv/out"}}')
    assert state.roots(name) == {
        "outputs": "/srv/out",
        "checkpoints": str(state.checkpoint("j1")),
        "work": str(run.work),
        "scratch": str(run.scratch),
        "logs": str(run.logs),
    }
