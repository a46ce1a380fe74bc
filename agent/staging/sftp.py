"""An SFTP server that the site has an account at: connections that trust no unknown host.

Only servers whose keys stand in the site's `known_hosts` are spoken to. Files are told of as
HTTP tells of them, so that downloads need know but one way. Blocks; `Interrupt` ends it.
`paramiko` comes with the extra `sftp`, and is needed by sites with such an account alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agent.staging.conditions import said_of
from agent.staging.interrupt import Interrupt
from agent.staging.refusals import StagingRefused
from suan.errors import Category, InvalidRequest

SCHEME = "sftp"
PORT = 22
CHUNK_BYTES = 1024 * 1024
REQUEST_BYTES = 32 * 1024  # that every server answers at once


class Broken(Exception):
    """The connection could not be made, or broke."""


@dataclass(frozen=True, slots=True)
class SftpAccount:
    """One user at all servers that the site knows."""

    user: str
    key: Path  # private, without a passphrase
    known_hosts: Path  # as of ssh

    def open(self, url: str, idle_seconds: float, interrupt: Interrupt) -> Session:
        """Raises Broken, StagingRefused."""
        import paramiko

        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORT
        with broken_as_broken():
            hosts = paramiko.HostKeys(str(self.known_hosts))
            known = hosts.lookup(host if port == PORT else f"[{host}]:{port}")
            if not known:
                raise _refused(f"{host} is not in {self.known_hosts}", "add its host key there")
            connected = socket.create_connection((host, port), idle_seconds)
            interrupt.watch(connected)
            transport = paramiko.Transport(connected)
            try:
                self._greet(transport, host, known, idle_seconds)
                client = paramiko.SFTPClient.from_transport(transport)
                assert client is not None
                client.get_channel().settimeout(idle_seconds)
            except BaseException:
                transport.close()
                raise
        return Session(client, transport, connected)

    def _greet(self, transport: Any, host: str, known: Any, idle_seconds: float) -> None:
        import paramiko

        transport.banner_timeout = transport.auth_timeout = idle_seconds
        offered = transport.get_security_options()
        kinds = set(known.keys())
        if "ssh-rsa" in kinds:  # the same key signs in newer ways
            kinds |= {"rsa-sha2-512", "rsa-sha2-256"}
        offered.key_types = tuple(kind for kind in offered.key_types if kind in kinds)
        transport.start_client(timeout=idle_seconds)
        key = transport.get_remote_server_key()
        if known.get(key.get_name()) != key:
            why = f"{host} shows another host key than {self.known_hosts} has"
            raise _refused(why, "find out why before you change it")
        try:
            transport.auth_publickey(self.user, paramiko.PKey.from_path(str(self.key)))
        except paramiko.AuthenticationException as error:
            why = f"{host} does not let {self.user} in with {self.key}"
            raise _refused(why, "renew the account, or correct data_sftp_user") from error


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that stands."""

    client: Any
    transport: Any
    connected: socket.socket

    def close(self) -> None:
        self.transport.close()


class SftpAnswer:
    """What `agent.staging.transport.Answer` is, of a file at an SFTP server."""

    chunked = False

    def __init__(self, status: int, headers: Mapping[str, str], file: Any, size_bytes: int) -> None:
        self.status = status
        self.body_bytes: int | None = size_bytes
        self._headers = headers
        self._file = file
        self._left = size_bytes
        self._at = file.tell() if file is not None else 0

    def header(self, name: str) -> str:
        return self._headers.get(name, "")

    def read(self) -> bytes:
        """The next bytes, asked for many at a time; b"" at the end, also if that came early."""
        size = min(CHUNK_BYTES, self._left)
        if not size:
            return b""
        with broken_as_broken():
            asked = [
                (self._at + offset, min(REQUEST_BYTES, size - offset))
                for offset in range(0, size, REQUEST_BYTES)
            ]
            parts: list[bytes] = []
            for (_, wanted), part in zip(asked, self._file.readv(asked), strict=False):
                parts.append(part)
                if len(part) < wanted:  # it is shorter than it was
                    break
        data = b"".join(parts)
        self._at += len(data)
        self._left = self._left - len(data) if len(data) == size else 0
        return data


@contextlib.contextmanager
def get(
    account: SftpAccount,
    url: str,
    headers: Mapping[str, str],
    idle_seconds: float,
    interrupt: Interrupt,
) -> Iterator[SftpAnswer]:
    """The answer to a GET of that URL, as an HTTP server would give it. Raises Broken,
    StagingRefused."""
    path = unquote(urlsplit(url).path)
    session = account.open(url, idle_seconds, interrupt)
    try:
        # Outside: what fails while the caller has the answer is not the server's fault.
        with broken_as_broken():
            answer = _answer(session.client, path, headers)
        yield answer
    finally:
        session.close()


def _answer(client: Any, path: str, headers: Mapping[str, str]) -> SftpAnswer:
    try:
        found = client.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return SftpAnswer(403, {}, None, 0)
        size, tag = found.st_size, f'"{found.st_size}-{found.st_mtime}"'
        said = said_of(size, tag, headers)
        if not said.has_body:
            return SftpAnswer(said.status, said.headers, None, 0)
        file = client.open(path, "rb")
        file.seek(said.begin)
        return SftpAnswer(said.status, said.headers, file, size - said.begin)
    except FileNotFoundError:
        return SftpAnswer(404, {}, None, 0)
    except PermissionError:
        return SftpAnswer(403, {}, None, 0)


def account_of(user: str, key: Path, known_hosts: Path) -> SftpAccount:
    """Raises InvalidRequest."""
    for file in (key, known_hosts):
        if not os.access(file, os.R_OK):
            raise InvalidRequest(
                f"{file} cannot be read as part of the site's SFTP account",
                "correct data_sftp_key and data_sftp_known_hosts in agent.yaml",
                "ConfigUnreadable",
            )
    try:
        import paramiko  # noqa: F401
    except ImportError as error:
        raise InvalidRequest(
            "this agent was installed without SFTP",
            "install suan[sftp]",
            "ConfigUnreadable",
        ) from error
    return SftpAccount(user, key, known_hosts)


@contextlib.contextmanager
def broken_as_broken() -> Iterator[None]:
    """Turns what paramiko and sockets raise into Broken; what the server says of files stays."""
    import paramiko

    try:
        yield
    except (FileNotFoundError, PermissionError, FileExistsError):
        raise
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise Broken(str(error) or type(error).__name__) from error


def _refused(why: str, hint: str) -> StagingRefused:
    return StagingRefused("DataRefused", why, hint, Category.SITE)
