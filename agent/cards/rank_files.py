"""Writes the table of ranks of an Ascend job before it starts, from what the operator declared.

A cluster manager that numbers cards for itself (Slurm, Ray) chooses them when the job begins; so
beside it a table is written only for gangs that hold all devices of their nodes. A job that
brings a RANK_TABLE_FILE of its own keeps it, and one in a container image, which would not see
the file, gets none.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from agent.backends import BackendRefused, NodeShare, RunOrder
from agent.cards.ranktable import RankServer, ranktable
from agent.config.ranktables import RankTableConfig

VARIABLE = "RANK_TABLE_FILE"
DIRECTORY = "ranktables"  # beside the runs

log = logging.getLogger(__name__)


class RankFiles:
    """The tables of the runs of one site."""

    def __init__(self, config: RankTableConfig, runs_dir: Path, whole_nodes_only: bool) -> None:
        self._config = config
        self._place = runs_dir / DIRECTORY
        self._whole_nodes_only = whole_nodes_only
        self._told: set[str] = set()

    def complete(self, order: RunOrder) -> RunOrder:
        """The order with its table, where it gets one. Raises BackendRefused (Unavailable)."""
        if order.kind != "npu" or order.image or VARIABLE in dict(order.environment):
            return order
        servers = [self._server(node) for node in order.nodes]
        known = [server for server in servers if server is not None]
        table = ranktable(known, self._config.version) if len(known) == len(servers) else ""
        if not table:
            return order
        path = self._place / f"{order.name}.json"
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            self._place.chmod(0o755)  # whose job it is reads it, under an account of his own
            new = path.with_suffix(".new")
            new.write_text(table, "utf-8")
            new.chmod(0o644)
            new.replace(path)
        except OSError as error:
            message = f"the table of ranks could not be written: {error}"
            raise BackendRefused("Unavailable", message, "check the disk") from error
        return replace(order, environment=(*order.environment, (VARIABLE, str(path))))

    def remove(self, name: str) -> None:
        """Of a run that is forgotten."""
        (self._place / f"{name}.json").unlink(missing_ok=True)

    def _server(self, share: NodeShare) -> RankServer | None:
        node = self._config.nodes.get(share.name)
        if node is None:
            self._tell(f"ranktable.nodes says nothing of {share.name}")
            return None
        if max(share.devices, default=0) >= len(node.devices):
            message = f"ranktable.nodes names {len(node.devices)} devices of {share.name}"
            self._tell(f"{message}, but it has more")
            return None
        if self._whole_nodes_only and len(share.devices) < len(node.devices):
            return None  # which of them it will be nobody knows yet
        devices = tuple(node.devices[device] for device in share.devices)
        return RankServer(share.name, devices, share.address, node.super_pod)

    def _tell(self, why: str) -> None:
        """Each once."""
        if why not in self._told:
            self._told.add(why)
            log.warning("%s: its jobs get no table of ranks", why)
