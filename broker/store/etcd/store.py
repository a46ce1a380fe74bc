"""The store in etcd: several brokers, one of which leads while the others stand by."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

from broker.core.rows import Put, Record
from broker.store import StaleTerm, Standby, StoreError
from broker.store.codec import ParseSpec
from broker.store.etcd.connection import Cluster, Connection
from broker.store.etcd.election import Election, Lead
from broker.store.etcd.follower import Follower
from broker.store.etcd.keys import Keys
from broker.store.etcd.operations import Operations
from broker.store.etcd.probe import probe
from broker.store.etcd.settings import EtcdSettings
from broker.store.etcd.sizes import Sizes
from broker.store.etcd.snapshot import Snapshot
from broker.store.etcd.upkeep import Compaction, Healer
from broker.store.etcd.writer import Writer

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5  # after a try to lead that failed


class EtcdStore:
    """Rows under the federation's prefix. Raises StoreError when no endpoint answers."""

    def __init__(self, settings: EtcdSettings, parse_spec: ParseSpec) -> None:
        cluster = Cluster()
        self._settings = settings
        self._parse_spec = parse_spec
        self._keys = Keys(settings.prefix)
        self._rows = Connection(settings, cluster)
        self._watches = Connection(settings, cluster)
        self._leases = Connection(settings, cluster)
        self._sizes = Sizes(settings)
        self._election = Election(self._rows, self._leases, self._keys, settings, self._sizes)
        self._healer = Healer(self._rows, self._keys, settings)
        self._operations = Operations(self._keys, self._sizes)
        self._lead: Lead | None = None
        self._follower: Follower | None = None
        self._compaction: Compaction | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()  # around what `close` ends
        try:
            probe(self._rows, settings)
        except StoreError:
            self.close()
            raise

    # --- leading ------------------------------------------------------------

    def campaign(self, standby: Standby) -> int:
        self._resign()
        follower = Follower(self._watches, self._keys, self._parse_spec, standby)
        with self._lock:
            self._follower = follower
        self._require_open()
        try:
            return self._win(follower)
        except BaseException:
            self._resign()
            raise

    def led_seconds(self) -> float:
        lead = self._lead
        return lead.seconds() if lead is not None else 0.0

    def _win(self, follower: Follower) -> int:
        while True:
            follower.follow(lambda: not follower.led)
            lead = self._stand()
            if lead is None:
                follower.led = True  # whose end the follower will hear of
            elif self._take_over(lead, follower):
                return lead.writer.term

    def _stand(self) -> Lead | None:
        """Try to lead until it is clear who does."""
        while True:
            try:
                return self._election.stand()
            except StoreError as error:
                self._outlast(error)

    def _take_over(self, lead: Lead, follower: Follower) -> bool:
        """Clear up and hear of all that was written before; whether the lead is still ours."""
        with self._lock:
            self._lead = lead
        self._require_open()
        try:
            while not self._has_caught_up(lead, follower):
                pass
        except StaleTerm:
            self._resign()
            return False
        with self._lock:
            self._compaction = Compaction(self._rows, self._settings, lead.writer)
        self._require_open()
        return True

    def _has_caught_up(self, lead: Lead, follower: Follower) -> bool:
        """Try once; False when it must be tried again. Raises StaleTerm."""
        try:
            lead.writer.settle()
            orphans = self._operations.sweep(self._rows, lead.writer.revision)
            self._sizes.fit(lambda: lead.writer.write([], orphans))
            follower.follow(lambda: follower.revision >= lead.writer.revision)
        except StoreError as error:
            self._outlast(error)
            return False
        if lead.seconds() <= 0:
            raise StaleTerm(f"the lead of term {lead.writer.term} could not be renewed")
        return True

    def _outlast(self, error: StoreError) -> None:
        """Wait a moment after an error that may pass. Raises the others."""
        self._require_open()
        if error.code not in ("StoreUnavailable", "StoreCompacted", "DiskFull"):
            raise error
        log.warning("cannot take the lead now, trying again: %s", error.message)
        if error.code == "DiskFull":
            self._heal()
        self._closed.wait(PAUSE_SECONDS)

    def _resign(self) -> None:
        with self._lock:
            lead, self._lead = self._lead, None
            compaction, self._compaction = self._compaction, None
        if compaction is not None:
            compaction.end()
        if lead is not None:
            lead.lease.end()

    # --- rows ---------------------------------------------------------------

    def load(self, prefix: str = "", last: int = 0) -> Iterator[Put]:
        yield from Snapshot(self._rows, self._keys, self._parse_spec).load(prefix, last)

    def commit(self, records: Sequence[Record], term: int) -> None:
        self._require_open()
        lead = self._lead
        if lead is None or lead.writer.term != term:
            now = f"{lead.writer.term} leads" if lead is not None else "it was given up"
            raise StaleTerm(f"term {term} has passed, {now}")
        try:
            self._sizes.fit(lambda: self._write(lead.writer, records))
        except StaleTerm:
            lead.lost = True
            raise

    def _write(self, writer: Writer, records: Sequence[Record]) -> None:
        batch = self._operations.batch(records)
        try:
            writer.write(batch.early, batch.operations)
        except StoreError as error:
            if error.code != "DiskFull" or not self._heal():
                raise
            writer.write(batch.early, batch.operations)
        self._operations.done(batch)

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.close()
        self._resign()
        for connection in (self._rows, self._watches, self._leases):
            connection.close()

    def _heal(self) -> bool:
        try:
            return self._healer.heal()
        except StoreError as error:
            log.warning("cannot make room in etcd: %s", error.message)
            return False

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise StoreError("StoreClosed", "the store was closed")
