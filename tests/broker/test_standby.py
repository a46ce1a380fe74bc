"""A broker's life over real ports: it stands by, leads, loses the lead, and stands by again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grounds import PEOPLE, Grounds, found
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support_office import Office, OfficeStore

from broker import gateway, local_app
from broker.admission import Bucket
from broker.config import Config
from broker.config_store import EtcdSection
from broker.gateway import SERVICES, Listen
from suan.channel import join_channel, secure_channel
from suan.identity.keys import generate_key, make_request
from suan.identity.principal import Role
from suan.status import CODE_KEY
from suan.v1 import admin_service_pb2, agents_service_pb2, jobs_service_pb2, session_pb2
from suan.v1.admin_service_pb2_grpc import AdminStub
from suan.v1.agents_service_pb2_grpc import AgentsStub
from suan.v1.jobs_service_pb2_grpc import JobsStub

SECONDS = 20.0  # after which a test is stuck
SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Grounds:
    return found(tmp_path_factory.mktemp("grounds"))


class Broker:
    """A broker with peers, whose store is one of an office."""

    def __init__(self, office: Office, grounds: Grounds) -> None:
        self.office = office
        self.grounds = grounds
        self.listen: Listen
        self.stopped = asyncio.Event()
        self.living: asyncio.Task[None]
        self.stores: list[OfficeStore] = []

    def open_store(self, _config: Config) -> OfficeStore:
        self.stores.append(OfficeStore(self.office))
        return self.stores[-1]

    @property
    def store(self) -> OfficeStore:
        return self.stores[-1]

    async def health(self) -> list[Any]:
        """Of the process, and of each service."""
        async with grpc.aio.insecure_channel(self.listen.health) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            asked = [health_pb2.HealthCheckRequest(service=name) for name in ("", *SERVICES)]
            return [(await stub.Check(each, timeout=SECONDS)).status for each in asked]

    async def until_it_serves(self) -> None:
        async with grpc.aio.insecure_channel(self.listen.health) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=SERVICES[0])
            async for answer in stub.Watch(request, timeout=SECONDS):
                if answer.status == SERVING:
                    return

    def channel(self, role: Role) -> grpc.aio.Channel:
        return secure_channel(self.listen.main, self.grounds.identity(PEOPLE[role]))


async def no_floor(address: str) -> None:
    """Test processes have imported gRPC long before; test_auth_tls.py has its own."""


@asynccontextmanager
async def standing_by(
    grounds: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[Broker]:
    """A broker that runs and that nobody has given the lead."""
    broker = Broker(Office(), grounds)
    monkeypatch.setattr(local_app, "open_store", broker.open_store)
    monkeypatch.setattr(gateway, "require_tls_floor", no_floor)  # set before gRPC is imported
    config = Config(
        state_dir=tmp_path,
        identity=grounds.founded.broker,
        ca=grounds.founded.authority,
        listen="127.0.0.1:0",
        join_listen="127.0.0.1:0",
        health_listen="127.0.0.1:0",
        store="etcd",
        etcd=EtcdSection(("127.0.0.1:1",)),
        **settings,
    )
    ready: asyncio.Future[Listen] = asyncio.get_running_loop().create_future()

    async def told(listen: Listen) -> None:
        ready.set_result(listen)

    broker.living = asyncio.create_task(local_app.serve(config, broker.stopped, told))
    async with asyncio.timeout(SECONDS):
        broker.listen = await ready
    try:
        yield broker
    finally:
        broker.stopped.set()
        async with asyncio.timeout(SECONDS):
            await broker.living


def code_of(error: Any) -> tuple[Any, str]:
    metadata = dict(error.trailing_metadata() or ())
    return error.code(), metadata.get(CODE_KEY, "")


NOT_LEADER = (grpc.StatusCode.UNAVAILABLE, "NotLeader")


async def refusal(call: Any) -> tuple[Any, str]:
    with pytest.raises(grpc.RpcError) as caught:
        if hasattr(call, "read"):
            await call.read()
        else:
            await call
    return code_of(caught.value)


async def test_a_broker_that_stands_by_refuses_every_call_and_says_why(
    grounds: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with standing_by(grounds, tmp_path, monkeypatch) as broker:
        assert await broker.health() == [SERVING, *[NOT_SERVING] * len(SERVICES)]
        async with broker.channel(Role.USER) as channel:
            jobs: Any = JobsStub(channel)
            request = jobs_service_pb2.SubmitRequest()
            assert await refusal(jobs.Submit(request, timeout=SECONDS)) == NOT_LEADER
            watch = jobs.Watch(jobs_service_pb2.WatchRequest(), timeout=SECONDS)
            assert await refusal(watch) == NOT_LEADER
        async with broker.channel(Role.SITE) as channel:
            assert await refusal(AgentsStub(channel).Session(timeout=SECONDS)) == NOT_LEADER
        ca_pem = (grounds.founded.broker / "ca.pem").read_bytes()
        async with join_channel(broker.listen.join, ca_pem) as channel:
            joining: Any = AgentsStub(channel)
            wish = agents_service_pb2.JoinRequest(site="a", token="t")
            assert await refusal(joining.Join(wish, timeout=SECONDS)) == NOT_LEADER


async def test_it_serves_when_it_leads_and_ends_all_calls_when_it_does_not(
    grounds: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with standing_by(grounds, tmp_path, monkeypatch) as broker:
        broker.office.give(broker.store)
        await broker.until_it_serves()
        async with broker.channel(Role.USER) as user, broker.channel(Role.SITE) as site:
            jobs: Any = JobsStub(user)
            agents: Any = AgentsStub(site)
            watch = jobs.Watch(jobs_service_pb2.WatchRequest(), timeout=SECONDS)
            assert (await watch.read()).reset
            session = agents.Session(timeout=SECONDS)  # its agent says no word

            broker.office.give(None)
            assert await refusal(watch) == NOT_LEADER
            assert await refusal(session) == NOT_LEADER
            offers = jobs.Offers(jobs_service_pb2.OffersRequest(), timeout=SECONDS)
            assert await refusal(offers) == NOT_LEADER
            assert await broker.health() == [SERVING, *[NOT_SERVING] * len(SERVICES)]

            broker.office.give(broker.store)
            await broker.until_it_serves()
            await jobs.Offers(jobs_service_pb2.OffersRequest(), timeout=SECONDS)
        assert broker.office.term == 2


@pytest.mark.parametrize("leads", [False, True])
async def test_a_broker_that_is_told_to_end_gives_up_the_lead_or_the_wait(
    leads: bool, grounds: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with standing_by(grounds, tmp_path, monkeypatch) as broker:
        if leads:
            broker.office.give(broker.store)
            await broker.until_it_serves()
        broker.stopped.set()
        async with asyncio.timeout(SECONDS):
            await broker.living
        assert broker.store.closed
        assert broker.office.holder is None


async def test_a_herd_of_sites_is_admitted_by_and_by_and_heartbeats_are_not_held_up(
    grounds: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"hellos_per_second": 1, "hellos_burst": 1}
    monkeypatch.setattr(gateway, "Bucket", partial(Bucket, clock=lambda: 0.0))
    async with standing_by(grounds, tmp_path, monkeypatch, **settings) as broker:
        broker.office.give(broker.store)
        await broker.until_it_serves()
        async with broker.channel(Role.ADMIN) as channel:
            await register(AdminStub(channel), broker)
        async with broker.channel(Role.SITE) as channel:
            agents: Any = AgentsStub(channel)
            session = agents.Session(timeout=SECONDS)
            hello = session_pb2.Hello(site="zhengzhou", session="s1", agent_id="a", protocol=1)
            await session.write(session_pb2.AgentMessage(hello=hello))
            assert (await session.read()).WhichOneof("body") == "verdicts"

            refused = agents.Session(timeout=SECONDS)
            with pytest.raises(grpc.RpcError) as caught:
                await refused.read()
            status, code = code_of(caught.value)
            assert (status, code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TooManyHellos")
            refusing: Any = caught.value
            metadata = dict(refusing.trailing_metadata())
            assert 0 < float(metadata["suan-retry-after"]) <= 1.0

            for seq in range(1, 20):  # far more than the bucket holds
                beat = session_pb2.Heartbeat(session="s1", seq=seq)
                await session.write(session_pb2.AgentMessage(heartbeat=beat))
                reply = await session.read()
                assert reply.heartbeat_reply.seq == seq


async def register(admin: Any, broker: Broker) -> None:
    """The site of PEOPLE, as an administrator and its operator do it."""
    made = await admin.CreateToken(
        admin_service_pb2.CreateTokenRequest(site="zhengzhou"), timeout=SECONDS
    )
    key = generate_key()
    ca_pem = (broker.grounds.founded.broker / "ca.pem").read_bytes()
    async with join_channel(broker.listen.join, ca_pem) as channel:
        joining: Any = AgentsStub(channel)
        csr = make_request(key, PEOPLE[Role.SITE])
        request = agents_service_pb2.JoinRequest(site="zhengzhou", token=made.token, csr_pem=csr)
        answer = await joining.Join(request, timeout=SECONDS)
    approval = admin_service_pb2.ApproveRequest(site="zhengzhou", fingerprint=answer.fingerprint)
    await admin.Approve(approval, timeout=SECONDS)


def test_the_ready_file_says_where(tmp_path: Path, grounds: Grounds) -> None:
    config = Config(tmp_path, grounds.founded.broker, grounds.founded.authority)
    local_app.write_ready(config, Listen("127.0.0.1:1", "127.0.0.1:2", ""))
    said = json.loads((tmp_path / local_app.READY_FILE).read_text())
    assert said == {"main": "127.0.0.1:1", "join": "127.0.0.1:2", "health": ""}
