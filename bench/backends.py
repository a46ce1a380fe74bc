# ruff: noqa: ASYNC110
"""What a cluster manager costs through the agent's backend, beside itself alone in the same run.

    python -m bench.backends [--jobs 500] [--run 'sleep 2'] [--ray-jobs 20] [--starts 20]
                             [--nodes 5000] [start burst ray idle inventory]

A real Slurm on loopback (`bench.slurm_site`); both sides ask for the same cards and CPUs and run
a script that does nothing. `start`: from the submission to the script's first line, one after
the other, turn by turn. `burst`: all at once, until the last has ended. `ray`: both on a real
Ray beside its own client (`bench.ray_backends`). `idle`: CPU of agent and
Slurm's commands while nothing happens. `inventory`: a whole site parsed and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.backends.poll import POLL_SECONDS
from agent.inventory import Inventory, changes
from agent.slurm import from_text
from agent.slurm.backend import SlurmBackend
from agent.slurm.capacity import discover
from agent.slurm.from_text import SlurmFrame, SlurmView
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from agent.slurm.survey import SlurmSurvey, names_from
from agent.slurm.usage import conditions, releases
from bench import ray_backends
from bench.bursts import (
    END_SECONDS_MAX,
    bare_burst,
    first_line,
    nobody,
    our_burst,
    print_bursts,
    print_starts,
    submit,
)
from bench.slurm_site import ASCEND, HYGON, SlurmSite, missing_tools, running_slurm
from suan import catalogue

IDLE_SECONDS = 30.0
POLLS = 10  # of which the cost of one is told
# Of the nodes, which are this machine: a version manager's script in its place costs more than
# all the rest.
PYTHON = os.path.realpath(sys.executable)
NAME_OF = names_from(catalogue.load(), {})


@asynccontextmanager
async def backend(site: SlurmSite, folder: Path) -> AsyncIterator[SlurmBackend]:
    """The backend as an agent has it: with a survey, which shares the poll."""
    poll = SlurmPoll(Slurm(site.environment), POLL_SECONDS)
    survey = SlurmSurvey("bench", poll, NAME_OF)
    await survey.look(nobody)
    made = SlurmBackend(
        folder, os.environ, {}, lambda: replace(survey.settings(), python=PYTHON), poll
    )
    await made.open()
    surveying = asyncio.create_task(survey.run(nobody, lambda event: None))
    try:
        yield made
    finally:
        surveying.cancel()
        await made.close()


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
            put = partial(submit, made, ASCEND.names, number)
            ours.append(await first_line(marks[1], put))
            await anext(made.exits())
    print_starts("bare sbatch", bare, ours)


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


async def burst(site: SlurmSite, folder: Path, count: int, run: str) -> None:
    """Ours first, so that what the machine warms up helps the rival."""
    way = Slurm(site.environment)
    async with backend(site, folder / "burst") as made:
        ours = await our_burst(made, ASCEND.names, 0, count, run)
    bare = await bare_burst(
        lambda number: bare_sbatch(way, number, run), partial(empty, way, "--name=bare"), count
    )
    print_bursts("bare sbatch", bare, ours, count)


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


async def measure(parts: Sequence[str], jobs: int, run: str, count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="suan-bench-") as name:
        folder = Path(name)
        with running_slurm(folder / "slurm", (ASCEND, HYGON)) as site:
            if "start" in parts:
                await starts(site, folder, count)
            if "burst" in parts:
                await burst(site, folder, jobs, run)
            if "idle" in parts:
                await idle(site, folder)


PARTS = ("start", "burst", "ray", "idle", "inventory")
ON_SLURM = {"start", "burst", "idle"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="|".join(PARTS))
    parser.add_argument("--jobs", type=int, default=500, help="in the burst")
    parser.add_argument("--run", default="true", help="what a job of Slurm's burst does")
    parser.add_argument("--ray-jobs", type=int, default=20, help="in the burst on Ray")
    parser.add_argument("--starts", type=int, default=20, help="one after the other, each side")
    parser.add_argument("--nodes", type=int, default=5000, help="of the inventory")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}")
    if "inventory" in chosen.parts:
        inventory(chosen.nodes)
    if "ray" in chosen.parts and not ray_backends.measure(chosen.starts, chosen.ray_jobs):
        return 1
    if ON_SLURM & set(chosen.parts):
        if lacking := missing_tools():
            print(f"no Slurm here: {', '.join(lacking)} (deploy/servers.sh)", file=sys.stderr)
            return 1
        load = os.getloadavg()[0]
        print(f"machine    {os.cpu_count()} cores, load {load:.1f} before the start")
        asyncio.run(measure(chosen.parts, chosen.jobs, chosen.run, chosen.starts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
