"""Tables of ranks from what the operator declares, for sites where nothing else tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_broker import ScriptedBroker, job, serving
from site_agent import agent
from site_agent import config as site_config

from agent.backends import BackendRefused, NodeShare, RunOrder
from agent.cards.rank_files import RankFiles
from agent.cards.ranktable import RankDevice
from agent.config.file import load_config
from agent.config.ranktables import RankNode, RankTableConfig
from suan.catalogue import load
from suan.errors import InvalidSpec

SITE = """\
site: shenzhen
broker: broker.example.cn:443
state_dir: state
pools: [{name: npu, accelerator: ascend-910b, nodes: [n0, n1], cards_per_node: 2}]
ranktable:
  version: VERSION
  nodes:
    n0: {addresses: [192.168.1.1, 192.168.1.2]N0}
    n1: {addresses: [192.168.1.3, 192.168.1.4]N1}
"""
SUPER = ', super_pod: "0", super_devices: ["A", "B"]'
LEVEL = (
    ", levels: [{layer: 0, instance: az0-rack0, type: TOPO_FILE_DESC, address_type: EID,"
    ' addresses: [eid-A, eid-B], ports: ["0/1"]}]'
)


def config(folder: Path, version: str = '"1.0"', extra: str = "") -> RankTableConfig:
    text = SITE.replace("VERSION", version)
    for at, numbers in enumerate((("0", "1"), ("2", "3"))):
        own = extra.replace("A", numbers[0]).replace("B", numbers[1])
        text = text.replace(f"N{at}}}", f"{own}}}")
    (folder / "agent.yaml").write_text(text, "utf-8")
    found = load_config(folder / "agent.yaml", load()).ranktable
    assert found is not None
    return found


def order(*nodes: tuple[str, tuple[int, ...]], **fields: object) -> RunOrder:
    shares = tuple(
        NodeShare(name, f"10.0.0.{at}", devices) for at, (name, devices) in enumerate(nodes)
    )
    known: dict[str, object] = {"kind": "npu", **fields}
    return RunOrder("suan-j-1", "j", 1, "s", shares, 1, "true", **known)  # type: ignore[arg-type]


WHOLE = (("n0", (0, 1)), ("n1", (0, 1)))
Files = Callable[..., RankFiles]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    def made(version: str = '"1.0"', extra: str = "", whole: bool = False) -> RankFiles:
        return RankFiles(config(tmp_path, version, extra), tmp_path / "runs", whole)

    return made


def table(completed: RunOrder) -> dict[str, object]:
    path = Path(dict(completed.environment)["RANK_TABLE_FILE"])
    found: dict[str, object] = json.loads(path.read_text("utf-8"))
    return found


def test_version_1_0(files: Files, tmp_path: Path) -> None:
    """The devices that the run holds, with their own numbers; all numbers are text."""
    site = files()
    completed = site.complete(order(("n1", (1,)), ("n0", (0,))))
    assert table(completed) == {
        "status": "completed",
        "version": "1.0",
        "server_count": "2",
        "server_list": [
            {
                "server_id": "n1",
                "device": [{"device_id": "1", "device_ip": "192.168.1.4", "rank_id": "0"}],
                "host_ip": "10.0.0.0",
            },
            {
                "server_id": "n0",
                "device": [{"device_id": "0", "device_ip": "192.168.1.1", "rank_id": "1"}],
                "host_ip": "10.0.0.1",
            },
        ],
    }
    assert [path.name for path in (tmp_path / "runs" / "ranktables").iterdir()] == ["suan-j-1.json"]
    site.remove("suan-j-1")
    site.remove("suan-j-1")
    assert list((tmp_path / "runs" / "ranktables").iterdir()) == []


def test_version_1_2(files: Files) -> None:
    told = table(files("1.2", SUPER).complete(order(*WHOLE)))
    assert told["super_pod_list"] == [
        {"super_pod_id": "0", "server_list": [{"server_id": "n0"}, {"server_id": "n1"}]}
    ]
    servers = told["server_list"]
    assert isinstance(servers, list)
    assert servers[1]["device"][1]["super_device_id"] == "3"


def test_version_2_0(files: Files) -> None:
    told = table(files("2.0", LEVEL).complete(order(*WHOLE)))
    assert told["rank_count"] == 4
    ranks = told["rank_list"]
    assert isinstance(ranks, list)
    assert ranks[3] == {
        "rank_id": 3,
        "local_id": 1,
        "device_id": 1,
        "level_list": [
            {
                "net_layer": 0,
                "net_instance_id": "az0-rack0",
                "net_type": "TOPO_FILE_DESC",
                "net_attr": "",
                "rank_addr_list": [{"addr_type": "EID", "addr": "eid-3", "ports": ["0/1"]}],
            }
        ],
    }


def test_beside_slurm_whole_nodes_only(files: Files) -> None:
    site = files(whole=True)
    part = order(("n0", (0, 1)), ("n1", (0,)))
    assert site.complete(part) == part
    assert table(site.complete(order(*WHOLE)))["server_count"] == "2"


@pytest.mark.parametrize(
    "plain",
    [
        order(*WHOLE, kind="gpu"),
        order(*WHOLE, image="docker://cann"),
        order(*WHOLE, environment=(("RANK_TABLE_FILE", "/mine"),)),
        order(("n0", (0,)), ("unknown", (0,))),
        order(("n0", (0, 1, 2))),
    ],
)
def test_who_gets_none(files: Files, plain: RunOrder) -> None:
    assert files().complete(plain) == plain


def test_a_disk_that_is_full_refuses_the_run(files: Files, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("no directory")
    with pytest.raises(BackendRefused) as refused:
        files().complete(order(*WHOLE))
    assert refused.value.code == "Unavailable"


async def test_a_job_of_a_real_agent_finds_its_table(tmp_path: Path) -> None:
    """On a process site, until the run is forgotten."""
    devices = tuple(RankDevice(number, f"192.168.1.{number}") for number in range(64))
    tables = RankTableConfig("1.0", {"train-n0": RankNode(devices)})
    settings = replace(site_config(tmp_path), ranktable=tables)
    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, settings):
        await broker.connected()
        broker.grant(("j1", 1), spec=job('cat "$RANK_TABLE_FILE"', cards=2), cards=2)
        await broker.until(lambda: len(broker.told("j1")) == 2)
        said = json.loads((await broker.read_log("j1", 1)).data)
    (server,) = said["server_list"]
    assert [device["device_ip"] for device in server["device"]] == ["192.168.1.0", "192.168.1.1"]


@pytest.mark.parametrize(
    ("version", "extra", "code"),
    [
        ("3.0", "", "UnknownWord"),
        ("1.2", "", "MissingKey"),
        ("2.0", "", "MissingKey"),
        ("1.2", ', super_pod: "0"', "MissingKey"),
        ("1.2", ', super_pod: "0", super_devices: ["0"]', "OutOfRange"),
        ("2.0", LEVEL.replace("eid-A, ", ""), "OutOfRange"),
    ],
)
def test_what_cannot_be(tmp_path: Path, version: str, extra: str, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        config(tmp_path, version, extra)
    assert code in [problem.code for problem in caught.value.problems]


def test_the_page_for_operators_shows_a_table_that_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sites" / "ranktables.md").read_text("utf-8")
    _, _, block = page.partition("```yaml\n")
    text = SITE.partition("ranktable:")[0] + block.partition("```")[0]
    (tmp_path / "agent.yaml").write_text(text, "utf-8")
    found = load_config(tmp_path / "agent.yaml", load()).ranktable
    assert found is not None
    assert found.nodes["npu1"].devices[0].address == "192.168.1.1"


def test_kubernetes_has_its_own(tmp_path: Path) -> None:
    text = SITE.replace("VERSION", "1.0").replace("N0", "").replace("N1", "")
    pools, _, rest = text.partition("pools:")[2].partition("\n")
    text = f"{text.partition('pools:')[0]}backend: kubernetes\n{rest}"
    text += "kubernetes: {shared_dir: /s, image: i}\n"
    (tmp_path / "agent.yaml").write_text(text, "utf-8")
    with pytest.raises(InvalidSpec) as caught:
        load_config(tmp_path / "agent.yaml", load())
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("WrongKey", "ranktable")
    assert pools
