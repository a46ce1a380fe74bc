"""Full disks under an agent and under the broker: refused clearly, nothing lost, healed by room.

The disks are small file systems in memory, so these tests need to be root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from campaign import LIMITS, MODELS, SITES, jobs_of, require_no_traceback
from commands import Desk, require_refusal
from witness import SCRIPT, SIGN, Witness

from bench.federation import Federation, wait_until
from suan.models import Job, JobState
from suan.status import decode
from suan.submission import submissions
from suan.v1.jobs_service_pb2 import SubmitRequest

HERE, ELSEWHERE = "shenzhen", "zhengzhou"
BLOCK_BYTES, FILL_BYTES = 4096, 1 << 20
AGENT_MIB, BROKER_MIB = 80, 6
SPEC_BYTES = 120_000  # so that every one needs room
HEAL_SECONDS = 10.0  # from free space to work again
# Works until the test lets it end.
UNTIL_TOLD = SIGN + 'while [ ! -e "$WITNESS.go" ]; do sleep 0.05; done\nsign stop\n'


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that can be filled up and emptied again."""

    place: Path

    @property
    def filler(self) -> Path:
        return self.place / "filler"

    def fill(self, bytes_left: int = 0) -> None:
        """Leave only so much free, for whoever writes, root too."""
        with self.filler.open("ab") as file, suppress(OSError):  # somebody else was quicker
            for step_bytes in (FILL_BYTES, BLOCK_BYTES):
                while self._free_bytes() >= bytes_left + step_bytes:
                    end = file.seek(0, os.SEEK_END)
                    os.posix_fallocate(file.fileno(), end, step_bytes)

    def _free_bytes(self) -> int:
        return os.statvfs(self.place).f_bavail * BLOCK_BYTES

    def free(self) -> None:
        self.filler.unlink()


@contextmanager
def small_disk(place: Path, size_mib: int) -> Iterator[Disk]:
    """Mounted at `place` for as long as the context lasts; skips where that is not allowed."""
    place.mkdir(parents=True, mode=0o700)
    options = f"size={size_mib}m,mode=700"
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=False)
    if mount.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def running(federation: Federation) -> Iterator[Federation]:
    try:
        federation.start_broker()
        federation.join(*SITES[:2])
        yield federation
        require_no_traceback(federation)
    finally:
        federation.stop()


def held_job(federation: Federation, witness: Witness) -> str:
    """A job at work at the site, which ends when it is told to."""
    with federation.client() as client:
        (item,) = client.submit(witness.spec(MODELS[HERE], seconds=0.0, script=UNTIL_TOLD))
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
    return item.id


def let_go(witness: Witness) -> None:
    witness.folder.with_name(witness.folder.name + ".go").touch()
    wait_until(lambda: all(each.stopped for each in witness.executions()), "the job to end")


def refused_for(job: Job) -> str:
    """Why its last offer was refused."""
    failure = job.attempts[-1].failure if job.attempts else None
    return failure.code if failure else ""


@pytest.mark.parametrize("bytes_left", [0, 30 << 20])
def test_at_an_agent(bytes_left: int, folder: Path) -> None:
    """Wholly full, or too full for another run."""
    witness = Witness(folder / "witness")
    with small_disk(folder / "sites" / HERE, AGENT_MIB) as disk:
        with (
            running(Federation(folder, limits=LIMITS)) as federation,
            federation.client() as client,
        ):
            held = held_job(federation, witness)
            disk.fill(bytes_left)
            here, anywhere = client.submit(
                [
                    witness.spec(MODELS[HERE], seconds=0.1),
                    witness.spec(MODELS[HERE], MODELS[ELSEWHERE], seconds=0.1),
                ]
            )
            wait_until(lambda: refused_for(client.get(here.id)) == "DiskFull", "the refusal")
            (moved,) = client.wait([anywhere.id])
            assert (moved.state, moved.attempts[-1].site) == (JobState.SUCCEEDED, ELSEWHERE)
            if not bytes_left:  # killed now, the agent still comes back to what it runs
                federation.agents[HERE].kill()
                federation.agents[HERE].start()
            let_go(witness)
            (ended,) = client.wait([held])
            assert ended.state is JobState.SUCCEEDED
            assert [attempt.epoch for attempt in ended.attempts] == [1]
            assert client.get(here.id).state in (JobState.QUEUED, JobState.PLACED)
            disk.free()
            (late,) = client.wait([here.id])
            assert late.state is JobState.SUCCEEDED


def test_at_the_broker(folder: Path) -> None:
    witness = Witness(folder / "witness")
    with small_disk(folder / "broker", BROKER_MIB) as disk:
        with running(Federation(folder, limits=LIMITS)) as federation:
            held = held_job(federation, witness)
            disk.fill()
            sent = submit_until_refused(federation, witness)
            desk = desk_of(federation)
            require_refusal(desk.suan("submit", "job.yaml"), 1, "DiskFull", "nothing was lost")
            let_go(witness)
            require_leases_renewed(federation)
            disk.free()
            wait_until(lambda: desk.suan("submit", "job.yaml").status == 0, "room", HEAL_SECONDS)
            with jobs_of(federation) as jobs:  # again, with the same ids
                for request in sent:
                    assert all(result.accepted for result in jobs.Submit(request).results)
            ids = [held, *(job.id for request in sent for job in request.jobs)]
            with federation.client() as client:
                assert {job.state for job in client.wait(ids)} == {JobState.SUCCEEDED}
                known = {job.id for job in client.list()}
            federation.broker.kill()
            federation.start_broker()
            with federation.client() as client:
                assert {job.id for job in client.list()} == known
                assert [attempt.epoch for attempt in client.get(held).attempts] == [1]


def desk_of(federation: Federation) -> Desk:
    identity = {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)}
    desk = Desk(federation.folder, identity)
    desk.write("job.yaml", f"run: 'true'\nresources: {{accelerators: {MODELS[HERE]}}}\n")
    return desk


def submit_until_refused(federation: Federation, witness: Witness) -> list[SubmitRequest]:
    """What was sent until the broker said that its disk is full; some of it waits there."""
    sent: list[SubmitRequest] = []
    codes: list[str] = []
    with jobs_of(federation) as jobs:

        def refused() -> bool:
            script = f"# {len(sent)} {'x' * SPEC_BYTES}\n{SCRIPT}"
            wish = witness.spec(MODELS[HERE], seconds=0.1, script=script)
            sent.append(SubmitRequest(jobs=submissions(wish)))
            try:
                response = jobs.Submit(sent[-1], timeout=1.0)
                assert response.results[0].accepted, response
            except grpc.RpcError as error:
                codes.append(decode(error).code)
            return "DiskFull" in codes

        wait_until(refused, "the broker's disk to be full")
    assert set(codes) <= {"DiskFull", "DeadlineExceeded"}, codes
    return sent


def require_leases_renewed(federation: Federation) -> None:
    """The broker hears its sites and answers them, though it can store nothing."""
    with federation.client(federation.admin) as admin:
        heard_at = admin.site(HERE).last_heard_at
        later = heard_at + 4 * LIMITS["heartbeat_seconds"]
        wait_until(lambda: admin.site(HERE).last_heard_at > later, "heartbeats")
        assert admin.site(HERE).state == "open"


def test_a_broker_is_started_on_a_full_disk(folder: Path) -> None:
    with small_disk(folder / "broker", BROKER_MIB) as disk:
        federation = Federation(folder, limits=LIMITS)
        disk.fill()
        federation.launch_broker()
        assert federation.broker.wait() == 1
        said = federation.broker.log.read_text()
        assert "[DiskFull]" in said and "hint: " in said and "Traceback" not in said
        disk.free()
        try:
            federation.start_broker()
        finally:
            federation.stop()
