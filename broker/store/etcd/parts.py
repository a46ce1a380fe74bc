"""Rows that no request can carry whole: their bytes in parts, and a note in their place.

The parts lie under the digest of the whole, so writing them again changes nothing, and no
one sees them before the note is committed. Parts that no note names are swept away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from broker.store import StoreError
from broker.store.etcd.keys import Keys, end_of, put

_NOTE = b"\0suan parts\0"  # a note is this and the prefix of the parts' keys
_KEY_BYTES = 1_024  # room in a request for the key of a part
Range = Callable[[bytes, bytes], Iterator[Any]]


def is_long(value: bytes, piece_bytes: int) -> bool:
    """Whether the value must be parted, if only because it looks like a note."""
    return len(value) + _KEY_BYTES > piece_bytes or value.startswith(_NOTE)


def part(keys: Keys, key: str, value: bytes, piece_bytes: int) -> tuple[bytes, list[object]]:
    """The note in the row's place, and the operations that write the parts."""
    place = b"%s%s/%s/" % (keys.parts, key.encode(), sha256(value).hexdigest().encode())
    size = piece_bytes - _KEY_BYTES
    parts = [value[start : start + size] for start in range(0, len(value), size)]
    return _NOTE + place, [put(b"%s%06d" % (place, n), data) for n, data in enumerate(parts)]


def place_of(value: bytes) -> bytes:
    """The prefix of the parts' keys if `value` is a note, else nothing."""
    return value.removeprefix(_NOTE) if value.startswith(_NOTE) else b""


def place_of_part(key: bytes) -> bytes:
    """The prefix that a part's key has in common with the other parts of its row."""
    return key[: key.rindex(b"/") + 1]


def row_of_place(keys: Keys, place: bytes) -> str:
    """The key of the row whose parts lie there."""
    return place.removeprefix(keys.parts).rsplit(b"/", 2)[0].decode()


def read_whole(value: bytes, read: Range) -> bytes:
    """The row's bytes; `read` gives the pairs of a range. Raises StoreError."""
    place = place_of(value)
    if not place:
        return value
    whole = b"".join(pair.value for pair in read(place, end_of(place)))
    if sha256(whole).hexdigest().encode() != place.rsplit(b"/", 2)[1]:
        raise StoreError("StoreDamaged", f"the parts at {place.decode()} are not those written")
    return whole
