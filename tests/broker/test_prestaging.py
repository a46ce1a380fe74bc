"""Inputs sent ahead of their jobs: booked, told to the site, and never for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_core import MODEL, SCORE, Desk, facts_of, pool_of, spec_of, with_limits

from agent.staging.sources import located
from agent.staging.values import UrlSource
from broker.core.ahead import key_of
from broker.core.data_messages import (
    CacheReport,
    Prestage,
    Prestages,
    StagingProgress,
    StagingReport,
)
from broker.core.ignored import Ignored
from broker.core.messages import Event, Grants, Proposals, PutRow, RemoveSite, SetDrain, Tick
from broker.core.rows import Dataset, NetworkMap, Replica, Spec
from broker.core.snapshot import take_snapshot
from broker.queries import ListTransfers, answer
from scheduler.model import (
    Demand,
    Fetch,
    Link,
    NetworkNode,
    Placement,
    Prestaging,
    Slice,
    Variant,
    Work,
)

TB = 10**12
GB = 10**9
LINK = Link("east", "west", 8.0, 5.0)  # a gigabyte a second
HERE, THERE = "https://east/p", "https://north/p"
WISH = Prestaging("west/main", Fetch("protein", "east", TB))


def desk_with(**limits: Any) -> Desk:
    """Two sites of eight cards; the protein is at east, west has a cache that says so."""
    desk = Desk("east", "west", limits=with_limits(**limits))
    for site in ("east", "west"):
        desk.hello(site)
    row = NetworkMap((NetworkNode("east"), NetworkNode("west")), (LINK,), ("",))
    desk.ask(PutRow(row, "admin"))
    register(desk, "protein", TB, Replica("east", HERE))
    report(desk, 1)
    return desk


def register(desk: Desk, name: str, size_bytes: int, *copies: Replica, **more: Any) -> None:
    desk.ask(PutRow(Dataset(name, size_bytes, copies, **more), "admin"))


def report(desk: Desk, seq: int, *locations: str, session: str = "s1", **more: Any) -> None:
    """West says what its cache holds."""
    keys = tuple(key_of(each) for each in locations)
    desk.step(
        CacheReport(**{"site": "west", "session": session, "seq": seq, "keys": keys,
                       "bytes_max": 100 * TB, **more})
    )  # fmt: skip


def propose(desk: Desk, *wishes: Prestaging) -> list[Prestages]:
    """A round proposes; what sites are told."""
    desk.step(Proposals((), (), desk.wall, prestagings=wishes or (WISH,)))
    return desk.sent(Prestages)


def live(desk: Desk, seconds: float, session: str = "s1") -> None:
    """Time passes and west is heard."""
    desk.advance(seconds, tick=False)
    desk.beat("west", session)
    desk.step(Tick())


def booked(desk: Desk) -> list[tuple[str, str]]:
    found = answer(desk.core.memory, ListTransfers())
    return [(each.wanted.dataset, each.wanted.target) for each in found]


def fetching_spec() -> Spec:
    spec = spec_of()
    return replace(spec, demand=replace(spec.demand, inputs=("protein",)))


# --- told, and booked -------------------------------------------------------------


def test_an_accepted_proposal_is_booked_and_told_with_its_rate() -> None:
    desk = desk_with()
    (told,) = propose(desk)
    assert told == Prestages(desk.core.memory.term, (Prestage("protein", HERE, TB, GB, 600.0),))
    assert booked(desk) == [("protein", "west")]
    (transfer,) = take_snapshot(desk.core.memory, desk.now, ()).transfers
    assert transfer.size_bytes == TB


def test_a_site_that_does_not_say_what_it_caches_is_told_nothing() -> None:
    desk = desk_with()
    desk.hello("west", session="s2")  # as after an older agent took over
    assert propose(desk) == []
    assert booked(desk) == []


def test_what_is_proposed_again_lasts_longer_and_is_seldom_told_again() -> None:
    desk = desk_with()
    propose(desk)
    told = 0
    for _ in range(12):
        live(desk, 60.0)
        told += len(propose(desk))
    assert told == 2  # every five minutes
    assert booked(desk) == [("protein", "west")]


def test_what_no_round_proposes_any_more_ends_here_and_there() -> None:
    desk = desk_with()
    propose(desk)
    desk.advance(599.0)
    assert booked(desk) == [("protein", "west")]
    desk.advance(2.0)
    assert booked(desk) == []
    assert desk.sent(Prestages) == [Prestages(desk.core.memory.term, ())]
    assert len(desk.core.memory.ahead) == 0
    desk.advance(1.0)
    assert desk.sent(Prestages) == []


def test_a_second_transfer_takes_half_of_the_line_and_both_are_told() -> None:
    desk = desk_with()
    register(desk, "genome", TB, Replica("east", "https://east/g"))
    propose(desk)
    (told,) = propose(desk, WISH, Prestaging("west/main", Fetch("genome", "east", TB)))
    assert [(each.dataset, each.bytes_per_second) for each in told.wanted] == [
        ("protein", GB / 2),
        ("genome", GB / 2),
    ]


def test_a_late_transfer_keeps_the_rate_that_it_had() -> None:
    desk = desk_with(prestage_seconds=10_000.0)
    propose(desk)
    live(desk, 1_500.0)  # by the book it has arrived
    register(desk, "genome", TB, Replica("east", "https://east/g"))
    (told,) = propose(desk, Prestaging("west/main", Fetch("genome", "east", TB)))
    assert [each.bytes_per_second for each in told.wanted] == [GB, GB]


# --- refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda desk: register(desk, "protein", TB, Replica("east", "/data/p")),  # no way to read
        lambda desk: register(desk, "protein", TB, Replica("north", THERE)),  # not from there
        lambda desk: register(
            desk, "protein", TB, Replica("east", HERE), regions_allowed=("north",)
        ),
        lambda desk: report(desk, 2, bytes_max=2 * TB - 1),
        lambda desk: report(desk, 2, HERE),
        lambda desk: desk.ask(SetDrain("west", True, "", "admin")),
        lambda desk: desk.hello("west", session="s2", facts=facts_of("west", paused=True)),
    ],
)
def test_a_proposal_that_makes_no_sense_any_more_is_dropped(change: Any) -> None:
    desk = desk_with()
    change(desk)
    assert propose(desk) == []
    assert booked(desk) == [] and len(desk.core.memory.ahead) == 0


def test_unknown_datasets_and_sites_are_passed_over() -> None:
    desk = desk_with()
    wishes = (
        Prestaging("west/main", Fetch("nothing", "east", TB)),
        Prestaging("nowhere/main", WISH.fetch),
    )
    assert propose(desk, *wishes) == []


@pytest.mark.parametrize(
    "limits", [{"prestages_max": 2}, {"prestages_per_site_max": 2},
               {"prestage_bytes_per_site_max": 2.5 * TB}],
)  # fmt: skip
def test_there_are_never_too_many(limits: dict[str, Any]) -> None:
    desk = desk_with(**limits)
    names = ("a", "b", "c")
    for name in names:
        register(desk, name, TB, Replica("east", f"https://east/{name}"))
    propose(desk, *(Prestaging("west/main", Fetch(name, "east", TB)) for name in names))
    assert booked(desk) == [("a", "west"), ("b", "west")]


# --- there ------------------------------------------------------------------------


def test_what_the_cache_holds_is_there_for_the_round_and_for_the_grant() -> None:
    desk = desk_with()
    register(desk, "protein", TB, Replica("north", THERE), Replica("east", HERE))
    propose(desk)
    report(desk, 2, HERE)
    assert booked(desk) == []
    assert desk.sent(Prestages) == [Prestages(desk.core.memory.term, ())]
    desk.submit("j1", spec=fetching_spec())
    (dataset,) = take_snapshot(desk.core.memory, desk.now, ()).datasets
    assert dataset.cached == ("west",)
    placed = {each.pool: each for each in desk.round().placements}
    desk.hello("east", session="s2", pools=(pool_of("east", free=0),))
    (placement,) = desk.round().placements
    assert placed.keys() == {"east/main"} or placed.keys() == {"west/main"}
    assert (placement.pool, placement.fetches) == ("west/main", ())
    assert placement.score.stage_seconds == 0.0
    (grant,) = desk.place(placement)
    assert grant.data == (("protein", HERE),)  # not the first copy: the one that is there
    report(desk, 3)
    desk.submit("j2", spec=fetching_spec())
    assert desk.round().placements[0].score.stage_seconds > 0


def test_an_attempt_joins_what_is_on_its_way() -> None:
    desk = desk_with()
    register(desk, "protein", TB, Replica("north", THERE), Replica("east", HERE))
    propose(desk)
    desk.submit("j1", spec=fetching_spec())
    fetch = Fetch("protein", "north", TB)
    one = Placement("j1", 0, "west/main", (Slice("s0", 1, 1),), SCORE, (fetch,))
    (grant,) = desk.place(one)
    assert grant.data == (("protein", HERE),)
    assert booked(desk) == [("protein", "west")]
    assert desk.core.memory.transfers.counts.booked == 1


def test_a_new_session_is_told_once_it_has_spoken_of_its_cache() -> None:
    desk = desk_with()
    propose(desk)
    desk.hello("west", session="s2")
    assert desk.sent(Prestages) == []
    report(desk, 5)
    assert desk.sent(Prestages) == []  # of the session before
    report(desk, 1, session="s2")
    (told,) = desk.sent(Prestages)
    assert [each.dataset for each in told.wanted] == ["protein"]


def test_a_cache_is_forgotten_with_its_session_and_with_its_site() -> None:
    desk = desk_with()
    report(desk, 2, HERE)
    ahead, row = desk.core.memory.ahead, desk.state.datasets["protein"]
    assert ahead.sites_with(row) == ("west",)
    desk.hello("west", session="s2")
    assert ahead.sites_with(row) == ()
    report(desk, 1, HERE, session="s2")
    assert ahead.sites_with(row) == ("west",)
    desk.ask(RemoveSite("west", False, "admin"))
    assert ahead.sites_with(row) == ()


def test_reports_that_repeat_or_make_no_sense_change_nothing() -> None:
    desk = desk_with()
    report(desk, 3, HERE)
    for seq in (3, 2, 0, 2**63):
        report(desk, seq)
    assert desk.core.memory.ahead.holds("west", HERE)
    assert desk.core.memory.ignored[Ignored.CAPACITY_REPEATED] == 2
    assert desk.core.memory.ignored[Ignored.NUMBER_OUT_OF_RANGE] == 2


def test_another_place_of_the_dataset_ends_what_was_sent_from_the_old_one() -> None:
    desk = desk_with()
    propose(desk)
    register(desk, "protein", TB, Replica("east", "https://east/p2"))
    desk.advance(1.0)
    assert booked(desk) == []
    (told,) = propose(desk)
    assert told.wanted[0].location == "https://east/p2"


def test_what_could_not_be_brought_is_given_up_and_held_off() -> None:
    desk = desk_with()
    propose(desk)
    report(desk, 2, refused=(key_of(HERE), "sha256-of-others"))
    assert booked(desk) == []
    assert desk.sent(Prestages) == [Prestages(desk.core.memory.term, ())]
    live(desk, 590.0)
    assert propose(desk) == []
    live(desk, 20.0)
    assert len(propose(desk)) == 1


def test_a_cut_line_ends_it_and_a_restart_forgets_it() -> None:
    desk = desk_with()
    propose(desk)
    row = NetworkMap((NetworkNode("east"), NetworkNode("west")), (replace(LINK, down=True),), ("",))
    desk.ask(PutRow(row, "admin"))
    desk.advance(1.0)
    assert len(desk.core.memory.ahead) == 0
    desk.restart()
    assert len(desk.core.memory.ahead) == 0


# --- a whole story ----------------------------------------------------------------


def test_a_round_sends_the_inputs_of_a_job_that_waits_and_it_starts_no_later() -> None:
    """Every card of west is taken for twenty minutes; its next job's data take seventeen."""
    demand = Demand((Variant(MODEL, 1, 8),), work=Work(seconds=1200.0), sites_allowed=("west",))
    busy = replace(spec_of("busy", cards=8), demand=demand)
    wanted = replace(spec_of("next", cards=8), demand=replace(demand, inputs=("protein",)))
    desk = desk_with()
    desk.submit("j1", spec=busy)
    assert [each.job_id for each in desk.place(*desk.round().placements)] == ["j1"]
    desk.started("west", "j1")
    desk.hello("west", session="s2", pools=(pool_of("west", free=0),))
    report(desk, 1, session="s2")
    desk.submit("j2", spec=wanted)
    finish = waiting_finish(desk)
    decided = desk.round()
    assert decided.prestagings == (WISH,)
    assert propose(desk, *decided.prestagings)
    assert waiting_finish(desk) <= finish
    for _ in range(20):
        live(desk, 60.0, "s2")
        decided = desk.round()
        desk.step(Proposals((), (), desk.wall, prestagings=decided.prestagings))
        later = waiting_finish(desk)
        assert later <= finish
        finish = later
    desk.succeeded("west", "j1", session="s2")
    desk.hello("west", session="s3")
    (placement,) = desk.round().placements
    assert placement.score.stage_seconds <= 0.01  # instead of a thousand seconds


def waiting_finish(desk: Desk) -> float:
    """Seconds of the clock at which the round expects the job in the queue to end."""
    ((_, explanation),) = desk.round().explanations
    return desk.wall + min(each.score.finish_seconds for each in explanation.candidates)


# --- progress ---------------------------------------------------------------------


def test_progress_is_of_this_session_and_replaced_as_a_whole() -> None:
    desk = desk_with()
    presence = desk.core.memory.presence["west"]
    first = StagingReport("west", "s1", 1, (StagingProgress("j1", 1, 5, 10),))
    desk.step(first)
    assert presence.staging == {("j1", 1): (5, 10)}
    desk.step(StagingReport("west", "s1", 2, ()))
    desk.step(first, StagingReport("west", "other", 9, first.progress))
    assert presence.staging == {}


# --- whatever happens -------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["propose", "cached", "empty", "hello", "pass", "put", "grant", "start"]),
        st.integers(0, 3),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(STEPS)
def test_what_is_booked_is_what_is_told_or_waited_for(steps: list[tuple[str, int]]) -> None:
    desk = desk_with(prestages_per_site_max=3)
    locations = [f"https://east/{number}" for number in range(4)]
    for number, location in enumerate(locations):
        register(desk, f"d{number}", TB, Replica("east", location))
    session, seq = 1, 1
    told: dict[str, None] = {}
    for step, number in steps:
        fetch = Fetch(f"d{number}", "east", TB)
        seq += 1
        said: Event = Tick()
        if step == "propose":
            said = Proposals((), (), desk.wall, prestagings=(Prestaging("west/main", fetch),))
        elif step in ("cached", "empty"):
            keys = (key_of(locations[number]),) if step == "cached" else ()
            said = CacheReport("west", f"s{session}", seq, keys, 100 * TB)
        elif step == "hello":
            session += 1
            desk.hello("west", session=f"s{session}")
            told.clear()
        elif step == "pass":
            desk.advance(250.0, tick=False)
        elif step == "put":
            register(desk, f"d{number}", TB, Replica("east", f"{locations[number]}?{seq}"))
        elif step == "grant":
            spec = spec_of()
            spec = replace(spec, demand=replace(spec.demand, inputs=(f"d{number}",)))
            desk.submit(f"j{seq}", spec=spec)
            placed = Placement(f"j{seq}", 0, "west/main", (Slice("s0", 1, 1),), SCORE, (fetch,))
            said = Proposals((placed,), (), desk.wall)
        elif step == "start":
            for job in list(desk.state.jobs.values()):
                if job.state == "placed":
                    desk.started("west", job.id, session=f"s{session}")
        for sends in (desk.sends, desk.step(said).sends, desk.step(Tick()).sends):
            for send in sends:
                if isinstance(send.message, Prestages) and send.session == f"s{session}":
                    told = dict.fromkeys(each.dataset for each in send.message.wanted)
        memory = desk.core.memory
        sent = set(memory.ahead.at("west"))
        if memory.presence["west"].cache_seq:
            assert set(told) == sent
        waited = {fetch.dataset for job_id in desk.state.fetching
                  for fetch in desk.job(job_id).attempts[-1].fetches}  # fmt: skip
        assert {name for name, _ in booked(desk)} == sent | waited
        assert len(sent) <= 3


# --- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [
        "https://h/a.bin",
        "http://h:8080/a/b%20c?sign=1&x=2",
        f"https://h/a#sha256={'AB' * 32}",
        f"https://h/a?x=1#sha256={'0c' * 32}",
    ],
)
def test_broker_and_agent_give_a_location_the_same_name(location: str) -> None:
    source = located("a", location)
    assert isinstance(source, UrlSource)
    assert source.key == key_of(location)


def test_a_grant_of_a_dataset_that_is_gone_names_no_place() -> None:
    desk = desk_with()
    spec = replace(spec_of(), demand=replace(spec_of().demand, inputs=("nothing",)))
    desk.submit("j1", spec=spec)
    desk.place(Placement("j1", 0, "west/main", (Slice("s0", 1, 1),), SCORE))
    (grants,) = desk.sent(Grants)
    assert grants.grants[0].data == ()
