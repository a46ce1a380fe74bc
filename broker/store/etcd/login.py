"""Who we are to an etcd that asks for a user: a token, sent along with every call.

etcd drops a token that it has not seen for some minutes, and all of them when it begins
again: a new one is fetched long before, and as soon as the old one was refused.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from broker.store.etcd.channels import content_of
from broker.store.etcd.loader import messages
from broker.store.etcd.settings import EtcdSettings

TOKEN_SECONDS = 120.0  # after which another is fetched; etcd keeps one for 300 s or more

Metadata = tuple[tuple[str, str], ...]


class Login:
    """The token for one endpoint; for any thread. `authenticate` is etcd's method there."""

    def __init__(self, authenticate: Any, settings: EtcdSettings) -> None:
        self._authenticate = authenticate
        self._settings = settings
        self._lock = threading.Lock()
        self._token = ""
        self._fetched_at = 0.0

    def metadata(self, seconds: float) -> Metadata:
        """What is sent along: the token, or nothing without a user.

        Takes at most so many seconds. Raises grpc.RpcError; StoreError for a bad file.
        """
        if not self._settings.user:
            return ()
        with self._lock:
            if not self._token or time.monotonic() - self._fetched_at > TOKEN_SECONDS:
                fetched_at = time.monotonic()
                password = (content_of(self._settings.password_file) or b"").decode().strip()
                request = messages().AuthenticateRequest(
                    name=self._settings.user, password=password
                )
                self._token = str(self._authenticate(request, timeout=seconds).token)
                self._fetched_at = fetched_at
            return (("token", self._token),)

    def forget(self) -> None:
        """The token was refused."""
        self._token = ""
