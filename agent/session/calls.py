"""The agent's single calls to the broker: join, renew, fetch a bundle. Raise SuanError."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio

from suan.status import decode
from suan.v1 import agents_service_pb2, agents_service_pb2_grpc

CALL_SECONDS = 30.0
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """Where a request for a certificate stands."""

    approved: bool
    fingerprint: str  # of the key in the request
    certificate_pem: bytes
    ca_pem: bytes
    retry_after_seconds: float


async def join(
    channel: grpc.aio.Channel,
    site: str,
    token: str,
    csr_pem: bytes,
    call_seconds: float = CALL_SECONDS,
) -> JoinAnswer:
    """Ask for a site's first certificate; ask again with the same key until it is approved."""
    request = agents_service_pb2.JoinRequest(site=site, token=token, csr_pem=csr_pem)
    answer = await _answer(_stub(channel).Join(request, timeout=call_seconds))
    return JoinAnswer(
        answer.approved,
        answer.fingerprint,
        answer.certificate_pem,
        answer.ca_pem,
        answer.retry_after_seconds,
    )


async def renew(channel: grpc.aio.Channel, csr_pem: bytes) -> tuple[bytes, bytes]:
    """The site's next certificate and the authority's, both PEM."""
    request = agents_service_pb2.RenewRequest(csr_pem=csr_pem)
    answer = await _answer(_stub(channel).Renew(request, timeout=CALL_SECONDS))
    return answer.certificate_pem, answer.ca_pem


async def get_bundle(channel: grpc.aio.Channel, sha256: str) -> bytes:
    """The bytes of a bundle, as they came."""
    request = agents_service_pb2.GetBundleRequest(sha256=sha256)
    answer = await _answer(_stub(channel).GetBundle(request, timeout=CALL_SECONDS))
    return bytes(answer.data)


def _stub(channel: grpc.aio.Channel) -> agents_service_pb2_grpc.AgentsStub:
    return agents_service_pb2_grpc.AgentsStub(channel)


async def _answer(call: Awaitable[R]) -> R:
    try:
        return await call
    except grpc.RpcError as error:
        raise decode(error) from error
