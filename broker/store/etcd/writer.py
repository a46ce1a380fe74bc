"""The leader's writing: each transaction is fenced, and each commit is whole or not at all.

Two compares stand before every write. The leader key's create_revision keeps off whoever
led before; the step, which every commit raises, keeps off late copies of this leader's own
earlier writes, such as one that a stopped node delivers after it was tried again elsewhere.

A commit that no transaction can carry is first written aside in pieces, then decided by
one transaction that makes it `ready`, then carried out and cleared. Until it is cleared
readers lay it over the rows. What a writer before has left is finished or discarded first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from broker.store import StaleTerm, StoreError
from broker.store.etcd.connection import Connection
from broker.store.etcd.keys import Keys, delete, end_of, get, put
from broker.store.etcd.loader import messages
from broker.store.etcd.sizes import Sizes
from suan.crash import crash_point

SETTLE_TRIES = 5  # each fails only when a late copy of an own write lands in between
OPERATION_BYTES = 8  # around an operation in its request, at most


class Writer:
    """Writes as the leader whose key was created at revision `lead` in `term`."""

    def __init__(
        self, connection: Connection, keys: Keys, sizes: Sizes, lead: int, term: int
    ) -> None:
        self.term = term
        self.bytes_written = 0
        self.revision = lead  # of the last write
        self._connection = connection
        self._keys = keys
        self._sizes = sizes
        self._lead = lead
        self._step = b""
        self._number = 0
        self._settled = False

    def write(self, early: Sequence[Any], operations: Sequence[Any]) -> None:
        """Do all `operations` or none; `early` are such that nobody sees them before.

        Raises StaleTerm, StoreError. After an error it may have been done or not; to do the
        same again is harmless, and nothing else is done before that is cleared up.
        """
        tries = 1 + sum(1 for _ in self._connection.endpoints())
        while True:
            tries -= 1
            try:
                self.settle()
                self._settled = False
                self._write(early, operations)
                self._settled = True
                return
            except StoreError as error:
                if error.code != "StoreUnavailable" or not tries:
                    raise

    def settle(self) -> None:
        """Finish or discard what is pending, and shut out late copies of earlier writes."""
        for _ in range(SETTLE_TRIES):
            if self._settled:
                return
            self._step, ready = self._look()
            self._settled = self._carry_out(self._pending(ready) if ready else [])
        if not self._settled:
            raise self._refused()

    # --- one commit -------------------------------------------------------

    def _write(self, early: Sequence[Any], operations: Sequence[Any]) -> None:
        self._send(self._batches(early, self._sizes.operations_max))
        batches = [*self._batches(operations, self._sizes.operations_max - 1)]
        if len(batches) <= 1:
            self._advance(batches[0] if batches else [])
        else:
            self._write_in_pieces(operations)

    def _write_in_pieces(self, operations: Sequence[Any]) -> None:
        step = self._next_step()
        wire = messages()
        pieces = [
            wire.TxnRequest(success=batch).SerializeToString()
            for batch in self._batches(operations, len(operations))
        ]
        aside = [put(self._keys.piece(step, number), piece) for number, piece in enumerate(pieces)]
        self._send([each] for each in aside[:-1])
        crash_point("etcd.staged.before_ready")
        self._advance([aside[-1], put(self._keys.ready, step)], step)
        crash_point("etcd.ready.before_apply")
        if not self._carry_out(operations):
            raise self._refused()

    def _carry_out(self, operations: Sequence[Any]) -> bool:
        """Do them, and nothing is pending any more; False when the step was not what it was.

        In any order, for no two of them are for one key; the last go with the clearing.
        """
        clearing = [
            delete(self._keys.ready),
            delete(self._keys.pending, end_of(self._keys.pending)),
        ]
        count_max = self._sizes.operations_max - len(clearing) - 1  # and the step
        *batches, last = [*self._batches(operations, count_max)] or [[]]
        self._send(batches)
        crash_point("etcd.applied.before_clear")
        return self._raise_step([*last, *clearing], self._next_step())

    def _advance(self, operations: Sequence[Any], step: bytes = b"") -> None:
        if not self._raise_step(operations, step or self._next_step()):
            raise self._refused()

    # --- transactions -----------------------------------------------------

    def _raise_step(self, operations: Sequence[Any], step: bytes) -> bool:
        request = self._fenced([*operations, put(self._keys.step, step)])
        response = self._connection.call("KV.Txn", request)
        if response.succeeded:
            self._step = step
            self._written(request, response)
        return bool(response.succeeded)

    def _send(self, batches: Iterable[Sequence[Any]]) -> None:
        """Transactions within the present step, several under way at a time."""
        requests = [self._fenced(batch) for batch in batches]
        responses = self._connection.pipeline("KV.Txn", requests)
        for request, response in zip(requests, responses, strict=True):
            if not response.succeeded:
                raise self._refused()
            self._written(request, response)

    def _fenced(self, operations: Sequence[Any]) -> Any:
        wire = messages()
        compare = wire.Compare
        mine = compare(target=compare.CREATE, key=self._keys.leader, create_revision=self._lead)
        now = compare(target=compare.VALUE, key=self._keys.step, value=self._step)
        return wire.TxnRequest(compare=[mine, now], success=operations)

    def _written(self, request: Any, response: Any) -> None:
        self.bytes_written += request.ByteSize()
        self.revision = max(self.revision, int(response.header.revision))

    def _refused(self) -> StoreError:
        """Why the fence refused. Raises StaleTerm."""
        self._look()
        return StoreError("StoreUnavailable", "a late copy of an earlier write has just arrived")

    def _look(self) -> tuple[bytes, bytes]:
        """The step, and the commit that is ready, if one is. Raises StaleTerm."""
        keys = self._keys
        asked = [get(key) for key in (keys.leader, keys.term, keys.step, keys.ready)]
        response = self._connection.read("KV.Txn", messages().TxnRequest(success=asked))
        leader, term, step, ready = (each.response_range.kvs for each in response.responses)
        if not leader or leader[0].create_revision != self._lead:
            now = int(term[0].value) if term else 0
            ended = "nobody leads" if now == self.term else f"{now} leads"
            raise StaleTerm(f"term {self.term} has passed, {ended}")
        return step[0].value if step else b"", ready[0].value if ready else b""

    def _pending(self, step: bytes) -> list[Any]:
        """The operations of the commit that is ready, however many pieces they are in."""
        wire = messages()
        found: list[Any] = []
        number = 0
        while True:
            key = self._keys.piece(step, number)
            pairs = self._connection.read("KV.Range", wire.RangeRequest(key=key)).kvs
            if not pairs:
                return found
            found.extend(wire.TxnRequest.FromString(pairs[0].value).success)
            number += 1

    def _next_step(self) -> bytes:
        self._number += 1
        return b"%d.%d" % (self.term, self._number)

    def _batches(self, operations: Sequence[Any], count_max: int) -> Iterator[list[Any]]:
        """As many operations together as one request may have."""
        batch: list[Any] = []
        size = 0
        for operation in operations:
            more = operation.ByteSize() + OPERATION_BYTES
            if batch and (len(batch) >= count_max or size + more > self._sizes.piece_bytes):
                yield batch
                batch, size = [], 0
            batch.append(operation)
            size += more
        if batch:
            yield batch
