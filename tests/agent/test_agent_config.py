"""agent.yaml: what it says, and every way in which it can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.assembly import profile_of
from agent.config.fields import PROBE_KINDS
from agent.config.file import AgentConfig, load_config
from agent.inventory import DeclaredNode
from agent.probes.run import PROBES
from suan.catalogue import load
from suan.errors import InvalidRequest, InvalidSpec, Problem

MINIMAL = """\
site: zhengzhou
broker: broker.example.cn:443
state_dir: state
pools:
  - {name: dcu, accelerator: hygon-bw1000, nodes: 2, cards_per_node: 8}
"""
WHOLE = """\
site: shenzhen
broker: 127.0.0.1:7443
state_dir: /var/lib/suan 代理
identity_dir: /etc/suan/identity
city: shenzhen
region: south-china
backend: noop
node_address: 10.0.0.9
grace_seconds: 45
time_limit_seconds_max: 259200
probe_seconds: 60
pue: 1.15
grid_kg_per_kwh: 0.4
failures_per_card_day: 0.0003
restart_seconds: 90
tenants: {allow: [team-a, team-b], deny: [team-x]}
environment: {HF_HUB_OFFLINE: "1", LANG: C.UTF-8}
names: {Our Card: 910B3}
pools:
  - name: npu-train
    accelerator: Ascend 910C
    nodes: [a1, a2, a3]
    cards_per_node: 8
    supernode_nodes: 2
    cpus_per_node: 192
    memory_gib_per_node: 1536
    yuan_per_card_hour: 6.2
    utilisation: 0.45
    linearity: {1024: 0.93, 8: 0.99}
  - {name: gpu, accelerator: nvidia-h100, nodes: 1, cards_per_node: 8, probe: nvidia-smi}
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "agent.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str) -> AgentConfig:
    return load_config(written(folder, text), load())


def problems(folder: Path, text: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSpec) as caught:
        load_config(written(folder, text), load())
    return caught.value.problems


def test_the_least_that_works(tmp_path: Path) -> None:
    config = read(tmp_path, MINIMAL)
    assert (config.site, config.broker, config.city) == (
        "zhengzhou",
        "broker.example.cn:443",
        "zhengzhou",
    )
    assert config.state_dir == tmp_path / "state"
    assert config.identity_dir == tmp_path / "state" / "identity"
    assert (config.backend, config.node_address, config.grace_seconds) == (
        "process",
        "127.0.0.1",
        30.0,
    )
    (pool,) = config.declared_pools
    assert pool.nodes == (
        DeclaredNode("dcu-n0", "127.0.0.1", "dcu-s0"),
        DeclaredNode("dcu-n1", "127.0.0.1", "dcu-s1"),
    )
    assert (pool.accelerator, pool.kind, pool.cards) == ("hygon-bw1000", "dcu", 16)


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    assert config.state_dir == Path("/var/lib/suan 代理")
    assert config.identity_dir == Path("/etc/suan/identity")
    assert (config.backend, config.region, config.pue) == ("noop", "south-china", 1.15)
    assert (config.grace_seconds, config.time_limit_seconds_max) == (45.0, 259_200.0)
    assert (config.failures_per_card_day, config.restart_seconds) == (0.0003, 90.0)
    assert (config.probe_seconds, config.grid_kg_per_kwh) == (60.0, 0.4)
    assert config.tenants_allowed == ("team-a", "team-b")
    assert config.tenants_denied == ("team-x",)
    assert dict(config.environment) == {"HF_HUB_OFFLINE": "1", "LANG": "C.UTF-8"}
    assert dict(config.names) == {"Our Card": "ascend-910b"}
    train, gpu = config.pools
    assert (train.probe, gpu.probe) == ("", "nvidia-smi")
    pool = train.declared
    assert (pool.accelerator, pool.kind, pool.dies_per_card) == ("ascend-910c", "npu", 2)
    assert [(node.name, node.supernode) for node in pool.nodes] == [
        ("a1", "npu-train-s0"),
        ("a2", "npu-train-s0"),
        ("a3", "npu-train-s1"),
    ]
    assert {node.address for node in pool.nodes} == {"10.0.0.9"}
    assert (pool.cpus_per_node, pool.memory_gib_per_node) == (192, 1536.0)
    assert (pool.yuan_per_card_hour, pool.utilisation) == (6.2, 0.45)
    assert pool.linearity == ((8, 0.99), (1024, 0.93))


def test_supernodes_by_the_model(tmp_path: Path) -> None:
    """384 cards of 910C to a supernode: 48 nodes of 8."""
    text = MINIMAL.replace("hygon-bw1000, nodes: 2", "ascend-910c, nodes: 96")
    (pool,) = read(tmp_path, text).declared_pools
    assert [node.supernode for node in pool.nodes] == ["dcu-s0"] * 48 + ["dcu-s1"] * 48


def test_all_problems_at_once_with_lines_and_advice(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "site: Shen Zhen\n"
        "brokr: x:1\n"
        "state_dir: s\n"
        "grace_seconds: -3\n"
        "backend: slrum\n"
        "environment: {SUAN_SITE: moon}\n"
        "pools:\n"
        "  - name: a\n"
        "    accelerator: ascend-910d\n"
        "    nodes: 0\n"
        "    cards_per_node: eight\n"
        "    price: 3\n",
    )
    assert [(problem.line, problem.path, problem.code) for problem in found] == [
        (1, "broker", "MissingKey"),
        (1, "site", "BadText"),
        (2, "brokr", "UnknownKey"),
        (4, "grace_seconds", "NegativeTime"),
        (5, "backend", "UnknownWord"),
        (6, "environment.SUAN_SITE", "BadText"),
        (9, "pools[0].accelerator", "UnknownAccelerator"),
        (10, "pools[0].nodes", "OutOfRange"),
        (11, "pools[0].cards_per_node", "WrongType"),
        (12, "pools[0].price", "UnknownKey"),
    ]
    advice = {problem.path: problem.hint for problem in found}
    assert advice["brokr"] == "did you mean broker?"
    assert advice["pools[0].price"] == "did you mean yuan_per_card_hour?"
    assert "ascend-910b" in advice["pools[0].accelerator"]


@pytest.mark.parametrize(
    ("pool", "code"),
    [
        ("{name: dcu, accelerator: hygon-bw1000, nodes: 1, cards_per_node: 8}", "DuplicateName"),
        (
            "{name: p, accelerator: ascend-910b, nodes: 1, cards_per_node: 8, probe: nvidia-smi}",
            "WrongProbe",
        ),
        (
            "{name: p, accelerator: ascend-910b, nodes: 2, cards_per_node: 8, probe: npu-smi}",
            "WrongProbe",
        ),
        ("{name: p, accelerator: ascend-910b, nodes: [a, a], cards_per_node: 8}", "DuplicateName"),
    ],
)
def test_values_that_do_not_agree(tmp_path: Path, pool: str, code: str) -> None:
    (problem,) = problems(tmp_path, MINIMAL + f"  - {pool}\n")
    assert (problem.code, problem.line) == (code, 6)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "EmptyFile"),
        ("a: [1", "BadYAML"),
        ("- 1", "WrongType"),
        ("site: \xff".encode("latin-1"), "NotUTF8"),
        (b"#" * 1_100_000, "FileTooLarge"),
        (MINIMAL + "site: other\n", "DuplicateKey"),
        (MINIMAL.replace("443", "https"), "BadText"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str | bytes, code: str) -> None:
    assert problems(tmp_path, text)[0].code == code


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_config(tmp_path / "absent.yaml", load())
    assert caught.value.code == "ConfigUnreadable"
    assert caught.value.hint


def test_every_probe_can_be_named() -> None:
    assert set(PROBE_KINDS) == set(PROBES)


def test_a_pool_s_software_and_the_storage_s_bandwidth_are_told(tmp_path: Path) -> None:
    text = MINIMAL.replace("nodes: 2", "nodes: 2, software: [dtk-25.04, dtk-24.04.3]")
    config = read(tmp_path, text + "checkpoint_gb_per_second: 20\n")
    assert config.declared_pools[0].software == ("dtk-25.04", "dtk-24.04.3")
    assert profile_of(config, "a").checkpoint_gb_per_second == 20.0
