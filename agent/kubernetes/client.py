"""The way to one API server: calls, lists in pages, and streams of events, each bounded.

The official client gives credentials, TLS and the transport; objects stay JSON as the server
sent it, because typed models of a large cluster cost more than all the rest. Every trouble is
an ApiFailed with a stable code. Imports the client only when it is first used.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any
from urllib.parse import urlencode

import yaml

from agent.kubernetes.fields import Json, items, text
from agent.probes.tools import ProbeFailed

CALL_SECONDS = 30.0
PAGE_ITEMS = 500  # asked for at a time
PAGES_MAX = 2_000
ANSWER_BYTES_MAX = 64 * 1024 * 1024
LIST_TRIES = 3  # when a list grows too old while its pages are read
SILENCE_SECONDS_MAX = 90.0  # of a stream; servers send a bookmark about once a minute
MESSAGE_CHARACTERS_MAX = 300
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError)  # of a kubeconfig

Query = Mapping[str, str]
# Status -> code and what to do.
_CODES: Mapping[int, tuple[str, str]] = {
    400: ("KubernetesRefused", "see the message"),
    401: ("KubernetesUnauthorized", "renew the kubeconfig or the service account's token"),
    403: ("KubernetesForbidden", "grant it: deploy/examples/kubernetes-rbac.yaml holds all"),
    404: ("KubernetesNotFound", "see that the namespace is there"),
    409: ("KubernetesConflict", "it is tried again"),
    410: ("KubernetesGone", "it is read anew"),
    422: ("KubernetesRefused", "see the message"),
    429: ("KubernetesBusy", "it is tried again"),
}


class ApiFailed(ProbeFailed):
    """The API server gave no good answer. `status`: of HTTP; 0: there was none."""

    def __init__(self, code: str, message: str, hint: str = "", status: int = 0) -> None:
        super().__init__(code, message, hint)
        self.status = status

    @property
    def is_doubtful(self) -> bool:
        """Whether what was asked may have been done all the same."""
        return self.status == 0 or self.status >= 500


class KubernetesApi:
    """One API server, for one event loop. Opens its connection with the first call."""

    def __init__(self, kubeconfig: str = "", context: str = "") -> None:
        """`kubeconfig` "": in a pod its service account, else the usual place."""
        self._kubeconfig = kubeconfig
        self._context = context
        self._client: Any = None
        self._opening = asyncio.Lock()

    async def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Json | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Json:
        """One call; its JSON object. Raises ApiFailed.

        Credentials that were refused are read again, once.
        """
        for attempt in (1, 2):
            try:
                return await self._call(method, path, query or {}, body, seconds)
            except ApiFailed as failed:
                if failed.status != 401 or attempt == 2:
                    raise
                await self.close()
        raise AssertionError("unreachable")

    async def has(self, path: str) -> bool:
        """Whether there is something at a path. Raises ApiFailed where that is not said."""
        try:
            await self.call("GET", path)
        except ApiFailed as failed:
            if failed.status == 404:
                return False
            raise
        return True

    async def list_all(self, path: str, query: Query | None = None) -> tuple[list[Json], str]:
        """All objects of a collection, read in pages, and their version. Raises ApiFailed."""
        for attempt in range(LIST_TRIES):
            # The last try asks for all at once: that cannot grow too old.
            limit = {} if attempt + 1 == LIST_TRIES else {"limit": str(PAGE_ITEMS)}
            try:
                return await self._list(path, {**(query or {}), **limit})
            except ApiFailed as failed:
                if failed.status != 410:
                    raise
        raise ApiFailed("KubernetesGone", f"{path}: the list grew too old while it was read")

    async def events(self, path: str, query: Query) -> AsyncGenerator[Json, None]:
        """Events of a watch until the server ends it. Raises ApiFailed."""
        async with asyncio.timeout(None) as patience:
            loop = asyncio.get_running_loop()
            patience.reschedule(loop.time() + CALL_SECONDS)
            response = await self._send("GET", path, {**query, "watch": "true"}, None, 0.0)
            try:
                await _require_good(path, response)
                while True:
                    patience.reschedule(loop.time() + SILENCE_SECONDS_MAX)
                    line = await _heard(path, response.response.content.readline())
                    if not line:
                        return
                    patience.reschedule(None)  # who reads us takes his time
                    yield _object(path, line)
            finally:
                response.response.close()

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    # --- inside -----------------------------------------------------------------

    async def _list(self, path: str, query: Query) -> tuple[list[Json], str]:
        found: list[Json] = []
        more = ""
        for _ in range(PAGES_MAX):
            page = await self.call("GET", path, {**query, **({"continue": more} if more else {})})
            found += [each for each in items(page, "items") if isinstance(each, dict)]
            more = text(page, "metadata", "continue")
            if not more:
                return found, text(page, "metadata", "resourceVersion")
        raise ApiFailed("KubernetesGarbled", f"{path} has more than {PAGES_MAX} pages")

    async def _call(
        self, method: str, path: str, query: Query, body: Json | None, seconds: float
    ) -> Json:
        try:
            async with asyncio.timeout(seconds):
                response = await self._send(method, path, query, body, seconds)
                try:
                    await _require_good(path, response)
                    return _object(path, await _heard(path, _read(response)))
                finally:
                    response.response.release()
        except TimeoutError as error:
            message = f"no answer to {method} {path} within {seconds:g} s"
            raise ApiFailed("KubernetesTimedOut", message, "see that it is well") from error

    async def _send(
        self, method: str, path: str, query: Query, body: Json | None, seconds: float
    ) -> Any:
        client = await self._opened()
        url = f"{path}?{urlencode(query)}" if query else path
        request = await client.param_serialize(
            method,
            url,
            header_params={"Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        sent = client.call_api(*request, _request_timeout=seconds or 86_400.0)
        return await _heard(path, sent)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await _open(self._kubeconfig, self._context)
            return self._client


async def _open(kubeconfig: str, context: str) -> Any:
    """A client of the official library. Raises ApiFailed."""
    try:
        from kubernetes.aio import config
        from kubernetes.aio.client import configuration
        from kubernetes.aio.client.api_client import ApiClient
    except ImportError as error:
        message = "the Python package kubernetes is not installed"
        hint = "pip install 'suan[kubernetes]'"
        raise ApiFailed("KubernetesClientMissing", message, hint) from error
    settings = configuration.Configuration()
    try:
        if kubeconfig or context:
            await config.load_kube_config(
                kubeconfig or None, context or None, settings, persist_config=False
            )
        else:
            await _load_usual(config, settings)
    except (config.ConfigException, yaml.YAMLError, *_UNREADABLE) as error:
        message = f"no way to the cluster: {error}"[:MESSAGE_CHARACTERS_MAX]
        hint = "say kubernetes.kubeconfig, or run the agent in a pod with a service account"
        raise ApiFailed("KubernetesUnconfigured", message, hint) from error
    settings.retries = None  # ours
    return ApiClient(settings)


async def _load_usual(config: Any, settings: Any) -> None:
    try:
        config.load_incluster_config(settings)
    except config.ConfigException:
        await config.load_kube_config(None, None, settings, persist_config=False)


async def _heard(path: str, said: Awaitable[Any]) -> Any:
    """What the transport brings. Raises ApiFailed."""
    import aiohttp

    try:
        return await said
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        code = "KubernetesGarbled" if isinstance(error, ValueError) else "KubernetesUnreachable"
        message = f"{path}: {error or type(error).__name__}"[:MESSAGE_CHARACTERS_MAX]
        raise ApiFailed(code, message, "see that the API server can be reached") from error


async def _read(response: Any) -> bytes:
    chunks, size = [], 0
    async for chunk in response.response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            raise ValueError(f"the answer has more than {ANSWER_BYTES_MAX:,} bytes")
    return b"".join(chunks)


async def _require_good(path: str, response: Any) -> None:
    if 200 <= response.status < 300:
        return
    said = await _heard(path, _read(response))
    raise failure_of(path, response.status, said)


def failure_of(path: str, status: int, said: bytes) -> ApiFailed:
    """What a `Status` object of the API means."""
    try:
        document = json.loads(said)
    except ValueError:
        document = {}
    message = text(document, "message") or said[:MESSAGE_CHARACTERS_MAX].decode("utf-8", "replace")
    message = f"{path}: {message or status}"[:MESSAGE_CHARACTERS_MAX]
    if status == 403 and "exceeded quota" in message:
        hint = "raise the namespace's ResourceQuota, or map fewer tenants to it"
        return ApiFailed("SiteQuotaExceeded", message, hint, status)
    code, hint = _CODES.get(status, ("KubernetesFailed", "see the API server's log"))
    return ApiFailed(code, message, hint, status)


def _object(path: str, said: bytes) -> Json:
    try:
        document = json.loads(said)
    except (ValueError, RecursionError) as error:
        message = f"{path}: the answer is not JSON: {said[:80].decode('utf-8', 'replace')!r}"
        hint = "see that nothing but the API server answers there"
        raise ApiFailed("KubernetesGarbled", message, hint) from error
    if not isinstance(document, dict):
        hint = "see that nothing but the API server answers there"
        raise ApiFailed("KubernetesGarbled", f"{path}: the answer is no object", hint)
    return document
