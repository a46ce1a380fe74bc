"""What the broker's ports answer beside its own services, and that the samples are true."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from agent.config.file import load_config as load_agent_config
from bench.federation import Federation
from broker.config import load_config as load_broker_config
from suan import catalogue
from suan.identity.directory import load_identity

SAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
SECONDS = 5.0


@pytest.fixture(scope="module")
def channel(federation: Federation) -> grpc.Channel:
    identity = load_identity(federation.user)
    credentials = grpc.ssl_channel_credentials(
        identity.ca_pem, identity.key_pem, identity.certificate_pem
    )
    return grpc.secure_channel(federation.address, credentials)


def test_health_is_told_to_those_who_are_known(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "suan.v1.Jobs", "suan.v1.Agents", "suan.v1.Admin"):
        request = health_pb2.HealthCheckRequest(service=service)
        answer = stub.Check(request, timeout=SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_names_the_services(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = next(iter(stub.ServerReflectionInfo(iter([request]), timeout=SECONDS)))
    names = {service.name for service in answer.list_services_response.service}
    assert {"suan.v1.Jobs", "suan.v1.Agents", "suan.v1.Admin", "grpc.health.v1.Health"} <= names


def test_nothing_is_answered_in_the_clear(federation: Federation) -> None:
    with grpc.insecure_channel(federation.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_samples_can_be_read() -> None:
    assert load_broker_config(SAMPLES / "broker.yaml", {}).runtime == "ray"
    for name in ("broker-a.yaml", "broker-b.yaml"):
        broker = load_broker_config(SAMPLES / "failover" / name, {})
        assert broker.has_peers and broker.etcd is not None
        assert len(broker.etcd.endpoints) == 3
    for site, cards in (("shenzhen", 32), ("zhengzhou", 32), ("guiyang", 16)):
        agent = load_agent_config(SAMPLES / f"{site}.yaml", catalogue.load())
        pools = agent.declared_pools
        assert sum(len(pool.nodes) * pool.cards_per_node for pool in pools) == cards
