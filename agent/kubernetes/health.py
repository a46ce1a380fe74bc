"""What MindCluster says of Ascend cards and nodes, read from its ConfigMaps. Pure.

Two places say the same: ClusterD's roll-up (`cluster-info-device-N`, `cluster-info-node-cm`,
`cluster-info-switch-N`) for the whole cluster, and `mindx-dl-deviceinfo-<node>` of the Ascend
Device Plugin for one node. Fields by the vendor's `api/clusterd/00_cluster_resources.md` and
`api/ascend_device_plugin.md`. `PreSeparate…` keeps what runs and places nothing new.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Any

from agent.kubernetes.fields import Json, items, text, words

DEVICE_PREFIX, NODE_PREFIX = "mindx-dl-deviceinfo-", "mindx-dl-nodeinfo-"
SWITCH_PREFIX = "mindx-dl-switchinfo-"
CLUSTER_PREFIX = "cluster-info-"


class State(IntEnum):
    """The worse, the greater."""

    GOOD = 0
    DRAINED = 1  # what runs goes on; nothing new
    GONE = 2


# A level that is not known is taken for the worst: it is newer than this table.
_LEVELS: Mapping[str, State] = MappingProxyType(
    {
        "": State.GOOD,
        "NotHandleFault": State.GOOD,
        "NotHandle": State.GOOD,
        "SubHealthFault": State.GOOD,
        "RestartRequest": State.GOOD,  # the job's own affair
        "RestartBusiness": State.GOOD,
        "FreeRestartNPU": State.DRAINED,  # is reset when it is idle
        "PreSeparateNPU": State.DRAINED,
        "PreSeparateFault": State.DRAINED,
        "RestartNPU": State.GONE,
        "SeparateNPU": State.GONE,
        "ManuallySeparateNPU": State.GONE,
        "SeparateFault": State.GONE,
        "Separate": State.GONE,
    }
)
_NODE_STATES: Mapping[str, State] = MappingProxyType(
    {
        "": State.GOOD,
        "Healthy": State.GOOD,
        "SubHealthy": State.GOOD,
        "PreSeparate": State.DRAINED,
        "UnHealthy": State.GONE,
    }
)


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """Of one node. Devices by their physical number, as MindCluster counts them (dies)."""

    node: State = State.GOOD
    devices: Mapping[int, State] = field(default_factory=dict)
    superpod: str = ""  # the id of its SuperPoD; "": of none


def health_of(config_maps: Iterable[Json]) -> dict[str, NodeHealth]:
    """By node, from all ConfigMaps of both kinds; others are passed over.

    Where the roll-up has a node, the ConfigMap of the node itself is not needed.
    """
    single: dict[str, NodeHealth] = {}
    rolled: dict[str, NodeHealth] = {}
    nodes: dict[str, State] = {}
    for config_map in config_maps:
        name = text(config_map, "metadata", "name")
        data = words(config_map, "data")
        if name.startswith(DEVICE_PREFIX):
            info = _parsed(data.get("DeviceInfoCfg", ""))
            node = name.removeprefix(DEVICE_PREFIX)
            single[node] = _of_devices(info.get("DeviceInfo"), info)
        elif name.startswith(CLUSTER_PREFIX):
            for value in data.values():
                _take_in(_parsed(value), rolled, nodes)
    found = single | rolled
    for name, state in nodes.items():
        known = found.get(name, NodeHealth())
        found[name] = NodeHealth(max(state, known.node), known.devices, known.superpod)
    return found


def _take_in(
    document: Mapping[str, Any], devices: dict[str, NodeHealth], nodes: dict[str, State]
) -> None:
    for key, entry in document.items():
        if not isinstance(entry, dict):
            continue
        if key.startswith(DEVICE_PREFIX):
            devices[key.removeprefix(DEVICE_PREFIX)] = _of_devices(entry, entry)
        for prefix in (NODE_PREFIX, SWITCH_PREFIX):
            if key.startswith(prefix):
                name = key.removeprefix(prefix)
                nodes[name] = max(nodes.get(name, State.GOOD), _of_node(entry))


def _of_node(entry: Json) -> State:
    said = _NODE_STATES.get(text(entry, "NodeStatus"), State.GONE)
    levels = (text(fault, "FaultLevel") for fault in items(entry, "FaultDevList"))
    return max(said, *(_LEVELS.get(level, State.GONE) for level in levels), State.GOOD)


def _of_devices(info: Any, place: Json) -> NodeHealth:
    """`info` holds the DeviceList; `place` the SuperPodID beside it."""
    lists = words(info, "DeviceList")
    devices: dict[int, State] = {}
    node = State.GOOD
    explained: set[int] = set()
    for key, value in lists.items():
        if not key.endswith("-Fault"):
            continue
        for fault in _parsed_list(value):
            state = _level(fault)
            numbers = _numbers(text(fault, "npu_name"))
            if not numbers and text(fault, "fault_type") == "NodeUnhealthy":
                node = State.GONE
            for device in numbers:
                explained.add(device)
                devices[device] = max(devices.get(device, State.GOOD), state)
    for key, value in lists.items():
        if key.endswith(("-Unhealthy", "-NetworkUnhealthy")):
            devices.update(dict.fromkeys(_numbers(value) - explained, State.GONE))
        elif key.endswith("-Recovering"):
            for device in _numbers(value):
                devices[device] = max(devices.get(device, State.GOOD), State.DRAINED)
    separated = _numbers(text(place, "ManuallySeparateNPU"))
    devices.update(dict.fromkeys(separated, State.GONE))
    bad = {device: state for device, state in devices.items() if state is not State.GOOD}
    return NodeHealth(node, bad, _superpod(place))


def _level(fault: Json) -> State:
    """`fault_handling` is the one that the vendor recommends of three that mean the same."""
    for key in ("fault_handling", "fault_level", "large_model_fault_level"):
        if said := text(fault, key):
            return _LEVELS.get(said, State.GONE)
    return State.GONE


def _superpod(place: Json) -> str:
    """-1 and -2 mean that there is none, or that nobody knows."""
    said = place.get("SuperPodID")
    return str(said) if isinstance(said, int) and said >= 0 else ""


def _numbers(names: str) -> set[int]:
    """ "Ascend910-0,Ascend910-4" -> 0, 4."""
    found = (name.rpartition("-")[2].strip() for name in names.split(","))
    return {int(digits) for digits in found if digits.isdecimal()}


def _parsed(value: str) -> Json:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parsed_list(value: str) -> list[Json]:
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return []
    found = document if isinstance(document, list) else []
    return [entry for entry in found if isinstance(entry, dict)]
