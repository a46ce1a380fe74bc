"""How long a federation is without a leader, and what that costs its running jobs.

`python -m bench.failover` starts three etcd nodes, two brokers and agents that hold live
jobs, then kills the leader with SIGKILL and stops it with SIGSTOP, round after round. It
prints for each round how long it took until a submission was accepted again, through the
SDK as a user has it, until all agents had reconciled with the new leader, and how many
running jobs were lost; `--restart` measures one broker with SQLite that comes back to a
long queue.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import grpc

from bench.endtoend import SPEC
from bench.federation import COMMANDS, Federation, SiteSpec, wait_until
from bench.load import BATCH, batches, submit_all
from bench.report import machine
from bench.several import SeveralBrokers
from suan.channel import secure_channel
from suan.ids import new_id
from suan.models import JobSpec, JobState, Variant
from suan.sync import Client
from suan.v1 import jobs_service_pb2 as pb
from suan.v1.jobs_service_pb2_grpc import JobsStub

KINDS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
CARDS_PER_NODE = 8
SPARE_CARDS = 64  # at each site, for the submissions that are measured
START_SECONDS_MAX = 300.0
ROUND_SECONDS_MAX = 120.0
REST_SECONDS = (3.0, 7.0)  # between two rounds, at random: any moment of a lease
GOAL_SECONDS = 15.0  # p99
RESTARTS = 3
RESTART_GOAL_SECONDS = 5.0
TRY_PAUSE_SECONDS = 0.02
LIVE = JobSpec((Variant("ascend-910b", run="true"),), name="live")


@dataclass(frozen=True, slots=True)
class Round:
    """One loss of the leader. Seconds since the signal."""

    kind: str
    accepted_seconds: float
    reconciled_seconds: float
    jobs_lost: int  # of those that ran, how many do not run on in their first attempt


class Campaign:
    """A federation with live jobs whose leader is taken away again and again."""

    def __init__(self, federation: SeveralBrokers, chance: random.Random) -> None:
        self._federation = federation
        self._chance = chance
        self._live: set[str] = set()

    def begin(self, jobs: int) -> None:
        """Submit the jobs and wait until all run."""
        with self._federation.client() as client:
            for first in range(0, jobs, BATCH):
                submitted = client.submit([LIVE] * min(BATCH, jobs - first))
                self._live |= {item.id for item in submitted}
        wait_until(lambda: not self._not_running(), f"{jobs} jobs to run", START_SECONDS_MAX)

    def round(self, kind: str) -> Round:
        """Take the leader away, look at the clock, and bring it back to stand by."""
        federation = self._federation
        time.sleep(self._chance.uniform(*REST_SECONDS))
        leader = federation.await_leader()
        with federation.client() as client:
            client.offers()  # it has found the leader: what follows is not its start
            begun = time.monotonic()
            federation.send(leader, KINDS[kind])
            (probe,) = client.submit(LIVE)
            accepted = time.monotonic() - begun
            wait_until(lambda: _all_open(client), "all agents to reconcile", ROUND_SECONDS_MAX)
            reconciled = time.monotonic() - begun
        lost = len(self._not_running())
        self._live = self._live - self._not_running() | {probe.id}
        self._bring_back(leader, kind)
        wait_until(lambda: not self._not_running(), "the new job to run", ROUND_SECONDS_MAX)
        return Round(kind, accepted, reconciled, lost)

    def _bring_back(self, name: str, kind: str) -> None:
        if kind == "kill":
            self._federation.brokers[name].wait()
            self._federation.start_one(name)
        else:
            self._federation.send(name, signal.SIGCONT)
        wait_until(lambda: len(self._federation.leaders()) == 1, "one leader", ROUND_SECONDS_MAX)

    def _not_running(self) -> set[str]:
        """The live jobs that do not run, or not in their first attempt."""
        with self._federation.client() as client:
            jobs = client.list(states=[JobState.RUNNING], name_prefix=LIVE.name)
            first = {job.id for job in jobs if [each.epoch for each in job.attempts] == [1]}
        return self._live - first


def _all_open(client: Client) -> bool:
    return all(site.state == "open" for site in client.sites())


def sites(agents: int, jobs: int) -> tuple[SiteSpec, ...]:
    """Sites with room for the jobs, one card each, and for what is measured."""
    nodes = -(-(-(-jobs // agents) + SPARE_CARDS) // CARDS_PER_NODE)
    pool = {
        "name": "npu",
        "accelerator": "ascend-910b",
        "nodes": nodes,
        "cards_per_node": CARDS_PER_NODE,
    }
    holding = (str(COMMANDS / "python"), "-m", "bench.holding")
    return tuple(
        SiteSpec(f"site-{number}", pool, backend="noop", enter=holding) for number in range(agents)
    )


def run_campaign(
    runtime: str, rounds: int, kinds: Sequence[str], jobs: int, agents: int, seed: int
) -> list[Round]:
    """`rounds` of each kind, mixed; each is told as it ends."""
    chance = random.Random(seed)
    order = [kind for kind in kinds for _ in range(rounds)]
    chance.shuffle(order)
    done: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="suan-failover-") as folder:
        federation = SeveralBrokers(Path(folder), runtime)
        try:
            federation.start_broker()
            federation.join(*sites(agents, jobs))
            campaign = Campaign(federation, chance)
            campaign.begin(jobs)
            for number, kind in enumerate(order):
                done.append(campaign.round(kind))
                click.echo(f"{number + 1:4} {line(done[-1])}", err=True)
        finally:
            federation.stop()
    return done


def line(each: Round) -> str:
    return (
        f"{each.kind}  accepted {each.accepted_seconds:6.2f} s  "
        f"reconciled {each.reconciled_seconds:6.2f} s  lost {each.jobs_lost}"
    )


def summary(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Per kind: rounds, p50, p99 and the longest, in seconds, and the jobs that were lost."""
    found: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(each.kind for each in rounds):
        of_kind = [each for each in rounds if each.kind == kind]
        found[kind] = {"rounds": len(of_kind), "jobs_lost": sum(r.jobs_lost for r in of_kind)}
        for name in ("accepted_seconds", "reconciled_seconds"):
            ordered = sorted(float(getattr(each, name)) for each in of_kind)
            for part in (50, 99):
                found[kind][f"{name}_p{part}"] = ordered[-(-len(ordered) * part // 100) - 1]
            found[kind][f"{name}_max"] = ordered[-1]
    return found


# --- one broker that comes back -------------------------------------------------


def run_restarts(runtime: str, jobs: int) -> list[float]:
    """Seconds from the start of a killed broker until it takes a submission, a few times."""
    with tempfile.TemporaryDirectory(prefix="suan-failover-") as folder:
        federation = Federation(Path(folder), runtime)
        try:
            federation.start_broker()
            asyncio.run(_fill(federation, jobs))
            return [asyncio.run(_restart(federation)) for _ in range(RESTARTS)]
        finally:
            federation.stop()


async def _fill(federation: Federation, jobs: int) -> None:
    async with secure_channel(federation.address, federation.user) as channel:
        await submit_all(JobsStub(channel), batches(SPEC, jobs))


async def _restart(federation: Federation) -> float:
    federation.broker.kill()
    begun = time.monotonic()
    federation.launch_broker()
    request = pb.SubmitRequest(jobs=[pb.JobSubmission(id=new_id(), spec=SPEC)])
    async with secure_channel(federation.address, federation.user) as channel:
        stub: Any = JobsStub(channel)
        while time.monotonic() - begun < START_SECONDS_MAX:
            try:
                answer = await stub.Submit(request, timeout=1.0, wait_for_ready=True)
            except grpc.RpcError:
                await asyncio.sleep(TRY_PAUSE_SECONDS)
                continue
            assert answer.results[0].accepted
            return time.monotonic() - begun
    raise TimeoutError("the broker does not come back")


# --- what is printed ------------------------------------------------------------


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), default=10, show_default=True, help="of each kind"
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice([*KINDS]), help="default: both")
@click.option("--jobs", default=10_000, show_default=True, help="that live meanwhile, or wait")
@click.option("--agents", default=10, show_default=True)
@click.option("--runtime", default="local", type=click.Choice(["local", "ray"]))
@click.option("--seed", default=1, show_default=True)
@click.option("--restart", is_flag=True, help="one broker with SQLite and a queue, instead")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def main(
    rounds: int,
    kinds: tuple[str, ...],
    jobs: int,
    agents: int,
    runtime: str,
    seed: int,
    restart: bool,
    output: str,
) -> None:
    """Measure; fails when a goal is missed or a running job was lost."""
    asked: dict[str, Any] = {"machine": machine(), "jobs": jobs, "runtime": runtime}
    if restart:
        seconds = run_restarts(runtime, jobs)
        found: dict[str, Any] = {"restart_seconds": seconds}
        missed = max(seconds) > RESTART_GOAL_SECONDS
    else:
        done = run_campaign(runtime, rounds, list(kinds) or [*KINDS], jobs, agents, seed)
        figures = summary(done)
        asked |= {"agents": agents, "seed": seed}
        found = {"summary": figures, "rounds": [asdict(each) for each in done]}
        missed = any(map(_missed, figures.values()))
    if output == "json":
        click.echo(json.dumps(asked | found, indent=2))
    else:
        click.echo(", ".join(f"{name} {value}" for name, value in asked.items()))
        for text in _table(found):
            click.echo(text)
    raise SystemExit(int(missed))


def _missed(figures: dict[str, float]) -> bool:
    slow = max(figures["accepted_seconds_p99"], figures["reconciled_seconds_p99"])
    return slow > GOAL_SECONDS or figures["jobs_lost"] > 0


def _table(found: dict[str, Any]) -> list[str]:
    if "restart_seconds" in found:
        return [f"accepts again after {seconds:.2f} s" for seconds in found["restart_seconds"]]
    return [
        f"{kind:5} " + "  ".join(f"{name} {value:g}" for name, value in _rounded(figures).items())
        for kind, figures in found["summary"].items()
    ]


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


if __name__ == "__main__":
    main()
