"""What an sbatch script asks for, as `num_nodes` and `resources` of a job file.

Slurm counts per job, per task, per CPU or per card; a job file counts per node.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from suan.jobspec import sbatch
from suan.jobspec.catalogue import Catalogue
from suan.jobspec.directives import Directives
from suan.jobspec.limits import VARIANTS_MAX, Fault
from suan.jobspec.sbatch import Gres

_KINDS = ("gpu", "dcu", "npu")


@dataclass(frozen=True, slots=True)
class Resources:
    """Per node, but `num_nodes`; `wants` are TYPE:COUNT, none when no card is asked for."""

    num_nodes: int
    wants: tuple[str, ...]
    cpus: int  # 0: not stated
    memory: str  # with unit; empty: not stated

    def keys(self) -> dict[str, object]:
        """The map under `resources`."""
        several = len(self.wants) > 1
        keys: dict[str, object] = {
            "accelerators": {"any_of": list(self.wants)} if several else self.wants[0],
            "cpus": self.cpus,
            "memory": self.memory,
        }
        return {key: value for key, value in keys.items() if value}


def take_resources(directives: Directives, catalogue: Catalogue) -> Resources:
    tasks_per_node = directives.take("ntasks-per-node", sbatch.count)
    tasks = directives.take("ntasks", sbatch.count)
    nodes = _nodes(directives, tasks, tasks_per_node)
    tasks_here = tasks_per_node or math.ceil((tasks or 0) / nodes)
    cards = _cards(directives, nodes, tasks_here)
    cards_here = cards.count if cards else 0
    cpus = _cpus(directives, tasks_here, cards_here)
    return Resources(
        num_nodes=nodes,
        wants=_wants(directives, cards, catalogue) if cards else (),
        cpus=cpus,
        memory=_memory(directives, cpus, cards_here),
    )


def _nodes(directives: Directives, tasks: int | None, tasks_per_node: int | None) -> int:
    if text := directives.take("nodes", str):
        least, dash, _ = text.partition("-")
        if dash:
            directives.note(f"--nodes={text}: the least number of nodes is taken")
        if least.isdigit() and int(least[:9]) > 0:
            return int(least[:9])
        directives.note(f"--nodes={text}: not a number of nodes, 1 is taken")
    if tasks and tasks_per_node:
        return math.ceil(tasks / tasks_per_node)
    return 1


def _cards(directives: Directives, nodes: int, tasks_per_node: int) -> Gres | None:
    """The cards per node. Of several statements the most exact counts, as in Slurm."""
    per_node = directives.take("gpus-per-node", _gpus)
    listed = directives.take("gres", sbatch.gres_list) or []
    listed += directives.take("tres-per-node", sbatch.gres_list) or []
    in_all = directives.take("gpus", _gpus)
    per_task = directives.take("gpus-per-task", _gpus)
    known = [item for item in listed if item.name in _KINDS]
    for item in [item for item in listed if item.name not in _KINDS] + known[1:]:
        directives.note(f"--gres={item.name}: has no counterpart")
    if per_node or known:
        found = per_node or known[0]
    elif in_all:
        found = Gres(in_all.name, in_all.type, math.ceil(in_all.count / nodes))
        if in_all.count != found.count * nodes:
            directives.note(f"--gpus={in_all.count}: rounded up to {found.count} on each node")
    elif per_task:
        found = Gres(per_task.name, per_task.type, per_task.count * max(tasks_per_node, 1))
    else:
        return None
    return found if found.count else None


def _gpus(text: str) -> Gres:
    """'4' or 'a100:4'."""
    return sbatch.gres(f"gpu:{text}")


def _wants(directives: Directives, cards: Gres, catalogue: Catalogue) -> tuple[str, ...]:
    """The model that the type names; without one, every model of the kind."""
    resolved = catalogue.resolve(f"{cards.name}:{cards.type}") or catalogue.resolve(cards.type)
    if cards.type and resolved:
        return (f"{resolved}:{cards.count}",)
    models = [model for model in catalogue.models() if catalogue.kind(model) == cards.name]
    reason = f"the type {cards.type} is unknown" if cards.type else "no type is stated"
    directives.note(f"{cards.name}:{cards.count}: {reason}, so any {cards.name} may do; cut any_of")
    return tuple(f"{model}:{cards.count}" for model in models[:VARIANTS_MAX])


def _cpus(directives: Directives, tasks_per_node: int, cards: int) -> int:
    per_task = directives.take("cpus-per-task", sbatch.count)
    per_card = directives.take("cpus-per-gpu", sbatch.count)
    if per_task:
        return per_task * max(tasks_per_node, 1)
    return per_card * cards if per_card else tasks_per_node


def _memory(directives: Directives, cpus: int, cards: int) -> str:
    per_node = directives.take("mem", _memory_mib)
    per_cpu = directives.take("mem-per-cpu", _memory_mib)
    per_card = directives.take("mem-per-gpu", _memory_mib)
    if per_node == 0:
        directives.note("--mem=0: all of a node's memory cannot be asked for by name")
    mib = per_node or (per_cpu or 0) * max(cpus, 1) or (per_card or 0) * cards
    if not mib:
        return ""
    return f"{mib // 1024}GiB" if mib % 1024 == 0 else f"{mib}MiB"


def _memory_mib(text: str) -> int:
    """Slurm's sizes: a number with K, M (default), G or T, in powers of two; rounded up."""
    match = re.fullmatch(r"([0-9]{1,12})([KMGT]?)B?", text, re.IGNORECASE)
    if match is None:
        raise Fault("BadSize", "is not a size of Slurm's")
    return math.ceil(int(match[1]) * {"K": 2**-10, "G": 2**10, "T": 2**20}.get(match[2].upper(), 1))
