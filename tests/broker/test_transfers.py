"""Transfers of inputs in the core: booked while an attempt waits, never lost, never leaked."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_core import SCORE, WALL, Desk, facts_of, pool_of, spec_of

from broker.conditions import condition_of
from broker.core.messages import Grant, PutRow
from broker.core.rows import Dataset, NetworkMap, Replica, Spec
from broker.core.snapshot import take_snapshot
from broker.core.transfers import Booked, Wanted
from broker.queries import Counters, GetCarried, ListTransfers, answer
from scheduler.model import Fetch, Link, Network, NetworkNode, Placement, Slice
from scheduler.network import routes_of

TB = 10**12
SHORT = (Link("east", "hub", 8.0, 5.0), Link("hub", "west", 8.0, 5.0))
DETOUR = (Link("east", "far", 4.0, 20.0), Link("far", "west", 4.0, 20.0))
MISSING = Fetch("protein", "east", TB)


def desk_with(*links: Link, sites: tuple[str, ...] = ("east", "west", "north")) -> Desk:
    """Sites of eight cards, each in the city of its name; the protein is at east and north."""
    desk = Desk(*sites)
    for site in sites:
        desk.hello(site)
    lay(desk, *links)
    copies = (Replica("north", "https://north/p"), Replica("east", "https://east/p"))
    desk.ask(PutRow(Dataset("protein", TB, copies), "admin"))
    return desk


def lay(desk: Desk, *links: Link) -> None:
    """Apply a network of these links."""
    names = sorted({end for link in links for end in (link.a, link.b)})
    row = NetworkMap(tuple(map(NetworkNode, names)), links, ("",) * len(links))
    desk.ask(PutRow(row, "admin"))


def fetching_spec(name: str = "fold") -> Spec:
    spec = spec_of(name)
    return replace(spec, demand=replace(spec.demand, inputs=("protein",)))


def send(desk: Desk, job_id: str, site: str = "west", *fetches: Fetch) -> list[Grant]:
    """Submit a job and place it where its input must come to."""
    desk.submit(job_id, spec=fetching_spec())
    wanted = fetches or (MISSING,)
    return desk.place(Placement(job_id, 0, f"{site}/main", (Slice("s0", 1, 1),), SCORE, wanted))


def listed(desk: Desk) -> tuple[Booked, ...]:
    found: tuple[Booked, ...] = answer(desk.core.memory, ListTransfers())
    return found


def counted(desk: Desk) -> dict[str, int]:
    counters = dict(answer(desk.core.memory, Counters()))
    return {name: n for name, n in counters.items() if name.startswith("Transfers")}


def test_a_transfer_is_booked_with_the_grant_and_told_its_source() -> None:
    desk = desk_with(*SHORT, *DETOUR)
    (grant,) = send(desk, "j1")
    assert grant.data == (("protein", "https://east/p"),)  # not the first copy: the nearest
    (booked,) = listed(desk)
    assert booked.wanted == Wanted("protein", "east", "west", TB)
    assert booked.route == ("east", "hub", "west")
    assert (booked.gbps, booked.ends_seconds) == pytest.approx((8.0, 1000.0))
    assert answer(desk.core.memory, GetCarried()) == (8.0, 8.0, 0.0, 0.0)
    desk.advance(250.0)
    (booked,) = listed(desk)
    assert booked.left_bytes == pytest.approx(0.75 * TB)
    shot = take_snapshot(desk.core.memory, desk.now, ())
    (transfer,) = shot.transfers
    assert (transfer.links, transfer.begins_at) == ((0, 1), WALL + 250.0)
    assert transfer.size_bytes == pytest.approx(0.75 * TB)


def test_two_attempts_at_one_site_share_a_transfer_until_the_last_starts() -> None:
    desk = desk_with(*SHORT)
    send(desk, "j1")
    send(desk, "j2")
    assert len(listed(desk)) == 1
    desk.started("west", "j1")
    desk.advance(1.0)
    assert len(listed(desk)) == 1
    desk.started("west", "j2")
    desk.advance(1.0)
    assert listed(desk) == ()
    assert answer(desk.core.memory, GetCarried()) == ()
    assert counted(desk)["TransfersBooked"] == 1


@pytest.mark.parametrize("how", ["cancel", "reject", "lose"])
def test_a_transfer_ends_with_its_attempt(how: str) -> None:
    desk = desk_with(*SHORT)
    send(desk, "j1")
    if how == "cancel":
        desk.cancel("j1")
        desk.report("west", "ended", "j1", outcome="cancelled")
    elif how == "reject":
        desk.report("west", "rejected", "j1")
    else:
        for _ in range(80):
            desk.beat("east")
            desk.advance(10.0)
    desk.advance(1.0)
    assert not desk.state.fetching
    assert listed(desk) == ()
    assert len(desk.core.memory.transfers.calendar) == 0


def test_transfers_share_a_link_fairly() -> None:
    desk = desk_with(*SHORT, Link("hub", "north", 8.0, 5.0))
    send(desk, "j1")
    send(desk, "j2", "north")
    assert [each.gbps for each in listed(desk)] == [4.0, 4.0]
    assert sum(answer(desk.core.memory, GetCarried())[:1]) == 8.0


def test_a_link_that_goes_down_sends_transfers_round() -> None:
    desk = desk_with(*SHORT, *DETOUR)
    send(desk, "j1")
    desk.advance(500.0)
    lay(desk, replace(SHORT[0], down=True), SHORT[1], *DETOUR)
    (booked,) = listed(desk)
    assert booked.route == ("east", "far", "west")
    assert booked.left_bytes == pytest.approx(TB / 2)
    assert booked.ends_seconds == pytest.approx(1000.0)
    assert counted(desk) == {
        "TransfersBooked": 1,
        "TransfersRerouted": 1,
        "TransfersStranded": 0,
        "TransfersUnbooked": 0,
    }
    lay(desk, *SHORT[1:], *DETOUR)  # gone from the map altogether: the way stays
    assert listed(desk)[0].route == ("east", "far", "west")
    assert counted(desk)["TransfersRerouted"] == 1


def test_a_transfer_without_any_way_is_stranded_and_told_until_the_link_is_back() -> None:
    desk = desk_with(*SHORT)
    send(desk, "j1")
    lay(desk, replace(SHORT[0], down=True), SHORT[1])
    (stranded,) = listed(desk)
    assert (stranded.route, stranded.gbps, stranded.ends_seconds) == ((), 0.0, math.inf)
    condition = condition_of(desk.core.memory, desk.job("j1"))
    assert condition is not None
    assert condition.code == "DataUnreachable"
    assert condition.message == "no way is left from east to west for protein"
    desk.advance(5.0)
    assert counted(desk)["TransfersStranded"] == 1
    lay(desk, *SHORT)
    assert listed(desk)[0].route == ("east", "hub", "west")
    assert condition_of(desk.core.memory, desk.job("j1")) is None
    desk.cancel("j1")
    desk.report("west", "ended", "j1", outcome="cancelled")
    lay(desk, SHORT[1])
    assert listed(desk) == ()


def test_after_a_restart_what_is_still_waited_for_is_booked_again_in_full() -> None:
    desk = desk_with(*SHORT)
    send(desk, "j1")
    send(desk, "j2", "north", Fetch("protein", "west", TB))
    desk.started("north", "j2")
    desk.advance(500.0)
    desk.restart()
    assert list(desk.state.fetching) == ["j1"]
    desk.advance(1.0)
    assert listed(desk) == ()  # the sites' cities are not known yet
    for site in ("east", "west"):
        desk.hello(site, session="s2", pools=(pool_of(site),), facts=facts_of(site))
    desk.advance(1.0)
    (booked,) = listed(desk)
    assert booked.left_bytes == TB
    desk.started("west", "j1", session="s2")
    desk.advance(1.0)
    assert listed(desk) == ()


def test_a_round_on_another_network_is_told_of_no_transfers() -> None:
    desk = desk_with(*SHORT)
    send(desk, "j1")
    transfers = desk.core.memory.transfers
    assert transfers.booked(desk.state.network, 0.0)
    assert transfers.booked(NetworkMap(), 0.0) == ()
    assert transfers.carried_gbps(NetworkMap()) == ()


def test_routes_are_made_once_for_a_network_whatever_is_booked() -> None:
    desk = desk_with(*SHORT)
    before = take_snapshot(desk.core.memory, desk.now, ()).network
    send(desk, "j1")
    after = take_snapshot(desk.core.memory, desk.now, ()).network
    assert routes_of(before) is routes_of(after) is desk.core.memory.transfers.routes
    assert routes_of(Network()) is not routes_of(after)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "start", "end", "cancel", "cut", "mend", "pass", "restart"]),
        st.integers(0, 3),
        st.sampled_from(["west", "north"]),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(STEPS)
def test_what_is_booked_is_what_is_waited_for_whatever_happens(
    steps: list[tuple[str, int, str]],
) -> None:
    """And no link ever carries more than it can."""
    links = (*SHORT, *DETOUR, Link("hub", "north", 8.0, 5.0))
    desk = desk_with(*links)
    session = 1
    for step, number, site in steps:
        job_id = f"j{number}"
        job = desk.state.jobs.get(job_id)
        attempt = job.live_attempt if job else None
        if step == "send" and job is None:
            send(desk, job_id, site)
        elif step == "start" and attempt and not attempt.started_at:
            desk.started(attempt.site, job_id, attempt.epoch, session=f"s{session}")
        elif step == "end" and attempt:
            desk.succeeded(attempt.site, job_id, attempt.epoch, session=f"s{session}")
        elif step == "cancel" and job is not None and not job.terminal:
            desk.cancel(job_id)
        elif step == "cut":
            lay(desk, *(replace(link, down=at == number) for at, link in enumerate(links)))
        elif step == "mend":
            lay(desk, *links)
        elif step == "pass":
            desk.advance(400.0, tick=False)
        elif step == "restart":
            desk.restart()
            session += 1
            for each in ("east", "west", "north"):
                desk.hello(each, session=f"s{session}")
        desk.advance(1.0)
        waited = {
            (fetch.dataset, found.site)
            for found in (job.live_attempt for job in desk.state.jobs.values())
            if found and not found.started_at
            for fetch in found.fetches
        }
        booked = [(each.wanted.dataset, each.wanted.target) for each in listed(desk)]
        assert sorted(booked) == sorted(waited)
        carried = answer(desk.core.memory, GetCarried())
        now = desk.state.network.links
        for link, gbps in zip(now, carried, strict=bool(carried)):
            assert gbps <= (0.0 if link.down else link.bandwidth_gbps) * (1 + 1e-9)
