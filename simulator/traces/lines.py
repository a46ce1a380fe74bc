"""The lines of a trace file, packed or not, with their numbers and a bound on each.

Knows files and gzip, no format. A file that breaks off gives what stands before the break.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from simulator.traces.report import Reason, Tally
from suan.errors import InvalidRequest

LINE_BYTES_MAX = 64 * 1024
_GZIP = b"\x1f\x8b"


def lines(path: Path, tally: Tally) -> Iterator[tuple[int, str]]:
    """Line numbers (from 1) and texts; a line that is too long is counted as a dropped row.

    Raises InvalidRequest when the file cannot be opened.
    """
    try:
        with _opened(path) as file:
            yield from _numbered(file, tally)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        tally.damage = f"the file breaks off ({error}); what stands before is used"
    except OSError as error:
        hint = "name a trace file that can be read"
        message = f"cannot read {path}: {error.strerror or error}"
        raise InvalidRequest(message, hint, code="TraceUnreadable") from None


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")


def _numbered(file: BinaryIO, tally: Tally) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) <= LINE_BYTES_MAX:
            yield number, line.decode("utf-8-sig", errors="replace").rstrip("\r\n")
            continue
        tally.rows += 1
        tally.drop(Reason.LINE_TOO_LONG, number)
        while line and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES_MAX)
