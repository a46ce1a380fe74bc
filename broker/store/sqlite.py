"""Rows in one SQLite file: WAL, synchronous=FULL, one transaction per batch.

The embedded default: one broker machine, nothing to install. A lock file beside the
database keeps a second process away; the term in the database keeps a stale one from
writing. The file must lie on a local disk.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path

from broker.core.rows import Put, Record
from broker.store import StaleTerm, Standby, StoreError, load_state
from broker.store.codec import ParseSpec, decode, encode
from suan.disks import SHARED_FILE_SYSTEMS, file_system

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leader (one INTEGER PRIMARY KEY CHECK (one = 1), term INTEGER NOT NULL);
INSERT OR IGNORE INTO leader VALUES (1, 0);
"""


class SqliteStore:
    """A store in `path`; the directory must exist."""

    def __init__(self, path: Path, parse_spec: ParseSpec) -> None:
        self._path = path
        self._parse_spec = parse_spec
        self._campaigning = threading.Lock()
        _refuse_network_disk(path.parent)
        self._lock = _take_lock(path.with_suffix(".lock"))
        try:
            with self._errors():
                self._db = _open(path)
        except StoreError:
            os.close(self._lock)
            raise

    def campaign(self, standby: Standby) -> int:
        with self._campaigning:
            with self._errors(), self._transaction():
                self._db.execute("UPDATE leader SET term = term + 1")
                row = self._db.execute("SELECT term FROM leader").fetchone()
            standby.load(load_state(self))
            return int(row[0])

    def led_seconds(self) -> float:
        return inf

    def load(self, prefix: str = "", last: int = 0) -> Iterator[Put]:
        query = "SELECT key, value FROM rows WHERE key >= ? AND key < ? ORDER BY key"
        bounds: tuple[str | int, ...] = (prefix, prefix + "\U0010ffff")
        if last:
            query = f"SELECT * FROM ({query} DESC LIMIT ?) ORDER BY key"
            bounds = (*bounds, last)
        with self._errors():
            for key, value in self._db.execute(query, bounds):
                yield Put(decode(key, value, self._parse_spec))

    def commit(self, records: Sequence[Record], term: int) -> None:
        last = {record.key: record for record in records}  # of several for one key
        puts = [(r.key, encode(r.row)) for r in last.values() if isinstance(r, Put)]
        deletes = [(r.key,) for r in last.values() if not isinstance(r, Put)]
        with self._errors(), self._transaction():
            (leader,) = self._db.execute("SELECT term FROM leader").fetchone()
            if leader != term:
                raise StaleTerm(f"term {term} has passed, {leader} leads")
            self._db.executemany(
                "INSERT INTO rows VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                puts,
            )
            self._db.executemany("DELETE FROM rows WHERE key = ?", deletes)

    def close(self) -> None:
        with self._campaigning:
            self._db.close()
            os.close(self._lock)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors as the contract has them."""
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(_code_of(error), f"{self._path}: {error}") from error


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK on any error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            try:
                self._db.execute("COMMIT")
                return
            except sqlite3.Error:
                self._rollback()
                raise
        self._rollback()

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _take_lock(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError("StoreFailed", f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError("StoreLocked", f"another broker process uses {path.parent}") from error
    return handle


def _refuse_network_disk(directory: Path) -> None:
    """File locks and fsync do not hold on network disks."""
    kind = file_system(directory)
    if kind in SHARED_FILE_SYSTEMS:
        raise StoreError("NetworkDisk", f"{directory} is on {kind}; the store needs a local disk")


def _code_of(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"):  # the latter when opened on a full disk
        return "DiskFull"
    damaged = name.startswith("SQLITE_CORRUPT") or name == "SQLITE_NOTADB"
    return "StoreDamaged" if damaged else "StoreFailed"
