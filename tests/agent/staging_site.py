"""A site that stages from the tests' own server, with limits that suit a test."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from processes import until

from agent.staging import Limits, Staging, StagingRefused
from agent.staging.values import Progress
from suan.models import Input

MIB = 1024 * 1024
BODY = random.Random(7).randbytes(MIB)
HALF = MIB // 2
LIMITS = {
    "private_hosts": frozenset({"127.0.0.1"}),
    "retry_seconds": 0.001,
    "free_bytes_min": 0,
    "tries_max": 3,
    "redirects_max": 3,
}


def quiet(done: int, total: int) -> None:
    """A progress that nobody reads."""


class Site:
    """A site's staging, and one data directory for each job."""

    def __init__(self, base: Path, **limits: object) -> None:
        self.base = base
        self.staging = Staging(base / "cache", (), Limits(**{**LIMITS, **limits}))  # type: ignore[arg-type]

    def directory(self, job: str) -> Path:
        return self.base / "inputs" / job

    async def stage(self, job: str, *urls: str, progress: Progress = quiet) -> Path:
        """Where the last of `urls` lies."""
        sources = tuple(Input(f"/d/{index}", url) for index, url in enumerate(urls))
        await self.staging.stage(sources, {}, self.directory(job), progress)
        return self.directory(job) / urls[-1].partition("#")[0].rpartition("/")[2]

    async def read(self, job: str, url: str) -> bytes:
        return (await self.stage(job, url)).read_bytes()

    async def refused(self, url: str, job: str = "job") -> StagingRefused:
        with pytest.raises(StagingRefused) as caught:
            await self.stage(job, url)
        assert caught.value.hint
        assert list(self.directory(job).iterdir()) == []
        return caught.value

    def cached(self) -> list[str]:
        """Names of the files that are whole."""
        return sorted(path.parent.name for path in (self.base / "cache").glob("*/data"))


@contextlib.asynccontextmanager
async def site_in(base: Path, **limits: object) -> AsyncIterator[Site]:
    site = Site(base, **limits)
    try:
        yield site
    finally:
        await site.staging.close()


async def wait(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition)
