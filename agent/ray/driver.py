# ruff: noqa: PTH118, PTH120, PTH110, PTH123
"""What a submission to Ray runs: it starts the fence of each node, and waits for all of them.

    python3 driver.py STATE_DIRECTORY RUN_NAME

Needs Python 3.8, `node.py` and `fence.py` beside it and, for more than one node, the cluster's
ray. A fence leaves whatever Ray may kill: it is started by `node`, held by this process or by
a task on its node, and told to end when its holder is gone. Ends with 0 when the job did, with
ENDED_BADLY when every part of it is over and one failed, and else with why that is not certain.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, List  # noqa: UP035 - Python 3.8

ENDED_BADLY = 3  # every fence has ended
UNPROVEN = 70  # a fence may live that nobody holds
NODE_LOST = 71  # with a task of ours
OUT_OF_MEMORY = 72  # Ray killed a task of ours for it
NOT_PLACED = 73  # in time
LOOK_SECONDS = 2.0  # between two looks whether it still waits for a reason


def hold(command: List[str]) -> int:  # noqa: UP006
    """Start `node` and hold it until all is over there; its exit status, or UNPROVEN."""

    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.read()  # until it ends, which is not our child any more
    process.wait()
    return int(said) if said.isdigit() else UNPROVEN


def node_command(python: str, state: str, name: str, rank: int) -> List[str]:  # noqa: UP006
    node = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node.py")  # noqa: PTH100
    return [python, "-I", "-S", node, state, name, str(rank)]


def run_gang(state: str, name: str, plan: Any) -> int:
    """On the nodes of a placement group, which is there whole or not at all."""
    import ray
    from ray.util.placement_group import placement_group

    # Not nicer than other processes of the node, as Ray's workers are by default.
    calm = {"env_vars": {"RAY_worker_niceness": "0"}}
    ray.init(address="auto", log_to_driver=False, runtime_env=calm)
    group = placement_group(
        plan["bundles"],
        strategy="STRICT_SPREAD",
        name=name,
        bundle_label_selector=[{"ray.io/node-id": node} for node in plan["nodes"]],
    )
    end = time.monotonic() + plan["wait_seconds_max"]
    while not group.wait(LOOK_SECONDS):
        if time.monotonic() > end or is_over(state, name):
            return NOT_PLACED
    holding = {
        task_on(ray, group, rank, bundle).remote(node_command("", state, name, rank)): rank
        for rank, bundle in enumerate(plan["bundles"])
    }
    statuses = []
    while holding:
        (ready, *_), _ = ray.wait(list(holding), num_returns=1)
        statuses.append(outcome(ray, ready, state, name, holding.pop(ready)))
    return max(statuses)


def task_on(ray: Any, group: Any, rank: int, bundle: Any) -> Any:
    """A task that takes all of a bundle. Its Python is that of the node's Ray."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    def hold_there(command: Any) -> int:
        return hold([sys.executable, *command[1:]])

    others = {k: v for k, v in bundle.items() if k not in ("CPU", "GPU", "memory")}
    return ray.remote(hold_there).options(
        num_cpus=bundle.get("CPU", 0),
        num_gpus=bundle.get("GPU", 0),
        memory=bundle.get("memory", 0),
        resources=others,
        max_retries=0,
        scheduling_strategy=PlacementGroupSchedulingStrategy(group, rank),
    )


def outcome(ray: Any, task: Any, state: str, name: str, rank: int) -> int:
    """The exit status for a part that is over; if its holder died the others are told to end."""
    try:
        status = ray.get(task)
        return ENDED_BADLY if status == 1 else int(status)
    except ray.exceptions.OutOfMemoryError:
        status, why = OUT_OF_MEMORY, f"Ray says node {rank} has no memory left"
    except ray.exceptions.RayError as error:
        status, why = NODE_LOST, f"Ray says node {rank} is lost ({type(error).__name__})"
    print(why, flush=True)
    for part in os.listdir(os.path.join(state, "runs", name, "nodes")):  # noqa: PTH208
        stop = os.path.join(state, "runs", name, "nodes", part, "stop")
        if part != str(rank) and not os.path.exists(stop):
            with open(stop + ".driver", "w", encoding="utf-8") as file:
                file.write(why)
            os.replace(stop + ".driver", stop)  # noqa: PTH105
    return status


def is_over(state: str, name: str) -> bool:
    """Whether the agent has ended the run, so that nothing of it may begin."""
    run = os.path.join(state, "runs", name)
    return not os.path.exists(run) or os.path.exists(os.path.join(run, "exit.json"))


def main(arguments: List[str]) -> int:  # noqa: UP006
    state, name = arguments
    with open(os.path.join(state, "runs", name, "ray.json"), encoding="utf-8") as file:
        plan = json.load(file)
    if not plan["alone"]:
        return run_gang(state, name, plan)
    status = hold(node_command(sys.executable, state, name, 0))
    return ENDED_BADLY if status == 1 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
