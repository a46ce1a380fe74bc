"""Latency from a job's users, and links out of service: from the file to the wire and back."""

from __future__ import annotations

import pytest

from broker.services.sites_wire import network_from_wire, network_to_wire
from broker.services.specs import demand_of
from suan import catalogue
from suan.errors import InvalidSpec
from suan.jobspec.load import load
from suan.models import JobSpec
from suan.network import load as load_network
from suan.v1 import network_pb2
from suan.wire import spec_bytes, spec_from_bytes

JOB = "name: chat\nresources: {accelerators: 'ascend-910b:1'}\nrun: ./serve\nplacement: "
NETWORK = """
nodes:
  - {name: a, latitude: 1, longitude: 1, assumed: x}
  - {name: b, latitude: 2, longitude: 2, assumed: x}
links:
  - {a: a, b: b, bandwidth_gbps: 8, latency_ms: 1, assumed: x, down: WORD}
"""


def load_job(placement: str) -> JobSpec:
    return load(JOB + placement, given={}, catalogue=catalogue.load())


def test_the_users_place_reaches_the_scheduler() -> None:
    loaded = load_job("{users_at: guiyang, latency_max: 10ms}")
    demand = demand_of(spec_from_bytes(spec_bytes(loaded)))
    assert (demand.users_at, demand.latency_ms_max) == ("guiyang", 10.0)


@pytest.mark.parametrize(
    ("placement", "code"),
    [
        ("{users_at: guiyang}", "MissingKey"),
        ("{latency_max: 10ms}", "MissingKey"),
        ("{users_at: guiyang, latency_max: 10 km}", "BadLatency"),
        ("{users_at: guiyang, latency_max: 0ms}", "OutOfRange"),
        ("{users_at: 'g y', latency_max: 10}", "BadText"),
    ],
)
def test_half_a_wish_is_refused(placement: str, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        load_job(placement)
    assert code in {problem.code for problem in caught.value.problems}


def test_a_link_that_is_down_is_kept_as_such() -> None:
    (down,) = load_network(NETWORK.replace("WORD", "true")).network.links
    (up,) = load_network(NETWORK.replace("WORD", "false")).network.links
    assert (down.down, up.down) == (True, False)
    with pytest.raises(InvalidSpec, match="true or false"):
        load_network(NETWORK.replace("WORD", "perhaps"))


def test_the_wire_tells_what_is_down_and_what_is_carried() -> None:
    nodes = [network_pb2.NetworkNode(name=name) for name in "ab"]
    link = network_pb2.Link(a="a", b="b", bandwidth_gbps=8, latency_ms=1, down=True)
    row = network_from_wire(network_pb2.Network(nodes=nodes, links=[link]))
    (told,) = network_to_wire(row, (2.5,)).links
    assert (told.down, told.carried_gbps) == (True, 2.5)
    assert network_from_wire(network_to_wire(row, (2.5,))) == row
    assert network_to_wire(row).links[0].carried_gbps == 0.0
