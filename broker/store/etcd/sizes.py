"""How much goes into one request: what the settings say, and less once etcd has refused that.

A commit that etcd does not take would else be tried for ever, and nothing after it be stored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from broker.store.etcd.errors import TooLarge
from broker.store.etcd.settings import OPERATIONS_MIN, REQUEST_BYTES_MIN, EtcdSettings

log = logging.getLogger(__name__)


class Sizes:
    """Of one store, for all its terms."""

    def __init__(self, settings: EtcdSettings) -> None:
        self.operations_max = settings.operations_max
        self._request_bytes_max = settings.request_bytes_max

    @property
    def piece_bytes(self) -> int:
        """What we put into one request, so that it fits with all that is around it."""
        return self._request_bytes_max - 4_096

    def fit(self, write: Callable[[], None]) -> None:
        """Write, with half as much at once after each refusal. Raises what `write` raises."""
        while True:
            try:
                return write()
            except TooLarge as error:
                if not self._halve():
                    raise
                log.warning(
                    "%s; going on with operations_max %d and request_bytes_max %d",
                    error.message,
                    self.operations_max,
                    self._request_bytes_max,
                )

    def _halve(self) -> bool:
        """False when it cannot be less."""
        before = self.operations_max, self._request_bytes_max
        self.operations_max = max(OPERATIONS_MIN, self.operations_max // 2)
        self._request_bytes_max = max(REQUEST_BYTES_MIN, self._request_bytes_max // 2)
        return before != (self.operations_max, self._request_bytes_max)
