# ruff: noqa: ASYNC110, ASYNC240
"""What Slurm costs through the agent's backend, beside bare `sbatch` in the same run.

    python -m bench.backends [--jobs 500] [--starts 20] [--nodes 5000] [start burst idle inventory]

A real Slurm on loopback (`bench.slurm_site`); both sides ask for the same cards and CPUs and run
a script that does nothing. `start`: from the submission to the script's first line, one after
the other, turn by turn. `burst`: all at once, until the last has ended. `idle`: CPU of agent and
Slurm's commands while nothing happens. `inventory`: a whole site parsed and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from agent.backends import NodeShare, RunOrder
from agent.backends.poll import POLL_SECONDS
from agent.clock import lease_now
from agent.inventory import Inventory, changes
from agent.slurm import from_text
from agent.slurm.backend import SlurmBackend
from agent.slurm.capacity import discover
from agent.slurm.from_text import SlurmFrame, SlurmView
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from agent.slurm.survey import SlurmSurvey, names_from
from agent.slurm.usage import conditions, releases
from bench.slurm_site import ASCEND, HYGON, SlurmSite, missing_tools, running_slurm
from suan import catalogue

LEASE_SECONDS = 3600.0
SUBMITS_AT_ONCE = 4  # of bare sbatch; the backend does as many
END_SECONDS_MAX = 600.0
IDLE_SECONDS = 30.0
POLLS = 10  # of which the cost of one is told
NAME_OF = names_from(catalogue.load(), {})


@asynccontextmanager
async def backend(site: SlurmSite, folder: Path) -> AsyncIterator[SlurmBackend]:
    """The backend as an agent has it: with a survey, which shares the poll."""
    poll = SlurmPoll(Slurm(site.environment), POLL_SECONDS)
    survey = SlurmSurvey("bench", poll, NAME_OF)
    await survey.look(nobody)
    made = SlurmBackend(folder, os.environ, {}, survey.settings, poll)
    await made.open()
    surveying = asyncio.create_task(survey.run(nobody, lambda event: None))
    try:
        yield made
    finally:
        surveying.cancel()
        await made.close()


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


def order(number: int, run: str) -> RunOrder:
    node = ASCEND.names[number % ASCEND.count]
    share = NodeShare(node, "127.0.0.1", (0,))
    return RunOrder(f"suan-{number}-1", str(number), 1, "bench", (share,), 1, run, kind="npu")


async def bare_sbatch(way: Slurm, number: int, run: str) -> str:
    """The same job without us."""
    node = ASCEND.names[number % ASCEND.count]
    asked = ("--gres=npu:910b:1", "--cpus-per-task=2", "--mem=500M", "--time=60")
    return await way.call(
        "sbatch", "--parsable", f"--partition={ASCEND.partition}", f"--nodelist={node}",
        "--output=/dev/null", "--job-name=bare", *asked, text=f"#!/bin/sh\n{run}\n".encode(),
    )  # fmt: skip


# --- start ------------------------------------------------------------------------


async def starts(site: SlurmSite, folder: Path, count: int) -> None:
    way = Slurm(site.environment)
    bare: list[float] = []
    ours: list[float] = []
    phase = random.Random(1)
    async with backend(site, folder / "runs") as made:
        for number in range(count):
            marks = folder / f"bare-{number}", folder / f"ours-{number}"
            await settled(way, phase)
            bare.append(await first_line(marks[0], partial(bare_sbatch, way, number)))
            await settled(way, phase)
            ours.append(await first_line(marks[1], partial(submit, made, number)))
            await anext(made.exits())
    for name, seconds in (("bare sbatch", bare), ("through us", ours)):
        middle, most = statistics.median(seconds), max(seconds)
        print(f"start      {name:12} median {middle:6.2f} s, at most {most:6.2f} s")
    print(
        f"start      overhead     median {statistics.median(ours) - statistics.median(bare):6.2f} s"
    )


async def submit(made: SlurmBackend, number: int, run: str) -> None:
    await made.submit(order(number, run), lease_now() + LEASE_SECONDS)


async def first_line(mark: Path, submit: Callable[[str], Awaitable[object]]) -> float:
    """Seconds from the submission until the job's script has begun."""
    began = time.time()
    await submit(f"date +%s.%N > '{mark}.new'; mv '{mark}.new' '{mark}'")
    end = time.monotonic() + END_SECONDS_MAX
    while not mark.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{mark.name} does not start")
        await asyncio.sleep(0.02)
    return float(mark.read_text()) - began


async def settled(way: Slurm, phase: random.Random) -> None:
    """Nothing runs, and it is any moment of Slurm's cycle: it looks at its queue once a second."""
    await empty(way)
    await asyncio.sleep(phase.random())


async def empty(way: Slurm, *which: str) -> None:
    """Until Slurm has none of these jobs."""
    async with asyncio.timeout(END_SECONDS_MAX):
        while (await way.call("squeue", "-h", "-t", "PD,R,CG", *which)).strip():
            await asyncio.sleep(0.2)


# --- burst ------------------------------------------------------------------------


async def burst(site: SlurmSite, folder: Path, count: int) -> None:
    """Ours first, so that what the machine warms up helps the rival."""
    ours = await our_burst(site, folder / "burst", count)
    bare = await bare_burst(site, count)
    for name, (accepted, over) in (("bare sbatch", bare), ("through us", ours)):
        print(
            f"burst      {name:12} {count} jobs: submitted in {accepted:.1f} s"
            f" ({count / accepted:.1f}/s), over in {over:.1f} s ({count / over:.1f}/s)"
        )
    print(
        f"burst      ours over bare: {ours[0] / bare[0]:.2f} to submit, {ours[1] / bare[1]:.2f} to"
        " the end; nodes, controller and agent share this machine's cores"
    )


async def our_burst(site: SlurmSite, folder: Path, count: int) -> tuple[float, float]:
    """Seconds until Slurm has them all, and until all are over."""
    async with backend(site, folder) as made:
        began = time.monotonic()
        submits = [asyncio.create_task(submit(made, n, "true")) for n in range(count)]
        ending = asyncio.create_task(all_end(made, count))
        await asyncio.gather(*submits)
        accepted = time.monotonic() - began
        await asyncio.wait_for(ending, END_SECONDS_MAX)
        return accepted, time.monotonic() - began


async def all_end(made: SlurmBackend, count: int) -> None:
    async for each in made.exits():
        assert each.succeeded, each
        count -= 1
        if not count:
            return


async def bare_burst(site: SlurmSite, count: int) -> tuple[float, float]:
    way, slots = Slurm(site.environment), asyncio.Semaphore(SUBMITS_AT_ONCE)

    async def in_turn(number: int) -> None:
        async with slots:
            await bare_sbatch(way, number, "true")

    began = time.monotonic()
    await asyncio.gather(*map(in_turn, range(count)))
    accepted = time.monotonic() - began
    await empty(way, "--name=bare")
    return accepted, time.monotonic() - began


# --- idle -------------------------------------------------------------------------


async def idle(site: SlurmSite, folder: Path) -> None:
    async with backend(site, folder / "idle"):
        await asyncio.sleep(1.0)
        before, began = cpu_seconds(), time.monotonic()
        await asyncio.sleep(IDLE_SECONDS)
        used, took = cpu_seconds() - before, time.monotonic() - began
    print(f"idle       {used / took:8.2%} of a core over {took:.0f} s, commands of Slurm included")
    poll, last = SlurmPoll(Slurm(site.environment), 0.0), float("-inf")
    before = cpu_seconds()
    for _ in range(POLLS):
        last = (await poll.answer(last)).asked_at
    each = (cpu_seconds() - before) / POLLS
    print(f"idle       {each * 1e3:8.1f} ms of CPU for one question, every {POLL_SECONDS:g} s")


def cpu_seconds() -> float:
    """Of this process and of the commands that it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


# --- inventory --------------------------------------------------------------------


def node_line(number: int) -> str:
    """A node as `scontrol show node -o -d` prints it."""
    state, used = ("IDLE", 0) if number % 3 else ("MIXED", number % 8)
    return (
        f"NodeName=n{number} Arch=aarch64 CoresPerSocket=48  CPUAlloc=0 CPUEfctv=192 CPUTot=192"
        f" CPULoad=4.10 AvailableFeatures=(null) ActiveFeatures=(null) Gres=npu:910b:8"
        f" GresDrain=N/A GresUsed=npu:910b:{used} NodeAddr=10.0.{number // 256}.{number % 256}"
        f" NodeHostName=n{number} Port=6818 Version=22.05.8 OS=Linux 5.10.0 #1 SMP @0 "
        f" RealMemory=1500000 AllocMem=100 FreeMem=22270 Sockets=4 Boards=1 State={state}"
        f" ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=train "
        f" BootTime=2026-11-22T12:17:00 CfgTRES=cpu=192,mem=1500000M,billing=192 AllocTRES="
    )


def inventory(nodes: int) -> None:
    """Read twice with one node changed, as from one question to the next."""
    texts = ["\n".join(node_line(number + (number == 1) * at) for number in range(nodes))
             for at in (0, 2)]  # fmt: skip
    partition = f"PartitionName=train Nodes=n[0-{nodes - 1}] State=UP MaxTime=3-00:00:00"
    jobs = "".join(
        f"{n}|RUNNING|None|n{n * 3}|gres:npu:910b:{n * 3 % 8 or 1}|1800000000|local\n"
        for n in range(nodes // 3)
    )
    seconds, before = [], Inventory("s", ())
    for text in texts:
        began = time.process_time()
        now = looked(text, partition, jobs)
        changes(before.pools(), now.pools())
        seconds.append(time.process_time() - began)
        before = now
    size = sum(map(len, (texts[0], jobs))) / 2**20
    print(f"inventory  {nodes} nodes, {size:.1f} MiB of text: {max(seconds):.2f} s of CPU")


def looked(nodes: str, partition: str, jobs: str) -> Inventory:
    view = SlurmView(
        SlurmFrame((22, 5), {}),
        from_text.parse_nodes(nodes),
        from_text.parse_partitions(partition),
        from_text.parse_jobs(jobs),
    )
    pools = discover(view, NAME_OF).pools
    declared = [pool.declared for pool in pools]
    return Inventory("s", declared, conditions(view, pools, nobody), releases(view, pools))


async def measure(parts: Sequence[str], jobs: int, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="suan-bench-") as name:
        folder = Path(name)
        with running_slurm(folder / "slurm", (ASCEND, HYGON)) as site:
            if "start" in parts:
                await starts(site, folder, count)
            if "burst" in parts:
                await burst(site, folder, jobs)
            if "idle" in parts:
                await idle(site, folder)


PARTS = ("start", "burst", "idle", "inventory")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="|".join(PARTS))
    parser.add_argument("--jobs", type=int, default=500, help="in the burst")
    parser.add_argument("--starts", type=int, default=20, help="one after the other, each side")
    parser.add_argument("--nodes", type=int, default=5000, help="of the inventory")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}")
    if "inventory" in chosen.parts:
        inventory(chosen.nodes)
    if set(chosen.parts) - {"inventory"}:
        if lacking := missing_tools():
            print(f"no Slurm here: {', '.join(lacking)} (deploy/servers.sh)", file=sys.stderr)
            return 1
        load = os.getloadavg()[0]
        print(f"machine    {os.cpu_count()} cores, load {load:.1f} before the start")
        asyncio.run(measure(chosen.parts, chosen.jobs, chosen.starts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
