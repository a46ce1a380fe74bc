"""Datasets that jobs write: whose they are, which commit they are of, and where they may go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support_core import Desk, facts_of, spec_of, with_limits

from broker.core import submission
from broker.core.data_messages import CacheReport, DeleteDataset
from broker.core.lifecycle import JobState
from broker.core.messages import (
    Done,
    Held,
    Proposals,
    PutRow,
    Refusal,
    SiteFacts,
)
from broker.core.rows import Audit, Commit, Dataset, Replica
from scheduler.model import Fetch, Prestaging

FACE, OTHER = "ab" * 32, "cd" * 32
MODEL = "lab/model"
WRITER = spec_of("writer", writes=(("model", MODEL),), retry_max=5)
READER = spec_of("reader", inputs=(MODEL,))


def facts(site: str, region: str = "", store: bool = True) -> SiteFacts:
    made = facts_of(site)
    return replace(made, profile=replace(made.profile, region=region, has_store=store))


def commit(job_id: str = "a", epoch: int = 1, number: int = 1, **other: Any) -> Commit:
    url = f"s3://store/suan/{job_id}/{epoch}/outputs-{number}/manifest.json"
    told = {"url": url, "sha256": FACE, "size_bytes": 7, "files": 1, "path": "model"}
    return Commit("outputs", epoch, number, **{**told, "site": "", "at": 0.0, **other})


def tell(desk: Desk, site: str, one: Commit, job_id: str = "a", **more: Any) -> None:
    desk.report(site, "committed", job_id, one.epoch, commit=one, **more)


def place_of(job_id: str = "a", epoch: int = 1, sha256: str = FACE) -> str:
    return f"s3://store/suan/{job_id}/{epoch}/outputs-1/manifest.json#manifest={sha256}"


def codes(results: Any) -> list[str]:
    return [each.refusal.code if hasattr(each, "refusal") else "" for each in results]


@pytest.fixture
def desk() -> Desk:
    made = Desk("east", "west", limits=with_limits(lost_seconds=60.0))
    made.hello("east", facts=facts("east", "north"))
    made.hello("west", facts=facts("west", "south"))
    return made


# --- whose they are ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        (spec_of(writes=(("m", "lab/model"),)), True),
        (spec_of(writes=(("m", "lab/model@2"),)), True),
        (spec_of(writes=(("m", "other/model"),)), False),
        (spec_of(writes=(("m", "model"),)), False),
        (spec_of(writes=(("m", "lab/deep/model"),)), False),
        (spec_of(inputs=("wudao", "lab/model")), True),
        (spec_of(inputs=("other/model",)), False),
    ],
)
def test_a_tenant_s_names_are_its_own(desk: Desk, spec: Any, taken: bool) -> None:
    assert codes(desk.submit("a", spec=spec)) == ["" if taken else "NotYourDataset"]
    assert ("a" in desk.state.jobs) is taken


@pytest.mark.parametrize("spec", [READER, WRITER])
def test_what_was_queued_before_the_rule_fails_instead_of_running(
    desk: Desk, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset of another tenant is neither written nor read, whatever was accepted once."""
    monkeypatch.setattr(submission, "foreign", lambda tenant, spec: None)
    desk.submit("a", spec=spec, tenant="other")
    assert desk.place(desk.offer("a", "east")) == []
    failure = desk.job("a").failure
    assert desk.job("a").state is JobState.FAILED
    assert failure is not None and failure.code == "NotYourDataset"


# --- what a commit becomes --------------------------------------------------------------


def test_a_kept_commit_is_the_dataset_at_once_and_after_a_restart(desk: Desk) -> None:
    desk.run("a", "east", WRITER)
    assert MODEL not in desk.state.datasets
    tell(desk, "east", commit())
    row = Dataset(MODEL, 7, (Replica("east", place_of()),))
    assert desk.state.datasets[MODEL] == row
    assert [each.dataset for each in desk.job("a").outputs] == [MODEL]
    desk.succeeded("east", "a")
    assert desk.job("a").state is JobState.SUCCEEDED
    desk.restart()
    assert desk.state.datasets[MODEL] == row and desk.state.datasets_of == {"lab": 1}
    desk.hello("west", "s2")
    desk.submit("b", spec=READER)
    (granted,) = desk.place(desk.offer("b", "west"))
    assert granted.data == ((MODEL, place_of()),)


def test_only_the_output_that_is_to_become_one_does(desk: Desk) -> None:
    desk.run("a", "east", WRITER)
    tell(desk, "east", commit(path="log"))
    assert desk.state.datasets == {} and desk.job("a").outputs[0].dataset == ""


def test_a_later_job_replaces_it_and_what_is_told_again_does_not(desk: Desk) -> None:
    for job_id in ("a", "b"):
        desk.run(job_id, "east", WRITER)
        tell(desk, "east", commit(job_id), job_id)
    desk.submit("c", spec=READER)
    (granted,) = desk.place(desk.offer("c", "west"))
    assert granted.data == ((MODEL, place_of("b")),)
    tell(desk, "east", commit("a"))
    assert desk.state.datasets[MODEL].replicas[0].path == place_of("b")
    assert desk.state.datasets_of == {"lab": 1}


def test_an_attempt_that_was_replaced_writes_nothing_more(desk: Desk) -> None:
    desk.run("a", "east", WRITER)
    for _ in range(80):
        desk.advance(10.0, tick=False)
        desk.beat("west")
        desk.advance(0.1)
    assert desk.job("a").state is JobState.QUEUED
    assert desk.place(desk.offer("a", "west"))
    desk.started("west", "a", epoch=2)
    desk.hello("east", "s2", held=(Held("a", 1, ended=True),))
    tell(desk, "east", commit(), session="s2")
    assert desk.state.datasets == {}
    tell(desk, "west", commit(epoch=2, sha256=OTHER))
    tell(desk, "east", commit(size_bytes=9), session="s2")
    assert desk.state.datasets[MODEL].replicas == (Replica("west", place_of("a", 2, OTHER)),)


def test_a_success_without_its_dataset_is_none(desk: Desk) -> None:
    desk.run("a", "east", spec_of("writer", writes=(("model", MODEL),)))
    desk.succeeded("east", "a")
    assert desk.job("a").state is JobState.QUEUED, "the site's fault: tried again"
    failure = desk.attempt("a").failure
    assert failure is not None and (failure.category, failure.code) == ("site", "OutputFailed")


# --- a full catalogue -------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["datasets_max", "datasets_per_tenant_max"])
def test_a_full_catalogue_refuses_new_names_and_takes_known_ones(limit: str) -> None:
    desk = Desk("east", limits=with_limits(**{limit: 1}))
    desk.hello("east")
    assert codes(desk.submit("b", spec=spec_of(writes=(("x", "lab/x"), ("y", "lab/y"))))) == [
        "TooManyDatasets"
    ]
    desk.submit("late", spec=spec_of("late", writes=(("model", "lab/late"),)))
    desk.run("a", "east", WRITER)
    tell(desk, "east", commit())
    assert codes(desk.submit("c", spec=spec_of(writes=(("x", "lab/x"),)))) == ["TooManyDatasets"]
    assert codes(desk.submit("d", spec=WRITER)) == [""]
    assert desk.place(desk.offer("late", "east"))
    tell(desk, "east", commit("late"), "late")
    desk.succeeded("east", "late")
    job = desk.job("late")
    assert job.state is JobState.FAILED and len(job.outputs) == 1, "its files are at the store"
    assert job.failure is not None and job.failure.code == "TooManyDatasets"
    assert set(desk.state.datasets) == {MODEL}


# --- residency --------------------------------------------------------------------------


def registered(desk: Desk, name: str, *regions: str) -> None:
    desk.ask(PutRow(Dataset(name, 1, (Replica("east", "https://e/d"),), regions), "admin"))


def test_what_is_made_of_bound_data_is_bound_as_they_are(desk: Desk) -> None:
    registered(desk, "free")
    registered(desk, "wide", "north", "south")
    registered(desk, "narrow", "north", "centre")
    made = spec_of(inputs=("free", "wide", "narrow"), writes=(("model", MODEL),))
    desk.submit("a", spec=made)
    assert desk.place(desk.offer("a", "west")) == [], "south is not allowed"
    assert desk.place(desk.offer("a", "east"))
    desk.started("east", "a")
    desk.ask(DeleteDataset("narrow", "", "admin"))  # it has been read all the same
    tell(desk, "east", commit())
    assert desk.state.datasets[MODEL].regions_allowed == ("north",)


@pytest.mark.parametrize("regions", [("south",), ("south", "centre")])
def test_what_may_be_nowhere_becomes_nothing(desk: Desk, regions: tuple[str, ...]) -> None:
    """The rule was tightened while the job ran: its files stay where they are, unnamed."""
    registered(desk, "bound", "north", "centre")
    desk.run("a", "east", spec_of(inputs=("bound",), writes=(("model", MODEL),)))
    registered(desk, "bound", *regions)
    tell(desk, "east", commit())
    assert MODEL not in desk.state.datasets
    desk.succeeded("east", "a")
    failure = desk.job("a").failure
    assert failure is not None and (failure.category, failure.code) == ("policy", "DataResidency")


# --- who can read and write -------------------------------------------------------------


@pytest.mark.parametrize("spec", [WRITER, READER, spec_of(inputs=("wudao@v3",))])
def test_an_agent_that_does_not_know_datasets_is_not_given_the_job(desk: Desk, spec: Any) -> None:
    desk.run("z", "east", WRITER)
    tell(desk, "east", commit("z"), "z")
    registered(desk, "wudao@v3")
    desk.submit("a", spec=spec)
    desk.hello("west", "s2", protocols=(1, 2))
    assert desk.place(desk.offer("a", "west")) == []
    assert [key[0] for key in desk.core.memory.holds] == ["west/main"]
    desk.hello("west", "s3", protocols=(1, 3))
    assert desk.place(desk.offer("a", "west"))


def test_a_version_is_part_of_the_name(desk: Desk) -> None:
    registered(desk, "wudao")
    desk.submit("a", spec=spec_of(inputs=("wudao@v3",)))
    (granted,) = desk.place(desk.offer("a", "east"))
    assert granted.data == ()


def test_a_round_passes_over_a_site_without_a_store(desk: Desk) -> None:
    desk.hello("east", "s2", facts=facts("east", store=False))
    desk.submit("a", spec=WRITER)
    (placed,) = desk.round().placements
    assert placed.pool == "west/main"
    desk.hello("west", "s2", facts=facts("west", store=False))
    ((_, told),) = desk.round().explanations
    assert {each.code for each in told.rejections} == {"StoreMissing"}


@pytest.mark.parametrize(("location", "sent"), [("", 0), ("https://e/d", 1)])
def test_a_manifest_is_not_sent_ahead(desk: Desk, location: str, sent: int) -> None:
    desk.run("z", "east", WRITER)
    tell(desk, "east", commit("z"), "z")
    if location:
        desk.ask(PutRow(Dataset(MODEL, 7, (Replica("east", location),)), "admin"))
    desk.step(CacheReport("west", "s1", 1, (), 10**12))
    wish = Prestaging("west/main", Fetch(MODEL, "east", 7))
    desk.step(Proposals((), (), desk.wall, prestagings=(wish,)))
    assert len(desk.core.memory.ahead) == sent


# --- removing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tenant", "code"),
    [
        (MODEL, "lab", ""),
        (MODEL, "", ""),
        ("wudao", "", ""),
        (MODEL, "other", "NotYourDataset"),
        ("wudao", "lab", "NotYourDataset"),
        ("lab/none", "other", "NotYourDataset"),
        ("lab/none", "lab", "DatasetNotFound"),
    ],
)
def test_who_may_remove_what(desk: Desk, name: str, tenant: str, code: str) -> None:
    registered(desk, "wudao")
    desk.run("a", "east", WRITER)
    tell(desk, "east", commit())
    step = desk.step(DeleteDataset(name, tenant, "somebody"))
    (reply,) = step.replies
    assert reply == Done() if not code else isinstance(reply, Refusal) and reply.code == code
    assert (name in desk.state.datasets) is (bool(code) and name != "lab/none")
    audits = [each.row for each in step.records if isinstance(getattr(each, "row", None), Audit)]
    assert [(each.action, each.object) for each in audits] == (
        [] if code else [("dataset.delete", f"dataset/{name}")]
    )
    desk.restart()
    assert (name in desk.state.datasets) is (bool(code) and name != "lab/none")
