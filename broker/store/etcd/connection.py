"""Calls to etcd: one endpoint at a time, the next one when it fails, every call with a deadline.

Knows gRPC's errors and turns them into the store's. A failed write may have been done or
not; only its caller can know what to do then, so nothing here is tried twice but reading.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import grpc

from broker.store import StoreError
from broker.store.etcd.channels import open_channel
from broker.store.etcd.errors import store_error
from broker.store.etcd.loader import messages, stub
from broker.store.etcd.settings import EtcdSettings

SERVICES = ("KV", "Watch", "Lease", "Maintenance")
PIPELINE = 4  # calls under way at a time
_BROKEN = (grpc.RpcError, grpc.FutureCancelledError, ValueError)  # the last: it was closed
WITH_LEADER = (("hasleader", "true"),)  # a node that is cut off from the others refuses


class Cluster:
    """Which cluster this is: the first that answered. Endpoints of another are refused."""

    def __init__(self) -> None:
        self.id = 0

    def check(self, header: Any, endpoint: str) -> None:
        self.id = self.id or header.cluster_id
        if header.cluster_id not in (self.id, 0):
            raise StoreError("StoreForeign", f"{endpoint} belongs to another etcd than the others")


class Connection:
    """Own sockets to all endpoints; safe for several threads."""

    def __init__(self, settings: EtcdSettings, cluster: Cluster) -> None:
        self._settings = settings
        self._cluster = cluster
        self._current = 0
        self._lock = threading.Lock()
        self._closed = False
        self._links = []
        for endpoint in settings.endpoints:
            channel = open_channel(endpoint, settings)
            stubs = {service: stub(channel, service) for service in SERVICES}
            self._links.append((endpoint, channel, stubs))

    def call(self, method: str, request: Any, seconds: float = 0.0, at: int = -1) -> Any:
        """One try of `SERVICE.METHOD` at the endpoint in use, or at number `at`.

        Raises StoreError; after "StoreUnavailable" a write may have been done.
        """
        index = self._current if at < 0 else at
        timeout = seconds or self._settings.call_seconds
        try:
            response = self._method(index, method)(request, timeout=timeout)
        except _BROKEN as error:
            raise self._failed(index, error) from error
        self._cluster.check(response.header, self._links[index][0])
        return response

    def read(self, method: str, request: Any) -> Any:
        """As `call`, at each endpoint in turn until one answers."""
        for _ in self._links[1:]:
            try:
                return self.call(method, request)
            except StoreError as error:
                if error.code != "StoreUnavailable":
                    raise
        return self.call(method, request)

    def pipeline(self, method: str, requests: Iterable[Any]) -> Iterator[Any]:
        """The responses to `requests` in their order, some of them under way at a time."""
        index = self._current
        under_way: deque[Any] = deque()
        try:
            for request in requests:
                send = self._method(index, method).future
                under_way.append(send(request, timeout=self._settings.call_seconds))
                if len(under_way) == PIPELINE:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except _BROKEN as error:
            raise self._failed(index, error) from error
        finally:
            for call in under_way:
                call.cancel()

    def renew(self, lease: int, seconds: float) -> int:
        """Keep a lease alive once; for how many seconds etcd will, 0: it is gone."""
        request = messages().LeaseKeepAliveRequest(ID=lease)
        index = self._current
        try:
            calls = self._method(index, "Lease.LeaseKeepAlive")(iter([request]), timeout=seconds)
            return int(next(calls).TTL)
        except (*_BROKEN, StopIteration) as error:
            raise self._failed(index, error) from error

    def watch(self, requests: Iterator[Any]) -> Any:
        """The call that answers `requests` with events; iterate over it, cancel it."""
        open_watch = self._method(self._current, "Watch.Watch")
        try:
            return open_watch(requests, timeout=self._settings.watch_seconds, metadata=WITH_LEADER)
        except ValueError as error:
            raise self._failed(self._current, error) from error

    def watch_failed(self, error: Exception) -> StoreError:
        """Why a watch ended; the next one begins at the next endpoint."""
        return self._failed(self._current, error)

    def endpoints(self) -> Iterator[tuple[int, str]]:
        """The number and the name of each endpoint."""
        for index, (endpoint, _, _) in enumerate(self._links):
            yield index, endpoint

    def close(self) -> None:
        self._closed = True
        for _, channel, _ in self._links:
            channel.close()

    def _method(self, index: int, method: str) -> Any:
        service, _, name = method.partition(".")
        return getattr(self._links[index][2][service], name)

    def _failed(self, index: int, error: Exception) -> StoreError:
        if self._closed:
            return StoreError("StoreClosed", "the store was closed")
        found = store_error(self._links[index][0], error)
        with self._lock:
            if found.code == "StoreUnavailable" and index == self._current:
                self._current = (index + 1) % len(self._links)
        return found
