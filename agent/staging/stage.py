"""Makes a job's inputs readable under its data directory, before it is submitted.

The order of work: understand all inputs, then link what lies here, then download several at a
time. Nothing is half there: each name in the directory is complete from the moment it appears.
What a job will read later may be brought into the cache ahead of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from agent.staging.cache import Cache
from agent.staging.interrupt import Interrupt
from agent.staging.manifest import Manifest, ManifestUnreadable
from agent.staging.paths import copy_checked, copy_path, link_path
from agent.staging.pulls import Pulls
from agent.staging.refusals import StagingRefused, disk_refusal
from agent.staging.sources import located, plan
from agent.staging.tally import Tally
from agent.staging.together import together
from agent.staging.trees import base_of, bring_files, make_links, read_manifest
from agent.staging.values import Limits, ManifestSource, PathSource, Progress, UrlSource
from suan.models import Input

FILE_SECONDS = 30.0  # for one step on a file system that may be a network's
FILE_THREADS = 4
BUILDING = ".suan-new"  # in a data directory: directories that are not whole yet

T = TypeVar("T")


def _unheard(done: int, total: int) -> None:
    """Progress that nobody is told of."""


class Staging:
    """Stages the inputs of one site's runs; belongs to one event loop.

    A native job finds input `ds://[<tenant>/]<name>[@version]` at `$SUAN_DATA_DIR/<name>`, and
    a plain URL under its last path segment. All of it is for reading: a dataset of the site
    appears as a symbolic link to the one copy that everybody uses, a download as a read-only
    file that other jobs share, and what a manifest lists as a directory of such files.
    """

    def __init__(
        self,
        cache_directory: Path,
        roots: Sequence[Path],
        limits: Limits,
        stores: Sequence[Path] = (),
    ) -> None:
        """`roots`: directories from which data of this site may be linked; `stores`: those from
        which `fetch` may copy too. Data directories must lie on the disk of `cache_directory`."""
        self._stores = (*stores, *roots)
        self._directory = cache_directory
        self._roots = tuple(roots)
        self._cache = Cache(cache_directory, limits.cache_bytes_max, limits.free_bytes_min)
        self._pulls = Pulls(self._cache, limits, self._stores)
        self._downloads_per_job_max = limits.downloads_per_job_max
        self.bytes_max = limits.cache_bytes_max
        # Of its own: a file system that hangs takes no thread from the rest of the agent.
        self._threads = ThreadPoolExecutor(FILE_THREADS, "staging")
        self._copies = ThreadPoolExecutor(FILE_THREADS, "copies")

    async def stage(
        self,
        inputs: Sequence[Input],
        locations: Mapping[str, str],
        directory: Path,
        progress: Progress = _unheard,
    ) -> None:
        """Make all inputs readable in `directory`; `locations`: dataset -> path or URL.

        Called again after a crash it finishes what is missing. Raises StagingRefused, after
        which `release` clears what was made. When it is cancelled, downloads that no other
        job waits for end; what they brought is kept for the next try.
        """
        sources = plan(inputs, locations)
        with _disk():
            await self._on_files(directory, lambda: _make(directory, self._directory))
            for source in sources:
                if isinstance(source, PathSource):
                    await self._link(source, directory)
            tally = Tally(progress)
            left = iter([each for each in sources if not isinstance(each, PathSource)])

            async def bring_some() -> None:
                for source in left:
                    await self._bring(source, directory, tally.part(source.name))

            await together(bring_some() for _ in range(self._downloads_per_job_max))

    async def bring(self, location: str, bytes_per_second: float) -> None:
        """Fill the cache with what a job will read from `location`; 0: no rate is set.

        A path of this site needs nothing, and what a manifest lists is not brought. Gives way to
        jobs in all things. Raises StagingRefused; when it is cancelled, what it brought is kept.
        """
        source = located("data", location)
        if not isinstance(source, UrlSource):
            return
        with _disk(), self._cache.hold(source.key):
            await self._on_files(self._directory, lambda: _make(self._directory))
            await self._pulls.pull(source, _unheard, bytes_per_second)

    async def fetch(
        self,
        location: str,
        sha256: str,
        place: Path,
        progress: Progress = _unheard,
    ) -> None:
        """Make `place` a file of the caller's own, with what is read from `location`.

        Raises StagingRefused; when it is cancelled, what a download brought is kept.
        """
        source = located("checkpoint", location)
        assert not isinstance(source, ManifestSource)
        end = Interrupt()
        with _disk():
            await self._on_files(self._directory, lambda: _make(self._directory))
            if isinstance(source, PathSource):
                await self._copy(lambda: copy_path(source, self._stores, place, sha256, end), end)
                return
            checked = replace(source, sha256=sha256)
            with self._cache.hold(checked.key):
                await self._pulls.pull(checked, progress)
                data = self._cache.open_entry(checked.key).data
                await self._copy(lambda: copy_checked(data, place, sha256, end), end)

    def ease(self, location: str, bytes_per_second: float) -> None:
        """Another rate for what `bring` brings. Raises StagingRefused for no location."""
        source = located("data", location)
        if isinstance(source, UrlSource):
            self._pulls.ease(source, bytes_per_second)

    def key_of(self, location: str) -> str:
        """Under which key the cache keeps, or would keep, what is read there."""
        with contextlib.suppress(StagingRefused):
            source = located("data", location)
            if isinstance(source, UrlSource):
                return source.key
        return UrlSource("data", location.partition("#")[0]).key

    async def cached(self, count_max: int) -> tuple[str, ...]:
        """Keys of the files that the cache holds, those that were used last first.

        Raises StagingRefused("Unavailable" or "DataUnreachable").
        """
        with _disk():
            return await self._on_files(self._directory, lambda: self._cache.listed(count_max))

    @property
    def changes(self) -> int:
        """Rises whenever `cached` may have another answer."""
        return self._pulls.ended + self._cache.dropped

    async def release(self, directory: Path) -> None:
        """Remove a run's data directory; what only it used may then be dropped from the cache.

        The data itself is never touched. An unknown directory is no error. Raises
        StagingRefused("Unavailable" or "DataUnreachable").
        """
        with _disk():
            await self._on_files(directory, lambda: _remove(directory))

    async def close(self) -> None:
        """End all downloads. What is staged stays."""
        await self._pulls.close()
        self._threads.shutdown(wait=False)
        self._copies.shutdown(wait=False)

    async def _link(self, source: PathSource, directory: Path) -> None:
        where = Path(source.path)
        await self._on_files(where, lambda: link_path(source, self._roots, directory))

    async def _bring(
        self, source: UrlSource | ManifestSource, directory: Path, progress: Progress
    ) -> None:
        place = directory / source.name
        if isinstance(source, UrlSource):
            await self._fetch(source, place, progress)
        elif not await self._on_files(place, lambda: _is_built(place)):
            await self._bring_tree(source, place, progress)

    async def _bring_tree(self, source: ManifestSource, place: Path, progress: Progress) -> None:
        """A directory of links to files of the cache; after a crash the rest of them."""
        building = place.parent / BUILDING / place.name / source.sha256
        listing = building.with_suffix(".json")
        await self._on_files(building, lambda: _make(building))
        await self._fetch_file(source.url, source.sha256, listing, _unheard)
        try:
            manifest = await read_manifest(listing)
            base = base_of(manifest, source.url)
        except ManifestUnreadable as error:
            message = f"the manifest at {source.url.partition('?')[0]} cannot be used: {error}"
            hint = "see what lies there, and who can write to it"
            raise StagingRefused("DataCorrupt", message, hint) from error
        await bring_files(manifest, base, building, self._fetch_file, progress)
        await self._on_files(place, lambda: _put_in_place(manifest, building, listing, place))

    async def _fetch_file(self, url: str, sha256: str, place: Path, progress: Progress) -> None:
        await self._fetch(UrlSource(place.name, url, sha256), place, progress)

    async def _fetch(self, source: UrlSource, place: Path, progress: Progress) -> None:
        if await self._on_files(place, lambda: _is_staged(place, self._directory)):
            return
        with self._cache.hold(source.key):
            await self._pulls.pull(source, progress)
            await self._on_files(place, lambda: self._cache.link(source.key, place))

    async def _copy(self, work: Callable[[], None], end: Interrupt) -> None:
        """`work` in a thread, however long it takes; ended through `end`."""
        step = asyncio.get_running_loop().run_in_executor(self._copies, work)
        try:
            await asyncio.wait({step})
        except asyncio.CancelledError:
            end.set("nobody waits for it any more")
            await asyncio.wait({step})
            raise
        step.result()

    async def _on_files(self, path: Path, work: Callable[[], T]) -> T:
        """`work` in a thread. When this is cancelled, what began is first brought to its end."""
        step = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            await asyncio.wait({step}, timeout=FILE_SECONDS)
        except asyncio.CancelledError:
            await asyncio.wait({step}, timeout=FILE_SECONDS)
            raise
        if not step.done():
            message = f"{path} has not answered for {FILE_SECONDS:g} s"
            raise StagingRefused("DataUnreachable", message, "check the site's file system")
        return step.result()


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_refusal(error) from error


def _make(*directories: Path) -> None:
    for directory in directories:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _is_staged(place: Path, cache_directory: Path) -> bool:
    """Whether a download is there already, from before a crash."""
    if place.parent.stat().st_dev != cache_directory.stat().st_dev:
        raise OSError(errno.EXDEV, "not on the disk of the cache", str(place.parent))
    return place.is_file() and not place.is_symlink()


def _is_built(place: Path) -> bool:
    """Whether a directory is there already, from before a crash."""
    return place.is_dir() and not place.is_symlink()


def _put_in_place(manifest: Manifest, building: Path, listing: Path, place: Path) -> None:
    make_links(manifest, building)
    place.unlink(missing_ok=True)  # a link of another wish
    building.rename(place)
    listing.unlink()
    building.parent.rmdir()
    with contextlib.suppress(OSError):  # others are being built
        building.parent.parent.rmdir()


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
