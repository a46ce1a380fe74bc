"""Who calls, and whether that role may call this: one interceptor, one table.

Roles come from certificates only; what they may do stands in `roles`. Knows nothing of what
the methods do.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import grpc
import grpc.aio

from broker.services.behaviours import surrounded
from broker.services.roles import JOIN_METHODS, ROLES
from suan.errors import PermissionDenied, SuanError, Unauthenticated
from suan.identity.certificate import CertificateMalformed, read_certificate
from suan.identity.principal import Principal, PrincipalInvalid, Role
from suan.status import encode

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the stubs only
    Interceptor = grpc.aio.ServerInterceptor

_PEERS_MAX: Final = 4_096  # certificates that are kept parsed


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a call, by its certificate."""

    principal: Principal
    serial: int
    not_after: float


def peer_of(context: Context) -> Peer:
    """Raises Unauthenticated (CertificateMissing, PrincipalInvalid)."""
    properties = context.auth_context()
    pem = next(iter(properties.get("x509_pem_cert", ())), b"")
    if not pem:
        raise Unauthenticated(
            "the call came without a certificate",
            "use the broker's own port, and an identity",
            "CertificateMissing",
        )
    return _peer(pem, tuple(properties.get("peer_uri", ())))


def principal_of(context: Context) -> Principal:
    """Who calls, for servicers behind a Gate. Raises Unauthenticated."""
    return peer_of(context).principal


@lru_cache(maxsize=_PEERS_MAX)
def _peer(pem: bytes, uris: tuple[bytes, ...]) -> Peer:
    """gRPC has verified the certificate; both readings of its name must agree."""
    try:
        certificate = read_certificate(pem)
        principal = certificate.principal
        if uris != (principal.uri.encode(),):
            raise PrincipalInvalid("the certificate's names are ambiguous")
    except (CertificateMalformed, PrincipalInvalid) as error:
        raise Unauthenticated(
            f"the certificate names nobody: {error}",
            "ask an administrator for a new one",
            "PrincipalInvalid",
        ) from error
    return Peer(principal, certificate.serial, certificate.not_after)


class Gate(Interceptor):
    """Lets a call through when its certificate is in force and its role is in the table.

    `revoked` answers for a certificate's serial number. Behaviours must be asynchronous.
    """

    def __init__(
        self,
        federation: str,
        *,
        revoked: Callable[[int], bool],
        clock: Callable[[], float] = time.time,
        roles: Mapping[str, frozenset[Role]] = ROLES,
    ) -> None:
        self._federation = federation
        self._revoked = revoked
        self._clock = clock
        self._roles = roles
        # Handler as served and as guarded, for the methods of the table.
        self._guarded: dict[str, tuple[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """gRPC's entry: the handler of the method with the check in front of it."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None  # gRPC answers UNIMPLEMENTED
        known, guarded = self._guarded.get(method, (None, None))
        if known is not handler:
            guarded = _guard(handler, lambda context: self.require_allowed(method, context))
            if method in self._roles:
                self._guarded[method] = (handler, guarded)
        return guarded

    def require_allowed(self, method: str, context: Context) -> None:
        """Raises Unauthenticated, or PermissionDenied (RoleNotAllowed)."""
        principal = self.require_in_force(context)
        allowed = self._roles.get(method, frozenset())
        if principal.role not in allowed:
            names = ", ".join(sorted(role.value for role in allowed)) or "nobody here"
            raise PermissionDenied(
                f"{principal} may not call {method}",
                f"this is for: {names}",
                "RoleNotAllowed",
            )

    def require_in_force(self, context: Context) -> Principal:
        """Who calls, if still welcome; a servicer asks again at each heartbeat of a stream.

        Raises Unauthenticated (CertificateMissing, PrincipalInvalid, WrongFederation,
        CertificateExpired, CertificateRevoked).
        """
        peer = peer_of(context)
        renew = "ask an administrator for a new one"
        if peer.principal.federation != self._federation:
            raise Unauthenticated(
                f"{peer.principal} is not of the federation {self._federation}",
                "use the identity for this federation, or the address of the other's broker",
                "WrongFederation",
            )
        if self._clock() >= peer.not_after:
            message = f"the certificate of {peer.principal} has expired"
            raise Unauthenticated(message, renew, "CertificateExpired")
        if self._revoked(peer.serial):
            message = f"the certificate of {peer.principal} has been revoked"
            raise Unauthenticated(message, renew, "CertificateRevoked")
        return peer.principal


class JoinGate(Interceptor):
    """For the join port, where callers have no certificate: only JOIN_METHODS pass."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """gRPC's entry."""
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method in JOIN_METHODS:
            return handler
        return _guard(handler, _refuse_on_join_port)


def _refuse_on_join_port(_: Context) -> NoReturn:
    raise Unauthenticated(
        "this port is only for joining", "use the broker's own port", "CertificateMissing"
    )


def _guard(handler: Any, check: Callable[[Any], None]) -> Any:
    """`handler` with `check(context)` before it; what `check` raises ends the call."""
    return surrounded(
        handler,
        lambda behaviour: _guarded_call(behaviour, check),
        lambda behaviour: _guarded_stream(behaviour, check),
    )


def _guarded_call(behaviour: Any, check: Callable[[Any], None]) -> Any:
    async def call(request: Any, context: Context) -> Any:
        await _admit(check, context)
        return await behaviour(request, context)

    return call


def _guarded_stream(behaviour: Any, check: Callable[[Any], None]) -> Any:
    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        await _admit(check, context)
        async with aclosing(behaviour(request, context)) as responses:
            async for response in responses:
                yield response

    return stream


async def _admit(check: Callable[[Any], None], context: Context) -> None:
    try:
        check(context)
    except SuanError as error:
        await context.abort(*encode(error))
