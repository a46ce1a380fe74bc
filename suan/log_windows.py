"""How much of an attempt's output is kept away from its site: the newest bytes, shared fairly."""

from __future__ import annotations

from collections.abc import Collection

STREAM_BYTES_MAX = 256 << 10  # of one stream of one rank
ATTEMPT_BYTES_MAX = 1 << 20  # of all its streams
RANKS_MAX = 64  # of an attempt, the first ones
STREAMS = ("stdout", "stderr")


def window_bytes(sizes: Collection[int]) -> int:
    """What each stream may keep, of streams with so many bytes: the short ones are kept whole.

    The highest w ≤ STREAM_BYTES_MAX with Σ min(size, w) ≤ ATTEMPT_BYTES_MAX.
    """
    left = ATTEMPT_BYTES_MAX
    ascending = sorted(min(size, STREAM_BYTES_MAX) for size in sizes)
    for place, size in enumerate(ascending):
        share = left // (len(ascending) - place)
        if size > share:
            return share
        left -= size
    return STREAM_BYTES_MAX
