"""Says how a run ended once its fence is gone, and makes sure first that it has.

A fence leaves a record. Where it could not, because it was killed, never began or went down
with the machine, the record is written here, after everything of the run is dead.
"""

from __future__ import annotations

import asyncio
import contextlib

from agent.backends import Exit, Reason
from agent.backends.cgroup import kill_cgroup
from agent.backends.leftovers import kill_leftovers
from agent.backends.rundir import RunDirectory
from agent.clock import boot_id

LEFTOVER_POLL_SECONDS = 0.05
_DETAIL_CHARACTERS = 300


async def conclude(run: RunDirectory) -> Exit | None:
    """How a run ended whose fence is gone; None when a fence turns out to live after all.

    Raises OSError when the record cannot be written (disk full): ask again.
    """
    ended = run.exit()
    if ended is not None:
        return ended
    if run.take_started():
        if wish := run.wish_to_stop():
            return run.write_exit(Reason.STOPPED, wish)
        return run.write_exit(Reason.LAUNCH_FAILED, _never_began(run))
    with run.fence_lock() as fence_is_dead:
        if not fence_is_dead:
            return None
        if ended := run.exit():
            return ended
        if run.boot_id() != boot_id():
            return run.write_exit(Reason.MACHINE_REBOOTED, "the machine restarted meanwhile")
        with contextlib.suppress(OSError, ValueError):
            kill_cgroup(run.order().get("cgroup", ""))
        while await asyncio.to_thread(kill_leftovers, run.hostfile):  # noqa: ASYNC110
            await asyncio.sleep(LEFTOVER_POLL_SECONDS)
        return run.write_exit(Reason.UNKNOWN, "its fence was killed", exit_code=137, signal=9)


def _never_began(run: RunDirectory) -> str:
    said = run.fence_log.read_text("utf-8", "replace").strip() if run.fence_log.exists() else ""
    return said[-_DETAIL_CHARACTERS:] or "the agent died before the fence began"
