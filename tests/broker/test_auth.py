"""Real gRPC servers on loopback: who gets in, who does not, and what they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from grounds import (
    CALL_SECONDS,
    FEDERATION,
    LIST_SITES,
    PEOPLE,
    Echo,
    Grounds,
    call,
    fixed_credentials,
    found,
    hello,
    serving,
    serving_broker,
    whoami,
)

from broker.core.rows import Dataset
from broker.services.auth import Gate, JoinGate, principal_of
from broker.services.roles import (
    JOIN_METHODS,
    ROLES,
    Sight,
    governs_site,
    sees_dataset,
    sight_of_job,
)
from broker.services.transport import join_server_credentials, server_credentials
from suan.channel import CHANNEL_OPTIONS, join_channel, secure_channel
from suan.errors import SuanError
from suan.identity.authority import DAY_SECONDS, Authority
from suan.identity.directory import load_identity
from suan.identity.principal import Role
from suan.status import decode

SUBMIT = "/suan.v1.Jobs/Submit"


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    return found(tmp_path_factory.mktemp("grounds"))


def raw_channel(address: str, ca: Path, own: Path | None) -> grpc.aio.Channel:
    """A client that sends whatever it is given: none of our own checks come first."""
    pair = [(own / name).read_bytes() for name in ("key.pem", "cert.pem")] if own else [None, None]
    credentials = grpc.ssl_channel_credentials((ca / "ca.pem").read_bytes(), *pair)
    return grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS)


def with_own_client(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.USER])


def of_another_authority(grounds: Grounds) -> Path:
    return grounds.of_another_authority(PEOPLE[Role.ADMIN])


def expired(grounds: Grounds) -> Path:
    past = datetime.now(UTC).timestamp() - 2 * DAY_SECONDS
    return grounds.identity(PEOPLE[Role.ADMIN], lifetime_seconds=DAY_SECONDS, now=past)


def not_yet_valid(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.ADMIN], now=datetime.now(UTC).timestamp() + DAY_SECONDS)


def self_signed(grounds: Grounds) -> Path:
    return grounds.forged([PEOPLE[Role.ADMIN].uri], self_signed=True)


def for_servers_only(grounds: Grounds) -> Path:
    return grounds.forged([PEOPLE[Role.ADMIN].uri], ExtendedKeyUsageOID.SERVER_AUTH)


def the_brokers_own(grounds: Grounds) -> Path:
    return grounds.founded.broker


def nameless(grounds: Grounds) -> Path:
    return grounds.forged([], hosts=("localhost",))


def with_two_names(grounds: Grounds) -> Path:
    return grounds.forged([PEOPLE[Role.USER].uri, PEOPLE[Role.ADMIN].uri])


def with_no_principals_name(grounds: Grounds) -> Path:
    return grounds.forged(["spiffe://demo/root/chen"])


def of_another_federation(grounds: Grounds) -> Path:
    return grounds.forged(["spiffe://elsewhere/admin/chen"])


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (with_own_client, PEOPLE[Role.USER].uri),
        (None, "Unavailable"),
        (of_another_authority, "Unavailable"),
        (expired, "Unavailable"),
        (not_yet_valid, "Unavailable"),
        (self_signed, "Unavailable"),
        (for_servers_only, "Unavailable"),
        (the_brokers_own, "Unavailable"),
        (nameless, "PrincipalInvalid"),
        (with_two_names, "PrincipalInvalid"),
        (with_no_principals_name, "PrincipalInvalid"),
        (of_another_federation, "WrongFederation"),
    ],
)
def test_certificates_of_clients(
    grounds: Grounds, make: Callable[[Grounds], Path] | None, outcome: str
) -> None:
    own = make(grounds) if make else None

    async def scenario() -> None:
        async with serving_broker(grounds) as address:
            channel = raw_channel(address, grounds.founded.broker, own)
            assert await call(channel) == outcome

    asyncio.run(scenario())


def test_a_plaintext_client_gets_nothing(grounds: Grounds) -> None:
    async def scenario() -> None:
        async with serving_broker(grounds) as address:
            assert await call(grpc.aio.insecure_channel(address)) == "Unavailable"

    asyncio.run(scenario())


def the_broker(grounds: Grounds) -> Path:
    return grounds.founded.broker


def a_broker_of_another_authority(grounds: Grounds) -> Path:
    return grounds.other_federation().broker


def a_site_that_plays_the_broker(grounds: Grounds) -> Path:
    return grounds.forged([PEOPLE[Role.SITE].uri], hosts=("localhost",))


def a_broker_of_another_host(grounds: Grounds) -> Path:
    return grounds.identity(PEOPLE[Role.BROKER], addresses=["broker.example.cn:1"])


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (the_broker, "hello"),
        (None, "Unavailable"),
        (a_broker_of_another_authority, "Unavailable"),
        (a_site_that_plays_the_broker, "Unavailable"),
        (a_broker_of_another_host, "Unavailable"),
    ],
)
def test_certificates_of_servers(
    grounds: Grounds, make: Callable[[Grounds], Path] | None, outcome: str
) -> None:
    credentials = fixed_credentials(make(grounds)) if make else None

    async def scenario() -> None:
        async with serving(credentials, handler=Echo(hello)) as address:
            port = address.rpartition(":")[2]
            channel = secure_channel(f"localhost:{port}", grounds.founded.admin)
            assert await call(channel) == outcome

    asyncio.run(scenario())


def test_our_own_client_does_not_even_dial_with_an_expired_certificate(grounds: Grounds) -> None:
    for make, code in ((expired, "CertificateExpired"), (not_yet_valid, "CertificateNotYetValid")):
        with pytest.raises(SuanError) as caught:
            secure_channel("127.0.0.1:1", make(grounds))
        assert caught.value.code == code


def test_every_role_and_method(grounds: Grounds) -> None:
    clients = {
        role: grounds.identity(principal)
        for role, principal in PEOPLE.items()
        if role is not Role.BROKER  # its certificate makes no client
    }

    async def scenario() -> None:
        async with serving_broker(grounds) as address:
            for role, own in clients.items():
                async with secure_channel(address, own) as channel:
                    for method in [*ROLES, "/suan.v1.Admin/Forgotten", "/other.Service/Call"]:
                        answer = await outcome(channel, method)
                        allowed = role in ROLES.get(method, ())
                        assert answer == (PEOPLE[role].uri if allowed else "RoleNotAllowed")

    async def outcome(channel: grpc.aio.Channel, method: str) -> str:
        try:
            return str(await channel.unary_unary(method)(b"", timeout=CALL_SECONDS), "utf-8")
        except grpc.aio.AioRpcError as error:
            refusal = decode(error)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
            assert refusal.hint.startswith("this is for: ") and method in refusal.message
            return refusal.code

    asyncio.run(scenario())


def test_what_the_table_must_never_say() -> None:
    for method, roles in ROLES.items():
        agents = method.startswith("/suan.v1.Agents/")
        suan = method.startswith("/suan.")
        assert not suan or (Role.SITE in roles) == (agents and method not in JOIN_METHODS)
        assert not suan or Role.BROKER not in roles
        assert not method.startswith("/suan.v1.Admin/") or Role.ADMIN in roles
    assert ROLES[SUBMIT] == {Role.USER, Role.TENANT_ADMIN}
    writers = {"CreateToken", "Approve", "RemoveSite", "ApplyNetwork", "PutTenant", "PutDataset"}
    assert all(ROLES[f"/suan.v1.Admin/{name}"] == {Role.ADMIN} for name in writers)
    assert not any(ROLES[method] for method in JOIN_METHODS)


def test_jobs_are_seen_by_their_own_and_in_outline_by_those_who_run_the_house() -> None:
    seen = {role: sight_of_job(PEOPLE[role], "team-a", {"zhengzhou"}) for role in Role}
    foreign = {role: sight_of_job(PEOPLE[role], "team-b", {"shenzhen"}) for role in Role}
    assert seen == {
        Role.BROKER: Sight.NONE,
        Role.SITE: Sight.NONE,
        Role.OPERATOR: Sight.METADATA,
        Role.USER: Sight.WHOLE,
        Role.TENANT_ADMIN: Sight.WHOLE,
        Role.ADMIN: Sight.METADATA,
        Role.AUDITOR: Sight.METADATA,
    }
    hidden = {Role.OPERATOR, Role.USER, Role.TENANT_ADMIN}
    assert foreign == seen | dict.fromkeys(hidden, Sight.NONE)


def test_datasets_are_told_to_their_own_tenant_and_the_house() -> None:
    def told(name: str) -> set[Role]:
        return {role for role in Role if sees_dataset(PEOPLE[role], Dataset(name, 1))}

    house = {Role.ADMIN, Role.AUDITOR}
    assert told("wudao") == set(Role)
    assert told("team-a/model") == house | {Role.USER, Role.TENANT_ADMIN}
    assert told("team-b/model") == house


def test_an_operator_governs_its_own_site_only() -> None:
    governs = {role for role in Role if governs_site(PEOPLE[role], "zhengzhou")}
    assert governs == {Role.ADMIN, Role.OPERATOR}
    assert not governs_site(PEOPLE[Role.OPERATOR], "shenzhen")


def test_a_revoked_certificate_is_refused_on_an_open_connection(grounds: Grounds) -> None:
    own = grounds.identity(PEOPLE[Role.ADMIN])
    serial = load_identity(own).certificate.serial
    denied: set[int] = {serial + 1}

    async def scenario() -> None:
        async with serving_broker(grounds, revoked=denied.__contains__) as address:
            async with secure_channel(address, own) as channel:
                whoever = channel.unary_unary(LIST_SITES)
                assert await whoever(b"", timeout=CALL_SECONDS)
                denied.add(serial)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await whoever(b"", timeout=CALL_SECONDS)
                assert decode(caught.value).code == "CertificateRevoked"

    asyncio.run(scenario())


def test_a_certificate_that_expires_meanwhile_is_refused(grounds: Grounds) -> None:
    own = grounds.identity(PEOPLE[Role.ADMIN])
    moments = iter([0.0, load_identity(own).certificate.not_after])

    async def scenario() -> None:
        async with serving_broker(grounds, clock=lambda: next(moments)) as address:
            assert await call(secure_channel(address, own)) == PEOPLE[Role.ADMIN].uri
            assert await call(secure_channel(address, own)) == "CertificateExpired"

    asyncio.run(scenario())


class AllKinds(grpc.GenericRpcHandler):
    """The four kinds of call, under names of the table; `Session` asks the gate per message."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.ended = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        return {
            "/suan.v1.Jobs/Get": grpc.unary_unary_rpc_method_handler(whoami),
            "/suan.v1.Jobs/Watch": grpc.unary_stream_rpc_method_handler(self._watch),
            "/suan.v1.Jobs/List": grpc.stream_unary_rpc_method_handler(self._collect),
            "/suan.v1.Agents/Session": grpc.stream_stream_rpc_method_handler(self._session),
        }.get(handler_call_details.method)

    async def _watch(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            yield principal_of(context).uri.encode()
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def _collect(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def _session(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            try:
                self._gate.require_in_force(context)
            except SuanError as error:
                yield error.code.encode()
                return
            yield request


def test_streams_pass_the_gate_too(grounds: Grounds) -> None:
    user, site = (grounds.identity(PEOPLE[role]) for role in (Role.USER, Role.SITE))
    denied: set[int] = set()

    async def scenario() -> None:
        gate = Gate(FEDERATION, revoked=denied.__contains__)
        kinds = AllKinds(gate)
        credentials = server_credentials(grounds.founded.broker)
        async with serving(credentials, gate, kinds) as address:
            async with secure_channel(address, user) as channel:
                await as_user(channel, kinds)
            async with secure_channel(address, site) as channel:
                await as_site(channel)

    async def as_user(channel: grpc.aio.Channel, kinds: AllKinds) -> None:
        watch = channel.unary_stream("/suan.v1.Jobs/Watch")(b"", timeout=CALL_SECONDS)
        assert await watch.read() == PEOPLE[Role.USER].uri.encode()
        watch.cancel()
        await asyncio.wait_for(kinds.ended.wait(), CALL_SECONDS)
        collect = channel.stream_unary("/suan.v1.Jobs/List")
        assert await collect(iter([b"a", b"b"]), timeout=CALL_SECONDS) == b"ab"
        session = channel.stream_stream("/suan.v1.Agents/Session")(timeout=CALL_SECONDS)
        assert await session.code() is grpc.StatusCode.PERMISSION_DENIED
        unserved = channel.unary_unary("/suan.v1.Jobs/Plan")(b"", timeout=CALL_SECONDS)
        assert await unserved.code() is grpc.StatusCode.UNIMPLEMENTED

    async def as_site(channel: grpc.aio.Channel) -> None:
        for kind, method in (("unary_stream", "Watch"), ("stream_unary", "List")):
            start = getattr(channel, kind)(f"/suan.v1.Jobs/{method}")
            denial = (
                start(b"", timeout=CALL_SECONDS)
                if kind == "unary_stream"
                else start(iter([b"a"]), timeout=CALL_SECONDS)
            )
            assert await denial.code() is grpc.StatusCode.PERMISSION_DENIED
        session = channel.stream_stream("/suan.v1.Agents/Session")(timeout=CALL_SECONDS)
        await session.write(b"heartbeat")
        assert await session.read() == b"heartbeat"
        denied.add(load_identity(site).certificate.serial)
        await session.write(b"heartbeat")
        assert await session.read() == b"CertificateRevoked"
        assert await session.code() is grpc.StatusCode.OK

    asyncio.run(scenario())


def test_a_servicer_that_would_block_is_refused_at_its_first_call(grounds: Grounds) -> None:
    def blocking(request: bytes, context: Any) -> bytes:
        return b"unguarded"

    async def scenario() -> None:
        gate = Gate(FEDERATION, revoked=lambda serial: False)
        credentials = server_credentials(grounds.founded.broker)
        async with serving(credentials, gate, Echo(blocking)) as address:  # type: ignore[arg-type]
            channel = secure_channel(address, grounds.founded.admin)
            assert await call(channel) == "InternalError"

    asyncio.run(scenario())


def test_the_join_port_serves_joining_and_nothing_else(grounds: Grounds) -> None:
    async def scenario() -> None:
        credentials = join_server_credentials(grounds.founded.broker)
        ca_pem = (grounds.founded.admin / "ca.pem").read_bytes()
        async with serving(credentials, JoinGate(), Echo(hello)) as address:
            for method in ROLES:
                answer = await call(join_channel(address, ca_pem), method)
                assert answer == ("hello" if method in JOIN_METHODS else "CertificateMissing")
            own = secure_channel(address, grounds.founded.admin)
            assert await call(own, SUBMIT) == "CertificateMissing"
            stranger = Authority.create(FEDERATION, datetime.now(UTC).timestamp())
            wrong = join_channel(address, stranger.certificate_pem)
            assert await call(wrong, next(iter(JOIN_METHODS))) == "Unavailable"

    asyncio.run(scenario())


def test_behind_the_join_port_there_is_no_principal(grounds: Grounds) -> None:
    async def reveal(request: bytes, context: Any) -> bytes:
        try:
            return principal_of(context).uri.encode()
        except SuanError as error:
            return error.code.encode()

    async def scenario() -> None:
        credentials = join_server_credentials(grounds.founded.broker)
        async with serving(credentials, JoinGate(), Echo(reveal)) as address:
            channel = secure_channel(address, grounds.founded.admin)
            assert await call(channel, next(iter(JOIN_METHODS))) == "CertificateMissing"

    asyncio.run(scenario())


def test_two_readings_of_one_certificate_must_agree(grounds: Grounds) -> None:
    @dataclass(frozen=True)
    class Claimed:
        uri: str

        def auth_context(self) -> dict[str, list[bytes]]:
            pem = (grounds.founded.admin / "cert.pem").read_bytes()
            return {"x509_pem_cert": [pem], "peer_uri": [self.uri.encode()]}

    own = load_identity(grounds.founded.admin).principal
    assert principal_of(Claimed(own.uri)) == own  # type: ignore[arg-type]
    with pytest.raises(SuanError) as caught:
        principal_of(Claimed(PEOPLE[Role.SITE].uri))  # type: ignore[arg-type]
    assert caught.value.code == "PrincipalInvalid"
