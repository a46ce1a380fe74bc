"""Progress bars in logs: what a carriage return overwrote, and how a line reads at last.

A line that ends with "\\r\\n" is a line. Bytes in, bytes out; knows no file and no stream.
"""

from __future__ import annotations

from collections.abc import Iterator

LINE_BYTES_MAX = 64 * 1024  # of a line that is waited for; a longer one is given as it is


def standing(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The parts of `data` that nothing in it overwrote, each with its offset.

    `offset` is that of the first byte. Joined they read at a terminal as `data` does: of an
    overwritten line the last state stands, with the carriage return before it.
    """
    begin = place = 0
    for line in data.split(b"\n"):
        back = line.rstrip(b"\r").rfind(b"\r")
        if back > 0:
            if place > begin:
                yield offset + begin, data[begin:place]
            begin = place + back
        place += len(line) + 1
    if len(data) > begin:
        yield offset + begin, data[begin:]


def last_lines(data: bytes, lines: int) -> bytes:
    """From where the last `lines` lines begin, of which the last may not have ended."""
    begin = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        if begin < 0:
            break
        begin = data.rfind(b"\n", 0, begin)
    return data[begin + 1 :] if begin >= 0 else data


class LastStates:
    """A stream whose lines come as they read at last; holds back the line that is not ended."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, data: bytes) -> bytes:
        """What can be shown now."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = _last_state(rest)
        shown = b"".join(_last_state(line) + b"\n" for line in lines)
        if len(self._rest) > LINE_BYTES_MAX:
            shown, self._rest = shown + self._rest, b""
        return shown

    def finish(self) -> bytes:
        """The line that was begun and never ended."""
        rest, self._rest = self._rest, b""
        return rest


def _last_state(line: bytes) -> bytes:
    if b"\r" not in line:
        return line
    words = line.rstrip(b"\r")
    return words.rpartition(b"\r")[2] + line[len(words) :]
