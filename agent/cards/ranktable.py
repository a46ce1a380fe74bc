"""The table of ranks that HCCL reads, in the versions that there are. Pure.

1.0 for clusters of servers, 1.2 for SuperPoDs, by Huawei's "Rank Table Configuration" of the HCCL
user guide; 2.0 for the generation of the 950, by the same guide and the `api` room of
MindCluster. In 1.x every number is text, in 2.0 numbers are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FILE = "hccl.json"
VERSIONS = ("1.0", "1.2", "2.0")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RankAddress:
    """One way into a device, in version 2.0."""

    address: str
    type: str = "IPV4"  # or "IPV6", "EID"
    ports: tuple[str, ...] = ()  # die/port, e.g. "1/0"
    plane: str = ""


@dataclass(frozen=True, slots=True)
class RankLevel:
    """A device's place in one layer of the network, in version 2.0."""

    layer: int
    instance: str  # of the network, e.g. "az0-rack0"
    type: str  # "TOPO_FILE_DESC" | "CLOS"
    addresses: tuple[RankAddress, ...] = ()
    attribute: str = ""


@dataclass(frozen=True, slots=True)
class RankDevice:
    """One device (die); "" and () for what its version has no need of."""

    number: int  # on its server
    address: str = ""  # of its own network card
    super_device: str = ""  # its number in the SuperPoD
    levels: tuple[RankLevel, ...] = ()


@dataclass(frozen=True, slots=True)
class RankServer:
    """The devices of one node that a gang holds, in order of rank."""

    id: str  # unlike all others
    devices: tuple[RankDevice, ...]
    host_address: str = ""
    super_pod: str = ""


def ranktable(servers: Sequence[RankServer], version: str) -> str:
    """The file for these servers, in order of node rank; "" where its version wants more of them.

    A gang whose devices all lie on one node may do without their addresses.
    """
    if version not in VERSIONS or not servers or not all(_suffices(s, version) for s in servers):
        return ""
    document = {"status": "completed", "version": version, **_TABLES[version](servers)}
    return json.dumps(document)


def _suffices(server: RankServer, version: str) -> bool:
    if not server.devices:
        return False
    if version == "1.2":
        return bool(server.super_pod) and all(device.super_device for device in server.devices)
    return version != "2.0" or all(device.levels for device in server.devices)


def _servers(servers: Sequence[RankServer]) -> Json:
    """Of 1.0."""
    ranks = iter(range(sum(len(server.devices) for server in servers)))
    return {
        "server_count": str(len(servers)),
        "server_list": [_server(server, ranks) for server in servers],
    }


def _server(server: RankServer, ranks: Iterator[int]) -> Json:
    devices = []
    for device in server.devices:
        told = {
            "device_id": str(device.number),
            "device_ip": device.address,
            "rank_id": str(next(ranks)),
        }
        if device.super_device:
            told["super_device_id"] = device.super_device
        devices.append(told)
    host = {"host_ip": server.host_address} if server.host_address else {}
    return {"server_id": server.id, "device": devices, **host}


def _super_pods(servers: Sequence[RankServer]) -> Json:
    """Of 1.2."""
    pods: dict[str, list[Json]] = {}
    for server in servers:
        pods.setdefault(server.super_pod, []).append({"server_id": server.id})
    listed = [{"super_pod_id": pod, "server_list": of} for pod, of in pods.items()]
    return {**_servers(servers), "super_pod_list": listed}


def _ranks(servers: Sequence[RankServer]) -> Json:
    """Of 2.0."""
    devices = [device for server in servers for device in server.devices]
    ranks = [
        {
            "rank_id": rank,
            "local_id": device.number,
            "device_id": device.number,
            "level_list": [_level(level) for level in device.levels],
        }
        for rank, device in enumerate(devices)
    ]
    return {"rank_count": len(ranks), "rank_list": ranks}


def _level(level: RankLevel) -> Json:
    addresses: list[Json] = []
    for each in level.addresses:
        told: Json = {"addr_type": each.type, "addr": each.address, "ports": list(each.ports)}
        if each.plane:
            told["plane_id"] = each.plane
        addresses.append(told)
    return {
        "net_layer": level.layer,
        "net_instance_id": level.instance,
        "net_type": level.type,
        "net_attr": level.attribute,
        "rank_addr_list": addresses,
    }


_TABLES: Mapping[str, Any] = {"1.0": _servers, "1.2": _super_pods, "2.0": _ranks}
