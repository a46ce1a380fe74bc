"""The power fails at any moment: what was acknowledged is there, and the rows can be read.

`SUAN_POWER_CUTS` says how many cuts are tried; a campaign has 1,000 and more. The same
harness must see a store that does not sync every commit lose some, or it is blind.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support_core import Forgetful, parse_spec
from support_power import Disk, SqliteUnreachable

from broker.core.rows import Bundle, Delete, Job, Put, Record
from broker.store import StoreError
from broker.store.sqlite import SqliteStore

CUTS = int(os.environ.get("SUAN_POWER_CUTS", "150"))
CUTS_OF_MUTANT = min(CUTS, 90)
LIVES = 3  # of one database: each begins with what the cut before it left
CHANGES_MAX = 400  # of the disk in one life
FILE = "broker.sqlite"


@dataclass(slots=True)
class Ledger:
    """What the store has acknowledged: the number and the term of each commit."""

    numbers: list[int] = field(default_factory=list)
    term: int = 0
    lost: int = 0


@pytest.fixture(autouse=True)
def _reachable() -> None:
    try:
        Disk()
    except SqliteUnreachable as error:
        pytest.skip(f"no disk can be put under this Python's SQLite: {error}")


def commits(chance: random.Random, first: int) -> Iterator[tuple[int, list[Record]]]:
    """Batches as the loop makes them: a few rows or many, some large, some of them removed."""
    number = first
    while True:
        rows = [Put(_job(number, row)) for row in range(chance.choice([1, 2, 20]))]
        large = Put(Bundle(f"b{number}", chance.randbytes(30_000), "lab", 0.0))
        gone = Delete(f"bundle/b{number - chance.randrange(1, 4)}")
        extra: list[Record] = [large, gone] if chance.random() < 0.2 else []
        yield number, [*rows, Put(_job(number, "last")), *extra]
        number += 1


def _job(number: int, row: int | str) -> Job:
    return Job(f"{number:06}-{row}", "lab", "", "li", "train", "sha", float(number))


def live(folder: Path, disk: Disk, chance: random.Random, mode: str, ledger: Ledger) -> None:
    """One broker until the power fails, or until it ends in peace."""
    with disk.mounted(), suppress(StoreError):
        store = SqliteStore(folder / FILE, parse_spec)
        try:
            if mode != "FULL":
                store._db.execute(f"PRAGMA synchronous={mode}")
            store._db.execute(f"PRAGMA wal_autocheckpoint={chance.choice([8, 40, 1000])}")
            ledger.term = store.campaign(Forgetful())
            first = max(ledger.numbers, default=-1) + 1_000  # what was not told may be there
            for number, records in commits(chance, first):
                store.commit(records, ledger.term)
                ledger.numbers.append(number)
                if number - first > CHANGES_MAX:
                    break
        finally:
            with suppress(sqlite3.Error):
                store.close()


def check(folder: Path, ledger: Ledger) -> None:
    """Counts what is lost, which it then no longer expects; all else must be sound."""
    store = SqliteStore(folder / FILE, parse_spec)
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = {put.key for put in store.load()}
    there = {int(key[4:10]) for key in rows if key.startswith("job/")}
    whole = {int(key[4:10]) for key in rows if key.endswith("-last")}
    assert there == whole, "a commit is there whole or not at all"
    missing = set(ledger.numbers) - there
    assert not missing or max(there, default=-1) < min(missing), "what is there has no holes"
    (term,) = store._db.execute("SELECT term FROM leader").fetchone()
    ledger.lost += len(missing) + (term < ledger.term)
    ledger.numbers = [number for number in ledger.numbers if number in there]
    ledger.term = 0
    store.close()


def history(seed: int, folder: Path, mode: str) -> tuple[int, int]:
    """Some lives of one database: how many commits were acknowledged, and how many lost."""
    chance = random.Random(seed)
    ledger = Ledger()
    told = 0
    for number in range(LIVES):
        place = folder / str(number)
        place.mkdir(exist_ok=True)
        disk = Disk(changes_left=chance.randrange(CHANGES_MAX))
        before = len(ledger.numbers)
        live(place, disk, chance, mode, ledger)
        told += len(ledger.numbers) - before
        following = folder / str(number + 1)
        following.mkdir()
        disk.survivors(following, chance)
        check(following, ledger)
    return told, ledger.lost


def histories(count: int, folder: Path, mode: str) -> tuple[int, int]:
    told = lost = 0
    for seed in range(-(-count // LIVES)):
        place = folder / f"{mode}-{seed}"
        place.mkdir()
        more_told, more_lost = history(seed, place, mode)
        assert mode != "FULL" or not more_lost, f"seed {seed} lost {more_lost} commits"
        told, lost = told + more_told, lost + more_lost
    return told, lost


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    told, lost = histories(CUTS, tmp_path, "FULL")
    print(f"\n{CUTS} power cuts, {told} commits acknowledged, {lost} lost")
    assert told > 5 * CUTS, "the power fails too early to learn anything"


def test_the_harness_sees_commits_that_are_not_synced(tmp_path: Path) -> None:
    """The setting that most guides to tuning suggest."""
    told, lost = histories(CUTS_OF_MUTANT, tmp_path, "NORMAL")
    print(f"\n{CUTS_OF_MUTANT} power cuts, {told} commits acknowledged, {lost} lost")
    assert lost > 0


def test_the_same_seed_gives_the_same_history(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    assert history(7, first, "NORMAL") == history(7, second, "NORMAL")
    assert [p.read_bytes() for p in sorted(first.rglob(FILE))] == [
        p.read_bytes() for p in sorted(second.rglob(FILE))
    ]
