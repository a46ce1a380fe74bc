"""A modest client beside an overload: how long its single submissions take meanwhile.

`python -m bench.bystander ADDRESS IDENTITY` submits one job after the other at a fixed rate
until its input ends, then prints its waits as one line of JSON. A process of its own, so
that what others do to the measuring process does not count.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from bench.load import credentials_of
from suan.channel import CHANNEL_OPTIONS
from suan.ids import new_id
from suan.models import JobSpec, Variant
from suan.v1 import jobs_service_pb2 as pb
from suan.v1.jobs_service_pb2_grpc import JobsStub
from suan.wire import spec_bytes

PER_SECOND = 20.0
CALL_SECONDS = 30.0
END_SECONDS_MAX = 60.0
OUTPUT_BYTES_MAX = 1 << 20
SPEC = spec_bytes(JobSpec((Variant("ascend-910b", run="true"),), name="bystander"))


@dataclass
class Waits:
    """Seconds, in ascending order, and how many requests failed."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def milliseconds(self, part: float) -> float:
        """The `part` quantile."""
        if not self.seconds:
            return float("nan")
        return 1e3 * self.seconds[min(int(len(self.seconds) * part), len(self.seconds) - 1)]

    def __str__(self) -> str:
        p50, p99 = self.milliseconds(0.5), self.milliseconds(0.99)
        lost = f", {self.failed} failed" if self.failed else ""
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms of {len(self.seconds)}{lost}"


@asynccontextmanager
async def bystander(address: str, identity: Path) -> AsyncIterator[Waits]:
    """The waits of a bystander that lives as long as the context; complete at its end."""
    waits = Waits()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bystander", address, str(identity)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=OUTPUT_BYTES_MAX,
    )
    assert process.stdin is not None and process.stdout is not None
    assert await process.stdout.readline() == b"begun\n"
    try:
        yield waits
    finally:
        process.stdin.close()
        said, _ = await asyncio.wait_for(process.communicate(), END_SECONDS_MAX)
    told = json.loads(said)
    waits.seconds, waits.failed = told["seconds"], told["failed"]


def main(address: str, identity_directory: str) -> None:
    credentials = credentials_of(Path(identity_directory))
    ending = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ending.set()

    waits = Waits()
    with grpc.secure_channel(address, credentials, CHANNEL_OPTIONS) as channel:
        stub = JobsStub(channel)
        _submit(stub, Waits())  # the connection stands
        print("begun", flush=True)
        threading.Thread(target=wait_for_end, daemon=True).start()
        due = time.monotonic()
        while not ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / PER_SECOND, time.monotonic())
            _submit(stub, waits)
    waits.seconds.sort()
    print(json.dumps({"seconds": waits.seconds, "failed": waits.failed}))


def _submit(stub: JobsStub, waits: Waits) -> None:
    request = pb.SubmitRequest(jobs=[pb.JobSubmission(id=new_id(), spec=SPEC)])
    begun = time.perf_counter()
    try:
        stub.Submit(request, timeout=CALL_SECONDS)
    except grpc.RpcError:
        waits.failed += 1
    else:
        waits.seconds.append(time.perf_counter() - begun)


if __name__ == "__main__":
    main(*sys.argv[1:])
