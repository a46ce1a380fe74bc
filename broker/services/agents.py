"""`Agents`: what the sites' agents call. Translates between streams and events."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from broker import pki
from broker import sessions as open_sessions
from broker.admission import Bucket
from broker.core.messages import Heartbeat, Join, Joined, Reconcile, SessionClosed
from broker.leader import Port
from broker.queries import GetBundle
from broker.services.answers import Context, granted, stream, unary
from broker.services.auth import principal_of
from broker.services.files_wire import part_from_wire
from broker.services.held_parts import HeldParts
from broker.services.kept_logs import Keeping
from broker.services.session_wire import (
    event_from_wire,
    held_from_wire,
    hello_from_wire,
)
from suan.errors import InvalidRequest, NotFound, PermissionDenied, ResourceExhausted
from suan.identity.authority import Authority
from suan.identity.joinfile import JOIN_TOKEN
from suan.v1 import agents_service_pb2, agents_service_pb2_grpc

HELLO_SECONDS_MAX = 30.0
SITE_NAME_MAX = 63
SESSION_MAX = 64  # characters


class Agents(agents_service_pb2_grpc.AgentsServicer):
    """Bound to a leader's port and to its own gateway's sessions."""

    def __init__(
        self,
        port: Port,
        sessions: open_sessions.Sessions,
        gateway: str,
        authority: Authority,
        require_in_force: Callable[[Context], object],
        admission: Bucket,
    ) -> None:
        self._port = port
        self._sessions = sessions
        self._gateway = gateway
        self._authority = authority
        self._require_in_force = require_in_force
        self._admission = admission

    @unary
    async def Join(self, request: Any, context: Context) -> Any:  # noqa: N802
        key = pki.key_of(request.csr_pem)
        presented = JOIN_TOKEN.fullmatch(request.token)
        event = Join(
            site=request.site[:SITE_NAME_MAX],
            token_id=presented["id"] if presented else "",
            secret_sha256=hashlib.sha256(presented["secret"].encode()).hexdigest()
            if presented
            else "",
            key_sha256=key.key_sha256,
            csr_pem=request.csr_pem,
            fingerprint=key.fingerprint,
        )
        joined = granted(await self._port.post(event), Joined)
        return agents_service_pb2.JoinResponse(
            approved=bool(joined.certificate_pem),
            fingerprint=joined.fingerprint,
            certificate_pem=joined.certificate_pem,
            ca_pem=self._authority.certificate_pem,
            retry_after_seconds=0.0 if joined.certificate_pem else pki.JOIN_RETRY_SECONDS,
        )

    @unary
    async def Renew(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        certificate = pki.renew(caller, request.csr_pem, self._authority, time.time())
        return agents_service_pb2.RenewResponse(
            certificate_pem=certificate, ca_pem=self._authority.certificate_pem
        )

    @unary
    async def GetBundle(self, request: Any, context: Context) -> Any:  # noqa: N802
        bundle = await self._port.read(GetBundle(request.sha256))
        if bundle is None:
            raise NotFound(f"no bundle {request.sha256[:64]}", "", "BundleNotFound")
        return agents_service_pb2.GetBundleResponse(data=bundle.data)

    @stream
    async def Session(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        site = principal_of(context).site
        self._admit()
        hello = await self._hello(request, site)
        session = self._sessions.open(site, hello.session)
        self._port.post_soon(hello)
        reader = asyncio.create_task(self._read(request, session, context))
        reader.add_done_callback(lambda _: session.close())
        try:
            while (message := await session.next()) is not None:
                yield message
            if reader.done() and not reader.cancelled() and (fault := reader.exception()):
                raise fault
        finally:
            reader.cancel()
            self._sessions.close(session)
            self._port.post_soon(SessionClosed(site, session.session))

    def _admit(self) -> None:
        """Raises ResourceExhausted when too many sites come at once, with when to come again."""
        wait_seconds = self._admission.take()
        if wait_seconds:
            raise ResourceExhausted(
                "too many sites begin a session at once",
                f"this one comes in turn in {wait_seconds:.1f} s",
                "TooManyHellos",
                wait_seconds,
            )

    async def _hello(self, requests: Any, site: str) -> Any:
        """The first message, with what it goes on in. Raises InvalidRequest, PermissionDenied."""
        try:
            async with asyncio.timeout(HELLO_SECONDS_MAX):
                first = await anext(aiter(requests))
                return await self._whole_hello(first, requests, site)
        except (TimeoutError, StopAsyncIteration):
            raise InvalidRequest("a session begins with Hello", "", "HelloMissing") from None

    async def _whole_hello(self, first: Any, requests: Any, site: str) -> Any:
        if len(first.hello.session) > SESSION_MAX:
            raise InvalidRequest("the session's name is too long", "", "HelloMissing")
        if first.WhichOneof("body") != "hello" or not first.hello.session:
            raise InvalidRequest("a session begins with Hello", "", "HelloMissing")
        if first.hello.site != site:
            raise PermissionDenied(
                f"the certificate is of site {site}, the agent says {first.hello.site[:63]}",
                "use the identity that the site joined with",
                "SiteNameDiffers",
            )
        hello = hello_from_wire(first.hello, self._gateway)
        listed, more = HeldParts(), first.hello.more
        listed.add(hello.held)
        while more:
            part = await anext(aiter(requests))
            listed.add(held_from_wire(part.reconcile.attempts))
            more = part.reconcile.more
        return replace(hello, held=listed.take())

    async def _read(self, requests: Any, session: open_sessions.Session, context: Context) -> None:
        """Hand in what the agent says until it stops or is no longer welcome."""
        listed = HeldParts()
        keeping = Keeping(self._port, session.site, partial(session.put, urgent=False))
        async for message in requests:
            if message.WhichOneof("body") == "log_tails":
                keeping.take(message.log_tails)
                continue
            if (answered := part_from_wire(message)) is not None:
                self._port.answer(*answered)
                continue
            event = event_from_wire(session.site, message)
            if isinstance(event, Reconcile):
                event = listed.whole(event, message.reconcile.more)
            if isinstance(event, Heartbeat):
                self._require_in_force(context)
            elif isinstance(event, Reconcile) and self._admission.take():
                continue  # the answer to its next heartbeat asks for it again
            if event is not None:
                self._port.post_soon(event)
