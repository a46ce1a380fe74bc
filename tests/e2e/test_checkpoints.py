"""What jobs leave behind is found again: outputs at a store, and the last committed state at
another site when the first one is lost. Real processes; two sites that share one directory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from commands import Desk

from bench.federation import ASCEND, Federation, SiteSpec, wait_until
from suan.models import Commit, Job, JobSpec, JobState, Lease, Output, Retry, Variant
from suan.sync import Client

LIMITS = {
    "heartbeat_seconds": 0.2,
    "lost_seconds": 2.0,
    "lease_seconds_min": 2.0,
    "kill_seconds": 0.5,
    "hold_seconds": 1.0,
}
LEASE = Lease("restart", 7.0)  # with less than 5 s left nothing is started
# Counts up, commits each step, and in its first life never comes to its end.
COUNTER = """
import os, pathlib, suan, sys, time
job = suan.context()
state = job.checkpoint_path / "state"
step = int(state.read_text()) if state.exists() else 0
(job.output_path / "story").write_text(f"attempt {job.attempt} at {job.site} begins at {step}")
while step < 3:
    step += 1
    new = state.with_name("state.new")
    new.write_text(str(step))
    new.rename(state)
    job.commit_checkpoint()
while job.attempt == 1:
    new.write_text("not committed")
    new.rename(state)
    time.sleep(0.05)
"""


def spec(folder: Path, script: str, **settings: object) -> JobSpec:
    program = folder / "program.py"
    program.write_text(script)
    run = f"exec {sys.executable} {program}"
    return JobSpec((Variant("ascend-910b", run=run),), name="test", **settings)  # type: ignore[arg-type]


@contextmanager
def federated(folder: Path, *sites: str, **settings: object) -> Iterator[Federation]:
    """A broker, and sites that share a store."""
    store = folder / "store"
    store.mkdir(exist_ok=True)
    federation = Federation(folder, limits=LIMITS)
    offered = {"store": str(store), "grace_seconds": 1, **settings}
    try:
        federation.start_broker()
        federation.join(*(SiteSpec(site, ASCEND, settings=offered) for site in sites))
        yield federation
    finally:
        federation.stop()


def submit(client: Client, wish: JobSpec) -> str:
    (one,) = client.submit(wish)
    assert one.accepted, one
    return one.id


def end_of(client: Client, job_id: str) -> Job:
    return client.wait([job_id])[0]


def listed(commit: Commit) -> dict[str, bytes]:
    """What a commit holds, by the names in its manifest."""
    place = Path(unquote(urlsplit(commit.url).path))
    manifest = json.loads(place.read_text())
    prefix = place.parent.parent
    return {entry["path"]: (prefix / entry["at"]).read_bytes() for entry in manifest["files"]}


def test_another_site_goes_on_from_the_last_commit(folder: Path) -> None:
    outputs = (Output("story"),)
    with federated(folder, "east", "west") as federation, federation.client() as client:
        job_id = submit(client, spec(folder, COUNTER, lease=LEASE, outputs=outputs))

        def last_commit() -> Commit | None:
            found = client.get(job_id).checkpoint
            return found if found is not None and b"3" in listed(found).values() else None

        commit = wait_until(last_commit, "the third state to be committed")
        first = client.get(job_id).attempts[-1].site
        assert (commit.epoch, commit.site) == (1, first)
        federation.agents[first].kill()  # its fence ends what it ran; nothing more comes from it
        job = end_of(client, job_id)
        assert job.state is JobState.SUCCEEDED, job
        second = job.attempts[-1]
        assert second.epoch > 1 and second.site != first
        (story,) = job.outputs
        told = listed(story)["story"].decode()
        assert told == f"attempt {second.epoch} at {second.site} begins at 3"
        desk = Desk(
            folder, {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)}
        )
        shown = desk.suan("get", job_id)
        assert story.url in shown.out and commit.url in shown.out, shown


def test_a_success_waits_for_its_outputs_and_its_cards_do_not(folder: Path) -> None:
    """While the store is away nothing is told, and other jobs have the cards."""
    script = """
import os, suan
place = suan.context().output_path / "model" / "deep"
place.mkdir(parents=True, exist_ok=True)
if not suan.context().is_main:
    raise SystemExit
(place / "weights").write_bytes(b"w" * 5_000_000)
(place / "latest").symlink_to("weights")
"""
    whole = {"num_nodes": 4, "accelerators_per_node": 8}  # all cards of the site
    with federated(folder, "east") as federation, federation.client() as client:
        (folder / "store").rename(folder / "away")
        wish = spec(folder, script, outputs=(Output("model"),))
        one = wish.variants[0]
        wish = JobSpec(
            (Variant(one.accelerator, run=one.run, **whole),), name="test", outputs=wish.outputs
        )
        first = submit(client, wish)
        follower = JobSpec((Variant("ascend-910b", run="true", **whole),), name="next")
        second = end_of(client, submit(client, follower))
        assert second.state is JobState.SUCCEEDED
        assert client.get(first).state is JobState.RUNNING
        federation.agents["east"].kill()  # and what was under way goes on after a restart
        federation.agents["east"].start()
        (folder / "away").rename(folder / "store")
        job = end_of(client, first)
        assert (job.state, len(job.attempts)) == (JobState.SUCCEEDED, 1), job
        assert job.attempts[0].ended_at <= second.attempts[0].ended_at
        (output,) = job.outputs
        assert listed(output) == {"deep/weights": b"w" * 5_000_000}
        assert (output.files, output.size_bytes, output.site) == (1, 5_000_000, "east")


def test_what_lies_there_at_the_end_is_the_state_of_a_job_that_commits_nothing(
    folder: Path,
) -> None:
    """Also of one that is stopped, and then goes on elsewhere."""
    script = """
import os, suan, time, pathlib
job = suan.context()
state = job.checkpoint_path / "state"
if state.exists():
    print("found", state.read_text())
else:
    state.write_text("first life")
    raise SystemExit(3)
"""
    with federated(folder, "east", "west") as federation, federation.client() as client:
        job_id = submit(client, spec(folder, script, retry=Retry(1)))
        job = end_of(client, job_id)
        assert [attempt.outcome for attempt in job.attempts] == ["failed", "succeeded"], job
        assert job.checkpoint is not None and job.checkpoint.epoch == 1
        log = b"".join(part.data for part in client.logs(job_id, stream="stdout"))
        assert log == b"found first life\n"


def test_a_state_that_cannot_be_had_is_no_new_beginning(folder: Path) -> None:
    with federated(folder, "east", "west") as federation, federation.client() as client:
        job_id = submit(client, spec(folder, COUNTER, lease=LEASE))
        wait_until(lambda: client.get(job_id).checkpoint, "a commit")
        first = client.get(job_id).attempts[-1].site
        (folder / "store").rename(folder / "away")
        federation.agents[first].kill()

        def refused() -> bool:
            failures = [attempt.failure for attempt in client.get(job_id).attempts]
            return any(failure and failure.code == "RestoreFailed" for failure in failures)

        wait_until(refused, "a refusal")
        (folder / "away").rename(folder / "store")
        job = end_of(client, job_id)
        assert job.state is JobState.SUCCEEDED, job
        story = folder / "sites" / job.attempts[-1].site / "state" / "outputs" / job_id
        begun = [path.read_text() for path in story.glob("*/story")]
        assert len(begun) == 1 and begun[0].endswith("begins at 3"), begun


def test_an_output_that_is_missing_fails_the_job(folder: Path) -> None:
    with federated(folder, "east") as federation, federation.client() as client:
        wish = spec(folder, "", outputs=(Output("a"), Output("b", when="always")))
        job = end_of(client, submit(client, wish))
        assert job.state is JobState.FAILED and job.failure is not None
        assert (job.failure.category, job.failure.code) == ("user", "OutputMissing")
