"""Rows in one SQLite file: WAL, synchronous=FULL, one transaction per batch.

The embedded default: one broker machine, nothing to install. A lock file beside the
database keeps a second process away; the term in the database keeps a stale one from
writing. The file must lie on a local disk.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from broker.core.rows import Put, Record
from broker.store import StaleTerm, StoreError
from broker.store.codec import ParseSpec, decode, encode

_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})
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
        _refuse_network_disk(path.parent)
        self._lock = _take_lock(path.with_suffix(".lock"))
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            os.close(self._lock)
            raise _store_error(error, path) from error

    def campaign(self) -> int:
        try:
            with self._transaction():
                self._db.execute("UPDATE leader SET term = term + 1")
                row = self._db.execute("SELECT term FROM leader").fetchone()
        except sqlite3.Error as error:
            raise _store_error(error, self._path) from error
        return int(row[0])

    def load(self, prefix: str = "") -> Iterator[Put]:
        rows = self._db.execute(
            "SELECT key, value FROM rows WHERE key >= ? AND key < ? ORDER BY key",
            (prefix, prefix + "\U0010ffff"),
        )
        for key, value in rows:
            yield Put(decode(key, value, self._parse_spec))

    def commit(self, records: Sequence[Record], term: int) -> None:
        puts = [(r.key, encode(r.row)) for r in records if isinstance(r, Put)]
        deletes = [(r.key,) for r in records if not isinstance(r, Put)]
        try:
            with self._transaction():
                (leader,) = self._db.execute("SELECT term FROM leader").fetchone()
                if leader != term:
                    raise StaleTerm(f"term {term} has passed, {leader} leads")
                self._db.executemany(
                    "INSERT INTO rows VALUES (?, ?)"
                    " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    puts,
                )
                self._db.executemany("DELETE FROM rows WHERE key = ?", deletes)
        except sqlite3.Error as error:
            raise _store_error(error, self._path) from error

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


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


def _take_lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError("StoreLocked", f"another broker process uses {path.parent}") from error
    return handle


def _refuse_network_disk(directory: Path) -> None:
    """File locks and fsync do not hold on network disks."""
    best, kind = "", ""
    resolved = str(directory.resolve())
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, file_system, *_ = line.split()
        inside = mount == "/" or resolved == mount or resolved.startswith(mount + "/")
        if inside and len(mount) >= len(best):
            best, kind = mount, file_system
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StoreError("NetworkDisk", f"{directory} is on {kind}; the store needs a local disk")


def _store_error(error: sqlite3.Error, path: Path) -> StoreError:
    code = {"SQLITE_FULL": "DiskFull", "SQLITE_CORRUPT": "StoreDamaged"}.get(
        getattr(error, "sqlite_errorname", "").removesuffix("_RECOVERY"), "StoreFailed"
    )
    return StoreError(code, f"{path}: {error}")
