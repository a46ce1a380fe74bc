"""What Ascend's device plugin notes on each pod, as a server of a table of ranks. Pure.

The annotation holds `pod_name`, `server_id`, `super_pod_id` and `devices` with `device_id`,
`device_ip`, `super_device_id` and, for the generation of the 950, `levelList`; fields by
MindCluster's `Instance` and `RankLevel`. For server_id the vendor takes the node's address.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agent.cards.ranktable import RankAddress, RankDevice, RankLevel, RankServer, ranktable
from agent.kubernetes.fields import Json, at, items, number, table, text

# Of one layer a device may have ways through several networks: the first of these is told.
NETWORKS = ("UB", "UBG", "UBoE", "RoCE")


def table_of(configurations: Sequence[str], version: str) -> str:
    """The file, from the annotations in order of node rank; "" while one cannot be read yet."""
    servers = [_server(configuration) for configuration in configurations]
    known = [server for server in servers if server is not None]
    return ranktable(known, version) if len(known) == len(servers) else ""


def _server(configuration: str) -> RankServer | None:
    try:
        document = json.loads(configuration)
    except (ValueError, RecursionError):
        return None
    devices = [_device(device) for device in items(document, "devices")]
    known = tuple(device for device in devices if device is not None)
    if not known or len(known) < len(devices):
        return None
    pod = at(document, "super_pod_id")
    return RankServer(
        id=text(document, "server_id"),
        devices=known,
        host_address=text(document, "host_ip"),
        super_pod=str(pod) if isinstance(pod, int) and pod >= 0 else "",  # -1: of none
    )


def _device(document: Any) -> RankDevice | None:
    told = text(document, "device_id")
    if not told.isdecimal():
        return None
    levels = [_level(level) for level in items(document, "levelList")]
    return RankDevice(
        int(told),
        text(document, "device_ip"),
        text(document, "super_device_id"),
        tuple(level for level in levels if level is not None),
    )


def _level(document: Any) -> RankLevel | None:
    ways = table(document, "info")
    names = [name for name in NETWORKS if name in ways] or sorted(ways)
    if not names:
        return None
    way: Json = table(ways, names[0])
    addresses = (
        RankAddress(
            text(each, "addr"),
            text(each, "addr_type"),
            tuple(port for port in items(each, "ports") if isinstance(port, str)),
            text(each, "plane_id"),
        )
        for each in items(way, "rank_addr_list")
    )
    return RankLevel(
        number(way, "net_layer"),
        text(way, "net_instance_id"),
        text(way, "net_type"),
        tuple(addresses),
        text(way, "net_attr"),
    )
