"""Inputs that a manifest lists become directories: whole, checked, shared, gone on with."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from file_server import FileServer, serving
from staging_site import BODY, HALF, LIMITS, wait

from agent.publishing import Stores
from agent.publishing.scan import scan
from agent.publishing.upload import Ending, Known, Place, Uploader
from agent.staging import Limits, Staging, StagingRefused
from agent.staging.manifest import Entry, Manifest, encode
from agent.staging.stage import BUILDING
from suan.models import Input

READS = (Input("/model", "ds://team-a/model@2"),)
JOB = "01a2-job"


class Ground:
    """A store with one committed directory, and a site that reads it."""

    def __init__(self, base: Path) -> None:
        self.store, self.written = base / "store", base / "written"
        self.store.mkdir()
        (self.written / "deep").mkdir(parents=True)
        (self.written / "deep" / "weights.bin").write_bytes(BODY)
        (self.written / "模型 ä.json").write_text("{}")
        (self.written / "empty").write_bytes(b"")
        (self.written / "latest").symlink_to("deep/weights.bin")
        self.cache, self.directory = base / "cache", base / "data" / "suan-1-1"
        self.place = self.directory / "model"
        self.prefix = self.store / JOB / "3"

    async def publish(self) -> str:
        """Where the manifest lies, as the catalogue says it."""
        uploader = Uploader()
        place = Place(JOB, 3, "outputs", 1, "model")
        tree = scan(str(self.written), "")
        stores = Stores(str(self.store), Limits())
        commit, _ = await uploader.commit(stores.at(""), place, tree, Known(), Ending())
        uploader.close()
        return f"{commit.url}#manifest={commit.sha256}"

    async def stage(self, location: str, *roots: Path, told: list[object] | None = None) -> None:
        """As a new agent would, which knows nothing but the disk."""
        limits = Limits(**LIMITS)  # type: ignore[arg-type]
        staging = Staging(self.cache, (), limits, roots)
        try:
            locations = {"team-a/model@2": location}
            progress = told.append if told is not None else lambda each: None
            await staging.stage(READS, locations, self.directory, lambda *each: progress(each))
        finally:
            await staging.close()

    async def refused(self, location: str, *roots: Path) -> StagingRefused:
        with pytest.raises(StagingRefused) as caught:
            await self.stage(location, *roots)
        assert caught.value.hint
        assert not self.place.exists(), "nothing is half there"
        return caught.value

    def check(self) -> None:
        found = {
            str(path.relative_to(self.place)): path.read_bytes()
            for path in self.place.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        assert found == {"deep/weights.bin": BODY, "模型 ä.json": b"{}", "empty": b""}
        assert (self.place / "latest").readlink() == Path("deep/weights.bin")
        assert [path.name for path in self.directory.iterdir()] == ["model"]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


def serve(server: FileServer, ground: Ground, location: str) -> str:
    """The same commit behind an address."""
    for path in ground.store.rglob("*"):
        if path.is_file():
            server.put(quote(f"/{path.relative_to(ground.store)}"), path.read_bytes())
    path, _, fragment = location.rpartition(JOB)[2].partition("#")
    return server.url(f"/{JOB}{path}") + f"#{fragment}"


async def test_it_is_a_directory_of_read_only_files_that_jobs_share(ground: Ground) -> None:
    location, told = await ground.publish(), []  # type: ignore[var-annotated]
    await ground.stage(location, ground.store, told=told)
    ground.check()
    assert told[-1] == (len(BODY) + 2, len(BODY) + 2)
    weights = ground.place / "deep" / "weights.bin"
    assert weights.stat().st_mode & 0o777 == 0o444
    key = f"sha256-{hashlib.sha256(BODY).hexdigest()}"
    assert (ground.cache / key / "data").samefile(weights)
    await ground.stage(location, ground.store)  # again: nothing happens
    ground.check()


async def test_one_manifest_under_two_names(ground: Ground) -> None:
    location = await ground.publish()
    staging = Staging(ground.cache, (), Limits(), (ground.store,))
    reads = (*READS, Input("/again", "ds://same"))
    await staging.stage(reads, {"team-a/model@2": location, "same": location}, ground.directory)
    await staging.close()
    assert (ground.directory / "same" / "latest").read_bytes() == BODY
    shutil.rmtree(ground.directory / "same")
    ground.check()


async def test_only_stores_of_this_site_are_read_from_disk(ground: Ground, tmp_path: Path) -> None:
    location = await ground.publish()
    refused = await ground.refused(location, tmp_path / "cache", tmp_path / "stor")
    assert refused.code == "DataRefused"
    (tmp_path / "link").symlink_to(ground.store)
    assert (await ground.refused(location.replace("/store/", "/link/"))).code == "DataRefused"


async def test_behind_an_address_it_goes_on_where_it_was_cut(
    ground: Ground, server: FileServer
) -> None:
    location = serve(server, ground, await ground.publish())
    weights = f"/{JOB}/3/outputs-1/files/deep/weights.bin"
    server.files[weights].hold_at = HALF
    staging = Staging(ground.cache, (), Limits(**LIMITS))  # type: ignore[arg-type]
    locations = {"team-a/model@2": location}
    task = asyncio.create_task(staging.stage(READS, locations, ground.directory))
    coming = ground.directory / BUILDING
    await wait(lambda: {"empty", "模型 ä.json"} <= {path.name for path in coming.rglob("*")})
    await wait(lambda: any(path.stat().st_size for path in ground.cache.glob("*/partial")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await staging.close()
    assert not ground.place.exists()
    server.files[weights].hold_at = None
    asked = len(server.seen)
    await ground.stage(location)
    ground.check()
    assert [(each.target, each.status) for each in server.seen[asked:]] == [(weights, 206)]
    staging = Staging(ground.cache, (), Limits())
    await staging.release(ground.directory)
    assert not ground.directory.exists()
    await staging.close()


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("a file", "DataCorrupt"),
        ("the manifest", "DataCorrupt"),
        ("no manifest", "DataMissing"),
        ("another place", "DataCorrupt"),
        ("no list", "DataCorrupt"),
    ],
)
async def test_damage_is_told(ground: Ground, what: str, code: str) -> None:
    location = await ground.publish()
    manifest = ground.prefix / "outputs-1" / "manifest.json"
    if what == "a file":
        (ground.prefix / "outputs-1" / "files" / "empty").write_bytes(b"x")
    elif what == "the manifest":
        manifest.write_bytes(manifest.read_bytes() + b" ")
    elif what == "no manifest":
        manifest.unlink()
    elif what == "another place":
        other = ground.store / "other" / "3" / "outputs-1" / "manifest.json"
        other.parent.mkdir(parents=True)
        manifest.rename(other)
        location = location.replace(f"/{JOB}/", "/other/")
    else:
        bad = Manifest(JOB, 3, "outputs", 1, (Entry("../x", 1, "0" * 64, "outputs-1/files/x"),))
        manifest.write_bytes(encode(bad))
        sha256 = hashlib.sha256(encode(bad)).hexdigest()
        location = f"{location.partition('#')[0]}#manifest={sha256}"
    assert (await ground.refused(location, ground.store)).code == code
