"""What a running job may know of itself: `suan.context()`, read from the environment.

The site's agent sets the variables. Outside a job every field has the value of a run by
one process in the current directory, so that the same script also works on a laptop.
Standard library only: the environment of a job need not have the rest of suan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from suan.job_commits import commit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobContext:
    """One process of a job. Paths are absolute; `deadline` is in wall seconds, 0.0: none."""

    job_id: str  # "": not in a job
    job_name: str
    attempt: int
    site: str
    tenant: str
    array_id: str
    array_index: int
    num_nodes: int
    node_rank: int
    node_addresses: tuple[str, ...]
    accelerator_model: str
    accelerators_per_node: int
    rank: int
    local_rank: int
    world_size: int
    main_address: str
    main_port: int
    dataset_path: Path
    output_path: Path
    checkpoint_path: Path
    scratch_path: Path
    deadline: float
    preempted_count: int
    commits: bool = False  # the site brings checkpoints to where other sites find them

    @property
    def in_job(self) -> bool:
        return bool(self.job_id)

    @property
    def is_main(self) -> bool:
        """True in exactly one process of the gang: the one to log and to write checkpoints."""
        return self.rank == 0

    def commit_checkpoint(self) -> None:
        """Say that what lies in `checkpoint_path` is whole: a state to go on from.

        For one process alone, when all have written. The site publishes it beside the job,
        and the next attempt begins with it, at another site too. Files may be replaced after
        that, but not be written to in place. Does nothing where nobody would publish it.
        Raises OSError.
        """
        if self.commits:
            commit(self.checkpoint_path, self.attempt)


def context(environment: Mapping[str, str] | None = None) -> JobContext:
    """The context of this process, from `environment` (default: that of the process).

    With one process per card, rank and world size count cards; with one per node, nodes.
    Raises ValueError, naming the variable, when a number is not one.
    """
    source = os.environ if environment is None else environment
    num_nodes = _integer(source, "SUAN_NUM_NODES", 1)
    node_rank = _integer(source, "SUAN_NODE_RANK", 0)
    return JobContext(
        job_id=source.get("SUAN_JOB_ID", ""),
        job_name=source.get("SUAN_JOB_NAME", ""),
        attempt=_integer(source, "SUAN_ATTEMPT", 1),
        site=source.get("SUAN_SITE", ""),
        tenant=source.get("SUAN_TENANT", ""),
        array_id=source.get("SUAN_ARRAY_ID", ""),
        array_index=_integer(source, "SUAN_ARRAY_INDEX", 0),
        num_nodes=num_nodes,
        node_rank=node_rank,
        node_addresses=tuple(source.get("SUAN_NODE_IPS", "127.0.0.1").split()),
        accelerator_model=source.get("SUAN_ACCELERATOR_MODEL", ""),
        accelerators_per_node=_integer(source, "SUAN_ACCELERATORS_PER_NODE", 0),
        rank=_integer(source, "RANK", node_rank),
        local_rank=_integer(source, "LOCAL_RANK", 0),
        world_size=_integer(source, "WORLD_SIZE", num_nodes),
        main_address=source.get("MASTER_ADDR", "127.0.0.1"),
        main_port=_integer(source, "MASTER_PORT", 29500),
        dataset_path=_path(source, "SUAN_DATA_DIR", "data"),
        output_path=_path(source, "SUAN_OUTPUT_DIR", "output"),
        checkpoint_path=_path(source, "SUAN_CHECKPOINT_DIR", "checkpoints"),
        scratch_path=_path(source, "SUAN_SCRATCH", "scratch"),
        deadline=_parsed(source, "SUAN_DEADLINE", 0.0, float),
        preempted_count=_integer(source, "SUAN_PREEMPTED_COUNT", 0),
        commits=source.get("SUAN_CHECKPOINT_COMMITS", "") == "1",
    )


def _parsed(source: Mapping[str, str], name: str, default: T, parse: Callable[[str], T]) -> T:
    text = source.get(name, "")
    try:
        return parse(text) if text else default
    except ValueError as error:
        raise ValueError(f"{name} is {text!r}, not a number") from error


def _integer(source: Mapping[str, str], name: str, default: int) -> int:
    return _parsed(source, name, default, int)


def _path(source: Mapping[str, str], name: str, default: str) -> Path:
    return Path(source.get(name) or default).absolute()
