"""Job ids: UUIDv7 of RFC 9562, minted by the client before the first send.

An id sorts by the moment it was minted and ends in random bits; so people are shown its
ending, which differs between jobs, and never its beginning, which does not. Standard
library only.
"""

from __future__ import annotations

import secrets
import time

ID_LENGTH = 36
SHORT_ID_LENGTH = 8  # characters; 32 random bits


def new_id() -> str:
    """A new UUIDv7: 48 bits of Unix milliseconds, 12 bits of their fraction, 62 random bits."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64
    value |= 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def short_id(job_id: str) -> str:
    """The ending of `job_id` that people type; the broker finds the job by it."""
    return job_id[-SHORT_ID_LENGTH:]
