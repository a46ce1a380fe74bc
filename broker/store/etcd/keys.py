"""Where things lie in etcd, under the federation's prefix. Says nothing of what they mean.

rows/KEY                 a row's bytes, or where its parts are
parts/KEY/DIGEST/NUMBER  a piece of a row that no request can carry whole
leader                   who leads, under a lease: its create_revision is the fence
term                     how often somebody began to lead
step                     TERM.NUMBER, raised by every commit: a late copy finds it moved
pending/STEP/NUMBER      operations of a commit that no transaction can carry whole
ready                    STEP of the pending commit that has been decided
"""

from __future__ import annotations

from broker.store.etcd.loader import messages


class Keys:
    """The keys of one federation."""

    def __init__(self, prefix: bytes) -> None:
        self.all = prefix
        self.rows = prefix + b"rows/"
        self.parts = prefix + b"parts/"
        self.pending = prefix + b"pending/"
        self.leader = prefix + b"leader"
        self.term = prefix + b"term"
        self.step = prefix + b"step"
        self.ready = prefix + b"ready"

    def row(self, key: str) -> bytes:
        return self.rows + key.encode()

    def name(self, row: bytes) -> str:
        """The store's key of a row."""
        return row.removeprefix(self.rows).decode(errors="replace")

    def pieces(self, step: bytes) -> bytes:
        """What the keys of a pending commit's pieces begin with."""
        return b"%s%s/" % (self.pending, step)

    def piece(self, step: bytes, number: int) -> bytes:
        return b"%s%06d" % (self.pieces(step), number)


def end_of(prefix: bytes) -> bytes:
    """The first key after all that begin with `prefix`, as etcd's ranges want it."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,))


def put(key: bytes, value: bytes, lease: int = 0) -> object:
    wire = messages()
    return wire.RequestOp(request_put=wire.PutRequest(key=key, value=value, lease=lease))


def delete(key: bytes, end: bytes = b"") -> object:
    wire = messages()
    request = wire.DeleteRangeRequest(key=key, range_end=end)
    return wire.RequestOp(request_delete_range=request)


def get(key: bytes, end: bytes = b"") -> object:
    wire = messages()
    return wire.RequestOp(request_range=wire.RangeRequest(key=key, range_end=end))
