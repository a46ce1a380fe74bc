"""Keeps a standby up to date: all rows once, then each commit as etcd's watch tells of it.

The watch goes on after a break where it ended. When etcd has dropped the history in
between, everything is read anew. A commit in pieces is handed on when it is decided.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from broker.core.rows import Delete, Put, Record
from broker.store import Standby, StoreError, load_state
from broker.store.codec import ParseSpec, decode
from broker.store.etcd.connection import Connection
from broker.store.etcd.errors import Compacted
from broker.store.etcd.keys import Keys, end_of
from broker.store.etcd.loader import messages
from broker.store.etcd.parts import read_whole
from broker.store.etcd.ranges import Ranges
from broker.store.etcd.snapshot import Change, Snapshot, decided

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5  # between a watch that failed and the next one


class Follower:
    """Feeds `standby`; `led` says whether somebody leads, `revision` up to where it knows."""

    def __init__(
        self, connection: Connection, keys: Keys, parse_spec: ParseSpec, standby: Standby
    ) -> None:
        self.led = True
        self.revision = 0
        self._connection = connection
        self._keys = keys
        self._parse_spec = parse_spec
        self._standby = standby
        self._ready = False  # a commit in pieces was handed on; it is now being carried out
        self._pieces: dict[bytes, bytes] = {}
        self._held: list[Any] = []  # events of a revision that has not come in full
        self._closed = threading.Event()
        self._call: Any = None
        self._complained = False

    def follow(self, until: Callable[[], bool]) -> None:
        """Feed the standby until `until` holds after some event.

        Outlasts breaks. Raises StoreError ("StoreClosed", or what no waiting heals),
        UnreadableRow.
        """
        while not until():
            self._require_open()
            try:
                if not self.revision:
                    self._load()
                else:
                    self._watch(until)
            except Compacted as error:
                log.warning("history is gone, reading all rows anew: %s", error.message)
                self.revision = 0
            except StoreError as error:
                self._require_open()
                if error.code != "StoreUnavailable":
                    raise
                if not self._complained:
                    log.warning("cannot follow the leader, trying again: %s", error.message)
                self._complained = True
                self._closed.wait(PAUSE_SECONDS)

    def close(self) -> None:
        """End `follow`. From any thread."""
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise StoreError("StoreClosed", "the store was closed while it waited for the lead")

    # --- all rows -----------------------------------------------------------

    def _load(self) -> None:
        found = Snapshot(self._connection, self._keys, self._parse_spec)
        self._standby.load(load_state(found))
        self._pieces, self._ready = found.pieces, found.ready
        self._held = []
        self.led = found.led
        self.revision = found.revision

    # --- what happens since ---------------------------------------------------

    def _watch(self, until: Callable[[], bool]) -> None:
        """One watch, to its end or until `until` holds."""
        ended = threading.Event()
        self._call = self._connection.watch(self._requests(ended))
        if self._closed.is_set():
            self._call.cancel()
        self._held = []
        heard = False
        try:
            for response in self._call:
                heard, self._complained = True, False
                self._hear(response)
                if until():
                    return
        except grpc.RpcError as error:
            self._require_open()
            if not heard or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise self._connection.watch_failed(error) from error
        finally:
            ended.set()
            self._call.cancel()

    def _requests(self, ended: threading.Event) -> Iterator[Any]:
        wire = messages()
        yield wire.WatchRequest(
            create_request=wire.WatchCreateRequest(
                key=self._keys.all,
                range_end=end_of(self._keys.all),
                start_revision=self.revision + 1,
                fragment=True,
            )
        )
        ended.wait()  # the end of the requests would be the end of the watch

    def _hear(self, response: Any) -> None:
        self._connection.require_ours(response.header)
        if response.compact_revision:
            raise Compacted("StoreCompacted", f"kept from revision {response.compact_revision}")
        if response.canceled:
            raise self._connection.watch_refused(response.cancel_reason)
        if response.created and self._was_put_back(response.header.revision):
            raise Compacted("StoreCompacted", "etcd was put back to an earlier state")
        events = [*self._held, *response.events]
        self._held = []
        if response.fragment and events:
            last = events[-1].kv.mod_revision
            self._held = [event for event in events if event.kv.mod_revision == last]
            events = events[: len(events) - len(self._held)]
        self._take_in(events)

    def _was_put_back(self, revision: int) -> bool:
        """Whether etcd as a whole is behind us, and not only the node that we watch."""
        if revision >= self.revision:
            return False
        request = messages().RangeRequest(key=self._keys.leader)
        return int(self._connection.read("KV.Range", request).header.revision) < self.revision

    def _take_in(self, events: list[Any]) -> None:
        """Hand on whole revisions, in the order in which they were committed."""
        records: list[Record] = []
        before = self.led, self._ready, dict(self._pieces)
        try:
            for event in events:
                self._note(event, records)
        except StoreError:  # of a row in parts; all of these events will come again
            self.led, self._ready, self._pieces = before
            raise
        if records:
            self._standby.apply(records)
        if events:
            self.revision = events[-1].kv.mod_revision

    def _note(self, event: Any, records: list[Record]) -> None:
        key, value = event.kv.key, event.kv.value
        gone = event.type == event.DELETE
        if key.startswith(self._keys.rows):
            if not self._ready:
                change = key, None if gone else value
                records.append(self._record(change, event.kv.mod_revision))
        elif key.startswith(self._keys.pending):
            self._pieces.pop(key, None)
            if not gone:
                self._pieces[key] = value
        elif key == self._keys.ready:
            self._ready = not gone
            if not gone:
                found = decided(self._pieces, value, self._keys)
                records.extend(self._record(change, event.kv.mod_revision) for change in found)
        elif key == self._keys.leader:
            self.led = not gone

    def _record(self, change: Change, revision: int) -> Record:
        key, value = change
        if value is None:
            return Delete(self._keys.name(key))
        whole = read_whole(value, Ranges(self._connection, revision).read)
        return Put(decode(self._keys.name(key), whole, self._parse_spec))
