"""Files in directories that a job may write: nothing there leads the agent astray."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.backends import LeaseClass, Reason, layout
from agent.backends.plain import BYTES_MAX, read_plain, replace_plain
from agent.backends.rundir import RunDirectory

RECORD: dict[str, Any] = {
    "exit_code": 0,
    "signal": 0,
    "reason": "Exited",
    "detail": "",
    "started_at": 1.0,
    "ended_at": 2.0,
    "rank_codes": [0],
}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = tmp_path / "runs" / "suan-j-1"
    made.mkdir(parents=True)
    return RunDirectory(made)


def trap(path: Path, kind: str, precious: Path) -> None:
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "dangling":
        path.symlink_to(precious.with_name("absent"))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "directory"])
def test_only_files_are_read(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("secret")
    trap(tmp_path / "name", kind, precious)
    with pytest.raises((ValueError, OSError)) as refused:
        read_plain(tmp_path / "name")
    assert not isinstance(refused.value, FileNotFoundError)
    assert read_plain(precious) == "secret"
    with (tmp_path / "large").open("wb") as large:
        large.truncate(BYTES_MAX + 1)
    with pytest.raises(ValueError, match="larger"):
        read_plain(tmp_path / "large")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_what_is_replaced_is_the_name(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("the site's")
    trap(tmp_path / "name", kind, precious)
    before = os.umask(0o077)
    try:
        replace_plain(tmp_path / "name", "new")
    finally:
        os.umask(before)
    assert (tmp_path / "name").read_text() == "new"
    assert (tmp_path / "name").stat().st_mode & 0o777 == 0o644  # its job reads it
    assert precious.read_text() == "the site's"
    assert not precious.with_name("absent").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["name", "precious"]


@pytest.mark.parametrize(
    "change",
    [
        {"exit_code": "0"},
        {"exit_code": 10**400},
        {"exit_code": -1},
        {"signal": 1.5},
        {"rank_codes": [0, "x"]},
        {"rank_codes": None},
        {"started_at": float("nan")},
        {"ended_at": float("inf")},
        {"ended_at": "now"},
        {"reason": "Rich"},
    ],
)
def test_a_record_that_no_fence_writes(run: RunDirectory, change: dict[str, Any]) -> None:
    (run.path / "exit.json").write_text(json.dumps(RECORD))
    ended = run.exit()
    assert ended is not None and ended.succeeded
    (run.path / "exit.json").write_text(json.dumps(RECORD | change))
    ended = run.exit()
    assert ended is not None and (ended.reason, ended.succeeded) == (Reason.UNKNOWN, False)


def test_a_record_says_no_more_than_a_line(run: RunDirectory) -> None:
    (run.path / "exit.json").write_text(json.dumps(RECORD | {"detail": "x" * 1_000_000}))
    ended = run.exit()
    assert ended is not None and len(ended.detail) <= 2_000


def test_who_asks_apart_asks_for_himself_alone(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(run.path.with_name("suan-other-1"))
    for each in (run, other):
        (each.path / "nodes" / "0").mkdir(parents=True)
        layout.asks_of(each).mkdir()
        each.write_lease(60.0, LeaseClass.RESTART)
    asks = layout.asks_of(run)
    (asks / "suan-other-1.0").write_text('{"nonce": "theirs"}')
    (asks / "suan-j-1.0").write_text('{"nonce": "mine"}')
    (asks / "suan-j-1.7").write_text('{"nonce": "no such node"}')
    trap(asks / "suan-j-1.1", "link", tmp_path / "absent")
    trap(asks / "suan-j-1.2", "pipe", tmp_path)
    assert list(layout.answer_apart([run, other])) == ["suan-j-1"]
    answer = json.loads((run.path / "nodes" / "0" / "answer").read_text())
    assert answer["nonce"] == "mine" and 0 < answer["remaining_seconds"] <= 60
    assert not (other.path / "nodes" / "0" / "answer").exists()
