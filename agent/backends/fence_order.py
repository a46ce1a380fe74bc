"""What the fence is told to do: each process with its script, environment, place and output.

A function of the order and of where things will lie; its result becomes order.json. Of the
machine it asks only which shell there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.backends import Launch, RunOrder, Stream
from agent.backends.rundir import RunDirectory
from agent.environment import Places, Surroundings, job_environment

Process = dict[str, Any]  # one entry of order.json; see `agent.fence`
Make = Callable[[str, str, int, int], Process]  # of label, script, node rank and local rank


@dataclass(frozen=True, slots=True)
class Lasting:
    """Places of a job that do not lie in its run's directory, or need not. Absolute."""

    data: str
    output: str
    checkpoint: str


def fence_order(
    order: RunOrder,
    surroundings: Surroundings,
    run: RunDirectory,
    directory: str,
    lasting: Lasting,
) -> dict[str, Any]:
    """The document of order.json for a run that starts its processes in `directory`."""
    per_card = order.launch is Launch.PER_CARD
    ranks_per_node = order.cards_per_node if per_card else 1

    def process(label: str, script: str, node_rank: int, local_rank: int) -> Process:
        places = Places(
            data=lasting.data,
            output=lasting.output,
            checkpoint=lasting.checkpoint,
            scratch=str(run.scratch / str(node_rank)),
            hostfile=str(run.hostfile),
        )
        of_card = local_rank if per_card and script == "run.sh" else None
        rank = node_rank * ranks_per_node + local_rank
        native = {
            "label": label,
            "argv": [_shell(), str(run.path / script)],
            "environment": job_environment(order, surroundings, places, node_rank, of_card),
            "directory": directory,
            "stdout": str(run.log(rank, Stream.STDOUT)),
            "stderr": str(run.log(rank, Stream.STDERR)),
        }
        if (container := surroundings.container) is None:
            return native
        return container.wrap(str(run.path / script), native)

    return {
        "master_port": surroundings.master_port,
        "time_limit_seconds": order.time_limit_seconds,
        "grace_seconds": order.grace_seconds,
        "places": {"outputs": lasting.output, "checkpoints": lasting.checkpoint},
        "phases": [*_setups(order, process), _ranks(order, ranks_per_node, process)],
    }


def _setups(order: RunOrder, process: Make) -> list[list[Process]]:
    """Once on each node, one after the other: on one machine they share their files."""
    if not order.setup:
        return []
    return [
        [process(f"setup on {node.name}", "setup.sh", node_rank, 0)]
        for node_rank, node in enumerate(order.nodes)
    ]


def _ranks(order: RunOrder, ranks_per_node: int, process: Make) -> list[Process]:
    return [
        process(f"rank {node_rank * ranks_per_node + local}", "run.sh", node_rank, local)
        for node_rank in range(len(order.nodes))
        for local in range(ranks_per_node)
    ]


def _shell() -> str:
    shells = ("/bin/bash", "/usr/bin/bash")
    return next((shell for shell in shells if Path(shell).exists()), "/bin/sh")
