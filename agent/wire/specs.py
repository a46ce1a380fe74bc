"""The specs of one session: sent by the broker once, named by their digest in many grants.

Bounded by what they take in memory. The broker does not know what was dropped here, so a
spec that is missing ends the session, and the next one begins with none.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from suan.errors import InvalidSpec
from suan.models import JobSpec
from suan.wire import spec_from_bytes

SPECS_BYTES_MAX = 256 * 1024 * 1024
SPEC_OVERHEAD_BYTES = 4_096  # of the values that a small spec becomes


class SpecMissing(Exception):
    """A grant names a spec that this session does not have."""


class Specs:
    """Specs by the lower-case hex of their SHA-256."""

    def __init__(self, bytes_max: int = SPECS_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._specs: OrderedDict[str, tuple[JobSpec | InvalidSpec, int]] = OrderedDict()

    def add(self, digest: str, data: bytes) -> None:
        """Keep a spec; what its digest does not fit is as good as missing."""
        if digest in self._specs or sha256(data).hexdigest() != digest:
            return
        size = len(data) + SPEC_OVERHEAD_BYTES
        self._specs[digest] = (_read(data), size)
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, (_, dropped) = self._specs.popitem(last=False)
            self._bytes -= dropped

    def get(self, digest: str) -> JobSpec | InvalidSpec:
        """The spec, or why it cannot be read. Raises SpecMissing."""
        try:
            self._specs.move_to_end(digest)
        except KeyError:
            raise SpecMissing(digest) from None
        return self._specs[digest][0]


def _read(data: bytes) -> JobSpec | InvalidSpec:
    try:
        return spec_from_bytes(data)
    except InvalidSpec as error:
        return error
