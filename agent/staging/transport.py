"""HTTP for downloads and for the site's store: few redirects, and no way into private networks.

What other servers and this site's disks have is told of in the same way. One request, one
answer, in the calling thread. Raises Unreachable for what another try may
mend and StagingRefused for what it will not. Knows neither files nor the cache.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import ssl
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from agent.staging import disk_files, sftp
from agent.staging.interrupt import Interrupt
from agent.staging.refusals import StagingRefused
from agent.staging.s3 import SCHEME
from agent.staging.values import Limits
from suan.errors import Category

CHUNK_BYTES = 1024 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)


class Unreachable(Exception):
    """The server could not be reached, or broke off."""


class Answer:
    """A server's answer, of any status but a redirect."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.chunked = bool(response.chunked)
        self.body_bytes: int | None = response.length  # None: not stated

    def header(self, name: str) -> str:
        return self._response.headers.get(name, "")

    def read(self) -> bytes:
        """What has arrived, at most CHUNK_BYTES; b"" at the end, also if that came early."""
        with _network():
            return self._response.read1(CHUNK_BYTES)

    def read_all(self, bytes_max: int) -> bytes:
        """The whole body; raises Unreachable for one that is longer than that."""
        parts: list[bytes] = []
        while part := self.read():
            parts.append(part)
            if sum(map(len, parts)) > bytes_max:
                raise Unreachable("the answer is too long")
        return b"".join(parts)


class Transport:
    """Asks servers, by the limits of one site. May be shared by threads."""

    def __init__(self, limits: Limits, roots: Sequence[Path] = ()) -> None:
        """`roots`: below which file URLs are read."""
        self._limits = limits
        self._roots = tuple(roots)
        self._context = ssl.create_default_context()

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str], interrupt: Interrupt
    ) -> Iterator[Answer | sftp.SftpAnswer | disk_files.FileAnswer]:
        """The answer to GET. Raises Unreachable, StagingRefused."""
        if url.startswith(f"{disk_files.SCHEME}:"):
            try:
                with disk_files.get(url, headers, self._roots) as here:
                    yield here
            except disk_files.Unread as error:
                raise Unreachable(str(error)) from error
            return
        if url.startswith(f"{sftp.SCHEME}:"):
            account, idle_seconds = self._sftp_account(url), self._limits.idle_seconds
            try:
                with sftp.get(account, url, headers, idle_seconds, interrupt) as found:
                    yield found
            except sftp.Broken as error:
                raise Unreachable(str(error)) from error
            return
        with self._get(url, headers, interrupt) as answer:
            yield answer

    @contextlib.contextmanager
    def _get(self, url: str, headers: Mapping[str, str], interrupt: Interrupt) -> Iterator[Answer]:
        opener = self._opener(interrupt)
        target, account = self._store(url) if url.startswith(f"{SCHEME}:") else (url, {})
        for _ in range(self._limits.redirects_max + 1):
            request = urllib.request.Request(
                target, headers={"User-Agent": "suan-agent", **account, **headers}
            )
            with _network():
                response = opener.open(request, timeout=self._limits.idle_seconds)
            with contextlib.closing(response):
                if response.status not in _REDIRECTS:
                    yield Answer(response)
                    return
                if account:  # which is for nobody else
                    raise _wrong_store(target)
                target = _redirect(target, response.headers.get("Location", ""))
        message = f"{urlsplit(url).hostname} sends the agent on more than "
        message += f"{self._limits.redirects_max} times"
        raise StagingRefused("DataUnreachable", message, "name the final URL")

    @contextlib.contextmanager
    def send(
        self,
        method: str,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        interrupt: Interrupt,
    ) -> Iterator[Answer]:
        """The answer of the site's store to one signed request, which is never sent elsewhere.

        Raises Unreachable, StagingRefused.
        """
        store = self._limits.s3
        assert store is not None
        signed = store.signed(address, datetime.now(UTC), method, body)
        request = urllib.request.Request(
            address,
            data=body if method in ("PUT", "POST") else None,
            headers={
                "User-Agent": "suan-agent",
                "Content-Type": "application/octet-stream",
                **signed,
                **headers,
            },
            method=method,
        )
        with _network():
            response = self._opener(interrupt).open(request, timeout=self._limits.idle_seconds)
        with contextlib.closing(response):
            if response.status in _REDIRECTS:
                raise _wrong_store(address)
            yield Answer(response)

    def _opener(self, interrupt: Interrupt) -> urllib.request.OpenerDirector:
        opener = urllib.request.OpenerDirector()
        opener.add_handler(_Proxies())
        opener.add_handler(_Connector(self._limits, self._context, interrupt))
        return opener

    def _sftp_account(self, url: str) -> sftp.SftpAccount:
        if self._limits.sftp is None:
            raise StagingRefused(
                "SourceUnsupported",
                f"{url} cannot be read: this site has no account at SFTP servers",
                "the site's operator can name one with data_sftp_user in agent.yaml",
                Category.SITE,
            )
        return self._limits.sftp

    def _store(self, url: str) -> tuple[str, dict[str, str]]:
        """Where an object of the site's store is read, and with which headers."""
        store = self._limits.s3
        if store is None:
            raise StagingRefused(
                "SourceUnsupported",
                f"{url} cannot be read: this site has no account at an S3-compatible store",
                "the site's operator can name one with data_s3_endpoint in agent.yaml",
                Category.SITE,
            )
        address = store.address(url)
        return address, store.signed(address, datetime.now(UTC))


def _wrong_store(address: str) -> StagingRefused:
    return StagingRefused(
        "DataRefused",
        f"the store at {urlsplit(address).hostname} sends the agent on to another server",
        "the site's operator can correct data_s3_endpoint and data_s3_region in agent.yaml",
        Category.SITE,
    )


def _redirect(url: str, location: str) -> str:
    """To HTTP only, and never from a safe connection to an open one."""
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError:
        scheme = ""
    safe = scheme == "https" or (scheme == "http" and not url.startswith("https:"))
    if not (location and safe):
        message = f"{urlsplit(url).hostname} sends the agent on to where it does not follow"
        raise StagingRefused("DataRefused", message, "name the final URL, of http or https")
    return target


class _Connection(http.client.HTTPConnection):
    """Checks whom it reached before it says anything."""

    def __init__(self, host: str, *, connector: _Connector, proxied: bool, **options: Any) -> None:
        super().__init__(host, **options)
        self._connector = connector
        self._proxied = proxied

    def connect(self) -> None:
        super().connect()
        self._connector.interrupt.watch(self.sock)
        if not self._proxied:
            self._connector.check(self.host, self.sock.getpeername()[0])


class _SecureConnection(_Connection):
    default_port = http.client.HTTPS_PORT
    _server = ""

    def set_tunnel(
        self, host: str, port: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().set_tunnel(host, port, headers)
        self._server = urlsplit(f"//{host}").hostname or host

    def connect(self) -> None:
        super().connect()
        # The handshake waits until the connection is watched.
        self.sock = secure = self._connector.context.wrap_socket(
            self.sock, server_hostname=self._server or self.host, do_handshake_on_connect=False
        )
        self._connector.interrupt.watch(secure)
        secure.do_handshake()


class _Connector(urllib.request.AbstractHTTPHandler):
    """Opens connections that can be cut short, to servers that may be asked."""

    def __init__(self, limits: Limits, context: ssl.SSLContext, interrupt: Interrupt) -> None:
        super().__init__()
        self.context = context
        self.interrupt = interrupt
        self._private_hosts = limits.private_hosts

    def check(self, host: str, address: str) -> None:
        """Refuses a server inside the site's network that the operator did not name."""
        found = _address(address)
        if found is None or found.is_global or host.lower() in self._private_hosts:
            return
        raise StagingRefused(
            "DataRefused",
            f"{host} has the address {address}, which is not public",
            "the site's operator can add the host to data_hosts in agent.yaml",
        )

    def http_open(self, request: urllib.request.Request) -> Any:
        return self._open(_Connection, request)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self._open(_SecureConnection, request)

    def _open(self, kind: type[_Connection], request: urllib.request.Request) -> Any:
        parts = urlsplit(request.full_url)
        proxied = request.host != parts.netloc
        if proxied:  # whom the proxy reaches by a name is the proxy's own affair
            self.check(parts.hostname or "", parts.hostname or "")
        return self.do_open(partial(kind, connector=self, proxied=proxied), request)

    http_request = urllib.request.AbstractHTTPHandler.do_request_
    https_request = urllib.request.AbstractHTTPHandler.do_request_


class _Proxies(urllib.request.ProxyHandler):
    """Those of the agent's environment, but never for this machine."""

    def proxy_open(self, request: urllib.request.Request, proxy: str, type: str) -> Any:
        if _loopback(urlsplit(request.full_url).hostname or ""):
            return None
        return super().proxy_open(request, proxy, type)


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Turns what urllib and the sockets raise into Unreachable, or a refusal."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", None) or error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise StagingRefused(
                "DataUnreachable",
                f"the server's certificate is not trusted here: {cause.verify_message}",
                "the site's operator can name the authority in SSL_CERT_FILE",
            ) from error
        raise Unreachable(str(cause) or type(cause).__name__) from error


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `text` is; None for a name. An IPv4 address stays one within IPv6."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _loopback(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return address.is_loopback
    return host == "localhost" or host.endswith(".localhost")
