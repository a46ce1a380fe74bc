# ruff: noqa: ASYNC240
"""Copying to this machine: what is there stays, what broke goes on, and no name leads elsewhere."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from suan.copying import Copied, copy
from suan.errors import Conflict, SuanError
from suan.files import FileChunk, RunFile, RunFiles, clean
from suan.transport import Transport
from suan.v1 import file_pb2
from suan.v1 import jobs_service_pb2 as pb


@dataclass
class Site:
    """The files of a run, in memory; reading breaks after so many bytes when it is told to."""

    data: dict[str, bytes]
    breaks_after: int = 0
    reads: list[tuple[str, int]] = field(default_factory=list)
    others: tuple[str, ...] = ()

    def file(self, path: str) -> RunFile:
        data = self.data[path]
        return RunFile(path, "file", len(data), 1_700_000_000_123_456_789, False, f"v-{path}")

    async def look(self, path: str) -> RunFile:
        if path in self.data:
            return self.file(path)
        return RunFile(path, "directory", 0, 1, False, "")

    async def list(self, path: str) -> AsyncGenerator[RunFile, None]:
        for name in sorted(self.data):
            rest = name.removeprefix(f"{path}/")
            if rest != name and "/" not in rest:
                yield self.file(name)
        for name in self.others:
            yield RunFile(f"{path}/{name}", "other", 0, 0, False, "")

    async def read(self, path: str, offset: int, end: int) -> AsyncGenerator[FileChunk, None]:
        self.reads.append((path, offset))
        data = self.data[path][:end]
        yield FileChunk(self.file(path), offset, b"")
        for begin in range(offset, len(data), 4):
            if self.breaks_after and begin >= self.breaks_after:
                raise SuanError("the connection broke")
            yield FileChunk(self.file(path), begin, data[begin : begin + 4])


async def copied(site: Site, path: str, place: Path, *, force: bool = False) -> Copied:
    return await copy(cast(RunFiles, site), path, place, force=force, on_progress=lambda _: None)


async def test_a_copy_goes_on_where_it_broke(tmp_path: Path) -> None:
    site, place = Site({"outputs/a": b"0123456789"}, breaks_after=8), tmp_path / "a"
    with pytest.raises(SuanError, match="broke"):
        await copied(site, "outputs/a", place)
    assert [path.name[-10:] for path in tmp_path.iterdir()] == [".suan-part"]
    site.breaks_after = 0
    done = await copied(site, "outputs/a", place)
    assert (done.files, done.done_bytes, done.total_bytes) == (1, 10, 10)
    assert site.reads == [("outputs/a", 0), ("outputs/a", 8)]
    assert place.read_bytes() == b"0123456789"
    assert list(tmp_path.iterdir()) == [place]
    assert place.stat().st_mtime_ns == site.file("outputs/a").modified_ns
    again = await copied(site, "outputs/a", place)
    assert (again.files, again.files_there, len(site.reads)) == (0, 1, 2)


async def test_a_part_of_another_version_is_not_gone_on_with(tmp_path: Path) -> None:
    site, place = Site({"outputs/a": b"0123456789"}, breaks_after=8), tmp_path / "a"
    with pytest.raises(SuanError, match="broke"):
        await copied(site, "outputs/a", place)
    site.data["outputs/a"], site.breaks_after = b"other words", 0
    await copied(site, "outputs/a", place)
    assert place.read_bytes() == b"other words"
    assert list(tmp_path.iterdir()) == [place]


async def test_nothing_is_copied_when_one_file_is_in_the_way(tmp_path: Path) -> None:
    site = Site({f"outputs/{name}": b"new" for name in "abc"})
    place = tmp_path / "got"
    place.mkdir()
    (place / "c").write_bytes(b"own")
    with pytest.raises(Conflict, match="exists and differs"):
        await copied(site, "outputs", place)
    assert (site.reads, list(place.iterdir())) == ([], [place / "c"])
    target = tmp_path / "elsewhere"
    target.write_bytes(b"mine")
    (place / "b").symlink_to(target)
    done = await copied(site, "outputs", place, force=True)
    assert done.files == 3
    assert {path.name: path.read_bytes() for path in place.iterdir()} == dict.fromkeys(
        "abc", b"new"
    )
    assert target.read_bytes() == b"mine"  # the link was replaced, not what it leads to


async def test_a_directory_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for force in (False, True):
        with pytest.raises(Conflict):
            await copied(Site({"outputs/a": b"x"}), "outputs/a", tmp_path / "a", force=force)


async def test_what_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    class Sly(Site):
        async def read(self, path: str, offset: int, end: int) -> AsyncGenerator[FileChunk, None]:
            (tmp_path / "a").write_bytes(b"mine")
            async for chunk in super().read(path, offset, end):
                yield chunk

    with pytest.raises(Conflict, match="meanwhile"):
        await copied(Sly({"outputs/a": b"theirs"}), "outputs/a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"mine"


async def test_what_changes_meanwhile_is_told(tmp_path: Path) -> None:
    class Changing(Site):
        change: Any = staticmethod(lambda file: file)

        async def read(self, path: str, offset: int, end: int) -> AsyncGenerator[FileChunk, None]:
            async for chunk in super().read(path, offset, end):
                yield replace(chunk, file=self.change(chunk.file))

    site = Changing({"outputs/a": b"0123456789"})
    site.change = lambda file: replace(file, version="another")
    with pytest.raises(Conflict, match="replaced"):
        await copied(site, "outputs/a", tmp_path / "a")
    site.change = lambda file: replace(file, modified_ns=5)
    with pytest.raises(Conflict, match="written to"):
        await copied(site, "outputs/a", tmp_path / "a")
    site.change = lambda file: replace(file, modified_ns=5, size_bytes=99)
    assert (await copied(site, "outputs/a", tmp_path / "a")).grown == ("outputs/a",)
    assert (tmp_path / "a").read_bytes() == b"0123456789"


async def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    done = await copied(Site({"outputs/a": b""}, others=("pipe",)), "outputs", tmp_path / "got")
    assert (done.files, done.skipped) == (1, ("outputs/pipe",))
    assert os.listdir(tmp_path / "got") == ["a"]  # noqa: PTH208


async def test_a_disk_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SuanError, match="cannot be written") as caught:
        await copied(Site({"outputs/a": b"x"}), "outputs/a", tmp_path / "none" / "a")
    assert caught.value.code == "CopyFailed"


async def test_names_that_a_hostile_site_sends(tmp_path: Path) -> None:
    """They are no files to us, so nothing is written anywhere."""
    names = ("..", ".", "../x", "a/b", "/etc/cron.d/x", "a\0b")
    entries = [file_pb2.FileEntry(name=name, kind="file", size_bytes=1) for name in names]

    class Stub:
        async def call(self, _method: Any, _request: Any) -> pb.ListFilesResponse:
            return pb.ListFilesResponse(
                entry=file_pb2.FileEntry(kind="directory"), entries=entries, epoch=1
            )

        ListFiles = None

    files = RunFiles(cast(Transport, Stub()), Stub(), "j1")
    assert {item.kind async for item in files.list("outputs")} == {"other"}


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("./outputs//a/", "outputs/a"), ("", ""), ("/a/./b", "/a/b"), ("a b/ c", "a b/ c")],
)
def test_paths_without_what_means_nothing(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned
