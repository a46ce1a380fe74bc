"""The part of the SDK that reaches into a job's run at its site: its files, commands beside it.

A base of `suan.client.Client`, so that one connection serves both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from suan.commands import Command, CommandOutput, ReadInput
from suan.copying import Copied, OnProgress, copy
from suan.files import FileChunk, RunFile, RunFiles
from suan.transport import Transport


def _ignore(_: Copied) -> None:
    """What is done with progress, unless somebody wants to know."""


class RunAccess:
    """Files of runs, and commands beside them."""

    transport: Transport
    _jobs: Any

    async def files(
        self, job_id: str, path: str = "", *, epoch: int = 0
    ) -> AsyncGenerator[RunFile, None]:
        """What is in a directory of the job's run, by name; "": its roots.

        The roots are `outputs`, `checkpoints`, `work` (its directory, unless it chose one of the
        site's), `logs` and, while it runs, `scratch`. `epoch` 0: the last attempt. Raises NotFound
        (NoFiles, NoSuchFile, FilesForgotten), PermissionDenied (PathNotAllowed).
        """
        listed = RunFiles(self.transport, self._jobs, job_id, epoch).list(path)
        async with aclosing(listed) as entries:
            async for entry in entries:
                yield entry

    async def read_file(
        self, job_id: str, path: str, *, offset: int = 0, epoch: int = 0
    ) -> AsyncGenerator[FileChunk, None]:
        """A file of the job's run from `offset` to where it ends now, each byte once.

        Raises what `files` raises, and Conflict (FileChanged).
        """
        read = RunFiles(self.transport, self._jobs, job_id, epoch).read(path, offset)
        async with aclosing(read) as chunks:
            async for chunk in chunks:
                yield chunk

    async def copy(
        self,
        job_id: str,
        path: str,
        place: Path,
        *,
        epoch: int = 0,
        force: bool = False,
        on_progress: OnProgress = _ignore,
    ) -> Copied:
        """Copies a file, or a directory with all below it, to `place`, its new name here.

        A file is there whole or not at all; a copy that broke goes on where it was. Files that
        were copied before are left alone; others in their place raise Conflict (FileExists),
        before anything is copied, unless `force`. Links are copied as the files that they lead
        to within the run, all else is skipped. Raises what `read_file` raises, and CopyFailed.
        """
        files = RunFiles(self.transport, self._jobs, job_id, epoch)
        return await copy(files, path, place, force=force, on_progress=on_progress)

    async def execute(
        self,
        job_id: str,
        argv: Sequence[str],
        *,
        rank: int = 0,
        timeout_seconds: float = 0.0,
        read_input: ReadInput | None = None,
    ) -> AsyncGenerator[CommandOutput, None]:
        """Runs a command beside a rank of a running job, with its environment and directory.

        Yields what it writes, each byte once though streams break, and last its exit code by POSIX
        rules (124: its time was over). It ends with the job, with whoever reads this, and after
        `timeout_seconds` (0.0: an hour). `read_input` blocks until it has some of the command's
        input, and gives b"" at its end; None: the command's input is empty. Raises
        PermissionDenied (ExecDenied, NotYourJob), Conflict (NotRunning, RunEnded), Unsupported.
        """
        command = Command(
            self.transport, self._jobs, job_id, argv, rank, timeout_seconds, read_input
        )
        async with aclosing(command.run()) as outputs:
            async for output in outputs:
                yield output
