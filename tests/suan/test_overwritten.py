"""Progress bars: what stays of them where nobody watches."""

from __future__ import annotations

import random

import pytest

from suan.log_windows import ATTEMPT_BYTES_MAX, STREAM_BYTES_MAX, window_bytes
from suan.overwritten import LINE_BYTES_MAX, LastStates, last_lines, standing

BAR = b"begin\n\r 1%\r50%\r99%\nend\r\n"


def seen(data: bytes) -> bytes:
    states = LastStates()
    return states.add(data) + states.finish()


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"", b""),
        (b"one\ntwo", b"one\ntwo"),
        (b"from\r\nelsewhere\r\n", b"from\r\nelsewhere\r\n"),
        (BAR, b"begin\n99%\nend\r\n"),
        (b"a\rb\rc", b"c"),
        (b"a\rb\r", b"b\r"),
        (b"\r\r\n", b"\r\r\n"),
    ],
)
def test_a_line_is_its_last_state(written: bytes, shown: bytes) -> None:
    assert seen(written) == shown
    assert seen(b"".join(part for _, part in standing(written))) == shown


def test_however_it_is_cut_the_same_is_shown() -> None:
    chance = random.Random(7)
    for _ in range(300):
        written = bytes(chance.choices(b"ab\r\n", k=40))
        states, shown, place = LastStates(), b"", 0
        while place < len(written):
            size = chance.randint(1, 9)
            shown += states.add(written[place : place + size])
            place += size
        assert shown + states.finish() == seen(written)


def test_what_stands_lies_where_it_says_and_reads_the_same() -> None:
    chance = random.Random(8)
    for _ in range(300):
        written = bytes(chance.choices(b"abc\r\n", k=60))
        parts = list(standing(written, 1_000))
        for offset, part in parts:
            assert written[offset - 1_000 :].startswith(part)
        assert seen(b"".join(part for _, part in parts)) == seen(written)
    assert list(standing(BAR)) == [(0, b"begin\n"), (14, b"\r99%\nend\r\n")]


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    states = LastStates()
    line = b"x" * (LINE_BYTES_MAX + 1)
    assert states.add(line) == line and states.finish() == b""


def test_short_streams_are_kept_whole_and_long_ones_share_the_rest() -> None:
    assert window_bytes([]) == STREAM_BYTES_MAX
    assert window_bytes([10, 1 << 40]) == STREAM_BYTES_MAX
    sizes = [1 << 30] * 16 + [100]
    window = window_bytes(sizes)
    kept = sum(min(size, window) for size in sizes)
    assert ATTEMPT_BYTES_MAX - len(sizes) < kept <= ATTEMPT_BYTES_MAX


def test_the_last_lines_are_those_that_new_lines_end() -> None:
    for written in (b"", b"a", b"a\n", b"a\nb", b"a\n\nb\n", b"a\rb\nc\rd\n"):
        *whole, rest = written.split(b"\n")
        lines = [line + b"\n" for line in whole] + [rest] * bool(rest)
        for count in range(1, 5):
            assert last_lines(written, count) == b"".join(lines[-count:])
