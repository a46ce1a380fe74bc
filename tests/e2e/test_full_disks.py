"""Bad disks under an agent and under the broker: refused clearly, nothing lost, healed by itself.

The full disks are small file systems in memory, so those tests need to be root; the broken
ones lie under the broker's SQLite.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import grpc
import pytest
from campaign import LIMITS, MODELS, SITES, jobs_of, require_no_traceback
from commands import Desk, require_refusal
from witness import SCRIPT, SIGN, Witness

from bench.federation import Daemon, Federation, wait_until
from broker.local_app import STORE_FILE
from suan.errors import SuanError
from suan.models import Job, JobSpec, JobState
from suan.status import decode
from suan.submission import submissions
from suan.v1.jobs_service_pb2 import PutBundleRequest, SubmitRequest
from suan.v1.jobs_service_pb2_grpc import JobsStub
from tests.chaos.disk import Disk, NotAllowed, small_disk

HERE, ELSEWHERE = "shenzhen", "zhengzhou"
AGENT_MIB, BROKER_MIB = 80, 6
SPEC_BYTES = 120_000  # so that every one needs room
HEAL_SECONDS = 10.0  # from free space to work again
CALL = 5.0  # seconds
BUNDLE = gzip.compress(os.urandom(50_000))
FAULTY_BROKER = Path(__file__).parents[1] / "broker" / "support_faulty_broker.py"
IO_ERROR_WRITE, IO_ERROR_SYNC = 778, 1034  # as SQLite numbers them
# Works until the test lets it end.
UNTIL_TOLD = SIGN + 'while [ ! -e "$WITNESS.go" ]; do sleep 0.05; done\nsign stop\n'


@contextmanager
def disk_at(place: Path, size_mib: int) -> Iterator[Disk]:
    """Mounted for as long as the context lasts; skips where that is not allowed."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk(place, size_mib))
        except NotAllowed as error:
            pytest.skip(str(error))
        yield disk


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
    with disk_at(folder / "sites" / HERE, AGENT_MIB) as disk:
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
    """Its log lies on the same disk, as it does on many machines."""
    witness = Witness(folder / "witness")
    with disk_at(folder / "broker", BROKER_MIB) as disk:
        federation = Federation(folder, limits=LIMITS)
        federation.broker.log = disk.place / "broker.log"
        with running(federation):
            desk = desk_of(federation)

            def require_words() -> None:
                said = desk.suan("submit", "job.yaml")
                require_refusal(said, 1, "DiskFull", "nothing was lost")

            bear(federation, witness, "DiskFull", disk.fill, require_words, disk.free)
            log = federation.broker.log.read_text()
            assert "cannot store: DiskFull" in log, "what was said on the full disk is there"
            assert "the store works again" in log
            assert "Traceback" not in log


@pytest.mark.parametrize("fault", [IO_ERROR_WRITE, IO_ERROR_SYNC])
def test_a_disk_that_fails_under_the_broker(fault: int, folder: Path) -> None:
    """Where it writes, or only where what was written should become durable."""
    told = folder / "fault"
    witness = Witness(folder / "witness")
    federation = Federation(folder, limits=LIMITS)
    run = [sys.executable, FAULTY_BROKER, told, "run", "--config", folder / "broker.yaml"]
    federation.broker = Daemon("broker", [str(part) for part in run], folder)
    with running(federation):
        bear(
            federation,
            witness,
            "StoreFailed",
            lambda: told.write_text(str(fault)),
            lambda: None,
            told.unlink,
        )


def bear(
    federation: Federation,
    witness: Witness,
    code: str,
    break_disk: Callable[[], object],
    require_words: Callable[[], None],
    heal: Callable[[], object],
) -> None:
    """Through a fault of the broker's disk: refused with `code`, running on, healed, not lost."""
    held = held_job(federation, witness)
    with jobs_of(federation) as jobs:
        kept = [submit(jobs, witness, number) for number in range(3)]
        break_disk()
        sent = submit_until_refused(jobs, witness, code)
        refusal = refused(lambda: jobs.PutBundle(PutBundleRequest(data=BUNDLE), timeout=CALL))
        assert (refusal.code, bool(refusal.hint)) == (code, True)
        require_words()
        let_go(witness)
        require_leases_renewed(federation)
        heal()
        wait_until(lambda: taken(lambda: submit(jobs, witness, 99)), "room", HEAL_SECONDS)
        jobs.PutBundle(PutBundleRequest(data=BUNDLE), timeout=CALL)
        for request in sent:  # again, with the same ids
            assert all(result.accepted for result in jobs.Submit(request, timeout=CALL).results)
    ids = [held, *(job.id for request in (*kept, *sent) for job in request.jobs)]
    with federation.client() as client:
        assert {job.state for job in client.wait(ids)} == {JobState.SUCCEEDED}
        known = {job.id for job in client.list()}
    federation.broker.kill()
    require_sound(federation.folder / "broker" / STORE_FILE)
    federation.start_broker()
    with federation.client() as client:
        assert {job.id for job in client.list()} == known
        assert [attempt.epoch for attempt in client.get(held).attempts] == [1]


def desk_of(federation: Federation) -> Desk:
    identity = {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)}
    desk = Desk(federation.folder, identity)
    desk.write("job.yaml", f"run: 'true'\nresources: {{accelerators: {MODELS[HERE]}}}\n")
    return desk


def submit(jobs: JobsStub, witness: Witness, number: int) -> SubmitRequest:
    """One large job, accepted. Raises grpc.RpcError."""
    request = SubmitRequest(jobs=submissions(large_spec(witness, number)))
    assert jobs.Submit(request, timeout=CALL).results[0].accepted
    return request


def large_spec(witness: Witness, number: int) -> JobSpec:
    script = f"# {number} {'x' * SPEC_BYTES}\n{SCRIPT}"
    return witness.spec(MODELS[HERE], seconds=0.1, script=script)


def submit_until_refused(jobs: JobsStub, witness: Witness, code: str) -> list[SubmitRequest]:
    """What was sent until the broker said that it cannot store; some of it waits there."""
    sent: list[SubmitRequest] = []
    codes: list[str] = []

    def is_refused() -> bool:
        sent.append(SubmitRequest(jobs=submissions(large_spec(witness, 100 + len(sent)))))
        try:
            response = jobs.Submit(sent[-1], timeout=1.0)
            assert response.results[0].accepted, response
        except grpc.RpcError as error:
            codes.append(decode(error).code)
        return code in codes

    wait_until(is_refused, f"the broker to refuse with {code}")
    assert set(codes) <= {code, "DeadlineExceeded"}, codes
    return sent


def refused(call: Callable[[], object]) -> SuanError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return decode(raised.value)


def taken(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError:
        return False
    return True


def require_sound(store: Path) -> None:
    with closing(sqlite3.connect(store)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def require_leases_renewed(federation: Federation) -> None:
    """The broker hears its sites and answers them, though it can store nothing."""
    with federation.client(federation.admin) as admin:
        heard_at = admin.site(HERE).last_heard_at
        later = heard_at + 4 * LIMITS["heartbeat_seconds"]
        wait_until(lambda: admin.site(HERE).last_heard_at > later, "heartbeats")
        assert admin.site(HERE).state == "open"


def test_a_broker_is_started_on_a_full_disk(folder: Path) -> None:
    with disk_at(folder / "broker", BROKER_MIB) as disk:
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
