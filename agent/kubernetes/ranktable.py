"""The table of ranks that HCCL reads, from what Ascend's device plugin notes on each pod. Pure.

hccl.json 1.0 by the vendor's `hccl.json_file_description.md`: all numbers are text. The
annotation holds `pod_name`, `server_id` and `devices` with `device_id` and `device_ip`; for
server_id the vendor takes the node's address, and the ranks follow the gang's nodes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from agent.kubernetes.fields import Json, items, text

FILE = "hccl.json"
INITIALIZING = json.dumps({"status": "initializing"})


def ranktable(configurations: Sequence[str]) -> str:
    """The file, from the annotations in order of node rank; "" while one cannot be read yet."""
    servers: list[Json] = []
    rank = 0
    for configuration in configurations:
        server = _server(configuration, rank)
        if server is None:
            return ""
        rank += len(server["device"])
        servers.append(server)
    document = {
        "status": "completed",
        "version": "1.0",
        "server_count": str(len(servers)),
        "server_list": servers,
    }
    return json.dumps(document)


def _server(configuration: str, first_rank: int) -> Json | None:
    try:
        document = json.loads(configuration)
    except ValueError:
        return None
    devices = [
        {
            "device_id": text(device, "device_id"),
            "device_ip": text(device, "device_ip"),
            "rank_id": str(first_rank + at),
        }
        for at, device in enumerate(items(document, "devices"))
    ]
    if not devices or not all(device["device_id"] for device in devices):
        return None
    server = {"server_id": text(document, "server_id"), "device": devices}
    if host := text(document, "host_ip"):
        server["host_ip"] = host
    return server
