"""Jobs per second from submit to finish, durable at each step, beside Ray, Dask and Slurm.

`python -m bench.endtoend` starts a broker (mTLS) and three agents whose backend does
nothing, sends jobs through real gRPC and reads the times that the broker kept: once with
SQLite (synchronous=FULL) as the store and once with etcd, three nodes on this machine. The
peers run no-op tasks on the same machine in the same run.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bench.etcd import etcd_is_installed
from bench.federation import Federation, SiteSpec
from bench.load import CALL_SECONDS, all_jobs, batches, submit_all, wait_finished
from bench.peers import PEERS
from bench.report import comparison, machine, table
from bench.several import SeveralBrokers
from bench.usage import cpu_seconds_of, rss_bytes
from suan.channel import secure_channel
from suan.ids import new_id
from suan.models import JobSpec, Variant
from suan.v1 import job_pb2
from suan.v1 import jobs_service_pb2 as pb
from suan.v1.jobs_service_pb2_grpc import JobsStub
from suan.wire import spec_bytes

RUNTIMES = ("local", "ray")
STORES = ("sqlite", "etcd")
SITES = tuple(
    SiteSpec(
        name,
        {"name": "cards", "accelerator": model, "nodes": 512, "cards_per_node": 8},
        backend="noop",
    )
    for name, model in (
        ("shenzhen", "ascend-910b"),
        ("zhengzhou", "hygon-bw1000"),
        ("guiyang", "nvidia-h20"),
    )
)
SPEC = spec_bytes(
    JobSpec(
        variants=tuple(
            Variant(model, run="true") for model in ("ascend-910b", "hygon-bw1000", "nvidia-h20")
        ),
        name="no-op",
    )
)


async def throughput(stub: Any, count: int) -> dict[str, float]:
    """Submit `count` jobs as fast as they are taken; figures from the broker's own times."""
    requests = batches(SPEC, count)
    ids = {item.id for request in requests for item in request}
    begun = time.monotonic()
    await submit_all(stub, requests)
    submitted = time.monotonic() - begun
    await wait_finished(stub, count)
    elapsed = time.monotonic() - begun
    jobs = [job for job in await all_jobs(stub) if job.id in ids]
    assert len(jobs) == count
    assert all(job.state == job_pb2.JOB_STATE_SUCCEEDED for job in jobs)
    assert all(len(job.attempts) == 1 for job in jobs), "a job was tried twice"
    waits = sorted(job.attempts[0].started_at - job.submitted_at for job in jobs)
    return {
        "jobs": count,
        "jobs_per_second": count / elapsed,
        "submits_per_second": count / submitted,
        "submit_to_start_p50_ms": 1e3 * waits[count // 2],
        "submit_to_start_p99_ms": 1e3 * waits[count * 99 // 100],
    }


async def acknowledgements(stub: Any, per_second: int, seconds: float) -> dict[str, float]:
    """Single-job requests at a fixed rate, whatever the answers; the latency of each."""
    times: list[float] = []

    async def one() -> None:
        begun = time.perf_counter()
        request = pb.SubmitRequest(jobs=[pb.JobSubmission(id=new_id(), spec=SPEC)])
        sent.add(request.jobs[0].id)
        await stub.Submit(request, timeout=CALL_SECONDS)
        times.append(time.perf_counter() - begun)

    sent: set[str] = set()
    begun = time.perf_counter()
    calls: list[asyncio.Task[None]] = []
    for number in range(int(per_second * seconds)):
        due = begun + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        calls.append(asyncio.create_task(one()))
    await asyncio.gather(*calls)
    times.sort()
    await wait_finished(stub, len(sent))
    jobs = [job for job in await all_jobs(stub) if job.id in sent]
    waits = sorted(job.attempts[0].started_at - job.submitted_at for job in jobs)
    return {
        "offered_per_second": per_second,
        "then_submit_to_start_p50_ms": 1e3 * statistics.median(waits),
        "then_submit_to_start_p99_ms": 1e3 * waits[len(waits) * 99 // 100],
        "acknowledge_p50_ms": 1e3 * statistics.median(times),
        "acknowledge_p99_ms": 1e3 * times[len(times) * 99 // 100],
    }


async def measure(federation: Federation, count: int) -> dict[str, float]:
    """Warm up, then throughput and acknowledgements."""
    channel = secure_channel(federation.address, federation.user)
    try:
        stub: Any = JobsStub(channel)
        await throughput(stub, 2_000)
        before = cpu_seconds(federation)
        found = await throughput(stub, count)
        for name, seconds in cpu_seconds(federation).items():
            found[f"cpu_us_per_job_{name}"] = 1e6 * (seconds - before[name]) / count
        return found | await acknowledgements(stub, 500, 10.0)
    finally:
        await channel.close(None)


async def queue_memory(federation: Federation, count: int) -> dict[str, float]:
    """What `count` jobs that wait add to the broker's resident memory."""
    channel = secure_channel(federation.address, federation.user)
    try:
        stub: Any = JobsStub(channel)
        await submit_all(stub, batches(SPEC, 2_000))
        before = rss_bytes(federation.broker.pid)
        await submit_all(stub, batches(SPEC, count))
        added = rss_bytes(federation.broker.pid) - before
        return {"queued_jobs": count, "bytes_per_queued_job": added / count}
    finally:
        await channel.close(None)


def cpu_seconds(federation: Federation) -> dict[str, float]:
    """Processor time so far, of the broker and what it started, of all agents, and of us."""
    spent = {
        "broker": cpu_seconds_of(federation.broker.family()),
        "agents": sum(cpu_seconds_of(agent.family()) for agent in federation.agents.values()),
        "client": time.process_time(),
    }
    if isinstance(federation, SeveralBrokers):
        spent["etcd"] = cpu_seconds_of(node.pid for node in federation.etcd.nodes)
    return spent


@contextmanager
def serving(runtime: str, store: str, profile: Path | None = None) -> Iterator[Federation]:
    """One broker that serves, on a store of its own; both end with the context."""
    with tempfile.TemporaryDirectory(prefix="suan-bench-") as folder:
        federation: Federation
        if store == "etcd":
            federation = SeveralBrokers(Path(folder), runtime, count=1)
        else:
            federation = Federation(Path(folder), runtime, profile=profile)
        try:
            federation.start_broker()
            yield federation
        finally:
            federation.stop()


def run_suan(runtime: str, store: str, count: int, profile: Path | None) -> dict[str, float]:
    """The road's figures, and once those of a queue, which lies in memory with any store."""
    with serving(runtime, store, profile) as federation:
        federation.join(*SITES)
        found = asyncio.run(measure(federation, count))
    if (runtime, store) == ("local", "sqlite"):
        with serving(runtime, store) as federation:
            found |= asyncio.run(queue_memory(federation, 100_000))
    return found


def stores_of(chosen: Sequence[str]) -> Sequence[str]:
    """The stores to measure: those chosen, or all that can run here; says what is missing."""
    if etcd_is_installed() or (chosen and "etcd" not in chosen):
        return chosen or STORES
    lacks = "no etcd here; on Debian: apt-get install etcd-server"
    if chosen:
        raise click.UsageError(lacks)
    click.echo(f"without etcd: {lacks}", err=True)
    return ("sqlite",)


@click.command()
@click.option("--jobs", default=30_000, show_default=True)
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(RUNTIMES))
@click.option("--store", "stores", multiple=True, type=click.Choice(STORES))
@click.option("--no-peers", is_flag=True, help="measure Suan alone")
@click.option("--profile", type=click.Path(path_type=Path), help="cProfile's file, with SQLite")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
def main(
    jobs: int,
    runtimes: tuple[str, ...],
    stores: tuple[str, ...],
    no_peers: bool,
    profile: Path | None,
    output: str,
) -> None:
    """Measure, and print Suan's figures side by side and one line per peer."""
    roads = {
        f"{runtime}, {store}": run_suan(runtime, store, jobs, profile)
        for store in stores_of(stores)
        for runtime in runtimes or RUNTIMES
    }
    peers: dict[str, float] = {}
    if not no_peers:
        rates = {name: peer() for name, peer in PEERS.items()}
        peers = {name: rate for name, rate in rates.items() if rate is not None}
    if output == "json":
        results = {f"suan ({name})": found for name, found in roads.items()}
        results |= {name: {"jobs_per_second": rate} for name, rate in peers.items()}
        click.echo(json.dumps({"machine": machine(), "results": results}, indent=2))
        return
    click.echo("\n".join([machine(), *table(roads), *comparison(roads, peers)]))


if __name__ == "__main__":
    main()
