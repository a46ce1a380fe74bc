"""Stores keep what they are given whole, never over another, and go on after a cut.

The same tests for a directory, for a server that speaks S3 where `moto_server` is installed, and
for a real sshd where that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from moto_site import Road, moto_serving, needs_server, road_to
from ssh_site import SshServer, needs_sshd, ssh_serving

from agent.publishing import snapshots
from agent.publishing.directory import DirectoryStore
from agent.publishing.restore import has_as_new, restore
from agent.publishing.s3 import PART_BYTES, ObjectStore
from agent.publishing.scan import scan
from agent.publishing.store import Store, StoreFailed
from agent.publishing.stores import Stores
from agent.publishing.upload import Ending, Known, Place, Uploader
from agent.staging import Limits, Staging, StagingRefused
from agent.staging.interrupt import Interrupt
from agent.staging.manifest import (
    Entry,
    Link,
    Manifest,
    ManifestUnreadable,
    decode,
    encode,
    leads_inside,
)
from agent.staging.s3 import S3Store
from agent.staging.transport import Transport
from agent.supervisor.values import Commit
from suan.errors import InvalidRequest
from suan.job_commits import commit as commit_state
from suan.models import Input

BODY = random.Random(5).randbytes(100_000)
JOB = "01a2-job"
LIMITS = Limits(private_hosts=frozenset({"127.0.0.1"}), free_bytes_min=0, retry_seconds=0.01)


@dataclass
class Ground:
    """One kind of store, and what reads from it."""

    place: str
    limits: Limits
    roots: tuple[Path, ...] = ()
    road: Road | None = None

    def open(self) -> Store:
        return Stores(self.place, self.limits).at("")

    @contextlib.asynccontextmanager
    async def staging(self, base: Path) -> AsyncIterator[Staging]:
        made = Staging(base / "cache", (), self.limits, self.roots)
        try:
            yield made
        finally:
            await made.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_serving("bucket") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_serving(tmp_path_factory.mktemp("ssh") / "d") as server:
        yield server


@pytest.fixture(
    params=[
        "directory",
        pytest.param("s3", marks=needs_server),
        pytest.param("sftp", marks=needs_sshd),
    ]
)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    if request.param == "directory":
        (tmp_path / "store").mkdir()
        yield Ground(str(tmp_path / "store"), LIMITS, (tmp_path / "store",))
        return
    if request.param == "sftp":
        (tmp_path / "store").mkdir()
        server = request.getfixturevalue("sshd")
        with road_to(f"http://127.0.0.1:{server.port}") as road:
            known = tmp_path / "known_hosts"
            known.write_text(server.known_as(road.port))
            account = replace(server.account, known_hosts=known)
            place = f"sftp://127.0.0.1:{road.port}{tmp_path}/store"
            yield Ground(place, replace(LIMITS, sftp=account), road=road)
        return
    with road_to(request.getfixturevalue("moto")) as road:
        limits = replace(LIMITS, s3=S3Store(road.endpoint, "someone", "secret"))
        yield Ground(f"s3://bucket/a b/{tmp_path.name}".replace(" ", "%20"), limits, road=road)


def put(store: Store, key: str, path: Path, sha256: str = "") -> None:
    data = path.read_bytes()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        known = sha256 or hashlib.sha256(data).hexdigest()
        store.put(key, descriptor, len(data), known, Interrupt())
    finally:
        os.close(descriptor)


def tree_in(path: Path) -> Path:
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "er" / "算 %41").write_bytes(BODY)
    (path / "twin").write_bytes(BODY)
    (path / "empty").touch()
    (path / "latest").symlink_to("deep/er")
    (path / "out").symlink_to("../../etc")
    os.mkfifo(path / "pipe")
    return path


async def publish(
    store: Store, path: Path, place: Place | None = None, patience: float = 20.0
) -> Commit:
    uploader = Uploader(patience)
    try:
        where = place or Place(JOB, 1, "checkpoint", 1)
        commit, _ = await uploader.commit(store, where, scan(str(path), ""), Known(), Ending())
        return commit
    finally:
        uploader.close()


async def test_a_tree_goes_out_and_comes_back(ground: Ground, tmp_path: Path) -> None:
    made = await publish(ground.open(), tree_in(tmp_path / "made"))
    assert (made.files, made.size_bytes) == (3, 2 * len(BODY))
    assert made.url.endswith(f"/{JOB}/1/checkpoint-1/manifest.json")
    told: list[tuple[int, int]] = []
    place = tmp_path / "found" / JOB
    place.mkdir(parents=True)
    (place / "older").touch()
    async with ground.staging(tmp_path) as staging:
        await restore(staging, JOB, made, place, lambda done, total: told.append((done, total)))
    assert sorted(str(p.relative_to(place)) for p in place.rglob("*") if not p.is_dir()) == [
        "deep/er/算 %41",
        "empty",
        "twin",
    ]
    assert (place / "latest" / "算 %41").read_bytes() == BODY
    assert told[-1] == (2 * len(BODY), 2 * len(BODY))
    (place / "twin").write_bytes(b"it is the job's own now")
    assert [path.name for path in place.parent.iterdir()] == [JOB]


async def test_outputs_are_read_as_a_dataset_from_every_store(
    ground: Ground, tmp_path: Path
) -> None:
    made = await publish(
        ground.open(), tree_in(tmp_path / "made"), Place(JOB, 1, "outputs", 1, "model")
    )
    reads = (Input("/model", "ds://team-a/model"),)
    places = {"team-a/model": f"{made.url}#manifest={made.sha256}"}
    async with ground.staging(tmp_path) as staging:
        await staging.stage(reads, places, tmp_path / "data")
    place = tmp_path / "data" / "model"
    assert (place / "latest" / "算 %41").read_bytes() == BODY
    assert (place / "twin").samefile(place / "deep" / "er" / "算 %41"), "one content, one file"
    assert (place / "empty").read_bytes() == b""


async def test_the_same_commit_again_is_the_same_and_another_is_refused(
    ground: Ground, tmp_path: Path
) -> None:
    store, path = ground.open(), tree_in(tmp_path / "made")
    first = await publish(store, path)
    assert await publish(ground.open(), path) == first, "after a restart"
    (path / "twin").write_bytes(b"another")
    with pytest.raises(StoreFailed, match="is there already"):
        await publish(store, path)
    assert await publish(store, path, Place(JOB, 2, "checkpoint", 1)) != first


def test_of_two_writers_one_makes_the_manifest(ground: Ground) -> None:
    stores, barrier, found = [ground.open() for _ in range(4)], threading.Barrier(4), set()

    def write(number: int) -> None:
        barrier.wait()
        found.add(stores[number].create("race/manifest.json", b"%d" % number, Interrupt()))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


async def test_a_file_that_changes_meanwhile_is_not_committed(
    ground: Ground, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    with pytest.raises(StoreFailed, match="changed"):
        put(ground.open(), "a/file", path, sha256="0" * 64)
    assert ground.open().size("a/file", Interrupt()) is None
    big = tmp_path / "big"
    big.write_bytes(BODY * (2 * PART_BYTES // len(BODY)))
    with pytest.raises(StoreFailed, match="changed"):
        put(ground.open(), "a/big", big, sha256="0" * 64)
    assert ground.open().size("a/big", Interrupt()) is None


async def test_what_is_removed_is_gone(ground: Ground, tmp_path: Path) -> None:
    path, store = tmp_path / "file", ground.open()
    path.write_bytes(BODY)
    put(store, "a/file", path)
    for _ in range(2):
        store.remove("a/file", Interrupt())
    assert store.size("a/file", Interrupt()) is None


async def test_outputs_lie_under_their_own_names(ground: Ground, tmp_path: Path) -> None:
    path = tmp_path / "made"
    path.mkdir()
    (path / "manifest.json").write_text("the job's own")
    made = await publish(ground.open(), path, Place(JOB, 3, "outputs", 2, "model"))
    assert made.url.endswith(f"/{JOB}/3/outputs-2/manifest.json")
    size = ground.open().size(f"{JOB}/3/outputs-2/files/manifest.json", Interrupt())
    assert (size, made.path, made.epoch) == (13, "model", 3)


@pytest.mark.parametrize(
    "ground",
    [pytest.param("s3", marks=needs_server), pytest.param("sftp", marks=needs_sshd)],
    indirect=True,
)
async def test_an_upload_that_is_cut_goes_on_with_the_parts_that_are_missing(
    ground: Ground, tmp_path: Path
) -> None:
    path = tmp_path / "made"
    path.mkdir()
    body = BODY * (3 * PART_BYTES // len(BODY) + 1)
    (path / "big").write_bytes(body)
    assert ground.road is not None
    ground.road.cut_at = 2 * PART_BYTES + PART_BYTES // 2  # within the third part
    made = await publish(ground.open(), path)
    assert made.size_bytes == len(body)
    assert len(body) < ground.road.carried < len(body) + 1.5 * PART_BYTES, "two parts went once"
    async with ground.staging(tmp_path) as staging:
        await restore(staging, JOB, made, tmp_path / "found", lambda done, total: None)
    assert (tmp_path / "found" / "big").read_bytes() == body


@pytest.mark.parametrize(
    "ground",
    [pytest.param("s3", marks=needs_server), pytest.param("sftp", marks=needs_sshd)],
    indirect=True,
)
async def test_a_store_that_is_away_is_waited_for_and_not_for_ever(
    ground: Ground, tmp_path: Path
) -> None:
    path = tree_in(tmp_path / "made")
    assert ground.road is not None
    ground.road.closed = True
    with pytest.raises(StoreFailed) as caught:
        await publish(ground.open(), path, patience=0.5)
    assert caught.value.category == "network"
    waiting = asyncio.create_task(publish(ground.open(), path))
    await asyncio.sleep(0)
    ground.road.closed = False
    assert (await waiting).files == 3


async def test_what_is_under_way_ends_when_nobody_wants_it(tmp_path: Path) -> None:
    """Also while it waits for a store that is not there."""
    path, end, uploader = tree_in(tmp_path / "made"), Ending(), Uploader()
    store, place = DirectoryStore(tmp_path / "none"), Place(JOB, 1, "checkpoint", 1)
    work = uploader.commit(store, place, scan(str(path), ""), Known(), end)
    waiting = asyncio.create_task(work)
    await asyncio.sleep(0)
    end.set("nobody wants it")
    with pytest.raises(StoreFailed, match="nobody wants it"):
        await waiting
    uploader.close()
    assert not (tmp_path / "none").exists(), "a file system that is not mounted is left alone"


# --- what is read is believed in nothing -----------------------------------------------


async def test_a_checkpoint_that_was_changed_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    ground = Ground(str(tmp_path / "store"), LIMITS, (tmp_path / "store",))
    made = await publish(ground.open(), tree_in(tmp_path / "made"))
    place = tmp_path / "found"
    place.mkdir()
    (place / "older").touch()

    async def refused(commit: Commit) -> str:
        async with ground.staging(tmp_path) as staging:
            with pytest.raises(StagingRefused) as caught:
                await restore(staging, JOB, commit, place, lambda done, total: None)
        assert [path.name for path in place.iterdir()] == ["older"], "as it was"
        return caught.value.code

    blob = next(path for path in (tmp_path / "store").rglob("blobs/*") if path.stat().st_size)
    kept = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(kept[:-1] + b"x")
    assert await refused(made) == "DataCorrupt"
    blob.unlink()
    assert await refused(made) == "DataMissing"
    assert await refused(replace(made, sha256="0" * 64)) == "DataCorrupt"
    assert await refused(replace(made, epoch=2)) == "DataCorrupt"
    elsewhere = made.url.replace(str(tmp_path / "store"), "/etc")
    assert await refused(replace(made, url=elsewhere)) == "DataRefused"


GOOD = Manifest(JOB, 1, "checkpoint", 1, (Entry("a", 1, "0" * 64, "blobs/0"),), (Link("l", "a"),))


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, files=(Entry("../a", 1, "0" * 64, "blobs/0"),)),
        replace(GOOD, files=(Entry("/a", 1, "0" * 64, "blobs/0"),)),
        replace(GOOD, files=(Entry("a", 1, "0" * 64, "../../b"),)),
        replace(GOOD, files=(Entry("a", -1, "0" * 64, "blobs/0"),)),
        replace(GOOD, files=(Entry("a", 1, "x", "blobs/0"),)),
        replace(GOOD, files=GOOD.files * 2),
        replace(GOOD, files=(Entry("l/a", 1, "0" * 64, "blobs/0"),)),
        replace(GOOD, links=(Link("l", "../a"),)),
        replace(GOOD, links=(Link("l", "/etc"),)),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_unreadable(bad: Manifest) -> None:
    assert decode(encode(GOOD)) == GOOD
    with pytest.raises(ManifestUnreadable):
        decode(encode(bad))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'[{"a": 1}]', b'{"format": 2}', b"\xff"])
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestUnreadable):
        decode(data)


def test_links_that_stay() -> None:
    assert leads_inside("a/b/l", "../../c") and not leads_inside("a/b/l", "../../../c")


def test_places_that_are_no_store() -> None:
    for place in ("ftp://host/a", "s3://bucket/a", "relative", "file://other/a"):
        with pytest.raises(InvalidRequest):
            Stores(place, LIMITS)
    assert not Stores("", LIMITS).has_own
    account = S3Store("http://127.0.0.1:1", "a", "b")
    assert ObjectStore("s3://b/p/", account, Transport(LIMITS)).url("a b") == "s3://b/p/a%20b"


# --- what jobs commit --------------------------------------------------------------------


def test_a_job_s_commits_are_taken_one_by_one(tmp_path: Path) -> None:
    place = str(tmp_path)
    state = tmp_path / "state"
    assert snapshots.newest(place, 1) is None and not snapshots.are_used(place)
    for text in ("one", "two"):
        state.with_name("new").write_text(text)
        state.with_name("new").rename(state)
        commit_state(tmp_path, 1)
    assert [path.name for path in (tmp_path / ".suan/commits").iterdir()] == ["1-2"]
    found = snapshots.newest(place, 1)
    assert found is not None and snapshots.newest(place, 2) is None
    taken = snapshots.take(place, found)
    assert taken is not None and snapshots.take(place, taken) == taken
    assert snapshots.take(place, found) is None, "it was taken"
    assert commit_state(tmp_path, 1) == 3
    assert commit_state(tmp_path, 2) == 1
    names = sorted(path.name for path in (tmp_path / ".suan/commits").iterdir())
    assert names == ["1-2.taken", "2-1"]
    tree = scan(place, taken.below)
    assert [each.path for each in tree.files] == ["state"]
    assert scan(place, "").files[0].path == "state", "what is ours is not the job's state"
    newest = snapshots.newest(place, 2)
    assert newest is not None
    snapshots.drop_before(place, newest)
    assert snapshots.newest(place, 1) is None


def test_a_job_cannot_have_another_s_files_published(tmp_path: Path) -> None:
    (tmp_path / "secret" / "1-1").mkdir(parents=True)
    job = tmp_path / "job"
    (job / ".suan").mkdir(parents=True)
    (job / ".suan" / "commits").symlink_to(tmp_path / "secret")
    assert snapshots.newest(str(job), 1) is None
    (job / "out").symlink_to(tmp_path / "secret")
    assert scan(str(job), "") == scan(str(job), "") and scan(str(job), "").links == ()


def test_whose_state_is_as_new(tmp_path: Path) -> None:
    made = Commit("checkpoint", 2, 1, "", "", 0, 0)
    outputs, place = tmp_path / "outputs", tmp_path / "checkpoint"
    assert not has_as_new(outputs, place, made)
    place.mkdir()
    (outputs / "1").mkdir(parents=True)
    assert not has_as_new(outputs, place, made)
    (outputs / "2").mkdir()
    assert has_as_new(outputs, place, made)
