"""A collection of objects as the API server has it: listed once, then watched.

By https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes:
a watch that ends is resumed from the last version that was seen, bookmarks move that version
while nothing happens, and where the history is gone (410) all is listed again. Knows nothing
of what the objects mean.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Generic, TypeVar

from agent.kubernetes.client import ApiFailed, KubernetesApi, Query
from agent.kubernetes.fields import Json, number, table, text
from suan.retry import Backoff

T = TypeVar("T")

WATCH_SECONDS = 300  # then the server ends it, and it is resumed
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.5, 30.0
GONE = 410

log = logging.getLogger(__name__)


class Mirror(Generic[T]):
    """What `read` makes of each object, by namespace and name; None keeps it out."""

    def __init__(
        self,
        api: KubernetesApi,
        path: str,
        read: Callable[[Json], T | None],
        query: Query | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._api = api
        self._path = path
        self._read = read
        self._query = dict(query or {})
        self._backoff = backoff or Backoff(BACKOFF_SECONDS, BACKOFF_SECONDS_MAX)
        self.version = ""  # that was seen last; "": all must be read
        self._failures = 0  # in a row
        self.changed = asyncio.Event()  # set at each change; who waits clears it
        self.items: dict[str, T] = {}
        self.lists = 0  # how often all was read

    @property
    def is_ready(self) -> bool:
        """Whether all was read once."""
        return self.lists > 0

    async def look(self) -> None:
        """Read all, now. Raises ApiFailed, and then what was known stands."""
        documents, version = await self._api.list_all(self._path, self._query)
        found = {_key(document): self._read(document) for document in documents}
        fresh = {key: value for key, value in found.items() if value is not None}
        if fresh != self.items or not self.is_ready:
            self.changed.set()
        self.items, self.version = fresh, version
        self.lists += 1

    async def run(self) -> None:
        """Keep it as the server has it, until cancelled."""
        while True:
            try:
                if not self.version:
                    await self.look()
                await self._watch()
            except ApiFailed as failed:
                if failed.status == GONE:
                    log.info("%s: %s; reading all again", self._path, failed.message)
                    self.version = ""
                await self._rest(failed)
            except TimeoutError:
                log.info("%s: the watch fell silent; resuming it", self._path)

    async def _rest(self, failed: ApiFailed) -> None:
        self._failures += 1
        if self._failures == 1 and failed.status != GONE:
            log.warning("%s: %s (%s)", failed.code, failed.message, failed.hint)
        await self._backoff.sleep(self._backoff.pause_seconds(self._failures))

    async def _watch(self) -> None:
        query = {
            **self._query,
            "resourceVersion": self.version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        heard = False
        async with aclosing(self._api.events(self._path, query)) as events:
            async for event in events:
                self._take_in(event)
                heard, self._failures = True, 0
        if not heard:  # a server that ends each watch at once is not pressed
            raise ApiFailed("KubernetesFailed", f"{self._path}: the watch ended without a word")

    def _take_in(self, event: Json) -> None:
        """Raises ApiFailed for what the server says has failed, or nobody can read."""
        kind, document = text(event, "type"), table(event, "object")
        if kind == "ERROR" or not document:
            status = number(document, "code")
            raise ApiFailed(
                "KubernetesFailed", text(document, "message") or "a bad event", "", status or GONE
            )
        if version := text(document, "metadata", "resourceVersion"):
            self.version = version
        if kind == "BOOKMARK":
            return
        key = _key(document)
        value = self._read(document) if kind in ("ADDED", "MODIFIED") else None
        if value == self.items.get(key):
            return
        if value is None:
            self.items.pop(key, None)
        else:
            self.items[key] = value
        self.changed.set()


def _key(document: Json) -> str:
    metadata = table(document, "metadata")
    return f"{text(metadata, 'namespace')}/{text(metadata, 'name')}"
