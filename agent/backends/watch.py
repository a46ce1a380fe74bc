"""Waits for the death of a fence, whether it is our child or was found after a restart.

By pidfd where the kernel has it (Linux 5.3), by looking now and then where it has not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess

from agent.backends.rundir import RunDirectory

POLL_SECONDS = 0.5  # where there is no pidfd


class FenceWatch:
    """One fence: its end, and the way to wake it."""

    def __init__(self, run: RunDirectory, child: subprocess.Popen[bytes] | None) -> None:
        self._run = run
        self._child = child
        self._pidfd = -1

    async def wait_begun(self) -> None:
        """Return once our child has taken the run, which it says by closing its output, or died."""
        if self._child is not None and self._child.stdout is not None:
            with self._child.stdout as output:
                await _wait_readable(output.fileno())

    async def wait_gone(self) -> None:
        """Return once the fence is dead."""
        try:
            while not await self._is_gone():
                await self._wait_change()
        finally:
            self._close()

    def wake(self) -> None:
        """Let the fence look at its `stop` file now; without a pidfd it does so by itself."""
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    async def _is_gone(self) -> bool:
        if self._child is not None:
            if self._child.poll() is None:
                return False
            self._child = None
        return await asyncio.to_thread(self._lock_is_free)

    def _lock_is_free(self) -> bool:
        try:
            with self._run.fence_lock() as free:
                return free
        except FileNotFoundError:
            return True  # never began, and no child of ours that still could

    async def _wait_change(self) -> None:
        if self._pidfd < 0 and not self._open():
            await asyncio.sleep(POLL_SECONDS)
            return
        try:
            await _wait_readable(self._pidfd)
        finally:
            self._close()

    def _open(self) -> bool:
        """A handle of the fence. The lock is looked at after, so the number is its own."""
        pid = self._child.pid if self._child is not None else self._run.fence_pid()
        if not pid:
            return False
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            return False
        if self._child is None and self._lock_is_free():
            self._close()
            return False
        return True

    def _close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


async def _wait_readable(descriptor: int) -> None:
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
