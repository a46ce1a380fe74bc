"""Reading what lies in a job's directories at its site; through broken streams, byte by byte.

Every response says where it lies in the file, so a stream that breaks is asked for again from
exactly there. Knows the messages of `Jobs.ListFiles` and `Jobs.ReadFile`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from suan.errors import Conflict, Unavailable
from suan.transport import Transport
from suan.v1 import jobs_service_pb2 as pb

PASSING = ("SiteAway", "SiteSilent")  # it was there a moment ago


@dataclass(frozen=True, slots=True)
class RunFile:
    """One name in a directory of a run. `version` is the same while it is the same file."""

    path: str  # from its root on, such as "outputs/model.bin"
    kind: str  # "file" | "directory" | "other": a link that leads out, a pipe, a device
    size_bytes: int
    modified_ns: int  # since 1970, by the site's clock
    executable: bool
    version: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class FileChunk:
    """Bytes of a file, in order; `file` as it was when they were read."""

    file: RunFile
    offset: int
    data: bytes


class RunFiles:
    """The files of one attempt (epoch 0: the last one that began, once and for all)."""

    def __init__(self, transport: Transport, stub: Any, job_id: str, epoch: int = 0) -> None:
        self._transport = transport
        self._stub = stub
        self._job_id = job_id
        self._epoch = epoch
        self._answered = False

    async def look(self, path: str) -> RunFile:
        """What `path` names. Raises NotFound (NoSuchFile, FilesForgotten), PermissionDenied."""
        response = await self._list(path, "")
        return _file(response.entry, clean(path))

    async def list(self, path: str) -> AsyncGenerator[RunFile, None]:
        """What is in a directory, by name; "": the roots. Of what is none, itself."""
        directory, after = clean(path), ""
        while True:
            response = await self._list(path, after)
            if response.entry.kind != "directory":
                yield _file(response.entry, directory)
                return
            for entry in response.entries:
                yield _file(entry, f"{directory}/{entry.name}" if directory else entry.name)
            if not response.more or not response.entries:
                return
            after = response.entries[-1].name

    async def read(
        self, path: str, offset: int = 0, end: int = 0
    ) -> AsyncGenerator[FileChunk, None]:
        """A file from `offset` on, up to `end` or, if 0, to where it ends when reading begins.

        The first chunk may be empty. Raises Conflict (FileChanged) when another file takes its
        place, or it becomes shorter, while it is read.
        """
        version, name = "", clean(path)

        async def request() -> pb.ReadFileRequest | None:
            if version and offset >= end:
                return None
            return pb.ReadFileRequest(
                id=self._job_id, path=path, epoch=self._epoch, offset=offset, end=end
            )

        while not version or offset < end:
            read = offset
            async with aclosing(self._responses(request)) as responses:
                async for response in responses:
                    self._epoch = response.epoch
                    found = _file(response.entry, name)
                    end = end or found.size_bytes
                    if version not in ("", found.version) or found.size_bytes < end:
                        raise _changed(path)
                    version = found.version
                    fresh = response.data[max(offset - response.offset, 0) :]
                    yield FileChunk(found, offset, fresh)
                    offset += len(fresh)
            if offset == read and offset < end:  # it says that it has more, and gives nothing
                raise _changed(path)

    async def _responses(self, request: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Any, None]:
        """A stream that, once the site has answered, waits for it to come back."""
        clock = self._transport.backoff.clock
        contact, failures = clock(), 0
        while True:
            stream = self._transport.stream(self._stub.ReadFile, request, patient=False)
            try:
                async with aclosing(stream) as responses:
                    async for response in responses:
                        yield response
                        self._answered, contact, failures = True, clock(), 0
                return
            except Unavailable as error:
                late = clock() - contact >= self._transport.deadline_seconds
                if late or not self._answered or error.code not in PASSING:
                    raise
            failures += 1
            backoff = self._transport.backoff
            await backoff.sleep(backoff.pause_seconds(failures))

    async def _list(self, path: str, after: str) -> Any:
        request = pb.ListFilesRequest(id=self._job_id, path=path, epoch=self._epoch, after=after)
        response = await self._transport.call(self._stub.ListFiles, request)
        self._epoch = response.epoch
        return response


def clean(path: str) -> str:
    """A path without what means nothing: "./outputs//a/" is "outputs/a"."""
    absolute = "/" if path.startswith("/") else ""
    return absolute + "/".join(part for part in path.split("/") if part not in ("", "."))


def _file(entry: Any, path: str) -> RunFile:
    file = RunFile(
        path, entry.kind, entry.size_bytes, entry.modified_ns, entry.executable, entry.version
    )
    usable = entry.name not in (".", "..") and not set("/\0") & set(entry.name)
    return file if usable else replace(file, kind="other")


def _changed(path: str) -> Conflict:
    return Conflict(
        f"{path} was replaced or became shorter while it was read",
        "copy it again once the job has written it",
        "FileChanged",
    )
