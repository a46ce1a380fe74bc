"""What sites have committed: each commit counts once, and nothing late replaces what is later."""

from __future__ import annotations

from typing import Any

import pytest
from support_core import ACCELERATORS, Desk, pool_of, spec_of, with_limits

from broker.core.ignored import Ignored
from broker.core.lifecycle import JobState
from broker.core.messages import Held
from broker.core.queue import RESTORE_BYTES_MIN, class_key
from broker.core.rows import Commit
from broker.core.snapshot import take_snapshot
from scheduler.model import Restore

FACE = "ab" * 32
CARDS = 8


def commit(
    job_id: str = "a", epoch: int = 1, number: int = 1, kind: str = "checkpoint", **other: Any
) -> Commit:
    url = f"s3://store/suan/{job_id}/{epoch}/{kind}-{number}/manifest.json"
    told = {"url": url, "sha256": FACE, "size_bytes": 7, "files": 1, "site": "", "at": 0.0}
    return Commit(kind=kind, epoch=epoch, number=number, **told | other)


def tell(desk: Desk, site: str, one: Commit, job_id: str = "a", epoch: int | None = None) -> None:
    desk.report(site, "committed", job_id, one.epoch if epoch is None else epoch, commit=one)


def ignored(desk: Desk, reason: Ignored) -> int:
    return int(desk.core.memory.ignored.get(reason, 0))


@pytest.fixture
def desk() -> Desk:
    """Job a runs at east; west is there too."""
    made = Desk("east", "west", limits=with_limits(lost_seconds=60.0))
    made.hello("east")
    made.hello("west")
    made.run("a", "east", spec_of(cards=CARDS, retry_max=5))
    return made


def test_the_last_checkpoint_is_kept_and_granted_also_after_a_restart(desk: Desk) -> None:
    tell(desk, "east", commit(number=1))
    tell(desk, "east", commit(number=2))
    kept = desk.job("a").checkpoint
    assert kept is not None and (kept.order, kept.site, kept.at) == ((1, 2), "east", desk.wall)
    desk.failed("east", "a")
    desk.restart()
    desk.hello("west", "s2")
    assert desk.job("a").checkpoint == kept
    (granted,) = desk.place(desk.offer("a", "west", CARDS))
    assert (granted.epoch, granted.restore) == (2, kept)


def test_an_agent_that_cannot_bring_a_state_back_is_not_given_the_job(desk: Desk) -> None:
    tell(desk, "east", commit(number=1))
    desk.failed("east", "a")
    desk.hello("west", "s2", protocols=(1, 1))
    assert not desk.place(desk.offer("a", "west", CARDS))
    assert [key[0] for key in desk.core.memory.holds] == ["west/main"]
    desk.hello("west", "s3", protocols=(1, 2))
    (granted,) = desk.place(desk.offer("a", "west", CARDS))
    assert granted.restore is not None


def test_a_large_state_is_a_part_of_what_its_job_asks_for_next(desk: Desk) -> None:
    desk.submit("b", spec=spec_of(cards=CARDS, retry_max=5))
    tell(desk, "east", commit(number=1, size_bytes=RESTORE_BYTES_MIN))
    desk.failed("east", "a")
    found = {
        group.jobs: group.demand.restore
        for group in take_snapshot(desk.core.memory, desk.now, ACCELERATORS).queue
    }
    state = Restore("checkpoint/a", "east", RESTORE_BYTES_MIN)
    assert found == {("a",): state, ("b",): None}
    job = desk.job("a")
    key = class_key(job, desk.core.memory.state.specs[job.spec_sha256])
    assert key in desk.core.memory.state.queue.by_key
    tell(desk, "east", commit(number=2, size_bytes=RESTORE_BYTES_MIN - 1))  # late, and small
    (group,) = take_snapshot(desk.core.memory, desk.now, ACCELERATORS).queue
    assert group.demand.restore is None
    assert sorted(group.jobs) == ["a", "b"]


def test_a_commit_told_again_or_late_changes_nothing(desk: Desk) -> None:
    tell(desk, "east", commit(number=2))
    kept = desk.job("a")
    tell(desk, "east", commit(number=2))
    tell(desk, "east", commit(number=1))
    assert desk.job("a") == kept
    assert ignored(desk, Ignored.REPORT_REPEATED) == 1
    assert ignored(desk, Ignored.ATTEMPT_SUPERSEDED) == 1


def test_whatever_order_two_epochs_commit_in_the_newer_one_stands(desk: Desk) -> None:
    """The first attempt was taken for lost; its site was only cut off, and goes on telling."""
    for _ in range(80):
        desk.advance(10.0, tick=False)
        desk.beat("west")
        desk.advance(0.1)
    assert desk.job("a").state is JobState.QUEUED
    assert desk.place(desk.offer("a", "west", CARDS))
    desk.started("west", "a", epoch=2)
    desk.hello("east", "s2", held=(Held("a", 1, ended=True),))
    desk.report("east", "committed", "a", 1, session="s2", commit=commit(epoch=1, number=9))
    found = desk.job("a").checkpoint
    assert found is not None and found.order == (1, 9), "it is a state to go on from"
    tell(desk, "west", commit(epoch=2, number=1))
    desk.report("east", "committed", "a", 1, session="s2", commit=commit(epoch=1, number=10))
    found = desk.job("a").checkpoint
    assert found is not None and found.order == (2, 1)
    late = commit(epoch=1, kind="outputs", path="model")
    desk.report("east", "committed", "a", 1, session="s2", commit=late)
    assert desk.job("a").outputs == (), "outputs of an attempt that was replaced are nobody's"


@pytest.mark.parametrize(
    "senseless",
    [
        {"url": "s3://other/bucket/manifest.json"},
        {"url": "s3://store/suan/b/1/checkpoint-1/manifest.json"},
        {"url": "s3://store/suan/a/2/checkpoint-1/manifest.json"},
        {"url": "s3://store/../x/a/1/checkpoint-1/manifest.json"},
        {"url": "http://store/a/1/checkpoint-1/manifest.json"},
        {"url": "s3://store/?x=/a/1/checkpoint-1/manifest.json"},
        {"sha256": "short"},
        {"size_bytes": -1},
        {"kind": "secrets"},
        {"path": "x" * 10_000},
    ],
)
def test_what_no_site_can_mean_is_not_kept(desk: Desk, senseless: dict[str, Any]) -> None:
    """Another site would read it with its own account."""
    one = commit()
    told = {name: getattr(one, name) for name in ("kind", "url", "sha256", "size_bytes", "path")}
    tell(desk, "east", Commit(**told | senseless, epoch=1, number=1, files=1, site="", at=0.0))
    assert desk.job("a").checkpoint is None and desk.job("a").outputs == ()
    assert ignored(desk, Ignored.REPORT_UNREADABLE) == 1


def test_only_the_site_of_an_attempt_speaks_for_it(desk: Desk) -> None:
    tell(desk, "west", commit())
    tell(desk, "east", commit(epoch=7), epoch=7)
    tell(desk, "east", commit("b"), "b")
    assert desk.job("a").checkpoint is None
    assert ignored(desk, Ignored.ATTEMPT_FOREIGN) == 1
    assert ignored(desk, Ignored.ATTEMPT_UNKNOWN) == 2


def test_outputs_are_kept_by_path_and_an_ended_job_takes_no_more(desk: Desk) -> None:
    tell(desk, "east", commit(kind="outputs", number=1, path="model"))
    tell(desk, "east", commit(kind="outputs", number=2, path="log"))
    tell(desk, "east", commit(kind="outputs", number=2, path="log"))
    assert [each.path for each in desk.job("a").outputs] == ["model", "log"]
    desk.succeeded("east", "a")
    ended = desk.job("a")
    assert (ended.state, len(ended.outputs)) == (JobState.SUCCEEDED, 2)
    tell(desk, "east", commit(kind="outputs", number=3, path="more"))
    assert desk.job("a") == ended
    desk.restart()
    assert desk.job("a") == ended


def test_cards_are_free_while_outputs_go_out(desk: Desk) -> None:
    """They can be leased to another job, and nobody is asked to make room with them."""
    desk.submit("b", spec=spec_of("other", cards=CARDS))
    desk.hello("east", "s2", held=(Held("a", 1, running=True),), pools=(pool_of("east", 0),))
    assert desk.place(desk.offer("b", "east", CARDS)) == []
    for _ in range(2):
        desk.report("east", "released", "a", session="s2")
    assert desk.job("a").state is JobState.RUNNING
    assert desk.state.cards_leased["east/main"] == 0
    desk.restart()
    desk.hello("east", "s3", held=(Held("a", 1, running=True),))
    assert desk.place(desk.offer("b", "east", CARDS)), "the site says that they are free"
    assert desk.state.cards_leased["east/main"] == CARDS
    desk.succeeded("east", "a", session="s3")
    assert desk.job("a").state is JobState.SUCCEEDED
    assert desk.state.cards_leased["east/main"] == CARDS


def test_a_site_that_cannot_restore_is_left_alone_for_a_while(desk: Desk) -> None:
    desk.failed("east", "a", category="network", code="RestoreFailed")
    assert desk.job("a").state is JobState.QUEUED
    assert ("east/main", 1, CARDS) in desk.core.memory.holds
