"""TLS itself: no TLS 1.2, certificates renewed under way, and a diagnosis for each failure."""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from grounds import (
    CALL_SECONDS,
    PEOPLE,
    Echo,
    Grounds,
    fixed_credentials,
    found,
    hello,
    old_server,
    serving,
    serving_broker,
)

from broker.services.transport import (
    load_broker_identity,
    require_tls_floor,
    server_credentials,
)
from suan.channel import diagnose
from suan.errors import ExitCode, SuanError
from suan.identity.address import split_address
from suan.identity.authority import DAY_SECONDS
from suan.identity.directory import load_identity
from suan.identity.issue import issue
from suan.identity.principal import Principal, Role
from suan.identity.tls import TLS_ENVIRONMENT, accepts_tls12

# A broker's port in a process of its own, which raises the floor as the broker does: first.
FLOORED_SERVER = """
import sys
from suan.identity.tls import raise_tls_floor
raise_tls_floor()
import asyncio
import grpc.aio
from broker.services.transport import require_tls_floor, server_credentials

async def main():
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", server_credentials(sys.argv[1]))
    await server.start()
    await require_tls_floor(f"127.0.0.1:{port}")
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    return found(tmp_path_factory.mktemp("grounds"))


def version_spoken(port: int, own: Path, highest: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=str(own / "ca.pem"))
    context.load_cert_chain(own / "cert.pem", own / "key.pem")
    context.maximum_version = highest
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), CALL_SECONDS) as connection:
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as session:
            return session.version()


def test_the_brokers_port_speaks_tls_1_3_and_nothing_older(grounds: Grounds) -> None:
    command = [sys.executable, "-c", FLOORED_SERVER, str(grounds.founded.broker)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        admin = grounds.founded.admin
        assert not accepts_tls12("127.0.0.1", port)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            version_spoken(port, admin, ssl.TLSVersion.TLSv1_2)
        assert version_spoken(port, admin, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        server.communicate(timeout=CALL_SECONDS)
    assert server.returncode == 0


def test_a_broker_whose_port_speaks_tls_1_2_does_not_serve(grounds: Grounds) -> None:
    with old_server(grounds.founded.broker) as address:
        with pytest.raises(SuanError) as caught:
            asyncio.run(require_tls_floor(address))
    assert caught.value.code == "TlsFloorMissing"
    assert all(name in caught.value.hint for name in TLS_ENVIRONMENT)


def test_a_renewed_certificate_is_served_without_a_restart(grounds: Grounds) -> None:
    broker = grounds.identity(PEOPLE[Role.BROKER], addresses=["127.0.0.1:1"])

    def serial_served(port: int) -> int:
        context = ssl.create_default_context(cafile=str(broker / "ca.pem"))
        context.load_cert_chain(*(grounds.founded.admin / n for n in ("cert.pem", "key.pem")))
        with socket.create_connection(("127.0.0.1", port), CALL_SECONDS) as connection:
            with context.wrap_socket(connection, server_hostname="127.0.0.1") as session:
                return int(str((session.getpeercert() or {})["serialNumber"]), 16)

    async def scenario() -> None:
        async with serving(server_credentials(broker)) as address:
            port = split_address(address)[1]
            first = load_identity(broker).certificate.serial
            assert await asyncio.to_thread(serial_served, port) == first
            principal, place = PEOPLE[Role.BROKER], ["127.0.0.1:1"]
            issue(grounds.founded.authority, principal, broker, addresses=place, force=True)
            second = load_identity(broker).certificate.serial
            assert await asyncio.to_thread(serial_served, port) == second != first
            (broker / "cert.pem").write_text("spoilt")
            assert await asyncio.to_thread(serial_served, port) == second

    asyncio.run(scenario())


def test_only_a_brokers_identity_serves(grounds: Grounds) -> None:
    with pytest.raises(SuanError) as caught:
        load_broker_identity(grounds.founded.admin)
    assert caught.value.code == "NotABroker"
    with pytest.raises(SuanError) as caught:
        server_credentials(expired_broker(grounds))
    assert caught.value.code == "CertificateExpired"


# --- the diagnosis ----------------------------------------------------------


def past() -> float:
    return datetime.now(UTC).timestamp() - 2 * DAY_SECONDS


def future() -> float:
    return datetime.now(UTC).timestamp() + DAY_SECONDS


def admin(grounds: Grounds) -> Path:
    return grounds.founded.admin


def broker(grounds: Grounds) -> Path:
    return grounds.founded.broker


def expired_admin(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.ADMIN], lifetime_seconds=DAY_SECONDS, now=past())


def coming_admin(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.ADMIN], now=future())


def foreign_admin(grounds: Grounds) -> Path:
    return grounds.of_another_authority(PEOPLE[Role.ADMIN])


def expired_broker(grounds: Grounds) -> Path:
    return grounds.identity(
        PEOPLE[Role.BROKER], addresses=["127.0.0.1:1"], lifetime_seconds=DAY_SECONDS, now=past()
    )


def coming_broker(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.BROKER], addresses=["127.0.0.1:1"], now=future())


def foreign_broker(grounds: Grounds) -> Path:
    return grounds.other_federation().broker


def broker_elsewhere(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.BROKER], addresses=["broker.example.cn:1"])


def site_as_server(grounds: Grounds) -> Path:
    return grounds.forged([PEOPLE[Role.SITE].uri], hosts=("localhost",))


def site_with_a_servers_purpose(grounds: Grounds) -> Path:
    purpose = ExtendedKeyUsageOID.SERVER_AUTH
    return grounds.forged([PEOPLE[Role.SITE].uri], purpose, hosts=("localhost",))


def nameless_server(grounds: Grounds) -> Path:
    return grounds.forged([], ExtendedKeyUsageOID.SERVER_AUTH, hosts=("localhost",))


def broker_of_another_federation(grounds: Grounds) -> Path:
    uri = Principal("elsewhere", Role.BROKER, "one").uri
    return grounds.forged([uri], ExtendedKeyUsageOID.SERVER_AUTH, hosts=("localhost",))


@pytest.mark.parametrize(
    ("client", "server", "host", "code", "exit_code"),
    [
        (admin, broker, "127.0.0.1", "BrokerUnreachable", ExitCode.UNREACHABLE),
        (expired_admin, broker, "127.0.0.1", "CertificateExpired", ExitCode.NOT_AUTHORISED),
        (coming_admin, broker, "127.0.0.1", "CertificateNotYetValid", ExitCode.NOT_AUTHORISED),
        (foreign_admin, broker, "127.0.0.1", "CertificateRefused", ExitCode.NOT_AUTHORISED),
        (broker, broker, "127.0.0.1", "CertificateRefused", ExitCode.NOT_AUTHORISED),
        (admin, expired_broker, "127.0.0.1", "BrokerCertificateExpired", ExitCode.UNREACHABLE),
        (admin, coming_broker, "127.0.0.1", "BrokerCertificateNotYetValid", ExitCode.UNREACHABLE),
        (admin, foreign_broker, "127.0.0.1", "BrokerNotTrusted", ExitCode.NOT_AUTHORISED),
        (admin, broker_elsewhere, "127.0.0.1", "BrokerNameMismatch", ExitCode.NOT_AUTHORISED),
        (admin, broker_elsewhere, "localhost", "BrokerNameMismatch", ExitCode.NOT_AUTHORISED),
        (admin, site_as_server, "localhost", "NotABroker", ExitCode.NOT_AUTHORISED),
        (admin, site_with_a_servers_purpose, "localhost", "NotABroker", ExitCode.NOT_AUTHORISED),
        (admin, nameless_server, "localhost", "NotABroker", ExitCode.NOT_AUTHORISED),
        (admin, broker_of_another_federation, "localhost", "NotABroker", ExitCode.NOT_AUTHORISED),
        (admin, None, "127.0.0.1", "BrokerNotTls", ExitCode.UNREACHABLE),
    ],
)
def test_each_broken_handshake_has_its_name(
    grounds: Grounds,
    client: Callable[[Grounds], Path],
    server: Callable[[Grounds], Path] | None,
    host: str,
    code: str,
    exit_code: ExitCode,
) -> None:
    own, ca = client(grounds), grounds.founded.broker
    credentials = fixed_credentials(server(grounds), ca=ca) if server else None

    async def scenario() -> SuanError:
        async with serving(credentials, handler=Echo(hello)) as address:
            port = split_address(address)[1]
            found_error = await asyncio.to_thread(diagnose, f"{host}:{port}", own, CALL_SECONDS)
            assert isinstance(found_error, SuanError)
            return found_error

    error = asyncio.run(scenario())
    assert (error.code, error.exit_code) == (code, exit_code)
    assert error.message and error.hint and "Traceback" not in error.message


def test_the_brokers_own_port_is_diagnosed_as_sound(grounds: Grounds) -> None:
    async def scenario() -> None:
        async with serving_broker(grounds) as address:
            error = await asyncio.to_thread(diagnose, address, grounds.founded.admin, CALL_SECONDS)
            assert error.code == "BrokerUnreachable" and "answers now" in error.message

    asyncio.run(scenario())


def test_an_old_server_is_named(grounds: Grounds) -> None:
    with old_server(grounds.founded.broker) as address:
        assert diagnose(address, grounds.founded.admin).code == "BrokerTlsTooOld"


def test_a_port_where_nothing_listens(grounds: Grounds) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        error = diagnose(f"127.0.0.1:{held.getsockname()[1]}", grounds.founded.admin)
    assert (error.code, error.exit_code) == ("BrokerUnreachable", ExitCode.UNREACHABLE)
    assert "Connection refused" in error.message


def test_a_port_that_never_answers(grounds: Grounds) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        error = diagnose(address, grounds.founded.admin, timeout_seconds=0.05)
    assert error.code == "BrokerUnreachable"
    assert "does not answer" in error.message


@pytest.mark.parametrize(
    ("address", "code"),
    [("broker.invalid:7443", "BrokerUnreachable"), ("broker", "AddressInvalid")],
)
def test_names_that_lead_nowhere(grounds: Grounds, address: str, code: str) -> None:
    error = diagnose(address, grounds.founded.admin)
    assert error.code == code


def test_an_identity_that_is_not_there(tmp_path: Path) -> None:
    assert diagnose("127.0.0.1:1", tmp_path).code == "IdentityMissing"
