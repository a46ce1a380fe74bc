"""The `slurm` record of agent.yaml: what it says, and every way in which it can be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.assembly import profile_of
from agent.cluster import cluster_of
from agent.config.file import AgentConfig, load_config
from agent.policy import PoolPolicy
from agent.slurm.backend import SlurmBackend
from agent.slurm.capacity import PartitionOffer
from agent.slurm.config import OFFER, SLURM
from agent.slurm.survey import SlurmSurvey
from suan.catalogue import load
from suan.errors import InvalidSpec, Problem

LEAST = """\
site: zhengzhou
broker: broker.example.cn:443
state_dir: state
backend: slurm
slurm: {shared_dir: shared}
"""
WHOLE = """\
site: zhengzhou
broker: broker.example.cn:443
state_dir: state
backend: slurm
internet: none
environment: {LANG: C.UTF-8}
tenants: {deny: [team-x]}
slurm:
  shared_dir: /lustre/suan 共享
  conf: /etc/slurm/slurm.conf
  python: /opt/python3.11/bin/python3
  partitions:
    - ascend
    - name: dcu_k100
      pool: dcu-train
      share: 0.5
      supernode_nodes: 8
      yuan_per_card_hour: 4.1
      utilisation: 0.45
      linearity: {64: 0.9, 8: 0.99}
  accelerators: {dcu: hygon-k100, "npu:a2": 910B3}
  accounts: {team-a: lab, team-b/llm: lab_llm}
  account: guests
  wait_seconds_max: 300
  poll_seconds: 60
"""


def read(folder: Path, text: str) -> AgentConfig:
    path = folder / "agent.yaml"
    path.write_text(text)
    return load_config(path, load())


def problems(folder: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSpec) as caught:
        read(folder, text)
    return caught.value.problems


def test_the_least_that_works(tmp_path: Path) -> None:
    config = read(tmp_path, LEAST)
    assert config.slurm is not None
    assert config.runs_dir == tmp_path / "shared"
    assert (config.pools, config.rules, dict(config.job_environment)) == ((), (), {})
    assert (config.slurm.python, config.slurm.partitions) == ("python3", ())
    assert (config.slurm.poll_seconds, config.slurm.wait_seconds_max) == (30.0, 600.0)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    slurm = config.slurm
    assert slurm is not None
    assert config.runs_dir == Path("/lustre/suan 共享")
    assert (slurm.conf, slurm.python) == ("/etc/slurm/slurm.conf", "/opt/python3.11/bin/python3")
    assert slurm.partitions == (
        PartitionOffer("ascend"),
        PartitionOffer(
            *("dcu_k100", "dcu-train", 8, 4.1, 0.45, ((8, 0.99), (64, 0.9))),
            policy=PoolPolicy(0.5),
        ),
    )
    assert dict(slurm.accelerators) == {"dcu": "hygon-k100", "npu:a2": "ascend-910b"}
    assert dict(slurm.accounts) == {"team-a": "lab", "team-b/llm": "lab_llm"}
    assert (slurm.account, slurm.wait_seconds_max, slurm.poll_seconds) == ("guests", 300.0, 60.0)
    assert config.rules == ("no internet on the nodes",)
    assert dict(config.job_environment) == {"LANG": "C.UTF-8", "HF_HUB_OFFLINE": "1"}


def test_what_is_made_of_it(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    cluster = cluster_of(config, {})
    survey = cluster.survey
    assert isinstance(survey, SlurmSurvey)
    settings = survey.settings()
    assert (settings.account, dict(settings.accounts)["team-a"]) == ("guests", "lab")
    assert settings.python == "/opt/python3.11/bin/python3"
    assert survey.rules == config.rules
    assert isinstance(cluster.backend, SlurmBackend)
    assert profile_of(config, "").backend == "slurm"


def less(text: str) -> str:
    return LEAST.replace("slurm: {shared_dir: shared}", text)


def whole(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new)


POOLS = "pools: [{name: a, accelerator: 910b, nodes: 1, cards_per_node: 8}]\n"
WRONG = [
    (less("slrum: {}"), 5, "slrum", "UnknownKey", "slurm"),
    (less("slurm: {}"), 5, "slurm.shared_dir", "MissingKey", "all nodes"),
    (less("slurm: {state_dir: a}"), 5, "slurm.state_dir", "UnknownKey", "shared_dir"),
    (less(""), 1, "slurm", "MissingKey", "shared_dir"),
    (LEAST.replace("backend: slurm", ""), 5, "slurm", "WrongKey", "backend: slurm"),
    (LEAST + POOLS, 6, "pools", "WrongKey", "slurm.partitions"),
    (whole("share: 0.5", "share: 50"), 16, "slurm.partitions[1].share", "OutOfRange", ""),
    (whole("pool: dcu", "pol: dcu"), 15, "slurm.partitions[1].pol", "UnknownKey", "pool"),
    (whole("- ascend", "- dcu_k100"), 9, "slurm", "DuplicateName", ""),
    (whole("pool: dcu-train", "pool: ascend"), 9, "slurm", "DuplicateName", ""),
    (whole("910B3", "910d"), 21, "slurm.accelerators.npu:a2", "UnknownAccelerator", "did you"),
    (whole("team-a: lab", "team-a: la b"), 22, "slurm.accounts.team-a", "BadText", ""),
    (whole("conf: ", "gres: "), 10, "slurm.gres", "UnknownKey", "accelerators"),
    (whole("internet: none", "internet: nome"), 5, "internet", "UnknownWord", "none"),
]


@pytest.mark.parametrize(("text", "line", "path", "code", "advice"), WRONG)
def test_what_is_wrong(
    tmp_path: Path, text: str, line: int, path: str, code: str, advice: str
) -> None:
    found = {(each.line, each.path, each.code): each for each in problems(tmp_path, text)}
    assert (line, path, code) in found
    assert advice in found[line, path, code].hint


def test_the_page_for_operators_shows_a_file_that_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sites" / "slurm.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = read(tmp_path, block)
    assert config.slurm is not None
    assert [offer.partition for offer in config.slurm.partitions] == ["ascend", "hygon"]
    assert {field.name for field in (*SLURM.fields, *OFFER.fields)} >= set(
        re.findall(r"^\| `(?:partitions\[\]\.)?([a-z_]+)`", page, re.MULTILINE)
    )
