"""The `ranktable` record of agent.yaml: what HCCL must be told of each Ascend node's devices.

For sites whose cluster manager does not tell it; what it holds is in each node's
/etc/hccn.conf. Knows no node and asks none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from agent.cards.ranktable import VERSIONS, RankAddress, RankDevice, RankLevel
from agent.config.values import ADDRESS, NODE_NAME, RAW_NAME, count, pair
from suan.jobspec.limits import Fault, TextRule
from suan.jobspec.shapes import Choice, Field, ListOf, MapOf, Record, text

DEVICES_MAX = 64  # of a node
LEVELS_MAX = 8
PORT = TextRule(16, r"[0-9]+/[0-9]+", "die/port, e.g. 0/1")
NUMBER = TextRule(20, r"[0-9]+", "a number")


@dataclass(frozen=True, slots=True)
class RankNode:
    """The devices of one node, by their numbers."""

    devices: tuple[RankDevice, ...]
    super_pod: str = ""


@dataclass(frozen=True, slots=True)
class RankTableConfig:
    """How tables of ranks are written for Ascend jobs."""

    version: str = "1.0"
    nodes: Mapping[str, RankNode] = field(default_factory=dict)


_Levels = tuple[tuple[RankLevel, ...], ...]  # by device


def _level(
    layer: int,
    instance: str,
    addresses: tuple[str, ...],
    type: str = "CLOS",
    address_type: str = "IPV4",
    ports: tuple[str, ...] = (),
    plane: str = "",
) -> tuple[RankLevel, ...]:
    """One for each device."""
    return tuple(
        RankLevel(layer, instance, type, (RankAddress(address, address_type, ports, plane),))
        for address in addresses
    )


def _node(
    addresses: tuple[str, ...],
    super_pod: str = "",
    super_devices: tuple[str, ...] = (),
    levels: _Levels = (),
) -> RankNode:
    """Raises Fault for lists of unlike length, and for what stands twice."""
    devices = len(addresses)
    if len(set(addresses)) < devices:
        raise Fault("DuplicateName", "gives two devices one address")
    lengths = {len(super_devices or addresses), *map(len, levels)}
    if lengths != {devices}:
        message = f"names {devices} devices in one list and not in another"
        raise Fault("OutOfRange", message, "each list has one entry for each device")
    if bool(super_pod) != bool(super_devices):
        raise Fault("MissingKey", "says one of super_pod and super_devices", "say both")
    return RankNode(
        tuple(
            RankDevice(
                number,
                address,
                super_devices[number] if super_devices else "",
                tuple(level[number] for level in levels),
            )
            for number, address in enumerate(addresses)
        ),
        super_pod,
    )


def _ranktable(nodes: tuple[tuple[str, RankNode], ...], version: str = "1.0") -> RankTableConfig:
    """Raises Fault where a node lacks what the version wants."""
    for name, node in nodes:
        if version == "1.2" and not node.super_pod:
            raise Fault("MissingKey", f"1.2 wants the super_pod of {name}", "and super_devices")
        if version == "2.0" and not all(device.levels for device in node.devices):
            raise Fault("MissingKey", f"2.0 wants the levels of {name}", "one for each layer")
    return RankTableConfig(version, MappingProxyType(dict(nodes)))


LEVEL: Record[Any] = Record(
    _level,
    (
        Field("layer", count(0, 7, "layers"), "0: within the server", required=True),
        Field("instance", text(RAW_NAME), "of the network, e.g. az0-rack0", required=True),
        Field(
            "addresses",
            ListOf(text(ADDRESS), 1, DEVICES_MAX),
            "of each device, in order",
            required=True,
        ),
        Field("type", Choice({w: w for w in ("CLOS", "TOPO_FILE_DESC")}), "default: CLOS"),
        Field("address_type", Choice({w: w for w in ("IPV4", "IPV6", "EID")}), "default: IPV4"),
        Field("ports", ListOf(text(PORT), 1, DEVICES_MAX), "of each device, e.g. [0/1]"),
        Field("plane", text(RAW_NAME), "of the network, where it has several"),
    ),
)
NODE: Record[RankNode] = Record(
    _node,
    (
        Field(
            "addresses",
            ListOf(text(ADDRESS), 1, DEVICES_MAX),
            "of devices 0, 1, …: address_0, address_1, … of /etc/hccn.conf",
            required=True,
            foreign=("device_ip", "device_ips"),
        ),
        Field("super_pod", text(NUMBER), "the number of its SuperPoD, for 1.2"),
        Field("super_devices", ListOf(text(NUMBER), 1, DEVICES_MAX), "numbers in the SuperPoD"),
        Field("levels", ListOf(LEVEL, 1, LEVELS_MAX), "layers of the network, for 2.0"),
    ),
)
RANKTABLE: Record[RankTableConfig] = Record(
    _ranktable,
    (
        Field(
            "version", Choice({v: v for v in VERSIONS}), "1.0, 1.2 (SuperPoD), 2.0; default: 1.0"
        ),
        Field("nodes", MapOf(NODE_NAME, NODE, pair), "node -> its devices", required=True),
    ),
)
