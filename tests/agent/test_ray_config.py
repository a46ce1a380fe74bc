"""The `ray` record of agent.yaml: what it says, and every way in which it can be wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.assembly import profile_of
from agent.cluster import cluster_of
from agent.config.file import AgentConfig, load_config
from agent.policy import PoolPolicy
from agent.ray.backend import RayBackend
from agent.ray.capacity import PoolOffer
from agent.ray.config import OFFER, RAY
from agent.ray.survey import RaySurvey
from suan.catalogue import load
from suan.errors import InvalidSpec, Problem

LEAST = """\
site: guiyang
broker: broker.example.cn:443
state_dir: state
backend: ray
ray: {shared_dir: shared}
"""
WHOLE = """\
site: guiyang
broker: broker.example.cn:443
state_dir: state
backend: ray
ray:
  shared_dir: /lustre/suan 共享
  address: https://ray.example.cn/head
  token_file: ray.token
  python: /opt/ray/bin/python
  pools:
    - DCU
    - resource: accelerator_type:Ascend910B3
      pool: npu-train
      share: 0.5
      supernode_nodes: 8
      yuan_per_card_hour: 6.2
      utilisation: 0.45
      linearity: {64: 0.9, 8: 0.99}
      software: [cann-8.1]
  accelerators: {DCU: hygon-k100, "accelerator_type:Ascend910X": 910B3}
  supernode: huawei.com/superpod
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
    ray = config.ray
    assert ray is not None
    assert config.runs_dir == tmp_path / "shared"
    assert (ray.address, ray.token_file, ray.python) == ("http://127.0.0.1:8265", "", "python3")
    assert (ray.pools, ray.poll_seconds, ray.wait_seconds_max) == ((), 30.0, 600.0)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    ray = read(tmp_path, WHOLE).ray
    assert ray is not None
    assert ray.token_file == str(tmp_path / "ray.token")
    assert ray.pools == (
        PoolOffer("DCU"),
        PoolOffer(
            "accelerator_type:Ascend910B3",
            "npu-train",
            8,
            6.2,
            0.45,
            ((8, 0.99), (64, 0.9)),
            ("cann-8.1",),
            PoolPolicy(0.5),
        ),
    )
    named = {"DCU": "hygon-k100", "accelerator_type:Ascend910X": "ascend-910b"}
    assert dict(ray.accelerators) == named
    assert ray.supernode == "huawei.com/superpod"


def test_what_is_made_of_it(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    cluster = cluster_of(config, {})
    assert isinstance(cluster.survey, RaySurvey)
    assert cluster.survey.settings().python == "/opt/ray/bin/python"
    assert isinstance(cluster.backend, RayBackend)
    assert profile_of(config, "").backend == "ray"


def less(text: str) -> str:
    return LEAST.replace("ray: {shared_dir: shared}", text)


def whole(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new)


POOLS = "pools: [{name: a, accelerator: 910b, nodes: 1, cards_per_node: 8}]\n"
WRONG = [
    (less("ray: {}"), 5, "ray.shared_dir", "MissingKey", "head"),
    (less(""), 1, "ray", "MissingKey", "shared_dir"),
    (LEAST.replace("backend: ray", ""), 5, "ray", "WrongKey", "backend: ray"),
    (LEAST + POOLS, 6, "pools", "WrongKey", "ray.pools"),
    (whole("https://ray.example.cn/head", "ray:6379"), 7, "ray.address", "BadText", ""),
    (whole("share: 0.5", "share: 50"), 14, "ray.pools[1].share", "OutOfRange", ""),
    (whole("- DCU", "- resource: DCU\n      name: x"), 12, "ray.pools[0].name", "UnknownKey", ""),
    (whole("- DCU", '- "accelerator_type:Ascend910B3"'), 5, "ray", "DuplicateName", ""),
    (whole("910B3}", "910d}"), 20, None, "UnknownAccelerator", "did you"),
]


@pytest.mark.parametrize(("text", "line", "path", "code", "advice"), WRONG)
def test_what_is_wrong(
    tmp_path: Path, text: str, line: int, path: str | None, code: str, advice: str
) -> None:
    told = [each for each in problems(tmp_path, text) if each.code == code and each.line >= line]
    assert [each for each in told if path in (None, each.path) and advice in each.hint]


def test_the_page_for_operators_shows_a_file_that_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sites" / "ray.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = read(tmp_path, block)
    assert config.ray is not None
    assert [offer.resource for offer in config.ray.pools] == ["NPU", "DCU"]
    assert {field.name for field in (*RAY.fields, *OFFER.fields)} >= set(
        re.findall(r"^\| `(?:pools\[\]\.)?([a-z_]+)`", page, re.MULTILINE)
    )
