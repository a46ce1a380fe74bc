"""What a job finds in its environment, variable by variable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.backends import Launch, NodeShare, RunOrder
from agent.environment import Places, Surroundings, hostfile, job_environment
from suan.job_context import context

ORDER = RunOrder(
    name="suan-j1-3",
    job_id="j1",
    epoch=3,
    site="zhengzhou",
    nodes=(NodeShare("n0", "10.0.0.1", (4, 5)), NodeShare("n1", "10.0.0.2", (0, 1))),
    cards_per_node=2,
    run="true",
    job_name="qwen-sft",
    tenant="team-a",
    model="hygon-bw1000",
    kind="dcu",
    preempted_count=2,
)
PLACES = Places("/data", "/out", "/ckpt", "/scratch", "/hosts")
SURROUNDINGS = Surroundings(
    agent={"PATH": "/opt/bin", "HOME": "/home/a", "AWS_SECRET_ACCESS_KEY": "s3cret"},
    site={"HF_HUB_OFFLINE": "1"},
    master_port=23456,
    deadline_at=0.0,
)


def found(
    node_rank: int = 0,
    local_rank: int | None = None,
    site: dict[str, str] | None = None,
    deadline_at: float = 0.0,
    **fields: Any,
) -> dict[str, str]:
    surroundings = replace(SURROUNDINGS, deadline_at=deadline_at)
    if site is not None:
        surroundings = replace(surroundings, site=site)
    return job_environment(replace(ORDER, **fields), surroundings, PLACES, node_rank, local_rank)


def test_everything_that_is_always_there() -> None:
    assert found(1) == {
        "PATH": "/opt/bin",
        "HOME": "/home/a",
        "HF_HUB_OFFLINE": "1",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "23456",
        "HIP_VISIBLE_DEVICES": "0,1",
        "SUAN_JOB_ID": "j1",
        "SUAN_JOB_NAME": "qwen-sft",
        "SUAN_ATTEMPT": "3",
        "SUAN_SITE": "zhengzhou",
        "SUAN_TENANT": "team-a",
        "SUAN_PREEMPTED_COUNT": "2",
        "SUAN_NUM_NODES": "2",
        "SUAN_NODE_RANK": "1",
        "SUAN_NODE_IPS": "10.0.0.1\n10.0.0.2",
        "SUAN_ACCELERATORS_PER_NODE": "2",
        "SUAN_ACCELERATOR_KIND": "dcu",
        "SUAN_ACCELERATOR_MODEL": "hygon-bw1000",
        "SUAN_NUM_ACCELERATORS": "4",
        "SUAN_DATA_DIR": "/data",
        "SUAN_OUTPUT_DIR": "/out",
        "SUAN_CHECKPOINT_DIR": "/ckpt",
        "SUAN_SCRATCH": "/scratch",
        "SUAN_HOSTFILE": "/hosts",
    }


def test_ranks_only_with_one_process_per_card() -> None:
    variables = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    assert not found().keys() & set(variables)
    assert not found(launch=Launch.PER_CARD).keys() & set(variables)  # its setup, once per node
    rank = found(1, 1, launch=Launch.PER_CARD)
    assert [rank[name] for name in variables] == ["3", "4", "1", "2"]


def test_all_ranks_of_a_node_see_all_its_devices() -> None:
    """LOCAL_RANK picks among them: that is PyTorch's meaning."""
    seen = {found(0, rank, launch=Launch.PER_CARD)["HIP_VISIBLE_DEVICES"] for rank in (0, 1)}
    assert seen == {"4,5"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("npu", {"ASCEND_VISIBLE_DEVICES", "ASCEND_RT_VISIBLE_DEVICES"}),
        ("dcu", {"HIP_VISIBLE_DEVICES"}),
        ("gpu", {"CUDA_VISIBLE_DEVICES"}),
        ("", set()),
    ],
)
def test_devices_by_kind(kind: str, names: set[str]) -> None:
    given = {key: value for key, value in found(kind=kind).items() if "VISIBLE" in key}
    assert given == dict.fromkeys(names, "4,5")


def test_what_the_site_set_is_never_overwritten() -> None:
    site = {"HIP_VISIBLE_DEVICES": "7", "PATH": "/site/bin", "MASTER_PORT": "1"}
    given = found(site=site, environment=(("PATH", "/mine"),))
    assert {name: given[name] for name in site} == site


def test_the_user_sets_his_own_and_not_ours() -> None:
    wished = (
        ("LR", "1e-5"),
        ("MASTER_PORT", "4000"),
        ("RANK", "9"),
        ("SUAN_SITE", "moon"),
        ("CUDA_VISIBLE_DEVICES", "0,1,2,3"),
        ("HIP_VISIBLE_DEVICES", "0"),
    )
    given = found(environment=wished)
    assert (given["LR"], given["MASTER_PORT"], given["RANK"]) == ("1e-5", "4000", "9")
    assert given["SUAN_SITE"] == "zhengzhou"
    assert given["HIP_VISIBLE_DEVICES"] == "4,5"
    assert "CUDA_VISIBLE_DEVICES" not in given
    assert found(0, 0, launch=Launch.PER_CARD, environment=wished)["RANK"] == "0"


def test_no_secret_of_the_agent() -> None:
    assert "s3cret" not in "".join(found().values())


def test_deadline_and_array_where_there_are_any() -> None:
    assert found(deadline_at=1790000000.9)["SUAN_DEADLINE"] == "1790000000"
    given = found(array_id="a1", array_index=7)
    assert (given["SUAN_ARRAY_ID"], given["SUAN_ARRAY_INDEX"]) == ("a1", "7")
    assert not {"SUAN_DEADLINE", "SUAN_ARRAY_ID"} & found().keys()


def test_hostfile() -> None:
    assert hostfile(ORDER) == "10.0.0.1 slots=2\n10.0.0.2 slots=2\n"


def test_the_sdk_reads_what_we_write() -> None:
    given = context(found(1, 1, launch=Launch.PER_CARD, deadline_at=1790000000.0))
    assert (given.job_id, given.attempt, given.site) == ("j1", 3, "zhengzhou")
    assert (given.rank, given.world_size, given.local_rank) == (3, 4, 1)
    assert given.node_addresses == ("10.0.0.1", "10.0.0.2")
    assert (given.main_address, given.main_port) == ("10.0.0.1", 23456)
    assert (str(given.checkpoint_path), given.deadline) == ("/ckpt", 1790000000.0)
    assert (given.preempted_count, given.accelerators_per_node) == (2, 2)
