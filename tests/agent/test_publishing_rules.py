"""An ended run whose results are on their way: no cards, no fence, and its end told last."""

from __future__ import annotations

import pytest
from supervised import Site, effects, exited, grant, one, reports, said

from agent.backends import Phase as RunPhase
from agent.backends import Reason, RunState
from agent.supervisor.messages import (
    Committed,
    InventoryChanged,
    Launch,
    Publish,
    Published,
    RenewLeases,
    RunsFound,
    RunStarted,
    SendHeartbeat,
    StopReceived,
    StopRun,
    Unpublish,
    VerdictsReceived,
)
from agent.supervisor.values import Commit, Failure, Phase, Settings, TaskOutput

NAME = "suan-j1-1"
STORE = Settings(has_store=True, destinations=("s3://team/results",))
MODEL = TaskOutput("model")
LOGS = TaskOutput("logs", always=True)
COMMIT = Commit("checkpoint", 1, 1, "s3://b/j1/1/checkpoint-1/manifest.json", "ab" * 32, 5, 1)


def at_work(settings: Settings = STORE, **task: object) -> Site:
    """A site where j1 runs."""
    site = Site(settings)
    site.meet()
    site.give(grant(**task))  # type: ignore[arg-type]
    site.tell(RunStarted(NAME))
    return site


def published(site: Site, exit_code: int = 0, failure: Failure | None = None, **fields: object):  # type: ignore[no-untyped-def]
    return site.tell(Published(exited(exit_code=exit_code, **fields).exit, failure))  # type: ignore[arg-type]


def test_a_success_is_told_once_its_outputs_are_committed() -> None:
    site = at_work(outputs=(MODEL, LOGS))
    free = site.state.inventory.pools()[0].cards_free
    step = site.tell(exited())
    assert said(step) == [("released", "", "")]
    assert effects(step, Publish) == [Publish(exited().exit, (MODEL, LOGS), checkpoint=False)]
    assert site.state.inventory.pools()[0].cards_free == free + 8
    told = site.tell(Committed(NAME, COMMIT))
    assert [(r.kind.value, r.commit) for r in reports(told)] == [("committed", COMMIT)]
    assert said(published(site)) == [("ended", "succeeded", "")]
    assert site.state.attempts[NAME].phase is Phase.ENDED
    assert said(published(site)) == [], "told twice, it counts once"


@pytest.mark.parametrize(
    ("exit_code", "retried", "outputs", "checkpoint"),
    [(0, False, (), False), (1, False, (LOGS,), False), (1, True, (LOGS,), True)],
)
def test_what_goes_out_depends_on_the_end(
    exit_code: int, retried: bool, outputs: tuple[TaskOutput, ...], checkpoint: bool
) -> None:
    wanted = (LOGS, MODEL) if exit_code else ()
    site = at_work(outputs=wanted, retried=retried)
    step = site.tell(exited(exit_code=exit_code))
    found = effects(step, Publish)
    if not (outputs or checkpoint):
        assert found == [] and said(step) == [("ended", "succeeded", "")]
        return
    assert [(each.outputs, each.checkpoint) for each in found] == [(outputs, checkpoint)]
    assert said(published(site, exit_code)) == [("ended", "failed", "NonZeroExit")]


def test_what_could_not_go_out_is_no_success() -> None:
    site = at_work(outputs=(MODEL,))
    site.tell(exited())
    failed = published(site, failure=Failure("network", "OutputFailed", "no store"))
    assert said(failed) == [("ended", "failed", "OutputFailed")]


def test_without_a_store_all_stays_at_the_site() -> None:
    site = at_work(Settings(), outputs=(MODEL,), retried=True)
    assert said(site.tell(exited(exit_code=1))) == [("ended", "failed", "NonZeroExit")]


def test_a_site_publishes_only_where_its_operator_said() -> None:
    site = Site(STORE)
    site.meet()
    for number, (wish, taken) in enumerate(
        {
            "s3://team/results": True,
            "s3://team/results/a": True,
            "s3://team/results-of-others": False,
            "s3://team/results/../others": False,
            "s3://team/results/%2e%2e/others": False,
            "file:///etc": False,
        }.items()
    ):
        outputs = (TaskOutput("model", wish),)
        job = grant(f"k{number}", grant_seq=number + 1, cards=1, outputs=outputs)
        step = site.give(job)
        assert bool(effects(step, Launch)) is taken, wish
        assert said(step) == ([] if taken else [("rejected", "rejected", "SiteRuleRefused")])


def test_what_no_site_publishes_fails_at_once() -> None:
    site = Site(STORE)
    site.meet()
    outputs = (TaskOutput("a"),) * 65
    assert said(site.give(grant(outputs=outputs))) == [("ended", "failed", "OutputUnsupported")]


def test_a_dataset_goes_to_the_site_s_own_store() -> None:
    model = TaskOutput("model", "ds://team-a/model")
    site = at_work(outputs=(model,))
    assert effects(site.tell(exited()), Publish) == [Publish(exited().exit, (model,), False)]
    without = Site(Settings(destinations=("s3://team", "ds://team-a")))
    without.meet()
    step = without.give(grant(outputs=(model,)))
    assert said(step) == [("rejected", "rejected", "StoreMissing")]


def test_it_is_in_nobody_s_way_and_still_held() -> None:
    """The broker goes on believing in it; nothing renews, stops or recalls what has no cards."""
    site = at_work(outputs=(MODEL,))
    site.tell(exited())
    digest, sent = site.state.digest, site.beat()
    assert effects(site.reply(sent), RenewLeases) == []
    site.tell(InventoryChanged(site.state.inventory))
    site.tell(StopReceived("s1", one(), "Preempted"))
    late = site.pass_time(700.0)  # its lease is over
    assert effects(late, StopRun) == [] and effects(late, Unpublish) == []
    assert effects(late, SendHeartbeat)[0].digest == digest != 0
    assert said(published(site)) == [("ended", "succeeded", "")]


@pytest.mark.parametrize("word", ["stop", "verdict"])
def test_what_nobody_wants_is_given_up(word: str) -> None:
    site = at_work(outputs=(MODEL,))
    site.tell(exited())
    stop = StopReceived("s1", one(), "Cancelled")
    verdict = VerdictsReceived("s1", 1, stop=(one(),), hello=False)
    assert effects(site.tell(stop if word == "stop" else verdict), Unpublish) == [Unpublish(NAME)]
    code = "Cancelled" if word == "stop" else "Superseded"
    assert said(published(site)) == [("ended", "cancelled", code)]


def test_a_cancelled_run_publishes_nothing() -> None:
    site = at_work(outputs=(LOGS,), retried=True)
    site.tell(StopReceived("s1", one(), "Cancelled"))
    step = site.tell(exited(reason=Reason.STOPPED, detail="Cancelled"))
    assert effects(step, Publish) == []
    assert said(step) == [("ended", "cancelled", "Cancelled")]


def test_a_run_that_never_began_has_nothing_to_publish() -> None:
    site = at_work(outputs=(LOGS,), retried=True)
    step = site.tell(exited(reason=Reason.LAUNCH_FAILED, started_at=0.0))
    assert effects(step, Publish) == []
    assert said(step) == [("ended", "failed", "LaunchFailed")]


def test_a_preempted_run_leaves_its_last_state_first() -> None:
    site = at_work()
    site.tell(StopReceived("s1", one(), "Preempted"))
    step = site.tell(exited(reason=Reason.STOPPED, detail="Preempted"))
    assert [each.checkpoint for each in effects(step, Publish)] == [True]
    ended = published(site, reason=Reason.STOPPED, detail="Preempted")
    assert said(ended) == [("ended", "preempted", "Preempted")]


@pytest.mark.parametrize("restarted", [False, True])
def test_after_a_restart_it_goes_on_and_no_report_is_lost_or_doubled(restarted: bool) -> None:
    site = at_work(outputs=(MODEL, LOGS))
    site.tell(exited())
    site.tell(Committed(NAME, COMMIT))
    if restarted:
        before, site = site, site.restarted()
        assert site.state.outbox == before.state.outbox
        assert site.state.inventory.pools() == before.state.inventory.pools()
        assert site.state.attempts == before.state.attempts
    run = RunState(NAME, RunPhase.EXITED, exited().exit)
    step = site.tell(RunsFound((run,)))
    assert [each.outputs for each in effects(step, Publish)] == [(MODEL, LOGS)]
    assert reports(step) == []
    assert said(published(site)) == [("ended", "succeeded", "")]
