"""How a run is put to Slurm: the options of `sbatch` and the script it gets. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.backends import BackendRefused, RunOrder
from agent.backends.rundir import RunDirectory

SLURM_MARGIN_SECONDS = 60.0  # Slurm's own limit lies this far behind the fence's


@dataclass(frozen=True, slots=True)
class NodePlace:
    """How to ask Slurm for cards of one node."""

    partition: str
    gres: str  # "npu:910b"; "": it has none
    cpus_per_card: int = 1
    memory_mib_per_card: int = 0  # 0: the partition's default


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """The site's rules for runs of ours."""

    places: Mapping[str, NodePlace]  # by node
    accounts: Mapping[str, str] = field(default_factory=dict)  # Slurm's account by tenant
    account: str = ""  # of every other tenant; "": Slurm's default
    python: str = "python3"  # on the nodes; 3.8 or later


def sbatch_arguments(order: RunOrder, run: RunDirectory, settings: SlurmSettings) -> list[str]:
    """The options of `sbatch` for a run. Raises BackendRefused (BadShape)."""
    place = _place(order, settings)
    cards = max(order.cards_per_node, 1)
    count = len(order.nodes)
    arguments = [
        "--parsable",
        f"--job-name={order.name}",
        f"--partition={place.partition}",
        f"--nodes={count}-{count}",
        f"--ntasks={count}",
        "--ntasks-per-node=1",
        f"--nodelist={','.join(node.name for node in order.nodes)}",
        f"--cpus-per-task={place.cpus_per_card * cards}",
        f"--output={run.path / 'slurm.log'}",
        "--open-mode=append",
        f"--chdir={run.path}",
        "--no-requeue",
    ]
    if place.gres and order.cards_per_node:
        arguments.append(f"--gres={place.gres}:{order.cards_per_node}")
    if place.memory_mib_per_card:
        arguments.append(f"--mem={place.memory_mib_per_card * cards}M")
    if order.time_limit_seconds:
        seconds = order.time_limit_seconds + order.grace_seconds + SLURM_MARGIN_SECONDS
        arguments.append(f"--time={math.ceil(seconds / 60)}")
    if account := settings.accounts.get(order.tenant, settings.account):
        arguments.append(f"--account={account}")
    return arguments


def batch_script(order: RunOrder, state: Path, tools: Path, settings: SlurmSettings) -> str:
    """One step with one task on each node; a node that ends does not end the others' grace."""
    place = _place(order, settings)
    command = [
        "srun",
        "--ntasks-per-node=1",
        f"--cpus-per-task={place.cpus_per_card * max(order.cards_per_node, 1)}",
        "--kill-on-bad-exit=0",
        "--wait=0",
        settings.python,
        "-I",
        "-S",
        str(tools / "node.py"),
        str(state),
        order.name,
    ]
    return f"#!/bin/sh\nexec {shlex.join(command)}\n"


def _place(order: RunOrder, settings: SlurmSettings) -> NodePlace:
    places = {settings.places.get(node.name) for node in order.nodes}
    place = next(iter(places))
    if place is None or len(places) != 1:
        raise BackendRefused(
            "BadShape",
            "the gang's nodes are not of one partition and kind of card",
            "the site's partitions have changed; let the agent read them again",
        )
    return place
