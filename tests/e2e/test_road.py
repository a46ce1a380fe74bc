"""The whole road on real parts: client, broker, agent, process, log, result, explanation."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from pathlib import Path

import pytest

from bench.federation import Federation, wait_until
from suan.errors import NotFound, Unauthenticated
from suan.models import (
    ArrayRange,
    Input,
    Job,
    JobSpec,
    JobState,
    Launch,
    Retry,
    Topology,
    Variant,
    Where,
)
from suan.sync import Client
from suan.views import Dataset, Replica

NPU = "ascend-910b"
# 127.0.0.1, ::ffff:127.0.0.1 and ::1, as the kernel writes them
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def spec(run: str, accelerator: str = NPU, **settings: object) -> JobSpec:
    shape = {
        name: settings.pop(name)
        for name in ("num_nodes", "accelerators_per_node", "topology", "setup")
        if name in settings
    }
    return JobSpec((Variant(accelerator, run=run, **shape),), name="test", **settings)  # type: ignore[arg-type]


def finish(client: Client, wish: JobSpec) -> tuple[Job, ...]:
    """Submit and wait until all have ended."""
    ids = [item.id for item in client.submit(wish)]
    return client.wait(ids)


def text_of(client: Client, job: Job, **wanted: object) -> str:
    parts = client.logs(job.id, **wanted)  # type: ignore[arg-type]
    return b"".join(part.data for part in parts).decode()


def test_a_job_runs_and_tells(federation: Federation) -> None:
    with federation.client() as client:
        (job,) = finish(client, spec("echo out; echo err >&2; exit 0"))
        assert job.state is JobState.SUCCEEDED
        (attempt,) = job.attempts
        assert (attempt.site, attempt.epoch, attempt.cards) == ("shenzhen", 1, 1)
        assert job.submitted_at <= attempt.placed_at <= attempt.ended_at
        assert text_of(client, job, stream="stdout") == "out\n"
        assert text_of(client, job, stream="stderr") == "err\n"
        explained = client.explain(job.id)
        assert [c.pool for c in explained.explanation.candidates if c.chosen] == ["shenzhen/npu"]


def test_each_kind_of_card_has_its_site_and_variables(federation: Federation) -> None:
    with federation.client() as client:
        for model, site, variable in (
            (NPU, "shenzhen", "ASCEND_RT_VISIBLE_DEVICES"),
            ("hygon-bw1000", "zhengzhou", "HIP_VISIBLE_DEVICES"),
            ("nvidia-h20", "guiyang", "CUDA_VISIBLE_DEVICES"),
        ):
            wish = spec(f"echo $SUAN_SITE ${variable}", model, accelerators_per_node=2)
            (job,) = finish(client, wish)
            named, devices = text_of(client, job).split()
            assert named == site
            assert len(devices.split(",")) == 2


def test_a_failed_job_has_its_exit_code_and_a_reason(federation: Federation) -> None:
    with federation.client() as client:
        (job,) = finish(client, spec("exit 7"))
        assert (job.state, job.exit_code) == (JobState.FAILED, 7)
        assert job.failure is not None
        assert (job.failure.category, job.failure.code) == ("user", "NonZeroExit")
        assert len(job.attempts) == 1


def test_the_users_retries_are_used(federation: Federation) -> None:
    with federation.client() as client:
        wish = spec('[ "$SUAN_ATTEMPT" = 3 ]', retry=Retry(max=2))
        (job,) = finish(client, wish)
        assert job.state is JobState.SUCCEEDED
        assert [a.outcome for a in job.attempts] == ["failed", "failed", "succeeded"]


def test_a_gang_starts_together_and_meets(federation: Federation) -> None:
    wish = spec(
        'echo "$SUAN_NODE_RANK of $SUAN_NUM_NODES at $MASTER_ADDR:$MASTER_PORT"',
        num_nodes=4,
        accelerators_per_node=2,
        topology=Topology("supernode", required=False),
    )
    with federation.client() as client:
        (job,) = finish(client, wish)
        assert job.state is JobState.SUCCEEDED
        lines = {text_of(client, job, rank=rank, stream="stdout").strip() for rank in range(4)}
        assert {line.split()[0] for line in lines} == {"0", "1", "2", "3"}
        assert len({line.split()[-1] for line in lines}) == 1


def test_one_process_per_card(federation: Federation) -> None:
    wish = spec(
        "echo $RANK $WORLD_SIZE $LOCAL_RANK",
        num_nodes=2,
        accelerators_per_node=2,
        launch=Launch.PER_CARD,
    )
    with federation.client() as client:
        (job,) = finish(client, wish)
        seen = sorted(text_of(client, job, stream="stdout").splitlines())
        assert seen == ["0 4 0", "1 4 1", "2 4 0", "3 4 1"]


def test_an_array_runs_under_its_limit(federation: Federation) -> None:
    with federation.client() as client:
        submitted = client.submit(spec("echo $SUAN_ARRAY_INDEX", array=ArrayRange(0, 7, 1, 3)))
        jobs = client.wait([item.id for item in submitted])
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert sorted(int(text_of(client, job, stream="stdout")) for job in jobs) == [*range(8)]
        spans = [(job.attempts[0].placed_at, job.attempts[0].ended_at) for job in jobs]
        together = max(sum(a <= at < b for a, b in spans) for at, _ in spans)
        assert together <= 3


def test_cancel_ends_the_process(federation: Federation) -> None:
    with federation.client() as client:
        (item,) = client.submit(spec("echo $$; exec sleep 600"))
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
        text = wait_until(lambda: text_of(client, client.get(item.id), stream="stdout"), "its pid")
        client.cancel([item.id])
        (job,) = client.wait([item.id])
        assert job.state is JobState.CANCELLED
        with pytest.raises(ProcessLookupError):
            os.kill(int(text), 0)


def test_a_time_limit_is_kept(federation: Federation) -> None:
    with federation.client() as client:
        (job,) = finish(client, spec("sleep 600", time_limit_seconds=1.0, grace_seconds=1.0))
        assert job.state is JobState.FAILED
        assert job.failure is not None and job.failure.code == "TimeLimit"


def test_data_draws_its_job(federation: Federation) -> None:
    with federation.client(federation.admin) as admin:
        where = federation.folder / "protein"
        where.mkdir(exist_ok=True)
        (where / "one").write_text("M")
        admin.put_dataset(Dataset("protein", 200 << 30, (Replica("zhengzhou", str(where)),)))
    either = JobSpec(
        (Variant(NPU, run="echo $SUAN_SITE"), Variant("hygon-bw1000", run="echo $SUAN_SITE")),
        name="near-data",
        inputs=(Input("/data", "ds://protein"),),
    )
    with federation.client() as client:
        told = client.plan(either)
        assert [c.pool for c in told.candidates if c.chosen] == ["zhengzhou/dcu"]


def test_what_nobody_can_run_is_told_and_waits(federation: Federation) -> None:
    with federation.client() as client:
        wish = spec("true", "nvidia-b200")
        assert client.plan(wish).verdict == "never"
        (item,) = client.submit(wish)
        told = client.explain(item.id)
        assert told.job.state is JobState.QUEUED
        codes = {rejection.code for rejection in told.explanation.rejections}
        assert "WrongAccelerator" in codes
        client.cancel([item.id])
        assert client.get(item.id).state is JobState.CANCELLED


def test_sites_that_are_denied_are_left_out(federation: Federation) -> None:
    wish = spec("true", where=Where(sites_denied=("shenzhen",)))
    with federation.client() as client:
        assert client.plan(wish).verdict == "never"


def test_drained_sites_take_nothing_new(federation: Federation) -> None:
    with federation.client(federation.admin) as admin, federation.client() as client:
        admin.drain("guiyang", "cooling")
        (item,) = client.submit(spec("true", "nvidia-h20"))
        told = client.explain(item.id).explanation
        assert told.verdict == "wait"
        assert any("Drain" in rejection.code for rejection in told.rejections)
        admin.resume("guiyang")
        (job,) = client.wait([item.id])
        assert job.state is JobState.SUCCEEDED


def test_the_same_submission_again_is_the_same_job(federation: Federation) -> None:
    with federation.client() as client:
        before = [job.id for job in itertools.islice(client.list(), 50)]
        (item,) = client.submit(spec("true"))
        after = [job.id for job in itertools.islice(client.list(), 51)]
        assert after == [item.id, *before][: len(after)]


def test_another_tenant_sees_nothing(federation: Federation) -> None:
    other = federation.identity("wang", "team-b")
    with federation.client() as mine, federation.client(other) as theirs:
        (item,) = mine.submit(spec("true"))
        with pytest.raises(NotFound):
            theirs.get(item.id)
        assert item.id not in {job.id for job in theirs.list()}
        (refused,) = theirs.cancel([item.id])
        assert not refused.accepted
        assert refused.failure is not None and refused.failure.code == "JobNotFound"


def test_a_killed_agent_comes_back_to_its_job(federation: Federation) -> None:
    with federation.client() as client:
        (item,) = client.submit(spec("echo $$; sleep 4; echo done"))
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
        agent = federation.agents["shenzhen"]
        agent.kill()
        agent.start()
        (job,) = client.wait([item.id])
        assert job.state is JobState.SUCCEEDED
        assert len(job.attempts) == 1
        assert text_of(client, job, stream="stdout").splitlines()[1:] == ["done"]


def test_a_killed_broker_comes_back_to_its_jobs(federation: Federation) -> None:
    with federation.client() as client:
        (item,) = client.submit(spec("sleep 3; echo done"))
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
    federation.broker.kill()
    federation.start_broker()
    with federation.client() as client:
        (job,) = client.wait([item.id])
        assert job.state is JobState.SUCCEEDED
        assert len(job.attempts) == 1


def test_a_foreign_certificate_is_refused(federation: Federation, folder: object) -> None:
    stranger = Federation(folder)  # type: ignore[arg-type]
    with pytest.raises(Unauthenticated) as refused:
        with Client.connect(address=federation.address, identity=stranger.user) as client:
            client.get("0000")
    assert refused.value.code
    assert refused.value.hint


def test_nothing_listens_beyond_loopback(federation: Federation) -> None:
    """Of all sockets of the broker and its children, none is open to other machines."""
    ours = _sockets_below(federation.broker.pid)
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    listening = [row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in ours]
    assert listening, "the broker listens nowhere"
    assert set(listening) <= LOOPBACK


def _sockets_below(pid: int) -> set[str]:
    """Inodes of the sockets of a process and its children."""
    found: set[str] = set()
    waiting = [Path("/proc", str(pid))]
    while waiting:
        process = waiting.pop()
        with suppress(OSError):  # it may end while we look
            for task in (process / "task").iterdir():
                waiting += [Path("/proc", c) for c in (task / "children").read_text().split()]
            for handle in (process / "fd").iterdir():
                target = str(handle.readlink())
                if target.startswith("socket:["):
                    found.add(target[8:-1])
    return found
