"""Small jobs, and what must be true of each when it has ended, whatever kind of site ran it.

A job is a function: its decorator says what runs, its body what must be true. `run_all` runs
all of them on one site at once. They know the contract of backends and POSIX, no more.
"""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zlib import crc32

from agent.backends import Backend, Exit, RunOrder, Stream
from tests.conformance.kinds import Site
from tests.conformance.runs import lease, opened, order, read_all, seat

LIVE_MAX = 8  # jobs at a time: a run of Ray takes seconds of processor time to begin
BATCH_SECONDS_MAX = 600.0  # for all jobs of one site together


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, and all that it put out, by rank."""

    site: Site
    order: RunOrder
    exit: Exit
    out: tuple[bytes, ...]
    err: tuple[bytes, ...]

    def lines(self, rank: int = 0) -> list[str]:
        return self.out[rank].decode().splitlines()

    def variables(self, rank: int = 0) -> dict[str, str]:
        """Of a job that ended with `env -0`."""
        pairs = self.out[rank].decode().rstrip("\0").split("\0")
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def seat(self) -> Path:
        return Path(self.order.output_directory)


Check = Callable[[Ended], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What runs, and what must be true of it."""

    run: str
    check: Check
    nodes: int = 1
    ranks: int = 1
    lease_seconds: float = 600.0
    always: bool = False  # also in the default suite, where each job is dear
    bundle: Mapping[str, str] = field(default_factory=dict)  # text by path
    fields: Mapping[str, Any] = field(default_factory=dict)  # of RunOrder


_JOBS: dict[str, Job] = {}
JOBS: Mapping[str, Job] = MappingProxyType(_JOBS)


def job(
    run: str,
    nodes: int = 1,
    ranks: int = 0,
    lease_seconds: float = 600.0,
    always: bool = False,
    bundle: Mapping[str, str] = MappingProxyType({}),
    **fields: Any,
) -> Callable[[Check], Check]:
    """A small job; its name is that of the function that looks at its end."""

    def add(check: Check) -> Check:
        _JOBS[check.__name__] = Job(
            run, check, nodes, ranks or nodes, lease_seconds, always, bundle, fields
        )
        return check

    return add


async def run_all(site: Site, state: Path, names: Collection[str]) -> dict[str, Ended]:
    """Run these jobs on a site, many at once; those that never end are left out."""
    orders = {name: _order(site, state, name, JOBS[name]) for name in names}
    exits: dict[str, Exit] = {}
    places = asyncio.Semaphore(LIVE_MAX)
    async with opened(site.backend(state)) as backend:

        async def submit() -> None:
            for name, wish in orders.items():
                await places.acquire()
                await backend.submit(wish, lease(JOBS[name].lease_seconds))

        async def watch() -> None:
            async for ended in backend.exits():
                exits[ended.name] = ended
                places.release()
                if len(exits) == len(orders):
                    break

        try:
            async with asyncio.timeout(BATCH_SECONDS_MAX):
                await asyncio.gather(submit(), watch())
        except TimeoutError:
            pass  # each job that is missing fails by itself
        return {
            name: await _ended(site, backend, wish, exits[wish.name], JOBS[name].ranks)
            for name, wish in orders.items()
            if wish.name in exits
        }


def _order(site: Site, state: Path, name: str, job: Job) -> RunOrder:
    place = seat(state) / name
    place.mkdir(parents=True)
    number = len(name) % len(site.nodes)  # jobs of one node are spread over all
    fields = {
        "job_id": f"{name}-{crc32(os.fsencode(state)):08x}",
        "nodes": site.nodes if job.nodes > 1 else (site.nodes[number],),
        "output_directory": str(place),
        **job.fields,
    }
    wish = order(site, state, job.run, **fields)
    if job.bundle:
        path = place / "bundle.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for member, text in job.bundle.items():
                info = tarfile.TarInfo(member)
                info.mode, info.size = 0o755, len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        wish = replace(wish, bundle_path=str(path))
    return wish


async def _ended(site: Site, backend: Backend, wish: RunOrder, ended: Exit, count: int) -> Ended:
    ranks = range(count)
    out = [await read_all(backend, wish.name, rank) for rank in ranks]
    err = [await read_all(backend, wish.name, rank, Stream.STDERR) for rank in ranks]
    return Ended(site, wish, ended, tuple(out), tuple(err))
