"""Keeps etcd from growing without end, and makes room when it is full.

History is dropped when it is old enough that any standby has read it, or sooner when much
is written. A full etcd refuses writes until it is compacted, its files are rewritten and
its alarm is taken back; if there is still no room, etcd raises the alarm again.
"""

from __future__ import annotations

import logging
import threading
import time

from broker.store import StoreError
from broker.store.etcd.connection import Connection
from broker.store.etcd.errors import Compacted
from broker.store.etcd.keys import Keys
from broker.store.etcd.loader import alarm, messages
from broker.store.etcd.settings import EtcdSettings
from broker.store.etcd.writer import Writer

log = logging.getLogger(__name__)

COMPACT_SECONDS = 60.0  # deadline: it takes long after much was written
DEFRAGMENT_SECONDS = 120.0  # deadline for one node, which serves nothing meanwhile
FREE_SHARE = 0.1  # of a node's file that must be free for it to be rewritten
LOOK_SECONDS = 1.0  # between two looks at how much was written


class Compaction:
    """Drops old history while somebody leads, on a thread of its own."""

    def __init__(self, connection: Connection, settings: EtcdSettings, writer: Writer) -> None:
        self._connection = connection
        self._settings = settings
        self._writer = writer
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="etcd-compaction", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop. A call that is under way is not waited for."""
        self._ended.set()

    def _run(self) -> None:
        begun, written, revision = time.monotonic(), 0, 0
        while not self._ended.wait(min(LOOK_SECONDS, self._settings.compact_seconds)):
            much = self._writer.bytes_written - written >= self._settings.compact_bytes
            if not much and time.monotonic() - begun < self._settings.compact_seconds:
                continue
            try:
                if revision:
                    compact(self._connection, revision)
            except StoreError as error:
                if self._ended.is_set():
                    return
                log.warning("cannot compact etcd, trying again: %s", error.message)
            # What was written since the last look stays until the next.
            begun, written = time.monotonic(), self._writer.bytes_written
            revision = self._writer.revision


class Healer:
    """Makes room in a full etcd, not more often than set."""

    def __init__(self, connection: Connection, keys: Keys, settings: EtcdSettings) -> None:
        self._connection = connection
        self._keys = keys
        self._settings = settings
        self._healed_at = -settings.heal_seconds

    def heal(self) -> bool:
        """Try; whether it is worth writing again. Raises StoreError."""
        now = time.monotonic()
        if now - self._healed_at < self._settings.heal_seconds:
            return False
        self._healed_at = now
        request = messages().RangeRequest(key=self._keys.leader)
        revision = int(self._connection.read("KV.Range", request).header.revision)
        dropped = compact(self._connection, revision, physical=True)
        for index, endpoint in self._connection.endpoints():
            try:
                self._rewrite(index, endpoint, dropped)
            except StoreError as error:
                log.warning("cannot make room in etcd at %s: %s", endpoint, error.message)
        self._take_back_alarms()
        return True

    def _rewrite(self, index: int, endpoint: str, dropped: bool) -> None:
        """Rewrite a node's file without what is free in it.

        etcd tells only later how much a compaction has freed. Where none was dropped its word
        counts, so that a node which stays full is not rewritten again and again.
        """
        wire = messages()
        status = self._connection.call("Maintenance.Status", wire.StatusRequest(), at=index)
        free = status.dbSize - status.dbSizeInUse
        if not dropped and free < FREE_SHARE * status.dbSize:
            return
        log.warning("etcd at %s is full: rewriting its %d bytes", endpoint, status.dbSize)
        request = wire.DefragmentRequest()
        self._connection.call("Maintenance.Defragment", request, DEFRAGMENT_SECONDS, index)

    def _take_back_alarms(self) -> None:
        wire = messages()
        full = alarm("NOSPACE")
        asked = wire.AlarmRequest(action=wire.AlarmRequest.GET, alarm=full)
        for raised in self._connection.read("Maintenance.Alarm", asked).alarms:
            request = wire.AlarmRequest(
                action=wire.AlarmRequest.DEACTIVATE, memberID=raised.memberID, alarm=full
            )
            self._connection.call("Maintenance.Alarm", request)


def compact(connection: Connection, revision: int, physical: bool = False) -> bool:
    """Drop the history before `revision`; False when it was gone. Raises StoreError."""
    request = messages().CompactionRequest(revision=revision, physical=physical)
    try:
        connection.call("KV.Compact", request, COMPACT_SECONDS)
    except Compacted:
        return False
    return True
