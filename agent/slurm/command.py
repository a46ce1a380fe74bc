"""How a run is put to Slurm: the options of `sbatch` and the script it gets. Pure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.backends import BackendRefused, RunOrder
from agent.backends.account import Account, Accounts
from agent.backends.rundir import RunDirectory
from agent.environment import PATH_DEFAULT

SLURM_MARGIN_SECONDS = 60.0  # Slurm's own limit lies this far behind the fence's


@dataclass(frozen=True, slots=True)
class NodePlace:
    """How to ask Slurm for cards of one node."""

    partition: str
    gres: str  # "npu:910b"; "": it has none
    cpus_per_card: int = 1
    memory_mib_per_card: int = 0  # 0: the partition's default
    seconds_max: float = 0.0  # of a job there; 0: no limit


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """The site's rules for runs of ours."""

    places: Mapping[str, NodePlace] = field(default_factory=dict)  # by node
    accounts: Mapping[str, str] = field(default_factory=dict)  # Slurm's account by tenant
    account: str = ""  # of every other tenant; "": Slurm's default
    python: str = "python3"  # on the nodes; 3.8 or later
    users: Accounts = field(default_factory=Accounts)  # whose jobs they are; empty: the agent's
    path: str = PATH_DEFAULT  # where a job of another user finds Slurm's own commands

    def with_places(self, places: Mapping[str, NodePlace]) -> SlurmSettings:
        """The same rules for other nodes."""
        return replace(self, places=places)


def sbatch_arguments(order: RunOrder, run: RunDirectory, settings: SlurmSettings) -> list[str]:
    """The options of `sbatch` for a run.

    Raises BackendRefused: "BadShape", "TenantNotMapped", "AccountUnusable".
    """
    place = _place(order, settings)
    count = len(order.nodes)
    arguments = [
        "--parsable",
        f"--job-name={order.name}",
        f"--partition={place.partition}",
        f"--nodes={count}-{count}",
        f"--ntasks={count}",
        "--ntasks-per-node=1",
        f"--nodelist={','.join(node.name for node in order.nodes)}",
        f"--cpus-per-task={_cpus(order, place)}",
        f"--output={run.path / 'slurm.log'}",
        "--open-mode=append",
        f"--chdir={run.path}",
        "--no-requeue",
    ]
    if place.gres and order.cards_per_node:
        arguments.append(f"--gres={place.gres}:{order.cards_per_node}")
    if memory_mib := _memory_mib(order, place):
        arguments.append(f"--mem={memory_mib}M")
    arguments.append(f"--time={_time_limit(order, place)}")
    if account := settings.accounts.get(order.tenant, settings.account):
        arguments.append(f"--account={account}")
    if (user := settings.users.of(order.tenant)) is not None:
        arguments += _as_user(user)
    return arguments


def _as_user(user: Account) -> list[str]:
    """The job, and its fence, are his from the first process on; nothing of ours is exported."""
    return [f"--uid={user.uid}", f"--gid={user.gid}", "--export=NIL"]


def batch_script(order: RunOrder, state: Path, tools: Path, settings: SlurmSettings) -> str:
    """One step with one task on each node; a node that ends does not end the others' grace.

    On one node the batch job itself is that task.
    """
    place = _place(order, settings)
    task = [settings.python, "-I", "-S", str(tools / "node.py"), str(state), order.name]
    step = [
        "srun",
        "--ntasks-per-node=1",
        f"--cpus-per-task={_cpus(order, place)}",
        "--kill-on-bad-exit=0",
        "--wait=0",
    ]
    command = task if len(order.nodes) == 1 else [*step, *task]
    path = f"PATH={shlex.quote(settings.path)}\nexport PATH\n" if settings.users else ""
    return f"#!/bin/sh\n{path}exec {shlex.join(command)}\n"


def _cpus(order: RunOrder, place: NodePlace) -> int:
    """Of a node: what goes with the cards, or more if the job wants more."""
    return max(place.cpus_per_card * max(order.cards_per_node, 1), order.cpus_per_node)


def _memory_mib(order: RunOrder, place: NodePlace) -> int:
    """Of a node; 0: the partition's default."""
    with_cards = place.memory_mib_per_card * max(order.cards_per_node, 1)
    return max(with_cards, math.ceil(order.memory_gib_per_node * 1024))


def _time_limit(order: RunOrder, place: NodePlace) -> str:
    """In minutes, within what the partition allows: more would never start there.

    Without it Slurm would take the partition's default, which may be short.
    """
    seconds = order.time_limit_seconds
    if seconds:
        seconds += order.grace_seconds + SLURM_MARGIN_SECONDS
    if place.seconds_max and not 0 < seconds < place.seconds_max:
        return str(int(place.seconds_max // 60))
    return str(math.ceil(seconds / 60)) if seconds else "UNLIMITED"


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
