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
from broker.store.etcd.errors import is_old_token, store_error
from broker.store.etcd.loader import messages, stub
from broker.store.etcd.login import Login, Metadata
from broker.store.etcd.settings import EtcdSettings

SERVICES = ("KV", "Watch", "Lease", "Maintenance")
PIPELINE = 4  # calls under way at a time
_BROKEN = (grpc.RpcError, grpc.FutureCancelledError, ValueError)  # the last: it was closed
WITH_LEADER = (("hasleader", "true"),)  # a node that is cut off from the others refuses


class Cluster:
    """Which cluster this is: the first that answered."""

    def __init__(self) -> None:
        self.id = 0

    def has(self, header: Any) -> bool:
        """Whether who says this is of the cluster."""
        self.id = self.id or header.cluster_id
        return header.cluster_id in (self.id, 0)


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
            login = Login(stub(channel, "Auth").Authenticate, settings)
            self._links.append((endpoint, channel, stubs, login))

    def call(self, method: str, request: Any, seconds: float = 0.0, at: int = -1) -> Any:
        """One try of `SERVICE.METHOD` at the endpoint in use, or at number `at`.

        Raises StoreError; after "StoreUnavailable" a write may have been done. An endpoint of
        another etcd is passed over; asked by number, it is "StoreForeign".
        """
        index = self._current if at < 0 else at
        timeout = seconds or self._settings.call_seconds
        try:
            who = self._who(index, timeout)
            response = self._method(index, method)(request, timeout=timeout, metadata=who)
        except _BROKEN as error:
            raise self._failed(index, error) from error
        self._require_ours(index, response.header, "StoreForeign" if at >= 0 else "")
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
        index, timeout = self._current, self._settings.call_seconds
        under_way: deque[Any] = deque()
        try:
            for request in requests:
                send, who = self._method(index, method).future, self._who(index, timeout)
                under_way.append(send(request, timeout=timeout, metadata=who))
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
            who = self._who(index, seconds)
            open_call = self._method(index, "Lease.LeaseKeepAlive")
            response = next(open_call(iter([request]), timeout=seconds, metadata=who))
        except (*_BROKEN, StopIteration) as error:
            raise self._failed(index, error) from error
        self._require_ours(index, response.header)
        return int(response.TTL)

    def watch(self, requests: Iterator[Any]) -> Any:
        """The call that answers `requests` with events; iterate over it, cancel it."""
        index, settings = self._current, self._settings
        open_watch = self._method(index, "Watch.Watch")
        try:
            who = (*WITH_LEADER, *self._who(index, settings.call_seconds))
            return open_watch(requests, timeout=settings.watch_seconds, metadata=who)
        except (grpc.RpcError, ValueError) as error:
            raise self._failed(index, error) from error

    def require_ours(self, header: Any) -> None:
        """Of the answer to a watch. Raises StoreError; the next watch is at the next endpoint."""
        self._require_ours(self._current, header)

    def watch_failed(self, error: Exception) -> StoreError:
        """Why a watch ended; the next one begins at the next endpoint."""
        return self._failed(self._current, error)

    def watch_refused(self, reason: str) -> StoreError:
        """As `watch_failed`, when etcd says why; of an old token it says only "no"."""
        self._links[self._current][3].forget()
        return StoreError("StoreUnavailable", f"etcd ended the watch: {reason}")

    def endpoints(self) -> Iterator[tuple[int, str]]:
        """The number and the name of each endpoint."""
        for index, (endpoint, *_) in enumerate(self._links):
            yield index, endpoint

    def close(self) -> None:
        self._closed = True
        for _, channel, *_ in self._links:
            channel.close()

    def _method(self, index: int, method: str) -> Any:
        service, _, name = method.partition(".")
        return getattr(self._links[index][2][service], name)

    def _who(self, index: int, seconds: float) -> Metadata:
        """What tells this endpoint who calls. Raises grpc.RpcError, StoreError."""
        return self._links[index][3].metadata(seconds)

    def _failed(self, index: int, error: Exception) -> StoreError:
        if self._closed:
            return StoreError("StoreClosed", "the store was closed")
        if is_old_token(error):
            self._links[index][3].forget()
        found = store_error(self._links[index][0], error)
        if found.code == "StoreUnavailable":
            self._pass_on(index)
        return found

    def _require_ours(self, index: int, header: Any, code: str = "") -> None:
        if not self._cluster.has(header):
            self._pass_on(index)
            message = f"{self._links[index][0]} belongs to another etcd than the others"
            raise StoreError(code or "StoreUnavailable", message)

    def _pass_on(self, index: int) -> None:
        with self._lock:
            if index == self._current:
                self._current = (index + 1) % len(self._links)
