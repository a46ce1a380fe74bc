"""Upkeep of a running federation by its commands: maintenance, drains, vouching, counters."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from campaign import CARDS_PER_NODE, MODELS, NODES, SITES, at_work
from commands import Desk
from witness import Witness

from bench.federation import Federation, wait_until
from suan.models import JobState, Lease

SITE = "guiyang"
MODEL = MODELS[SITE]
ENDLESS_SECONDS = 50.0


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Shared by the tests of this file; each leaves it running and empty."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        with at_work(Path(name), *SITES) as made:
            yield made


@pytest.fixture
def desk(federation: Federation, tmp_path: Path) -> Desk:
    """An administrator's."""
    own = {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.admin)}
    return Desk(tmp_path, own)


def lease_left(federation: Federation, job_id: str) -> float:
    """Seconds that the fence beside a job still gives it."""
    (path,) = federation.folder.glob(f"sites/{SITE}/state/runs/suan-{job_id}-*/lease")
    terms = json.loads(path.read_text().partition(" ")[2])
    return float(terms["boottime_ns"] - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9


def test_maintenance_reaches_the_fences_and_is_acknowledged(
    federation: Federation, witness: Witness, desk: Desk
) -> None:
    with federation.client() as client:
        (item,) = client.submit(witness.spec(MODEL, seconds=ENDLESS_SECONDS))
        wait_until(witness.executions, "the job to run")
        assert 500.0 < lease_left(federation, item.id) <= 600.0
        said = desk.suan("admin", "maintenance", "--for", "2h", "--wait", "30s")
        assert said.status == 0, said.err
        assert "extended" in said.out and "may be away for" in said.err
        wait_until(lambda: lease_left(federation, item.id) > 7_000.0, "the fence to be told")
        shown = json.loads(desk.suan("admin", "maintenance", "-o", "json").out)
        assert shown["seconds"] == 7_200.0
        client.cancel([item.id])
        wait_until(lambda: client.get(item.id).state is JobState.CANCELLED, "the job to end")
    audit = desk.suan("admin", "audit").out
    assert "maintenance.announce" in audit
    refused = desk.suan("admin", "maintenance", "--for", "2d")
    assert refused.status != 0 and "MaintenanceTooLong" in refused.err


def test_a_drain_stops_what_runs_by_its_deadline(
    federation: Federation, witness: Witness, desk: Desk
) -> None:
    with federation.client() as client:
        (item,) = client.submit(witness.spec(MODEL, seconds=ENDLESS_SECONDS))
        wait_until(witness.executions, "the job to run")
        said = desk.suan("site", "drain", SITE, "--deadline", "2s")
        assert said.status == 0 and "at the latest" in said.err
        wait_until(lambda: client.get(item.id).state is JobState.QUEUED, "the job to be stopped")
        assert client.get(item.id).attempts[0].outcome == "preempted"
        assert desk.suan("site", "resume", SITE).status == 0
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "it to run again")
        client.cancel([item.id])
        wait_until(lambda: client.get(item.id).state is JobState.CANCELLED, "the job to end")


def test_a_higher_class_stops_a_lower_one_which_goes_on_later(
    federation: Federation, witness: Witness, desk: Desk
) -> None:
    full = {"nodes": NODES, "cards": CARDS_PER_NODE}
    low = witness.spec(MODEL, seconds=ENDLESS_SECONDS, **full)
    fixed = replace(low, preemptible=False, name="fixed")
    high = replace(witness.spec(MODEL, seconds=1.0, **full), priority=200)
    with federation.client() as client:
        (item,) = client.submit(low)
        wait_until(witness.executions, "the lower job to run")
        (urgent,) = client.submit(high)
        wait_until(lambda: client.get(urgent.id).state is JobState.SUCCEEDED, "the higher to run")
        first = client.get(item.id).attempts[0]
        assert (first.outcome, first.failure and first.failure.code) == ("preempted", "Preempted")
        told = desk.suan("explain", item.id).out
        assert f"stopped for {urgent.id}" in told and "higher priority class" in told
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "it to run again")
        client.cancel([item.id])
        wait_until(lambda: client.get(item.id).state is JobState.CANCELLED, "the job to end")
        (kept,) = client.submit(fixed)
        wait_until(lambda: client.get(kept.id).state is JobState.RUNNING, "the fixed job to run")
        (urgent,) = client.submit(high)
        wait_until(lambda: desk.suan("explain", urgent.id).status == 20, "a round to see it")
        assert client.get(kept.id).state is JobState.RUNNING
        client.cancel([kept.id, urgent.id])
        wait_until(lambda: client.get(kept.id).state is JobState.CANCELLED, "the job to end")
    assert "preempt" in desk.suan("admin", "audit").out


def test_a_job_that_time_never_frees_is_freed_by_who_has_looked(
    federation: Federation, witness: Witness, desk: Desk
) -> None:
    agent = federation.agents[SITE]
    wish = replace(witness.spec(MODEL, seconds=ENDLESS_SECONDS), lease=Lease("proof"))
    with federation.client() as client:
        (item,) = client.submit(wish)
        (first,) = wait_until(witness.executions, "the job to run")
        answers = desk.suan("site", "confirm-dead", SITE, item.id, "1", "--yes")
        assert answers.status != 0 and "SiteAnswers" in answers.err
        agent.send(signal.SIGSTOP)
        try:
            os.kill(first.fence_pid, signal.SIGKILL)
            wait_until(lambda: client.explain(item.id).condition, "the silence to be noticed")
            told = desk.suan("explain", item.id)
            assert "confirm-dead" in told.out, told
            unasked = desk.suan("site", "confirm-dead", SITE, item.id, "1")
            assert unasked.status == 2 and "run twice" in unasked.err
            freed = desk.suan("site", "confirm-dead", SITE, item.id[-8:], "1", "--yes")
            assert (freed.status, freed.out.strip()) == (0, item.id), freed.err
            assert client.get(item.id).state is JobState.QUEUED
        finally:
            agent.send(signal.SIGCONT)
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "it to run again")
        client.cancel([item.id])
        wait_until(lambda: client.get(item.id).state is JobState.CANCELLED, "the job to end")
        lost = client.get(item.id).attempts[0]
        assert lost.failure is not None and lost.failure.code == "ConfirmedDead"
    counters = json.loads(desk.suan("admin", "counters", "-o", "json").out)
    assert sum(each["count"] for each in counters) > 0, "its older report came too late"
