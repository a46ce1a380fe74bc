"""The lease under the leader's key, and how long it is certain to last.

It is renewed on a thread and a connection of its own, so that no commit, however slow, is
in its way. What counts is when a renewal that succeeded was *sent*, on whichever of this
machine's clocks has run furthest: a process that was stopped knows at once what it missed.
"""

from __future__ import annotations

import logging
import threading
import time

from broker.store import StoreError
from broker.store.etcd.connection import Connection
from broker.store.etcd.loader import messages
from broker.store.etcd.settings import EtcdSettings

log = logging.getLogger(__name__)

_CLOCKS = (time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW, time.CLOCK_BOOTTIME)
RETRY_SECONDS = 0.3  # after a renewal that failed
DEADLINE_SHARE = 1 / 3  # of renew_seconds: three endpoints are tried before the lead is lost


class Lease:
    """Granted by etcd when made; renewed until `end`. Raises StoreError."""

    def __init__(self, connection: Connection, settings: EtcdSettings) -> None:
        self._connection = connection
        self._settings = settings
        self._certainty = (1 - settings.clock_drift) ** 2
        self._ended = threading.Event()
        sent = _readings()
        request = messages().LeaseGrantRequest(TTL=settings.lease_seconds)
        granted = connection.read("Lease.LeaseGrant", request)  # one too many ends by itself
        self.id = int(granted.ID)
        self._renewed = sent, float(granted.TTL) * self._certainty
        self._thread = threading.Thread(target=self._renew, name="etcd-lease", daemon=True)
        self._thread.start()

    def seconds(self) -> float:
        """How long it lasts at least; 0.0 when it may be over."""
        if self._ended.is_set():
            return 0.0
        sent, length = self._renewed
        passed = max(now - then for now, then in zip(_readings(), sent, strict=True))
        return max(0.0, length - passed)

    def end(self) -> None:
        """Give it back, if etcd can be told; else it ends by itself."""
        self._ended.set()
        self._thread.join()
        request = messages().LeaseRevokeRequest(ID=self.id)
        try:
            self._connection.call("Lease.LeaseRevoke", request)
        except StoreError as error:
            log.info("the lease ends by itself, in %d s: %s", self._settings.lease_seconds, error)

    def _renew(self) -> None:
        pause = self._settings.renew_seconds
        deadline = pause * DEADLINE_SHARE
        while not self._ended.wait(pause):
            sent = _readings()
            try:
                left = self._connection.renew(self.id, deadline)
            except StoreError as error:
                if pause != RETRY_SECONDS:
                    log.warning("cannot renew the lead, %.1f s left: %s", self.seconds(), error)
                pause = RETRY_SECONDS
                continue
            if left <= 0:
                log.warning("etcd has ended the lease of the lead")
                self._ended.set()
                return
            self._renewed = sent, left * self._certainty
            pause = self._settings.renew_seconds


def _readings() -> tuple[float, ...]:
    return tuple(time.clock_gettime(clock) for clock in _CLOCKS)
