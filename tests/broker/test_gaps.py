"""No acknowledgement covers reports that were lost for want of room."""

from __future__ import annotations

from broker.core.messages import Heartbeat, Report, Reports
from broker.gaps import Gaps


def said(*numbers: int, site: str = "east", session: str = "s1", tail: int = 0) -> Reports:
    reports = tuple(Report(number, "job", 1, "started", 0.0) for number in numbers)
    return Reports(site, session, reports, tail)


def test_without_a_loss_everything_passes() -> None:
    gaps = Gaps()
    assert gaps.admit(said(1, 2))
    assert gaps.admit(said(9))


def test_after_a_loss_only_saying_it_again_ends_the_gap() -> None:
    gaps = Gaps()
    gaps.lose(said(3, 4))
    assert not gaps.admit(said(5))
    gaps.lose(said(6))  # lost as well: the gap still begins at 3
    assert not gaps.admit(said(4, 5, 6))
    assert gaps.admit(said(2, 3, 4, 5, 6))
    assert gaps.admit(said(7))


def test_the_second_saying_may_be_lost_too() -> None:
    gaps = Gaps()
    gaps.lose(said(3))
    gaps.lose(said(2, 3, 4))
    assert not gaps.admit(said(3, 4))
    assert gaps.admit(said(2, 3, 4))


def test_a_repetition_that_was_lost_leaves_no_gap() -> None:
    """Its first saying was acknowledged meanwhile: nobody will say it once more."""
    gaps = Gaps()
    gaps.lose(said(3, 4, tail=3))
    assert not gaps.admit(said(5, tail=4))  # 4 may be among the lost
    assert gaps.admit(said(5, tail=5))
    assert gaps.admit(said(6, tail=5))


def test_what_was_said_before_the_gap_does_not_close_it() -> None:
    gaps = Gaps()
    gaps.lose(said(6))
    assert gaps.admit(said(2))  # somebody repeats it
    assert not gaps.admit(said(7))
    assert gaps.admit(said(6, 7))
    assert gaps.admit(said(8))


def test_a_gap_is_of_one_session_of_one_site() -> None:
    gaps = Gaps()
    gaps.lose(said(3))
    assert gaps.admit(said(5, site="west"))
    assert gaps.admit(said(5, session="s2"))  # begins with all that is left
    assert gaps.admit(said(6, session="s2"))


def test_what_is_no_report_leaves_no_gap() -> None:
    gaps = Gaps()
    beat = Heartbeat("east", "s1", 1, 0, 0, 0)
    gaps.lose(beat)
    gaps.lose(said())
    assert gaps.admit(said(5))
    gaps.lose(said(6))
    assert gaps.admit(beat)
