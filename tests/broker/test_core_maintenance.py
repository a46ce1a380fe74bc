"""Planned maintenance at the broker: what it grants, how long it waits, also as a new leader."""

from __future__ import annotations

from typing import Any

import pytest
from support_core import WALL, Desk, running, spec_of

from broker import store
from broker.core.lifecycle import JobState
from broker.core.messages import AnnounceMaintenance, Done
from broker.core.rows import Maintenance
from broker.queries import GetMaintenance, MaintenanceView, answer
from broker.store import codec

HOUR = 3_600.0


def announce(desk: Desk, seconds: float = 2 * HOUR) -> Any:
    return desk.ask(AnnounceMaintenance(seconds, "admin/chen"))


def at_work(**spec: Any) -> Desk:
    """A job runs at east; west is there to be heard."""
    desk = Desk("east", "west")
    desk.hello("east")
    desk.hello("west")
    desk.run("a", "east", spec_of(**spec))
    return desk


def extension(desk: Desk, site: str = "east", **said: Any) -> float:
    reply = desk.beat(site, **said)
    assert reply is not None
    return reply.extension_seconds


def lost_after(desk: Desk, limit: float, session: str = "s1") -> float:
    """Elapsed seconds at which the job of silent east is queued again; inf: not within `limit`."""
    while desk.elapsed < limit:
        desk.advance(20.0, tick=False)
        desk.beat("west", session)
        desk.advance(0.0)
        if desk.job("a").state is JobState.QUEUED:
            return desk.elapsed
    return float("inf")


def view(desk: Desk) -> MaintenanceView | None:
    found: MaintenanceView | None = answer(desk.core.memory, GetMaintenance())
    return found


def test_every_kind_of_row_is_loaded() -> None:
    """A kind that is written and not loaded is lost with the leader."""
    assert {f"{kind}/" for kind in {*codec.KINDS, "spec"} - {"audit"}} == set(store.KINDS)


def test_it_is_audited_and_durable() -> None:
    desk = at_work()
    assert announce(desk) == Done()
    assert desk.state.maintenance == Maintenance(2 * HOUR, WALL, "admin/chen")
    entry = desk.state.audit[desk.state.audit_seq]
    assert (entry.action, entry.detail) == ("maintenance.announce", "7200 s")
    desk.restart()
    assert desk.state.maintenance == Maintenance(2 * HOUR, WALL, "admin/chen")


@pytest.mark.parametrize("seconds", [0.0, -1.0, 86_401.0, float("nan"), float("inf")])
def test_its_length_is_bounded(seconds: float) -> None:
    desk = at_work()
    assert announce(desk, seconds).code == "MaintenanceTooLong"
    assert desk.state.maintenance is None


def test_each_answer_extends_to_the_same_end() -> None:
    desk = at_work()
    assert extension(desk) == 0.0
    announce(desk)
    assert extension(desk) == 2 * HOUR
    desk.advance(20.0, tick=False)
    assert extension(desk) == 2 * HOUR - 20.0
    desk.advance(2 * HOUR, tick=False)
    assert extension(desk) == 0.0


def test_no_lease_is_taken_back_before_the_end() -> None:
    desk = at_work()
    announce(desk)
    extension(desk)
    takeback = desk.limits.takeback_seconds(2 * HOUR)
    assert takeback < lost_after(desk, 3 * HOUR) <= takeback + 40.0
    assert desk.state.maintenance is None, "it is over"


def test_a_site_heard_late_keeps_its_own_lease_after_the_end() -> None:
    desk = at_work()
    announce(desk)
    for _ in range(370):
        desk.advance(20.0, tick=False)
        desk.beat("east")
        desk.beat("west")
        desk.advance(0.0)
    silent_from = desk.elapsed
    assert desk.state.maintenance is None
    assert lost_after(desk, 4 * HOUR) > silent_from + 600.0


@pytest.mark.parametrize("leaders", [1, 3])
def test_every_later_leader_waits_as_long_from_its_own_beginning(leaders: int) -> None:
    desk = at_work()
    announce(desk)
    extension(desk)
    for number in range(leaders):
        desk.restart()
        desk.hello("west", f"n{number}")
        desk.advance(0.0)
    takeback = desk.limits.takeback_seconds(2 * HOUR)
    assert takeback < lost_after(desk, 3 * HOUR, f"n{leaders - 1}") <= takeback + 40.0


@pytest.mark.parametrize("jump", [10 * 365 * 86_400.0, -10 * 365 * 86_400.0])
def test_the_wall_clock_ends_no_maintenance(jump: float) -> None:
    desk = at_work()
    announce(desk)
    desk.wall += jump
    desk.restart()
    desk.hello("west", "n")
    assert lost_after(desk, 7_200.0, "n") == float("inf")


def test_a_later_leader_extends_nothing_by_itself() -> None:
    desk = at_work()
    announce(desk)
    desk.restart()
    desk.hello("east", "s2", held=(running("a"),))
    reply = desk.beat("east", "s2")
    assert reply is not None and reply.extension_seconds == 0.0


def test_a_shorter_announcement_does_not_take_back_a_longer_one() -> None:
    desk = at_work()
    announce(desk, 10 * HOUR)
    extension(desk)
    announce(desk, HOUR)
    assert extension(desk) == 10 * HOUR
    desk.restart()
    desk.hello("west", "n")
    assert lost_after(desk, 9 * HOUR, "n") == float("inf")


def test_who_has_not_acknowledged_is_named() -> None:
    desk = at_work()
    assert view(desk) is None
    announce(desk)
    assert extension(desk, seq=7) > 0
    assert extension(desk, "west") > 0

    def extended() -> dict[str, bool]:
        seen = view(desk)
        assert seen is not None
        return {site.name: site.extended for site in seen.sites}

    assert extended() == {"east": False, "west": False}
    extension(desk, seq=8, extended_seq=6)
    assert extended()["east"] is False, "that was before"
    extension(desk, seq=9, extended_seq=7)
    assert extended() == {"east": True, "west": False}
    announce(desk, 3 * HOUR)
    assert extended()["east"] is False, "of the new one it has made nothing durable"


def test_class_proof_and_overlap_need_no_extension_and_get_none_the_less() -> None:
    desk = at_work(lease_class="proof")
    announce(desk)
    assert extension(desk) == 2 * HOUR
    assert lost_after(desk, 4 * HOUR) == float("inf")
