"""A job of nothing through a site's own cluster manager, for preflight: on one free card.

It runs as every job will run: as the agent's user, under the fence. Nothing of it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from agent.backends import Backend, BackendRefused, Exit, NodeShare, RunOrder, Stream, run_name
from agent.checks.check import Check, Status, existing
from agent.clock import lease_now
from agent.inventory import Inventory
from agent.probes.tools import ProbeFailed
from scheduler.model import Slice
from suan.disks import file_system

JOB_SECONDS_MAX = 60.0  # for the test job, in the queue and on its node
WAITING = "a busy site is no fault; run preflight again when a card is free"
_NO_ROUTE = "no route"
_LOOK_AROUND = rf"""
while read -r _ destination _; do
    [ "$destination" = 00000000 ] && exit 0
done < /proc/net/route
echo '{_NO_ROUTE}'
"""  # a node without a default route reaches no internet


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried, and what to say of it."""

    site: str
    place: Path  # which agent and nodes share
    internet: str  # as the operator declares it
    by_hand: str  # how to try the same without us
    needs: str  # what a node must have
    unfinished: Callable[[str], Awaitable[str]]  # what the manager says of a run, by name
    give_up: Callable[[str], Awaitable[None]]  # end it there. Raises ProbeFailed
    seconds_max: float = JOB_SECONDS_MAX
    tenant: str = ""  # whose job it is, where jobs run under accounts


async def try_job(
    trial: Trial, inventory: Inventory, backend_in: Callable[[Path], Backend]
) -> Check:
    """Runs the job; `backend_in` makes a backend in a directory of its own."""
    share = _free_card(inventory)
    if share is None:
        message = "no card is free now, so no test job was run"
        return Check("job", Status.WARN, message, WAITING)
    order = RunOrder(
        name=(name := run_name(f"preflight-{secrets.token_hex(4)}", 1)),
        job_id=name.removeprefix("suan-").rpartition("-")[0],
        epoch=1,
        site=trial.site,
        nodes=(share,),
        cards_per_node=1,
        run=_LOOK_AROUND,
        time_limit_seconds=trial.seconds_max,
        tenant=trial.tenant,
    )
    place = existing(trial.place)
    try:
        with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as own:
            ended, said, took = await _run(trial, order, backend_in(Path(own)))
    except TimeoutError as late:
        message = f"a test job did not end within {trial.seconds_max:g} s; {late}"
        hint = f"if it waited, the site is busy; else see that {trial.needs}"
        return Check("job", Status.WARN, message, hint)
    except (OSError, BackendRefused, ProbeFailed) as error:
        message = f"a test job could not be submitted: {error}"
        return Check("job", Status.FAIL, message, f"try {trial.by_hand} by hand, as this user")
    return _judged(trial, ended, share.name, took, said)


def check_shared(place: Path, key: str) -> Check:
    """Whether the agent may write where the nodes will read; `job` shows that they can."""
    there = existing(place)
    if not os.access(there, os.W_OK | os.X_OK):
        hint = f"give the agent's user the directory, or name another in {key}"
        return Check("shared", Status.FAIL, f"{there} cannot be written", hint)
    return Check("shared", Status.OK, f"{there} ({file_system(there)})")


async def _run(trial: Trial, order: RunOrder, backend: Backend) -> tuple[Exit, str, float]:
    """How it ended, what it said, and after how many seconds.

    Raises TimeoutError, with what the manager says of it.
    """
    await backend.open()
    try:
        began = time.monotonic()
        async with asyncio.timeout(trial.seconds_max):
            await backend.submit(order, lease_now() + trial.seconds_max)
            ended = await anext(aiter(backend.exits()))
        took = time.monotonic() - began
        said = (await backend.read_log(order.name, 0, Stream.STDOUT, 0, 4096)).data
        return ended, said.decode("ascii", "replace"), took
    except TimeoutError:
        raise TimeoutError(await trial.unfinished(order.name)) from None
    finally:
        await backend.close()
        with contextlib.suppress(ProbeFailed):  # it is over
            await trial.give_up(order.name)


def _judged(trial: Trial, ended: Exit, node: str, seconds: float, said: str) -> Check:
    if ended.succeeded:
        message = f"a test job ran on {node} under the fence and ended in {seconds:.1f} s"
        if _NO_ROUTE in said and trial.internet != "none":
            message += "; the node has no way out"
            return Check("job", Status.WARN, message, "say `internet: none`, so that jobs know")
        return Check("job", Status.OK, message)
    message = f"a test job on {node} ended with {ended.reason}: {ended.detail or ended.exit_code}"
    return Check("job", Status.FAIL, message, f"see that {trial.needs}")


def _free_card(inventory: Inventory) -> NodeShare | None:
    for pool in inventory.pools():
        for supernode in pool.supernodes:
            place = inventory.allocate(pool.name, [Slice(supernode.name, 1, 1)])
            if isinstance(place, tuple):
                return place[0]
    return None
