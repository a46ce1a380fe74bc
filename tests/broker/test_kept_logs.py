"""Output that sites send: kept in files, bounded, and only for jobs that they ran."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from broker.kept_logs import Piece, Tail
from broker.kept_logs.records import RECORD_BYTES
from broker.kept_logs.store import FILE_BYTES_MAX, KeptLogs
from suan.log_windows import ATTEMPT_BYTES_MAX, STREAM_BYTES_MAX

JOB = "01890a5d-ac96-774b-bcce-b302099a8057"
OUT, ERR = (0, "stdout"), (1, "stderr")


@dataclass
class Wall:
    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


def tail(*pieces: Piece, job_id: str = JOB, at_end: bool = False, at: float = 5.0) -> Tail:
    return Tail(job_id, 1, 2, pieces, at_end, at)


def opened(directory: Path, bytes_max: int = 1 << 30, now: Wall | None = None) -> KeptLogs:
    return KeptLogs(directory, bytes_max, 3_600.0, now=now or Wall())


def stream(kept: Tail | None, where: tuple[int, str] = OUT) -> list[tuple[int, bytes]]:
    assert kept is not None
    return [(p.offset, p.data) for p in kept.pieces if (p.rank, p.stream) == where]


def test_what_comes_is_there_also_for_the_next_broker(tmp_path: Path) -> None:
    logs = opened(tmp_path)
    (ack,) = logs.add([tail(Piece(*OUT, 0, b"one\n", 5.0), Piece(*ERR, 7, b"x", 5.0))])
    assert (set(ack.ends), ack.at_end) == ({(*OUT, 4), (*ERR, 8)}, False)
    (ack,) = logs.add([tail(Piece(*OUT, 9, b"two\n", 6.0), at_end=True, at=6.0)])
    assert ack.at_end
    kept = opened(tmp_path).read(JOB, 1)
    assert kept is not None and (kept.ranks, kept.at_end, kept.at) == (2, True, 6.0)
    assert stream(kept) == [(0, b"one\n"), (9, b"two\n")] and stream(kept, ERR) == [(7, b"x")]
    assert [piece.at for piece in kept.pieces] == [5.0, 5.0, 6.0]
    assert logs.read(JOB, 2) is None


def test_what_comes_again_is_kept_once(tmp_path: Path) -> None:
    logs = opened(tmp_path)
    again = tail(Piece(*OUT, 0, b"one\ntwo\n"), at_end=True)
    logs.add([tail(Piece(*OUT, 0, b"one\n"))])
    logs.add([again])
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    (ack,) = logs.add([again])
    assert ack.ends == ((*OUT, 8),) and ack.at_end
    assert stream(logs.read(JOB, 1)) == [(0, b"one\n"), (4, b"two\n")]
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) == size


def test_a_question_for_what_is_there_writes_nothing(tmp_path: Path) -> None:
    (ack,) = opened(tmp_path).add([tail()])
    assert ack.ends == () and not list(tmp_path.glob("*/*"))


@pytest.mark.parametrize("lost_bytes", [1, RECORD_BYTES + 3])
def test_a_record_that_was_half_written_is_taken_again(tmp_path: Path, lost_bytes: int) -> None:
    logs = opened(tmp_path)
    logs.add([tail(Piece(*OUT, 0, b"one\n")), tail(Piece(*OUT, 4, b"two\n"))])
    (file,) = tmp_path.glob("*/*")
    file.write_bytes(file.read_bytes()[:-lost_bytes])
    logs = opened(tmp_path)
    logs.add([tail(Piece(*OUT, 0, b"one\ntwo\nthree\n"))])
    assert b"".join(part for _, part in stream(logs.read(JOB, 1))) == b"one\ntwo\nthree\n"


def test_of_one_attempt_the_newest_is_kept(tmp_path: Path) -> None:
    logs = opened(tmp_path)
    part = 64 << 10
    for number in range(100):
        pieces = (
            Piece(rank, "stdout", number * part, bytes([number]) * part, float(number))
            for rank in range(8)
        )
        logs.add([tail(*pieces)])
        (file,) = tmp_path.glob("*/*")
        assert file.stat().st_size <= FILE_BYTES_MAX
    kept = logs.read(JOB, 1)
    assert kept is not None
    assert sum(len(piece.data) for piece in kept.pieces) <= ATTEMPT_BYTES_MAX
    newest = stream(kept)
    assert newest[-1][0] + len(newest[-1][1]) == 100 * part
    assert STREAM_BYTES_MAX // 2 <= sum(len(data) for _, data in newest) <= STREAM_BYTES_MAX


def test_the_oldest_make_room_and_all_end_by_their_age(tmp_path: Path) -> None:
    wall = Wall()
    logs = opened(tmp_path, 300_000, wall)
    jobs = [f"{JOB[:-2]}{number:02d}" for number in range(5)]
    for job in (*jobs, jobs[2]):
        wall.now += 1
        end = 200_000 if job == jobs[2] and logs.read(job, 1) else 100_000
        logs.add([tail(Piece(*OUT, end - 100_000, b"x" * 99_000), job_id=job)])
    there = [logs.read(job, 1) is not None for job in jobs]
    assert there == [False, False, True, False, True]
    wall.now += 3_601
    logs.add([])
    assert not [path for path in tmp_path.glob("*/*") if path.is_file()]


def test_a_full_disk_is_told_and_leaves_what_is_there(tmp_path: Path) -> None:
    logs = opened(tmp_path)
    logs.add([tail(Piece(*OUT, 0, b"one\n"))])
    (file,) = tmp_path.glob("*/*")
    file.parent.rename(tmp_path / "gone")
    file.parent.write_text("no directory")
    with pytest.raises(OSError):
        logs.add([tail(Piece(*OUT, 4, b"two\n"))])
