"""How a site comes by its certificate, and keeps one: join once, renew for ever.

The key is made here and never leaves. While an administrator has not approved, the same
request is made again, also after this program was ended and started anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from agent.credentials import install_identity, recover_identity
from agent.session import calls
from suan.brokers import Brokers
from suan.channel import join_channels
from suan.errors import Conflict, DeadlineExceeded, SuanError, Unavailable
from suan.identity.directory import load_identity, make_private_directory
from suan.identity.files import read_file, write_file
from suan.identity.joinfile import JoinFile
from suan.identity.keys import generate_key, make_request
from suan.identity.principal import site_principal
from suan.retry import Backoff, call_until

APPROVAL_SECONDS = 3_600.0  # that `join` waits by default
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.2, 60.0
UNREACHABLE_SECONDS_MAX = 30.0  # before `join` gives up on a broker that does not answer
TRY_SECONDS = 5.0  # of one of several brokers
RENEW_RETRY_SECONDS, RENEW_RETRY_SECONDS_MAX = 5.0, 300.0
RENEW_LOOK_SECONDS_MAX = 3_600.0  # between two looks at the certificate

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request that no administrator has approved yet."""

    fingerprint: str


async def join(
    file: JoinFile,
    identity: Path,
    *,
    wait_seconds: float,
    tell: Callable[[Waiting], None],
    backoff: Backoff | None = None,
) -> str:
    """Join with a join file; the fingerprint of the key that is now certified.

    `tell` hears once that the request waits. Raises Conflict (AlreadyJoined),
    DeadlineExceeded (NotApproved) after `wait_seconds`, and what the broker answers.
    """
    _require_none(identity)
    pending = identity.with_name(f"{identity.name}.pending.key")
    key_pem = _pending_key(pending)
    request = make_request(key_pem, site_principal(file.federation, file.site))
    brokers = join_channels(file.join, file.ca_pem.encode())
    try:
        answer = await _approval(brokers, file, request, wait_seconds, tell, backoff or Backoff())
    finally:
        await brokers.close(None)
    install_identity(
        identity,
        ca_pem=answer.ca_pem or file.ca_pem.encode(),
        certificate_pem=answer.certificate_pem,
        key_pem=key_pem,
    )
    pending.unlink(missing_ok=True)
    return answer.fingerprint


async def _approval(
    brokers: Brokers,
    file: JoinFile,
    request: bytes,
    wait_seconds: float,
    tell: Callable[[Waiting], None],
    backoff: Backoff,
) -> calls.JoinAnswer:
    """The answer that carries a certificate."""
    end = backoff.clock() + wait_seconds
    told = False
    while True:
        answer = await call_until(
            lambda _: _asked(brokers, file, request),
            lambda error: isinstance(error, Unavailable),
            deadline_seconds=UNREACHABLE_SECONDS_MAX,
            backoff=backoff,
            alternatives=brokers.turns.count,
        )
        if answer.approved:
            return answer
        if not told:
            told = True
            tell(Waiting(answer.fingerprint))
        if backoff.clock() >= end:
            raise DeadlineExceeded(
                f"the request of site {file.site} is not approved yet",
                "run the same command again; the request stays as it is",
                "NotApproved",
            )
        pause = min(max(answer.retry_after_seconds, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)
        await backoff.sleep(min(pause, max(end - backoff.clock(), 0.0)))


async def _asked(brokers: Brokers, file: JoinFile, request: bytes) -> calls.JoinAnswer:
    """The answer of the broker whose turn it is. Raises SuanError."""
    turns = brokers.turns
    number = turns.current
    seconds = calls.CALL_SECONDS if turns.count == 1 else TRY_SECONDS
    try:
        answer = await calls.join(brokers, file.site, file.token, request, seconds)
    except Unavailable as error:
        turns.pass_on(number, silent=error.code != "NotLeader")
        raise
    turns.heard(number)
    return answer


def _require_none(identity: Path) -> None:
    recover_identity(identity)
    if identity.exists():
        name = load_identity(identity).principal.name
        raise Conflict(
            f"there is an identity of {name} in {identity} already",
            "start the agent with it, or move it away to join anew",
            "AlreadyJoined",
        )


def _pending_key(path: Path) -> bytes:
    """The key of a request that was made before, or a new one, on the disk."""
    if path.exists():
        return read_file(path, private=True)
    make_private_directory(path.parent)
    key_pem = generate_key()
    write_file(path, key_pem)
    return key_pem


class Renewal:
    """Keeps the certificate in `identity` fresh for as long as it runs."""

    def __init__(
        self,
        identity: Path,
        channel: Callable[[], grpc.aio.Channel],
        renewed: Callable[[], None],
        jitter: Callable[[], float],
        backoff: Backoff | None = None,
    ) -> None:
        """`channel` gives the connection to ask over, or raises Unavailable."""
        self._identity = identity
        self._channel = channel
        self._renewed = renewed
        self._jitter = jitter()
        self._backoff = backoff or Backoff(RENEW_RETRY_SECONDS, RENEW_RETRY_SECONDS_MAX)

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            try:
                await self._backoff.sleep(self._due_seconds())
                if self._due_seconds() > 0:
                    continue
                await self._renew()
                failures = 0
            except SuanError as error:
                failures += 1
                log.warning("the certificate is not renewed yet: %s", error)
                await self._backoff.sleep(self._backoff.pause_seconds(failures))

    def _due_seconds(self) -> float:
        """Until the next one is due; looked at again and again, for the wall clock may jump."""
        certificate = load_identity(self._identity).certificate
        due = certificate.renewal_due_at(self._jitter) - time.time()
        return min(max(due, 0.0), RENEW_LOOK_SECONDS_MAX)

    async def _renew(self) -> None:
        old = load_identity(self._identity)
        key_pem = generate_key()
        request = make_request(key_pem, old.principal)
        certificate_pem, ca_pem = await calls.renew(self._channel(), request)
        await asyncio.to_thread(
            install_identity,
            self._identity,
            ca_pem=ca_pem or old.ca_pem,
            certificate_pem=certificate_pem,
            key_pem=key_pem,
        )
        log.info("the certificate is renewed until %s", _until(self._identity))
        self._renewed()


def _until(identity: Path) -> str:
    not_after = load_identity(identity).certificate.not_after
    return time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(not_after))
