"""What HTTP would say of a file, for servers and disks that speak otherwise.

So downloads need know but one way: they ask from a byte on, or only for what has changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(\d+)-")


@dataclass(frozen=True, slots=True)
class Said:
    """The beginning of an answer; of one without a body `begin` means nothing."""

    status: int
    headers: Mapping[str, str]
    begin: int = 0  # the first byte of its body

    @property
    def has_body(self) -> bool:
        return self.status in (200, 206)


def said_of(size_bytes: int, tag: str, asked: Mapping[str, str]) -> Said:
    """The answer to a GET with these headers, of a file of that size whose ETag is `tag`."""
    if asked.get("If-None-Match") == tag:
        return Said(304, {"ETag": tag})
    wanted = _RANGE.fullmatch(asked.get("Range", ""))
    same = asked.get("If-Range", tag) == tag
    begin = int(wanted[1]) if wanted and same else 0
    if begin and begin >= size_bytes:
        return Said(416, {"Content-Range": f"bytes */{size_bytes}"})
    if begin:
        whole = f"bytes {begin}-{size_bytes - 1}/{size_bytes}"
        return Said(206, {"ETag": tag, "Content-Range": whole}, begin)
    return Said(200, {"ETag": tag})
