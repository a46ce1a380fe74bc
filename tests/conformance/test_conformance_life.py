# ruff: noqa: ASYNC110, ASYNC240
"""The lives of runs on every kind of site: started once, found again, stopped with proof."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.backends import BackendRefused, Phase, Reason, RunState, Stream
from agent.clock import boottime_ns
from tests.agent.processes import alive, until
from tests.conformance.dying import READY, RUN
from tests.conformance.kinds import KINDS, Site
from tests.conformance.runs import (
    LOOK_SECONDS,
    lease,
    next_exit,
    opened,
    order,
    reached,
    read_all,
    seat,
    written,
)

ROOT = Path(__file__).parents[2]
LOOP = "while :; do sleep 0.05; done"
STUBBORN = f"trap '' TERM; echo $$ > \"$SUAN_OUTPUT_DIR/pid\"; {LOOP}"
DAEMON = (
    'setsid sh -c \'trap "" TERM; echo $$ > "$SUAN_OUTPUT_DIR/daemon";'
    " while :; do sleep 0.05; done' & "
)


# --- one name, one run ------------------------------------------------------------------


async def test_a_name_is_one_run_until_it_is_forgotten(site: Site, state: Path) -> None:
    async with opened(site.backend(state)) as backend:
        count = '"$SUAN_CHECKPOINT_DIR/count"'
        run = f'echo x >> {count}; cat {count}; echo "$SUAN_OUTPUT_DIR"'
        wish = order(site, state, run, output_directory="")
        assert await backend.find(wish.name) is None
        assert await backend.list() == ()
        await asyncio.gather(*(backend.submit(wish, lease()) for _ in range(3)))
        ended = await next_exit(backend)
        assert (ended.name, ended.exit_code, ended.reason) == (wish.name, 0, Reason.EXITED)
        await backend.submit(wish, lease())
        assert await backend.find(wish.name) == RunState(wish.name, Phase.EXITED, ended)
        counted, output = (await read_all(backend, wish.name)).decode().splitlines()
        assert counted == "x"
        # Nothing else is under way: a second run's end would be there before this one's.
        await backend.submit(order(site, state, "exit 5", epoch=2), lease())
        assert (await next_exit(backend)).exit_code == 5
        await backend.forget(wish.name)
        await backend.forget(wish.name)
        assert await backend.list() == (f"{wish.name[:-1]}2",)
        assert await backend.find(wish.name) is None
        with pytest.raises(KeyError):
            await backend.read_log(wish.name, 0, Stream.STDOUT, 0, 10)
        assert Path(output).is_dir(), "what it put out stays"


async def test_what_is_unknown_is_left_alone(site: Site, state: Path) -> None:
    async with opened(site.backend(state)) as backend:
        for name in ("suan-x-1", "../../etc", "suan-../../x-1"):
            await backend.stop(name, "Cancelled")
            await backend.renew(name, lease())
            await backend.forget(name)
            assert await backend.find(name) is None
            with pytest.raises(KeyError):
                await backend.read_log(name, 0, Stream.STDOUT, 0, 10)
            with pytest.raises(KeyError):
                await backend.log_offset(name, 0, Stream.STDOUT, 0.0)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "suan-other-1"}, "BadName"),
        ({"nodes": ()}, "BadShape"),
        ({"working_directory": "/no/such/place"}, "BadDirectory"),
        ({"working_directory": "../.."}, "BadDirectory"),
        ({"working_directory": "absent"}, "BadDirectory"),
        ({"bundle_path": "/no/such/bundle.tar.gz"}, "Unavailable"),
    ],
)
async def test_of_what_is_refused_nothing_is_there(
    site: Site, state: Path, fields: dict[str, Any], code: str
) -> None:
    async with opened(site.backend(state)) as backend:
        wish = replace(order(site, state, "true"), **fields)
        with pytest.raises(BackendRefused) as refused:
            await backend.submit(wish, lease())
        assert refused.value.code == code
        assert await backend.list() == ()
        assert await backend.find(wish.name) is None


async def test_checkpoints_stay_for_the_next_attempt(site: Site, state: Path) -> None:
    script = 'echo $SUAN_ATTEMPT >> "$SUAN_CHECKPOINT_DIR/steps"; cat "$SUAN_CHECKPOINT_DIR/steps"'
    async with opened(site.backend(state)) as backend:
        first = order(site, state, f"{script}; exit 1")
        await backend.submit(first, lease())
        await next_exit(backend)
        await backend.forget(first.name)
        second = order(site, state, f'{script}; echo "$SUAN_CHECKPOINT_DIR"', epoch=2)
        await backend.submit(second, lease())
        assert (await next_exit(backend)).succeeded
        *steps, place = (await read_all(backend, second.name)).decode().splitlines()
        assert steps == ["1", "2"]
        assert Path(place).is_dir()
        await backend.forget(second.name)
        assert not Path(place).exists(), "a job that succeeded needs none again"


# --- at work ----------------------------------------------------------------------------


async def test_output_is_read_while_it_runs(site: Site, state: Path) -> None:
    async with opened(site.backend(state)) as backend:
        gate = 'until [ -e "$SUAN_OUTPUT_DIR/go" ]; do sleep 0.02; done'
        wish = order(site, state, f"echo first; {gate}; echo second")
        await backend.submit(wish, lease())
        while not (part := await backend.read_log(wish.name, 0, Stream.STDOUT, 0, 1000)).data:
            await asyncio.sleep(LOOK_SECONDS)
        assert (part.data, part.at_end) == (b"first\n", False)
        assert (await backend.read_log(wish.name, 0, Stream.STDOUT, 2, 3)).data == b"rst"
        since = time.time()
        (seat(state) / "go").touch()
        assert (await next_exit(backend)).succeeded
        offset = await backend.log_offset(wish.name, 0, Stream.STDOUT, since)
        assert offset in (0, len("first\n"))
        assert (await read_all(backend, wish.name, offset=offset)).endswith(b"second\n")
        with pytest.raises(KeyError):
            await backend.read_log(wish.name, 1, Stream.STDOUT, 0, 10)


async def test_a_run_that_is_stopped_may_save(site: Site, state: Path) -> None:
    async with opened(site.backend(state)) as backend:
        wish = order(
            site, state, f'trap "echo saved; exit 0" TERM; echo > "$SUAN_OUTPUT_DIR/up"; {LOOP}'
        )
        await backend.submit(wish, lease())
        await reached(backend, wish.name)
        await written(seat(state) / "up")
        assert await backend.find(wish.name) == RunState(wish.name, Phase.RUNNING)
        with pytest.raises(ValueError, match="not ended"):
            await backend.forget(wish.name)
        await backend.stop(wish.name, "Cancelled")
        ended = await next_exit(backend)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "Cancelled")
        assert not ended.succeeded
        assert await read_all(backend, wish.name) == b"saved\n"
        await backend.stop(wish.name, "Again")
        await backend.renew(wish.name, lease())
        found = await backend.find(wish.name)
        assert found is not None
        assert found.exit == ended


@pytest.mark.always
async def test_a_stop_is_proof_that_all_is_dead(site: Site, state: Path) -> None:
    async with opened(site.backend(state)) as backend:
        wish = order(site, state, DAEMON + STUBBORN, grace_seconds=0.3)
        await backend.submit(wish, lease())
        pids = [int(await written(seat(state) / name)) for name in ("daemon", "pid")]
        assert all(map(alive, pids))
        await backend.stop(wish.name, "Cancelled")
        ended = await next_exit(backend)
        assert not any(map(alive, pids))
    assert (ended.reason, ended.exit_code, ended.signal) == (Reason.STOPPED, 137, 9)


async def test_it_lives_as_long_as_its_lease(kind: str, site: Site, state: Path) -> None:
    """Of two runs one is renewed, in time for any node that asks now and then."""
    seconds = KINDS[kind].lease_seconds
    async with opened(site.backend(state)) as backend:
        kept = order(site, state, STUBBORN, grace_seconds=0.3)
        left = order(site, state, LOOP, epoch=2, grace_seconds=0.3)
        first_end_ns = boottime_ns() + int(seconds * 1e9)
        await backend.submit(kept, lease(seconds))
        await backend.submit(left, lease(seconds / 2))
        pid = int(await written(seat(state) / "pid"))
        await backend.renew(kept.name, lease())
        ended = await next_exit(backend)
        assert (ended.name, ended.reason) == (left.name, Reason.LEASE_ENDED)
        while boottime_ns() < first_end_ns + 0.5e9:
            await asyncio.sleep(LOOK_SECONDS)
        assert alive(pid)
        await backend.stop(kept.name, "Cancelled")
        assert (await next_exit(backend)).reason is Reason.STOPPED


# --- the agent dies ---------------------------------------------------------------------


def killed_agent(kind: str, site: Site, state: Path, phase: str) -> None:
    """An agent that was killed in a phase of its only run."""
    command = [sys.executable, "-m", "tests.conformance.dying", kind, site.handle, state, phase]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        if phase == "running":
            assert agent.stdout.readline() == READY
            agent.kill()
        assert agent.wait() == -signal.SIGKILL


def times_run(state: Path) -> int:
    pids = seat(state) / "pids"
    return len(pids.read_text().splitlines()) if pids.exists() else 0


@pytest.mark.parametrize("phase", ["before", pytest.param("after", marks=pytest.mark.always)])
async def test_killed_as_it_submits(kind: str, site: Site, state: Path, phase: str) -> None:
    await asyncio.to_thread(killed_agent, kind, site, state, phase)
    (seat(state) / "go").touch()
    async with opened(site.backend(state)) as backend:
        await backend.submit(order(site, state, RUN), lease())
        ended = await next_exit(backend)
        found = await backend.find(ended.name)
    assert found is not None
    assert found.phase is Phase.EXITED
    if ended.reason is Reason.EXITED:
        assert (ended.exit_code, times_run(state)) == (6, 1)
    else:  # it was on its way, and will never begin
        assert (phase, ended.reason, ended.started_at) == ("before", Reason.LAUNCH_FAILED, 0.0)
        assert times_run(state) == 0


@pytest.mark.always
async def test_killed_while_it_runs(kind: str, site: Site, state: Path) -> None:
    await asyncio.to_thread(killed_agent, kind, site, state, "running")
    async with opened(site.backend(state)) as backend:
        (name,) = await backend.list()
        await backend.submit(order(site, state, RUN), lease())  # known already: nothing happens
        await backend.renew(name, lease())
        (seat(state) / "go").touch()
        ended = await next_exit(backend)
        assert (ended.name, ended.exit_code, ended.reason) == (name, 6, Reason.EXITED)
        assert await read_all(backend, name) == b"running\ndone\n"
    assert times_run(state) == 1


async def test_killed_and_away_when_it_ends(kind: str, site: Site, state: Path) -> None:
    await asyncio.to_thread(killed_agent, kind, site, state, "running")
    (pid,) = map(int, (seat(state) / "pids").read_text().split())
    (seat(state) / "go").touch()
    await asyncio.to_thread(until, lambda: not alive(pid), "it to end")
    for _ in range(2):  # and again after another restart, until it is forgotten
        async with opened(site.backend(state)) as backend:
            assert (await next_exit(backend)).exit_code == 6
    assert times_run(state) == 1


async def test_a_run_of_before_is_stopped(kind: str, site: Site, state: Path) -> None:
    await asyncio.to_thread(killed_agent, kind, site, state, "running")
    async with opened(site.backend(state)) as backend:
        (name,) = await backend.list()
        await backend.stop(name, "Cancelled")
        ended = await next_exit(backend)
    assert (ended.reason, ended.detail) == (Reason.STOPPED, "Cancelled")
    assert not alive(int((seat(state) / "pids").read_text()))
