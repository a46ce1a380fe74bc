"""A federation on the disk and real gRPC servers on loopback, for tests of who gets in."""

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.services.auth import Gate, principal_of
from broker.services.transport import SERVER_OPTIONS, server_credentials
from suan.identity.authority import DAY_SECONDS
from suan.identity.directory import write_identity
from suan.identity.issue import Initialised, initialise, issue, load_authority
from suan.identity.keys import generate_key, load_key
from suan.identity.principal import Principal, Role, site_principal
from suan.status import decode

FEDERATION = "demo"
LOOPBACK = "127.0.0.1:0"
CALL_SECONDS = 20.0
LIST_SITES = "/suan.v1.Admin/ListSites"
PEOPLE = {
    Role.BROKER: Principal(FEDERATION, Role.BROKER, "second"),
    Role.SITE: site_principal(FEDERATION, "zhengzhou"),
    Role.OPERATOR: Principal(FEDERATION, Role.OPERATOR, "wang", site="zhengzhou"),
    Role.USER: Principal(FEDERATION, Role.USER, "li.wei", tenant="team-a"),
    Role.TENANT_ADMIN: Principal(FEDERATION, Role.TENANT_ADMIN, "zhao", tenant="team-a"),
    Role.ADMIN: Principal(FEDERATION, Role.ADMIN, "chen"),
    Role.AUDITOR: Principal(FEDERATION, Role.AUDITOR, "sun"),
}


@dataclass(frozen=True)
class Grounds:
    """A federation and the means to make any certificate of it, lawful or not."""

    founded: Initialised
    root: Path

    def identity(self, principal: Principal, **options: Any) -> Path:
        directory = self._fresh()
        issue(self.founded.authority, principal, directory, **options)
        return directory

    def forged(
        self,
        uris: list[str],
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        hosts: tuple[str, ...] = (),
        *,
        self_signed: bool = False,
    ) -> Path:
        """What our authority would never sign, signed by it nevertheless (or by nobody)."""
        authority, key_pem = load_authority(self.founded.authority), generate_key()
        key, now = load_key(key_pem), datetime.now(UTC).timestamp()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")])
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, hosts)]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name if self_signed else authority.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(now - 60, UTC))
            .not_valid_after(datetime.fromtimestamp(now + DAY_SECONDS, UTC))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key if self_signed else authority.key, hashes.SHA256())
        )
        directory = self._fresh()
        write_identity(
            directory,
            ca_pem=authority.certificate_pem,
            certificate_pem=certificate.public_bytes(serialization.Encoding.PEM),
            key_pem=key_pem,
        )
        return directory

    def of_another_authority(self, principal: Principal) -> Path:
        """Right in all but who signed it; trusts our authority."""
        other, directory = self.other_federation(), self._fresh()
        issue(other.authority, principal, directory)
        (directory / "ca.pem").write_bytes((self.founded.broker / "ca.pem").read_bytes())
        return directory

    def other_federation(self) -> Initialised:
        return initialise(self._fresh(), FEDERATION, ["127.0.0.1:1", "localhost:1"])

    def _fresh(self) -> Path:
        return self.root / f"place-{len(list(self.root.iterdir()))}"


def found(root: Path) -> Grounds:
    return Grounds(initialise(root / "fed", FEDERATION, ["127.0.0.1:1", "localhost:1"]), root)


async def whoami(request: bytes, context: Any) -> bytes:
    return principal_of(context).uri.encode()


async def hello(request: bytes, context: Any) -> bytes:
    return b"hello"


class Echo(grpc.GenericRpcHandler):
    """Answers every method alike."""

    def __init__(self, behaviour: Callable[[bytes, Any], Awaitable[bytes]] = whoami) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(behaviour)

    def service(self, handler_call_details: Any) -> Any:
        return self._handler


@asynccontextmanager
async def serving(
    credentials: grpc.ServerCredentials | None,
    interceptor: Any = None,
    handler: grpc.GenericRpcHandler | None = None,
) -> AsyncIterator[str]:
    """A server, in plaintext without credentials; gives its address."""
    interceptors = [interceptor] if interceptor else []
    server = grpc.aio.server(interceptors=interceptors, options=SERVER_OPTIONS)
    server.add_generic_rpc_handlers([handler or Echo()])
    if credentials is None:
        port = server.add_insecure_port(LOOPBACK)
    else:
        port = server.add_secure_port(LOOPBACK, credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def serving_broker(grounds: Grounds, **options: Any) -> AsyncIterator[str]:
    """A broker's port: its credentials and its gate."""
    gate = Gate(FEDERATION, revoked=options.pop("revoked", lambda serial: False), **options)
    async with serving(server_credentials(grounds.founded.broker), gate) as address:
        yield address


def fixed_credentials(identity: Path, *, ca: Path | None = None) -> grpc.ServerCredentials:
    """Server credentials without the product's own checks; `ca`: demand client certificates."""
    pair = ((identity / "key.pem").read_bytes(), (identity / "cert.pem").read_bytes())
    trusted = (ca / "ca.pem").read_bytes() if ca else None
    return grpc.ssl_server_credentials([pair], trusted, ca is not None)


@contextmanager
def old_server(identity: Path) -> Iterator[str]:
    """A TLS server that speaks TLS 1.2 at most; serves one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                connection.settimeout(CALL_SECONDS)
                with connection, context.wrap_socket(connection, server_side=True) as session:
                    session.recv(1)
            except OSError:
                return  # the client has seen what it came for

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


async def call(channel: grpc.aio.Channel, method: str = LIST_SITES) -> str:
    """The answer, or the code of the refusal."""
    try:
        answer = await channel.unary_unary(method)(b"", timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        return decode(error).code
    finally:
        await channel.close()
    return str(answer, "utf-8")
