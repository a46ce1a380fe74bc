"""The journal: what was committed is there again, moved onto the clock of the new process."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from supervised import SESSION, WALL, Site, effects, exited, grant, inventory, one

from agent.backends import LeaseClass, run_name
from agent.journal import ClockReading, Journal, JournalFull
from agent.supervisor import State
from agent.supervisor.messages import (
    Launch,
    LeasesExtended,
    LeasesRenewed,
    MarkRaised,
    Record,
    ReportsAcknowledged,
    RunStarted,
    StopReceived,
    TermRaised,
)
from suan.errors import InternalError

BOOT = "boot-1"
NOW = ClockReading(BOOT, elapsed=1_000.0, boottime_ns=50_000_000_000, raw_ns=50_000_000_000)


def later(seconds: float, elapsed: float, boot_id: str = BOOT) -> ClockReading:
    """Another process, `seconds` after NOW, whose own clock shows `elapsed`."""
    passed_ns = round(seconds * 1e9)
    return ClockReading(boot_id, elapsed, NOW.boottime_ns + passed_ns, NOW.raw_ns)


def loaded(path: Path, now: ClockReading = NOW) -> State:
    journal = Journal(path)
    state = State(inventory())
    for record in journal.load(now):
        state.apply(record)
    journal.close()
    state.check()
    return state


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def lived(path: Path) -> Site:
    """A site with some history, journalled step by step."""
    site = Site()
    journal = Journal(path)
    for record in journal.load(NOW):
        site.state.apply(record)
    steps = [
        site.meet(term=3),
        site.give(
            grant(nodes=2),
            grant("j2", grant_seq=2, lease_class=LeaseClass.PROOF),
            grant("j3", grant_seq=3, pool="gone"),
            grant("j4", grant_seq=4, cards=2),
            term=3,
        ),
        site.tell(RunStarted(run_name("j1", 1)), RunStarted(run_name("j4", 1))),
        site.tell(exited("j4", exit_code=3), StopReceived(SESSION, one("j2"), "Cancelled")),
        site.reply(site.beat(), term=3),
        site.tell(ReportsAcknowledged(SESSION, next(iter(site.state.outbox)))),
    ]
    for step in steps:
        journal.commit(step.records, replace(NOW, elapsed=site.elapsed))
    journal.close()
    return site


def test_a_committed_history_is_there_again(path: Path) -> None:
    site = lived(path)
    again = loaded(path, replace(NOW, elapsed=site.elapsed))
    for name in ("attempts", "deadlines", "marks", "outbox", "report_seq", "term", "digest"):
        assert getattr(again, name) == getattr(site.state, name), name
    assert again.inventory.pools() == site.state.inventory.pools()


def test_a_lease_goes_on_in_the_next_process_by_the_longer_clock(path: Path) -> None:
    site = lived(path)
    remaining = site.state.deadlines[run_name("j1", 1)] - site.elapsed
    again = loaded(path, later(40.0, elapsed=2.0))
    assert again.deadlines[run_name("j1", 1)] - 2.0 == pytest.approx(remaining - 40.0)
    assert again.deadlines[run_name("j2", 1)] == float("inf")


@pytest.mark.parametrize("records", [(), (TermRaised(4),)])
def test_a_lease_is_no_longer_after_two_restarts(path: Path, records: tuple[Record, ...]) -> None:
    """What the first process wrote is not read by the clock of the second."""
    site = lived(path)
    remaining = site.state.deadlines[run_name("j1", 1)] - site.elapsed
    second = Journal(path)
    second.load(later(30.0, elapsed=5.0))
    second.commit(records, later(31.0, elapsed=6.0))
    second.close()
    third = loaded(path, later(40.0, elapsed=2.0))
    assert third.deadlines[run_name("j1", 1)] - 2.0 == pytest.approx(remaining - 40.0)
    assert third.deadlines[run_name("j2", 1)] == float("inf")


def test_a_renewal_of_an_earlier_boot_is_not_of_this_one(path: Path) -> None:
    journal = Journal(path)
    journal.load(NOW)
    journal.commit((LeasesRenewed(9_000.0), LeasesExtended(9_000.0, 9_900.0)), NOW)
    journal.close()
    site = Site()
    site.meet()
    second = Journal(path)
    second.load(later(30.0, elapsed=990.0, boot_id="boot-2"))
    second.commit(site.give(grant()).records, later(40.0, elapsed=1_000.0, boot_id="boot-2"))
    second.close()
    third = loaded(path, later(41.0, elapsed=1_001.0, boot_id="boot-2"))
    assert third.deadlines == pytest.approx({run_name("j1", 1): 1_600.0})


@pytest.mark.parametrize("boot_id", ["boot-2", ""])
def test_after_a_reboot_every_lease_has_ended(path: Path, boot_id: str) -> None:
    lived(path)
    again = loaded(path, later(5.0, elapsed=1.0, boot_id=boot_id))
    assert again.deadlines[run_name("j1", 1)] == float("-inf")
    assert again.deadlines[run_name("j2", 1)] == float("inf")


def test_report_numbers_go_on_though_all_were_acknowledged(path: Path) -> None:
    site = lived(path)
    head = site.state.report_seq
    journal = Journal(path)
    journal.commit(site.tell(ReportsAcknowledged(SESSION, head)).records, NOW)
    journal.close()
    again = loaded(path)
    assert (again.outbox, again.report_seq) == ({}, head)


def test_a_lost_journal_numbers_higher_than_the_lost_one(tmp_path: Path) -> None:
    first, second = loaded(tmp_path / "a"), loaded(tmp_path / "b")
    assert 1_700_000_000_000_000 < first.report_seq <= second.report_seq


def test_a_batch_is_whole_or_absent(path: Path) -> None:
    journal = Journal(path)
    journal.commit([MarkRaised("j1", 1, WALL)], NOW)
    impossible = MarkRaised("j2", None, WALL)  # type: ignore[arg-type]
    with pytest.raises(JournalFull):
        journal.commit([MarkRaised("j1", 2, WALL), TermRaised(9), impossible], NOW)
    journal.commit([MarkRaised("j3", 1, WALL)], NOW)
    journal.close()
    again = loaded(path)
    assert {job: mark.epoch for job, mark in again.marks.items()} == {"j1": 1, "j3": 1}
    assert again.term == 0


def test_a_full_disk_is_told_and_the_batch_may_be_committed_again(path: Path) -> None:
    journal = Journal(path)
    limit = sqlite3.connect(path).execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {limit}")
    batch = [MarkRaised(f"job-{number:04}", 1, WALL) for number in range(1_000)]
    with pytest.raises(JournalFull, match="full"):
        journal.commit(batch, NOW)
    assert list(loaded(path).marks) == []
    journal._connection.execute("PRAGMA max_page_count = 100000")
    journal.commit(batch, NOW)
    journal.close()
    assert len(loaded(path).marks) == 1_000


def test_the_last_word_on_an_attempt_counts(path: Path) -> None:
    """A whole life in one batch leaves nothing but its mark."""
    site = Site()
    site.meet()
    records = [
        *site.give(grant()).records,
        *site.tell(RunStarted(run_name("j1", 1)), exited()).records,
        *site.tell(ReportsAcknowledged(SESSION, 2)).records,
    ]
    journal = Journal(path)
    journal.commit(records, NOW)
    journal.close()
    again = loaded(path)
    assert (again.attempts, again.outbox, list(again.marks)) == ({}, {}, ["j1"])


def test_acknowledged_commits_are_synced(path: Path) -> None:
    journal = Journal(path)
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.write_bytes(b"not a database, whatever its name says " * 50), "Un"),
        (lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99"), "TooNew"),
        (lambda path: path.mkdir(), "Un"),
    ],
    ids=["garbage", "newer", "directory"],
)
def test_a_journal_that_cannot_be_read_is_told_with_what_to_do(
    path: Path, spoil: object, code: str
) -> None:
    spoil(path)  # type: ignore[operator]
    with pytest.raises(InternalError) as caught:
        Journal(path).load(NOW)
    assert caught.value.code.startswith(f"Journal{code}")
    assert caught.value.hint


def test_launches_are_not_in_the_journal(path: Path) -> None:
    """So nothing can be started from it."""
    site = Site()
    site.meet()
    decision = site.give(grant(run="echo secret"))
    assert effects(decision, Launch)
    journal = Journal(path)
    journal.commit(decision.records, NOW)
    journal.close()
    assert b"secret" not in path.read_bytes()
