"""The site's side of the lease protocol, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from hashlib import blake2b
from operator import xor

import pytest
from supervised import (
    LEASE_SECONDS,
    SESSION,
    WALL,
    Site,
    effects,
    exited,
    grant,
    inventory,
    one,
    pool,
    reports,
    said,
    without_anchor,
)

from agent.backends import LeaseClass, Phase, Reason, RunState, run_name
from agent.inventory import Inventory, NodeCondition
from agent.supervisor import State
from agent.supervisor.messages import (
    AttemptPut,
    Closed,
    CloseSession,
    Forget,
    GrantsReceived,
    InventoryChanged,
    JournalFailed,
    JournalRecovered,
    Launch,
    MarkRaised,
    ModeSet,
    Opened,
    RenewLeases,
    ReportsAcknowledged,
    RunRefused,
    RunsFound,
    RunStarted,
    SendCapacity,
    SendHeartbeat,
    SendHello,
    SendReconcile,
    SendReports,
    StopReceived,
    StopRun,
    VerdictsReceived,
)
from agent.supervisor.values import Failure, Grant, Mode, ReportKind, Settings

NAME = run_name("j1", 1)


@pytest.fixture
def site() -> Site:
    site = Site()
    site.meet()
    return site


@pytest.fixture
def running(site: Site) -> Site:
    site.give(grant())
    site.tell(RunStarted(NAME))
    return site


# --- taking a grant ---------------------------------------------------------------


def test_an_accepted_grant_is_journalled_before_it_is_launched(site: Site) -> None:
    decision = site.give(grant(nodes=2, time_limit_seconds=60.0))
    assert [type(record) for record in decision.records] == [MarkRaised, AttemptPut]
    (launch,) = effects(decision, Launch)
    assert [node.devices for node in launch.order.nodes] == [tuple(range(8)), tuple(range(8))]
    assert (launch.order.model, launch.order.kind) == ("ascend-910b", "npu")
    assert launch.order.time_limit_seconds == 60.0
    assert launch.deadline == site.elapsed + LEASE_SECONDS
    assert said(decision) == []


def test_starting_and_ending_are_told_once_and_in_order(site: Site) -> None:
    site.give(grant())
    started = site.tell(RunStarted(NAME), RunStarted(NAME))
    assert said(started) == [("started", "", "")]
    ended = site.tell(exited(), exited())
    assert said(ended) == [("ended", "succeeded", "")]
    assert reports(ended)[0].report_seq == reports(started)[0].report_seq + 1


def test_a_run_that_ends_before_its_submission_returns_is_told_as_started_first(
    site: Site,
) -> None:
    site.give(grant())
    decision = site.tell(exited(), RunStarted(NAME))
    assert [kind for kind, _, _ in said(decision)] == ["started", "ended"]
    assert reports(decision)[0].at == WALL


def test_a_run_that_never_began_is_not_told_as_started(site: Site) -> None:
    site.give(grant())
    decision = site.tell(exited(reason=Reason.LAUNCH_FAILED, started_at=0.0))
    assert said(decision) == [("ended", "failed", "LaunchFailed")]


REFUSALS: list[tuple[str, str, Callable[[Site], object], Grant]] = [
    ("full", "NotEnoughCards", lambda site: site.give(grant("j0", nodes=4)), grant()),
    ("no pool", "UnknownPool", lambda site: None, grant(pool="gone")),
    ("supernode", "UnknownSupernode", lambda site: None, replace(grant(), pool="spare")),
    ("shape", "BadShape", lambda site: None, grant(cards=9)),
    ("model", "UnknownAccelerator", lambda site: None, grant(model="nvidia-h100")),
    ("anchor", "LeaseTooShort", lambda site: None, without_anchor(grant())),
    ("margin", "LeaseTooShort", lambda site: None, grant(lease_seconds=4.9)),
    ("paused", "SitePaused", lambda site: site.tell(ModeSet(Mode.PAUSED)), grant()),
    ("shadow", "SitePaused", lambda site: site.tell(ModeSet(Mode.SHADOW)), grant()),
    ("canary", "SiteRuleRefused", lambda site: site.tell(ModeSet(Mode.CANARY)), grant()),
    ("draining", "SiteDraining", lambda site: site.tell(ModeSet(Mode.DRAINING)), grant()),
    ("journal", "DiskFull", lambda site: site.tell(JournalFailed()), grant()),
]


@pytest.mark.parametrize(
    ("code", "prepare", "given"),
    [case[1:] for case in REFUSALS],
    ids=[case[0] for case in REFUSALS],
)
def test_a_refused_grant_is_reported_and_never_started(
    site: Site, code: str, prepare: Callable[[Site], object], given: Grant
) -> None:
    prepare(site)
    decision = site.give(replace(given, grant_seq=7))
    assert effects(decision, Launch) == []
    assert said(decision) == [("rejected", "rejected", code)]
    again = site.give(replace(grant(), grant_seq=8))
    assert effects(again, Launch) == []
    assert said(again) == []  # the first refusal is still in the outbox


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (Settings(tenants_denied=("team-a",)), grant()),
        (Settings(tenants_allowed=("team-b",)), grant()),
        (Settings(time_limit_seconds_max=60), grant(time_limit_seconds=61.0)),
    ],
)
def test_the_sites_own_rules_win(settings: Settings, given: Grant) -> None:
    site = Site(settings)
    site.meet()
    assert said(site.give(given)) == [("rejected", "rejected", "SiteRuleRefused")]


@pytest.mark.parametrize(
    ("settings", "image", "code"),
    [
        (Settings(tenants_mapped=("team-b",)), "", "TenantNotMapped"),
        (Settings(), "torch.sif", "ImagesUnsupported"),
    ],
)
def test_accounts_and_images_that_a_site_lacks(settings: Settings, image: str, code: str) -> None:
    site = Site(settings)
    site.meet()
    assert said(site.give(grant(image=image))) == [("rejected", "rejected", code)]


def test_accounts_and_images_that_a_site_has() -> None:
    site = Site(Settings(tenants_mapped=("team-a",), runs_images=True))
    site.meet()
    (launch,) = effects(site.give(grant(image="torch.sif")), Launch)
    assert launch.order.image == "torch.sif"


def test_a_job_without_a_time_limit_gets_the_sites() -> None:
    site = Site(Settings(time_limit_seconds_max=60))
    site.meet()
    (launch,) = effects(site.give(grant()), Launch)
    assert launch.order.time_limit_seconds == 60


def test_what_the_user_must_mend_fails_and_goes_to_no_other_site(site: Site) -> None:
    fault = Failure("user", "UnreadableSpec", "no")
    decision = site.give(replace(grant(), task=fault))
    assert said(decision) == [("ended", "failed", "UnreadableSpec")]
    site.give(grant("j2"))
    refused = RunRefused(run_name("j2", 1), Failure("user", "BadBundle", "no"))
    assert said(site.tell(refused)) == [("ended", "failed", "BadBundle")]


def test_a_refusal_of_the_backend_frees_the_cards(site: Site) -> None:
    site.give(grant(nodes=4))
    decision = site.tell(RunRefused(NAME, Failure("site", "DiskFull", "no")))
    assert said(decision) == [("rejected", "rejected", "DiskFull")]
    assert effects(site.give(grant("j2", nodes=4)), Launch)


@pytest.mark.parametrize("epoch", [1, 2])
def test_an_epoch_is_never_taken_twice_nor_an_older_one(site: Site, epoch: int) -> None:
    site.give(grant(epoch=2))
    decision = site.give(grant(epoch=epoch))
    assert effects(decision, Launch) == []
    assert said(decision) == ([("rejected", "rejected", "StaleEpoch")] if epoch == 1 else [])


def test_nothing_is_taken_before_the_broker_has_judged_what_is_held() -> None:
    site = Site()
    site.tell(Opened(SESSION))
    assert said(site.give(grant())) == [("rejected", "rejected", "NotReconciled")]


@pytest.mark.parametrize(("session", "term"), [("another", 1), (SESSION, 0)])
def test_words_of_another_session_or_an_earlier_leader_count_for_nothing(
    site: Site, session: str, term: int
) -> None:
    decision = site.give(grant(), session=session, term=term)
    assert (decision.records, effects(decision, Launch)) == ((), [])


def test_the_lease_counts_from_the_heartbeat_that_the_grant_names(site: Site) -> None:
    sent_at = site.elapsed + 10.5
    seq = site.beat()
    site.pass_time(5.0)
    (launch,) = effects(site.give(grant(anchor_seq=seq)), Launch)
    assert launch.deadline == sent_at + LEASE_SECONDS


# --- leases -----------------------------------------------------------------------


def test_an_answered_heartbeat_renews_from_when_it_was_sent(running: Site) -> None:
    seq = running.beat()
    sent_at = running.elapsed
    running.pass_time(7.0)
    (renewal,) = effects(running.reply(seq), RenewLeases)
    assert renewal.leases == ((NAME, sent_at + LEASE_SECONDS),)


def test_what_was_accepted_after_the_heartbeat_is_not_renewed_by_it(site: Site) -> None:
    seq = site.beat()
    site.pass_time(1.0)
    site.give(grant(anchor_seq=0))
    before = site.state.deadlines[NAME]
    assert effects(site.reply(seq), RenewLeases) == []
    assert site.state.deadlines[NAME] == before


def test_a_reply_to_a_heartbeat_that_was_never_sent_renews_nothing(running: Site) -> None:
    decision = running.reply(999)
    assert (decision.records, decision.effects) == ((), ())


def test_an_older_reply_never_shortens_a_lease(running: Site) -> None:
    first, second = running.beat(), running.beat()
    running.reply(second)
    deadline = running.state.deadlines[NAME]
    running.reply(first)
    assert running.state.deadlines[NAME] == deadline


def test_a_lease_that_has_ended_is_beyond_renewal(running: Site) -> None:
    running.give(grant("j2", grant_seq=2, lease_seconds=60.0))
    running.tell(RunStarted(run_name("j2", 1)))
    seq = running.beat()
    running.elapsed += 55.0  # past the second lease, and no step in between
    decision = running.reply(seq)
    assert effects(decision, StopRun) == [StopRun(run_name("j2", 1), "LeaseEnded")]
    (renewal,) = effects(decision, RenewLeases)
    assert [name for name, _ in renewal.leases] == [NAME]
    ended = running.tell(exited("j2", reason=Reason.STOPPED, exit_code=143))
    assert said(ended) == [("ended", "lost", "LeaseEnded")]


def test_at_its_end_a_lease_stops_the_run_though_nobody_speaks(running: Site) -> None:
    running.tell(Closed(SESSION))
    assert effects(running.pass_time(LEASE_SECONDS - 2), StopRun) == []
    assert effects(running.pass_time(2.1), StopRun) == [StopRun(NAME, "LeaseEnded")]
    assert effects(running.pass_time(2.0), StopRun) == []


@pytest.mark.parametrize("lease_class", [LeaseClass.PROOF, LeaseClass.OVERLAP])
def test_only_restart_is_stopped_by_time(site: Site, lease_class: LeaseClass) -> None:
    site.give(grant(lease_class=lease_class))
    site.tell(RunStarted(NAME))
    assert effects(site.reply(site.beat()), RenewLeases) == []
    assert effects(site.pass_time(10 * LEASE_SECONDS), StopRun) == []


def test_a_proof_grant_needs_no_anchor(site: Site) -> None:
    given = without_anchor(grant(lease_class=LeaseClass.PROOF, lease_seconds=0.0))
    (launch,) = effects(site.give(given), Launch)
    assert launch.deadline == float("inf")


def test_a_lease_renewed_during_staging_is_written_when_the_run_has_begun(site: Site) -> None:
    site.give(grant())
    site.reply(site.beat())
    (renewal,) = effects(site.tell(RunStarted(NAME)), RenewLeases)
    assert renewal.leases == ((NAME, site.elapsed + LEASE_SECONDS),)


# --- stopping ---------------------------------------------------------------------

STOPS = [
    ("Cancelled", "cancelled"),
    ("Superseded", "cancelled"),
    ("Preempted", "preempted"),
]


@pytest.mark.parametrize(("reason", "outcome"), STOPS)
def test_a_stopped_run_ends_with_the_outcome_of_its_reason(
    running: Site, reason: str, outcome: str
) -> None:
    decision = running.tell(StopReceived(SESSION, one(), reason))
    assert effects(decision, StopRun) == [StopRun(NAME, reason)]
    ended = running.tell(exited(reason=Reason.STOPPED, exit_code=143))
    assert said(ended) == [("ended", outcome, reason)]


def test_who_succeeds_in_spite_of_a_stop_has_succeeded(running: Site) -> None:
    running.tell(StopReceived(SESSION, one(), "Cancelled"))
    assert said(running.tell(exited())) == [("ended", "succeeded", "")]


def test_a_stop_on_the_way_to_the_backend_is_repeated_when_the_run_begins(site: Site) -> None:
    site.give(grant())
    site.tell(StopReceived(SESSION, one(), "Cancelled"))
    assert effects(site.tell(RunStarted(NAME)), StopRun) == [StopRun(NAME, "Cancelled")]


def test_a_stop_raises_the_mark_first_and_answers_for_what_never_came(site: Site) -> None:
    decision = site.tell(StopReceived(SESSION, one(epoch=3), "Cancelled"))
    assert said(decision) == [("rejected", "rejected", "NotStarted")]
    assert effects(site.give(grant(epoch=3)), Launch) == []
    assert said(site.tell(StopReceived(SESSION, one(epoch=3), "Cancelled"))) == []
    assert effects(site.give(grant(epoch=4)), Launch)


def test_heartbeat_replies_carry_stops_too(running: Site) -> None:
    decision = running.reply(running.beat(), stop=(one(),))
    assert effects(decision, StopRun) == [StopRun(NAME, "Cancelled")]
    assert effects(decision, RenewLeases) == []


@pytest.mark.parametrize(
    ("ended", "outcome", "category", "code"),
    [
        (exited(exit_code=3), "failed", "user", "NonZeroExit"),
        (exited(exit_code=127), "failed", "user", "NonZeroExit"),
        (exited(reason=Reason.TIME_LIMIT, exit_code=143), "failed", "user", "TimeLimit"),
        (exited(reason=Reason.OUT_OF_MEMORY, exit_code=137), "failed", "user", "OutOfMemory"),
        (exited(reason=Reason.LEASE_ENDED, exit_code=137), "lost", "network", "LeaseEnded"),
        (exited(reason=Reason.LAUNCH_FAILED), "failed", "site", "LaunchFailed"),
        (exited(reason=Reason.MACHINE_REBOOTED), "lost", "site", "MachineRebooted"),
        (exited(reason=Reason.UNKNOWN), "lost", "site", "Unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_end_has_an_outcome_and_somebody_who_can_mend_it(
    running: Site, ended: object, outcome: str, category: str, code: str
) -> None:
    (report,) = reports(running.tell(ended))  # type: ignore[arg-type]
    assert report.failure is not None
    assert (report.outcome, report.failure.category, report.failure.code) == (
        outcome,
        category,
        code,
    )


# --- verdicts ---------------------------------------------------------------------


def test_hello_names_all_that_is_held_and_what_remains(running: Site) -> None:
    running.pass_time(100.0)
    (hello,) = effects(running.tell(Opened("s2")), SendHello)
    (held,) = hello.attempts
    assert (held.id, held.remaining_seconds) == (one(), LEASE_SECONDS - 100)
    assert hello.capacity.full
    assert sum(pool.cards_free for pool in hello.capacity.pools) == 32


def test_verdicts_stop_forget_and_ask_for_promises(running: Site) -> None:
    running.give(grant("j2", grant_seq=2), grant("j3", grant_seq=3))
    running.tell(RunStarted(run_name("j2", 1)), RunStarted(run_name("j3", 1)), exited("j3"))
    decision = running.meet(
        "s2", keep=(one(),), stop=(one("j2"),), acknowledge=(one("j3"),), expect=(one("j4", 5),)
    )
    assert effects(decision, StopRun) == [StopRun(run_name("j2", 1), "Superseded")]
    assert run_name("j3", 1) not in running.state.attempts
    assert said(decision) == [("rejected", "rejected", "NotStarted")]
    assert effects(running.give(grant("j4", 5), session="s2"), Launch) == []


def test_no_promise_is_given_for_what_is_held(running: Site) -> None:
    decision = running.meet("s2", expect=(one(),))
    assert said(decision) == []
    assert effects(decision, StopRun) == []


def test_a_live_attempt_that_the_broker_calls_ended_is_stopped(running: Site) -> None:
    decision = running.meet("s2", acknowledge=(one(),))
    assert effects(decision, StopRun) == [StopRun(NAME, "Superseded")]


def test_reconcile_names_all_again(running: Site) -> None:
    (reconcile,) = effects(running.reply(running.beat(), reconcile=True), SendReconcile)
    assert [held.id for held in reconcile.attempts] == [one()]
    assert reconcile.grant_seq_seen == 1


def test_sides_that_differ_for_long_do_not_talk_without_a_pause(running: Site) -> None:
    running.reply(running.beat(), reconcile=True)
    judged = running.tell(VerdictsReceived(SESSION, term=1, hello=False))
    assert not effects(judged, SendHeartbeat)
    running.beat()  # in its time


# --- what is said -----------------------------------------------------------------


def test_a_heartbeat_follows_the_verdicts_at_once_and_then_by_the_interval() -> None:
    site = Site()
    assert len(effects(site.meet(heartbeat_seconds=4.0), SendHeartbeat)) == 1
    assert effects(site.pass_time(3.9), SendHeartbeat) == []
    assert [beat.seq for beat in effects(site.pass_time(0.1), SendHeartbeat)] == [2]
    assert site.supervisor.next_due() <= site.elapsed + 4.0


def test_heartbeats_are_spread_by_a_tenth() -> None:
    for jitter, seconds in ((0.0, 9.0), (0.5, 10.0), (0.999, 11.0)):
        site = Site(jitter=jitter)
        site.meet()
        assert effects(site.pass_time(seconds - 0.05), SendHeartbeat) == []
        assert effects(site.pass_time(0.1), SendHeartbeat)


def test_the_digest_is_of_what_is_held_and_has_not_ended(site: Site) -> None:
    def digest(*names: str) -> int:
        hashes = (blake2b(name.encode(), digest_size=8).digest() for name in names)
        return reduce(xor, (int.from_bytes(part, "big") for part in hashes), 0)

    site.give(*(grant(f"j{n}", grant_seq=n, nodes=1) for n in (1, 2, 3)))
    site.tell(RunStarted(NAME), exited())
    (beat,) = effects(site.pass_time(10.5), SendHeartbeat)
    assert beat.digest == digest("j2/1", "j3/1")
    assert beat.grant_seq_seen == 3


def test_reports_are_sent_again_without_progress_and_in_a_new_session(running: Site) -> None:
    first = running.state.outbox_head
    assert effects(running.pass_time(10), SendReports) == []
    (again,) = effects(running.pass_time(25), SendReports)
    assert [report.report_seq for report in again.reports] == [first]
    running.tell(Closed(SESSION))
    (anew,) = effects(running.meet("s2"), SendReports)
    assert [report.report_seq for report in anew.reports] == [first]
    running.tell(ReportsAcknowledged("s2", first))
    assert running.state.outbox == {}
    assert effects(running.pass_time(100), SendReports) == []


def test_reports_go_in_batches_and_only_so_many_unacknowledged() -> None:
    site = Site(Settings(report_batch_max=2, reports_in_flight_max=5))
    site.meet()
    site.give(*(grant(f"j{n}", grant_seq=n, cards=1) for n in range(1, 9)))
    started = [RunStarted(run_name(f"j{n}", 1)) for n in range(1, 9)]
    sent = effects(site.tell(*started), SendReports)
    assert [len(part.reports) for part in sent] == [2, 2, 1]
    more = effects(site.tell(ReportsAcknowledged(SESSION, 3)), SendReports)
    assert [report.report_seq for part in more for report in part.reports] == [6, 7, 8]


def test_acknowledged_ends_are_held_no_more_but_their_logs_are_kept(site: Site) -> None:
    site = Site(Settings(ended_max=1, ended_seconds=100.0))
    site.meet()
    site.give(grant(), grant("j2", grant_seq=2))
    site.tell(RunStarted(NAME), RunStarted(run_name("j2", 1)), exited(), exited("j2"))
    assert effects(site.tell(ReportsAcknowledged(SESSION, 4)), Forget) == []
    assert site.state.attempts == {}
    assert effects(site.pass_time(1.0), Forget) == [Forget((NAME,))]
    assert effects(site.pass_time(100.0), Forget) == [Forget((run_name("j2", 1),))]


def test_capacity_is_told_by_pool_with_the_grants_it_reflects(site: Site) -> None:
    site.pass_time(1.0)
    (capacity,) = effects(site.give(grant(grant_seq=4)), SendCapacity)
    assert [pool.name for pool in capacity.pools] == ["train"]
    assert (capacity.full, capacity.reflects_grant_seq) == (False, 4)
    assert capacity.pools[0].cards_free == 24


def test_capacity_is_not_told_more_often_than_every_20_ms(site: Site) -> None:
    site.pass_time(1.0)
    assert effects(site.give(grant()), SendCapacity)
    site.elapsed += 0.01
    assert effects(site.tell(RunStarted(NAME), exited()), SendCapacity) == []
    assert site.supervisor.next_due() == pytest.approx(site.elapsed + 0.01)
    decision = site.pass_time(0.01)
    assert effects(decision, SendCapacity)[0].pools[0].cards_free == 32
    (refused,) = effects(site.pass_time(60.0), SendCapacity)
    assert refused.full


def test_a_refused_grant_is_reflected_too(site: Site) -> None:
    site.pass_time(1.0)
    (capacity,) = effects(site.give(grant(pool="gone", grant_seq=9)), SendCapacity)
    assert (capacity.pools, capacity.reflects_grant_seq) == ((), 9)


def test_freed_cards_are_told_after_the_reports_that_freed_them(running: Site) -> None:
    running.elapsed += 1.0
    kinds = [type(effect) for effect in running.tell(exited()).effects]
    assert kinds.index(SendReports) < kinds.index(SendCapacity)


def test_a_silent_broker_ends_the_session(site: Site) -> None:
    assert effects(site.pass_time(44.0), CloseSession) == []
    assert effects(site.pass_time(2.0), CloseSession) == [CloseSession(SESSION, "BrokerSilent")]


def test_other_cards_keep_what_is_held(running: Site) -> None:
    faulty = NodeCondition("train", "train-n3", frozenset({0, 1}))
    fresh = Inventory("shenzhen", (pool("train"), pool("spare", nodes=1)), (faulty,))
    running.elapsed += 1.0
    (capacity,) = effects(running.tell(InventoryChanged(fresh)), SendCapacity)
    assert capacity.full
    assert capacity.pools[0].cards_free == 32 - 8 - 2
    running.tell(exited())
    assert running.state.inventory.pools()[0].cards_free == 30


# --- the operator -----------------------------------------------------------------


def test_pausing_leaves_what_runs_and_says_so(running: Site) -> None:
    running.elapsed += 1.0
    decision = running.tell(ModeSet(Mode.PAUSED))
    assert effects(decision, StopRun) == []
    assert effects(decision, SendCapacity)[0].paused
    running.elapsed += 1.0
    resumed = running.tell(ModeSet(Mode.OPEN))
    assert not effects(resumed, SendCapacity)[0].paused
    assert effects(running.give(grant("j2")), Launch)


def test_a_canary_takes_the_jobs_of_its_tenants_alone(site: Site) -> None:
    site.elapsed += 1.0
    decision = site.tell(ModeSet(Mode.CANARY, tenants=("team-a",)))
    assert not effects(decision, SendCapacity)[0].paused
    assert effects(site.give(grant()), Launch)


def test_pausing_with_its_jobs_gives_them_back(running: Site) -> None:
    decision = running.tell(ModeSet(Mode.PAUSED, stop_jobs=True))
    assert effects(decision, StopRun) == [StopRun(NAME, "SitePaused")]
    ended = running.tell(exited(reason=Reason.STOPPED, exit_code=143))
    assert said(ended) == [("ended", "preempted", "SitePaused")]


# --- a full disk ------------------------------------------------------------------


def test_what_could_not_be_journalled_is_refused_and_the_rest_goes_on(running: Site) -> None:
    running.give(grant("j2", grant_seq=2))
    running.elapsed += 1.0
    decision = running.tell(JournalFailed((run_name("j2", 1),)))
    assert said(decision) == [("rejected", "rejected", "DiskFull")]
    assert effects(decision, SendCapacity)[0].paused
    assert effects(running.reply(running.beat()), RenewLeases)
    assert said(running.tell(exited())) == [("ended", "succeeded", "")]
    running.tell(JournalRecovered())
    assert effects(running.give(grant("j3", grant_seq=3, anchor_seq=2)), Launch)


# --- after a restart --------------------------------------------------------------


def test_what_runs_is_adopted_with_its_lease(running: Site) -> None:
    running.reply(running.beat())
    site = running.restarted()
    decision = site.tell(RunsFound((RunState(NAME, Phase.RUNNING),)))
    assert (said(decision), effects(decision, Launch), effects(decision, StopRun)) == ([], [], [])
    assert site.state.deadlines[NAME] == running.state.deadlines[NAME]
    assert site.state.inventory.pools()[0].cards_free == 24


def test_what_was_accepted_and_does_not_run_is_never_started_late(site: Site) -> None:
    site.give(grant())
    again = site.restarted()
    assert said(again.tell(RunsFound(()))) == [("rejected", "rejected", "NotStarted")]
    again.meet()
    assert effects(again.give(grant()), Launch) == []


def test_what_was_submitted_but_not_confirmed_is_adopted(site: Site) -> None:
    site.give(grant())
    again = site.restarted()
    decision = again.tell(RunsFound((RunState(NAME, Phase.STARTING),)))
    assert said(decision) == [("started", "", "")]


def test_what_ended_meanwhile_is_told_with_its_end(running: Site) -> None:
    site = running.restarted()
    ended = exited(exit_code=2)
    found = RunsFound((RunState(NAME, Phase.EXITED, ended.exit),))
    assert said(site.tell(found, ended)) == [("ended", "failed", "NonZeroExit")]


def test_what_vanished_is_lost(running: Site) -> None:
    decision = running.restarted().tell(RunsFound(()))
    assert said(decision) == [("ended", "lost", "RunVanished")]


def test_a_stop_that_may_not_have_arrived_is_repeated(running: Site) -> None:
    running.tell(StopReceived(SESSION, one(), "Cancelled"))
    site = running.restarted()
    decision = site.tell(RunsFound((RunState(NAME, Phase.RUNNING),)))
    assert effects(decision, StopRun) == [StopRun(NAME, "Cancelled")]


def test_a_run_without_a_record_is_named_until_it_is_dead() -> None:
    """Else the broker, told that nothing is held, would start the job elsewhere."""
    site = Site()
    decision = site.tell(RunsFound((RunState(NAME, Phase.RUNNING),)))
    assert effects(decision, StopRun) == [StopRun(NAME, "JournalLost")]
    (hello,) = effects(site.tell(Opened(SESSION)), SendHello)
    assert [held.id for held in hello.attempts] == [one()]
    site.tell(VerdictsReceived(SESSION, 1, expect=(one(),)))
    assert site.state.outbox == {}
    ended = site.tell(exited(reason=Reason.STOPPED, exit_code=143))
    assert said(ended) == [("ended", "lost", "JournalLost")]


def test_an_end_without_a_record_is_told_unless_it_was_handled_before(running: Site) -> None:
    ended = RunState(NAME, Phase.EXITED, exited().exit)
    assert said(Site().tell(RunsFound((ended,)))) == [("ended", "succeeded", "")]
    running.tell(exited())
    running.tell(ReportsAcknowledged(SESSION, running.state.outbox_head))
    assert said(running.restarted().tell(RunsFound((ended,)))) == []


def test_reports_are_never_numbered_twice(running: Site) -> None:
    head = running.state.outbox_head
    running.tell(ReportsAcknowledged(SESSION, head))
    site = running.restarted()
    (report,) = reports(site.tell(RunsFound(()), exited()))
    assert report.report_seq == head + 1


# --- limits -----------------------------------------------------------------------


def test_old_marks_are_dropped_but_never_those_of_what_is_held() -> None:
    site = Site(Settings(marks_max=2))
    site.meet()
    site.give(grant("held"))
    for number in range(5):
        site.tell(StopReceived(SESSION, one(f"j{number}"), "Cancelled"))
    site.pass_time(2.0)
    assert list(site.state.marks) == ["held", "j3", "j4"]


@pytest.mark.parametrize("years", [10, -10])
def test_a_jump_of_the_wall_clock_changes_no_lease_and_forgets_no_mark(years: int) -> None:
    site = Site()
    site.meet()
    site.give(grant())
    site.tell(StopReceived(SESSION, one("gone"), "Cancelled"))
    deadlines, seq = dict(site.state.deadlines), site.beat()
    site.wall_jump = years * 365 * 86_400.0
    assert effects(site.pass_time(2.0), StopRun) == []
    assert site.state.deadlines == deadlines
    site.reply(seq)
    assert site.state.deadlines[NAME] == site.elapsed - 2.0 + LEASE_SECONDS
    site.tell(StopReceived(SESSION, one("later"), "Cancelled"))
    marks = site.state.marks
    assert list(marks) == ["j1", "gone", "later"]
    ages = [mark.raised_at for mark in marks.values()]
    assert ages == sorted(ages), "in this order they are loaded, and forgotten, again"
    assert effects(site.give(grant("gone", grant_seq=2)), Launch) == []


def test_with_a_full_outbox_grants_stay_unanswered() -> None:
    site = Site(Settings(outbox_max=1))
    site.meet()
    site.give(grant(pool="gone"))
    decision = site.give(grant("j2", grant_seq=2))
    assert (effects(decision, Launch), said(decision)) == ([], [])
    site.tell(ReportsAcknowledged(SESSION, 1))
    assert effects(site.give(grant("j2", grant_seq=3)), Launch)


def test_replaying_the_records_gives_the_same_state(running: Site) -> None:
    running.give(grant("j2", grant_seq=2), grant("j3", grant_seq=3, pool="gone"))
    running.tell(StopReceived(SESSION, one("j2"), "Cancelled"))
    running.reply(running.beat(), term=4)
    again = State(inventory())
    for record in running.journal:
        again.apply(record)
    again.check()
    for name in ("attempts", "deadlines", "marks", "outbox", "report_seq", "term", "digest"):
        assert getattr(again, name) == getattr(running.state, name)
    assert again.term == 4


def test_events_of_one_batch_see_each_other(site: Site) -> None:
    decision = site.tell(
        GrantsReceived(SESSION, 1, (grant(),)),
        StopReceived(SESSION, one(), "Cancelled"),
    )
    assert [type(effect) for effect in decision.effects][:2] == [Launch, StopRun]
    assert [report.kind for report in reports(decision)] == []
    refused = site.tell(RunRefused(NAME, Failure("site", "NotStarted", "")))
    assert [report.kind for report in reports(refused)] == [ReportKind.REJECTED]
