"""What exporters say of cards reaches what a site offers, beside any cluster manager and none."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from exporter_server import ExporterServer, Says, exporter_server, recorded
from test_kubernetes_inventory import found as kubernetes_found
from test_kubernetes_inventory import health as kubernetes_health
from test_kubernetes_inventory import nodes as kubernetes_nodes
from test_ray_capacity import node as ray_node
from test_ray_capacity import view as ray_view
from test_slurm_survey import CARDS, Commands

from agent.cards.health import CardHealth
from agent.checks.check import Status
from agent.checks.exporters import exporter_checks
from agent.config.file import AgentConfig, load_config
from agent.inventory import DeclaredNode, DeclaredPool, Inventory
from agent.kubernetes.usage import conditions as kubernetes_conditions
from agent.probes.reading import ExporterProbe, Readings
from agent.probes.tools import ProbeFailed
from agent.ray.capacity import Names, discover
from agent.ray.usage import conditions as ray_conditions
from agent.slurm.capacity import PartitionOffer
from agent.slurm.capacity import discover as slurm_discover
from agent.slurm.from_text import SlurmFrame, SlurmNode, SlurmPartition, SlurmView
from agent.slurm.notation import Gres
from agent.slurm.poll import SlurmPoll
from agent.slurm.read import Slurm
from agent.slurm.survey import SlurmSurvey
from agent.slurm.usage import conditions as slurm_conditions
from agent.supervisor.messages import Event, InventoryChanged
from agent.survey import Survey
from suan.catalogue import load
from suan.errors import InvalidSpec

SITE = """\
site: shenzhen
broker: broker.example.cn:443
state_dir: state
pools:
  - name: npu
    accelerator: ascend-910b
    nodes: [n0, n1]
    cards_per_node: 8
    probe:
      exporter: npu-exporter
      url: "{url}"
      names: {{card_ok: npu_chip_info_health_status, card: id}}
"""
QUICK_SECONDS = 0.02


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


@pytest.fixture
def server() -> Iterator[ExporterServer]:
    with exporter_server() as server:
        server.says = Says(recorded("npu-exporter"))
        yield server


def config(folder: Path, url: str) -> AgentConfig:
    path = folder / "agent.yaml"
    path.write_text(SITE.format(url=url), "utf-8")
    return load_config(path, load())


def pool(url: str, kind: str = "npu") -> DeclaredPool:
    nodes = tuple(DeclaredNode(f"n{n}", "127.0.0.1", "s") for n in range(2))
    probe = ExporterProbe("npu-exporter", url)
    return DeclaredPool("npu", "ascend-910b", kind, nodes, cards_per_node=8, probe=probe)


def usable(inventory: Inventory) -> dict[str, int]:
    return {each.name: each.cards_usable for each in inventory.pools()}


# --- agent.yaml -------------------------------------------------------------------


def test_an_exporter_in_the_file(tmp_path: Path) -> None:
    (declared,) = config(tmp_path, "http://{address}:8082/metrics").declared_pools
    names = (("card_ok", "npu_chip_info_health_status"), ("card", "id"))
    assert declared.probe == ExporterProbe("npu-exporter", "http://{address}:8082/metrics", names)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("{url}", "ftp://h/metrics", "BadText"),
        ("{url}", "http://u:p@h/metrics", "BadText"),
        ("{url}", "http://{{host}}/metrics", "BadText"),
        ("{url}", "http://h:99999/metrics", "BadText"),
        ("npu_chip_info_health_status", "npu_health", "UnknownWord"),
        ("exporter: npu-exporter", "exporter: node-exporter", "UnknownWord"),
        ("accelerator: ascend-910b", "accelerator: nvidia-h100", "WrongProbe"),
        ('      url: "{url}"\n', "", "MissingKey"),
    ],
)
def test_what_cannot_be(tmp_path: Path, old: str, new: str, code: str) -> None:
    text = SITE.replace(old, new).format(url="http://{address}:8082/metrics")
    (tmp_path / "agent.yaml").write_text(text, "utf-8")
    with pytest.raises(InvalidSpec) as caught:
        load_config(tmp_path / "agent.yaml", load())
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    "section",
    [
        "slurm: {shared_dir: /s, partitions: [{name: p, probe: PROBE}]}",
        "ray: {shared_dir: /s, pools: [{resource: NPU, probe: PROBE}]}",
        "kubernetes: {shared_dir: /s, image: i, pools: [{name: p, probe: PROBE}]}",
    ],
)
def test_an_exporter_beside_a_cluster_manager(tmp_path: Path, section: str) -> None:
    probe = '{exporter: hcu-exporter, url: "http://{node}:16080/metrics"}'
    backend = section.partition(":")[0]
    head = SITE.partition("pools:")[0]
    text = f"{head}backend: {backend}\n{section.replace('PROBE', probe)}\n"
    (tmp_path / "agent.yaml").write_text(text, "utf-8")
    read = load_config(tmp_path / "agent.yaml", load())
    offers = (
        read.slurm.partitions
        if read.slurm
        else read.ray.pools
        if read.ray
        else read.kubernetes.pools
        if read.kubernetes
        else ()
    )
    assert offers[0].probe == ExporterProbe("hcu-exporter", "http://{node}:16080/metrics")


def test_the_page_for_operators_shows_a_file_that_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sites" / "probes.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "agent.yaml").write_text(SITE.partition("pools:")[0] + block, "utf-8")
    read = load_config(tmp_path / "agent.yaml", load())
    (declared,) = read.declared_pools
    assert declared.probe is not None
    assert declared.probe.names == (("card_ok", "npu_chip_info_health_status"),)
    assert read.probe_seconds == 30.0


# --- without a manager ------------------------------------------------------------


async def test_a_card_that_fails_is_not_offered_any_more(
    tmp_path: Path, server: ExporterServer
) -> None:
    """Within one reading; what the site has renamed is understood."""
    renamed = recorded("npu-exporter").replace("npu_chip_info_health_status", "card_ok")
    server.says = Says(renamed.replace(',id="', ',card="'))
    survey = Survey(replace(config(tmp_path, server.url), probe_seconds=QUICK_SECONDS))
    await survey.look(nobody)
    assert usable(survey.inventory()) == {"npu": 12}  # of each node one is faulty, one is busy
    posted: asyncio.Queue[Event] = asyncio.Queue()
    running = asyncio.create_task(survey.run(nobody, posted.put_nowait))
    try:
        sick, count = re.subn(r'(card_ok{.*card="7".*}) 1', r"\1 0", server.says.text)
        assert count == 1
        server.says = Says(sick)
        changed = await asyncio.wait_for(posted.get(), 30)
        assert isinstance(changed, InventoryChanged)
        assert usable(changed.inventory) == {"npu": 10}
    finally:
        running.cancel()


async def test_what_was_known_stands(server: ExporterServer) -> None:
    health, pools = CardHealth(), (pool(server.url),)
    assert await health.look(pools)
    assert health.faulty("npu", "n0") == {5}
    for says in (Says(status=500), Says("garbage\n"), Says(recorded("npu-exporter", 3600))):
        server.says = says
        await health.look(pools)
        assert health.faulty("npu", "n0") == {5}
    await health.look(())  # the pool has gone
    assert health.faulty("npu", "n0") is None


class Scripted:
    """An exporter of each node, of which some give no answer."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.asked: list[str] = []

    async def read(self, probe: ExporterProbe, node: str, address: str) -> Readings:
        self.asked.append(node)
        if node in self.silent:
            raise ProbeFailed("ToolTimedOut", "no answer", "see")
        return Readings("npu-exporter", ())


async def test_who_did_not_answer_waits_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporters = Scripted()
    exporters.silent = {"n0"}
    health, pools = CardHealth(reading=exporters), (pool("http://{node}/"),)
    with caplog.at_level(logging.WARNING):
        await health.look(pools)
        await health.look(pools)
    assert exporters.asked == ["n0", "n1", "n1", "n0"]
    assert [record.getMessage() for record in caplog.records] == [
        "ToolTimedOut: node n0: no answer (see)"
    ]


async def test_exporters_that_hang_hold_nobody_up_for_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Hanging(Scripted):
        async def read(self, probe: ExporterProbe, node: str, address: str) -> Readings:
            if node == "n0":
                await asyncio.Event().wait()
            return await super().read(probe, node, address)

    health = CardHealth(reading=Hanging(), look_seconds_max=0.05)
    with caplog.at_level(logging.WARNING):
        await health.look((pool("http://{node}/"),))
    assert health.faulty("npu", "n0") is None
    assert health.faulty("npu", "n1") == set(range(8))  # it names no card of its own
    assert "not every exporter was asked within 0.05 s" in caplog.text


async def test_names_that_nobody_reads_are_told_once(
    server: ExporterServer, caplog: pytest.LogCaptureFixture
) -> None:
    health, pools = CardHealth(), (pool(server.url),)
    with caplog.at_level(logging.WARNING):
        await health.look(pools)
        await health.look(pools)
    assert [record.getMessage() for record in caplog.records] == [
        "npu-exporter also tells what is not used: "
        "machine_npu_nums, npu_chip_info_aicore_current_freq"
    ]


async def test_another_vendors_exporter_is_not_asked(
    server: ExporterServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert not await CardHealth().look((pool(server.url, kind="gpu"),))
    assert server.asked == []
    assert "does not read a gpu" in caplog.text


# --- preflight --------------------------------------------------------------------


async def test_preflight_says_what_exporters_say(server: ExporterServer) -> None:
    (check,) = await exporter_checks((pool(server.url),))
    assert (check.name, check.status) == ("exporter npu", Status.WARN)
    assert check.message == (
        "npu-exporter answers on 2 of 2 nodes; 16 devices (910B3), 12 healthy, 2 not, "
        "of 2 nobody knows, AI Core busy 0 to 87 %, "
        "not used: machine_npu_nums, npu_chip_info_aicore_current_freq; "
        "n0 card 5 (unhealthy), n1 card 5 (unhealthy)"
    )
    assert await exporter_checks((replace(pool(server.url), probe=None),)) == []


async def test_preflight_says_why_an_exporter_cannot_be_used(server: ExporterServer) -> None:
    exporters = Scripted()
    exporters.silent = {"n0"}
    (some,) = await exporter_checks((pool(server.url),), exporters)
    exporters.silent = {"n0", "n1"}
    (none,) = await exporter_checks((pool(server.url),), exporters)
    (wrong,) = await exporter_checks((pool(server.url, kind="gpu"),))
    assert [each.status for each in (some, none, wrong)] == [Status.WARN, Status.FAIL, Status.FAIL]
    assert some.message == "npu-exporter answers on 1 of 2 nodes; n0: no answer"
    assert wrong.message == "npu-exporter does not read a gpu"
    assert all(each.hint for each in (some, none, wrong))


# --- beside a cluster manager -----------------------------------------------------


async def test_beside_slurm(
    tmp_path: Path, server: ExporterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = Commands(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{commands.directory}:/usr/bin:/bin")
    offer = PartitionOffer("ascend", probe=ExporterProbe("npu-exporter", server.url))
    poll = SlurmPoll(Slurm({"PATH": "/usr/bin:/bin"}), 0.0)
    survey = SlurmSurvey("s", poll, CARDS, (offer,), cards=CardHealth(QUICK_SECONDS))
    await survey.look(nobody)
    # Of npu1 three are others', one is faulty; npu2 is drained.
    assert usable(survey.inventory()) == {"ascend": 4}
    assert [each.cards_seen for each in survey.conditions] == [True, False]
    posted: asyncio.Queue[Event] = asyncio.Queue()
    commands.write("scontrol", "exit 1")  # what Slurm said stands
    running = asyncio.create_task(survey.run(nobody, posted.put_nowait))
    try:
        mended = re.sub(r"(health_status{.*}) 0", r"\1 1", recorded("npu-exporter"))
        server.says = Says(mended)
        changed = await asyncio.wait_for(posted.get(), 30)
        assert isinstance(changed, InventoryChanged)
        assert usable(changed.inventory) == {"ascend": 5}
    finally:
        running.cancel()


@pytest.mark.parametrize(
    ("told", "faulty"), [(set(), {6, 7}), ({0}, {0, 7}), ({0, 1, 2}, {0, 1, 2})]
)
def test_beside_slurm_a_card_counts_once(told: set[int], faulty: set[int]) -> None:
    """Slurm drains two cards without a number: those that the exporter names may be the same."""
    eight, two = Gres("npu", "910b", 8), Gres("npu", "910b", 2)
    node = SlurmNode("n", "n", frozenset({"IDLE"}), ("p",), 16, 4000, (eight,), (), (two,))
    view = SlurmView(SlurmFrame((22, 5), {}), (node,), (SlurmPartition("p", True, ("n",)),), ())
    pools = slurm_discover(view, CARDS).pools
    (condition,) = slurm_conditions(view, pools, nobody, lambda pool, node: frozenset(told))
    assert condition.faulty == faulty


def test_beside_kubernetes_a_card_counts_once() -> None:
    """a2-1: 4 is gone by MindCluster. a2-2: the device plugin withdrew one without a name."""
    discovery, here = kubernetes_found("ascend-910b"), kubernetes_nodes("ascend-910b")

    def faulty_with(told: dict[str, set[int]]) -> dict[str, frozenset[int]]:
        def by_exporter(pool: str, node: str) -> frozenset[int]:
            return frozenset(told.get(node, ()))

        sick = kubernetes_health("device-info")
        args = (here, (), discovery.pools, sick, (), "harbin", nobody, by_exporter)
        return {each.node: each.faulty for each in kubernetes_conditions(*args)}

    assert faulty_with({})["a2-1"] == {4}
    assert faulty_with({"a2-1": {4, 6}})["a2-1"] == {4, 6}
    assert len(faulty_with({})["a2-2"]) == 1
    assert faulty_with({"a2-2": {3}})["a2-2"] == {3}


def test_beside_ray() -> None:
    view = ray_view(ray_node("a", NPU=8, type_=1), taken={"id-a": {"NPU": 2.0}})
    pools = discover(view, Names({}, load())).pools
    (told,) = ray_conditions(view, pools, nobody, lambda pool, node: frozenset({7}))
    assert (told.faulty, told.kept_back) == ({7}, {5, 6})
