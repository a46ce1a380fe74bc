"""What is made of a Ray's words: nodes, use, pools, ends. No Ray runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.backends import BackendRefused, Exit, NodeShare, Reason, RunOrder
from agent.backends.judge import judged
from agent.backends.layout import TOLD_TO_END
from agent.inventory import Inventory
from agent.policy import PoolPolicy
from agent.ray import driver, read
from agent.ray.capacity import Discovery, Names, PoolOffer, discover
from agent.ray.command import RayPlace, RaySettings, submission
from agent.ray.read import RayJob, RayNode, RayUnreadable, RayUsage, RayVersion, RayView
from agent.ray.usage import HOLDS, conditions
from agent.ray.verdict import RayWord, words_of
from suan.catalogue import load

CATALOGUE = load()
VERSION = RayVersion("2.60.0", (2, 60))
NAME = "suan-j1-1"
TYPE = "accelerator_type:Ascend910B3"


def node(name: str, labels: Mapping[str, str] | None = None, **resources: float) -> RayNode:
    found = {key.replace("type_", TYPE): value for key, value in resources.items()}
    return RayNode(name, f"id-{name}", "10.0.0.1", {"CPU": 16, **found}, labels or {})


def view(*nodes: RayNode, taken: Any = None, jobs: tuple[RayJob, ...] = ()) -> RayView:
    usage = {each.id: {} for each in nodes} if taken is None else taken
    return RayView(VERSION, nodes, RayUsage(usage, 100.0), jobs)


def found(*nodes: RayNode, mapped: Mapping[str, str] | None = None, **how: Any) -> Discovery:
    return discover(view(*nodes), Names(mapped or {}, CATALOGUE), **how)


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


# --- documents ------------------------------------------------------------------------


def test_nodes_that_live_have_names_of_their_own() -> None:
    def one(number: str, name: str, state: str = "ALIVE") -> dict[str, Any]:
        return {"node_id": number, "node_name": name, "node_ip": "10.0.0.1", "state": state}

    said = [one("aaaaaaaaaa", "10.0.0.1"), one("bbbbbbbbbb", "10.0.0.1"), one("c", "n")]
    document = {"data": {"result": {"result": [*said, one("d", "n", "DEAD"), "odd"]}}}
    names = [each.name for each in read.parse_nodes(document)]
    assert names == ["10.0.0.1-aaaaaaaa", "10.0.0.1-bbbbbbbb", "n"]


def test_what_is_taken_by_either_document() -> None:
    here = node("n", NPU=8, my_dcu=4)
    by_node = {"id-n": {"NPU": [6.0, 8.0], "myDcu": [1.0, 4.0], "CPU": [2.5, 16.0]}}
    status = {"time": 7.0, "loadMetricsReport": {"usageByNode": by_node}}
    usage = read.parse_status({"data": {"clusterStatus": status}}, [here, node("new", NPU=1)])
    assert usage == RayUsage({"id-n": {"CPU": 2.5, "NPU": 6.0, "my_dcu": 1.0}}, 7.0)
    assert read.parse_status({"data": {"clusterStatus": None}}, [here]) is None
    lines = "2.5/16.0 CPU\n3.0/8.0 NPU (1.0 used of 4.0 reserved in placement groups)\n"
    lines += "1.0/4.0 my_dcu\n1.50GiB/22.43GiB memory"
    summary = read.parse_summary({"data": {"nodeLogicalResources": {"id-n": lines}}}, [here])
    assert summary.taken == usage.taken


@pytest.mark.parametrize("document", [None, [], "<html>", {"data": []}, {"data": {"result": 1}}])
def test_a_document_of_another_shape(document: Any) -> None:
    with pytest.raises(RayUnreadable):
        read.parse_nodes(document)
    with pytest.raises(RayUnreadable):
        read.parse_version(document)
    with pytest.raises(RayUnreadable):
        read.parse_jobs({"jobs": document})


# --- pools ----------------------------------------------------------------------------


def test_one_pool_for_each_shape_of_node() -> None:
    nodes = [node("a", NPU=8, type_=1), node("b", NPU=8, type_=1), node("c", NPU=16, type_=1)]
    nodes += [node("d", DCU=4), node("e", FPGA=2, CPU=1), node("f")]
    said = found(*nodes, mapped={"DCU": "hygon-k100"})
    pools = {pool.declared.name: pool for pool in said.pools}
    assert set(pools) == {"npu-ascend910b3-8", "npu-ascend910b3-16", "dcu"}
    assert pools["npu-ascend910b3-8"].ids == {"a": "id-a", "b": "id-b"}
    assert pools["dcu"].declared.accelerator == "hygon-k100"
    assert said.unknown == ("FPGA",)


def test_cards_that_only_a_type_tells() -> None:
    said = found(
        RayNode("a", "1", "", {"accelerator_type:hygon-bw1000": 8}),
        RayNode("b", "2", "", {"accelerator_type:L20": 1, "GPU": 4}),
    )
    (pool,) = said.pools
    assert (pool.declared.accelerator, pool.declared.cards_per_node) == ("hygon-bw1000", 8)
    assert (pool.resource, pool.declared.name) == ("accelerator_type:hygon-bw1000", "hygon-bw1000")
    assert said.unknown == ("accelerator_type:L20",)


def test_what_the_operator_offers() -> None:
    offers = (
        PoolOffer("NPU", "train", supernode_nodes=2, policy=PoolPolicy(0.5)),
        PoolOffer("DCU"),
    )
    nodes = [node(name, NPU=8, type_=1) for name in "abc"]
    said = found(*nodes, node("g", GPU=8), offers=offers)
    (pool,) = said.pools
    assert (pool.declared.name, pool.declared.policy) == ("train", PoolPolicy(0.5))
    assert [each.supernode for each in pool.declared.nodes] == ["train-s0", "train-s0", "train-s1"]
    assert said.missing == ("DCU",)


def test_supernodes_by_label_or_resource() -> None:
    marked = RayNode("b", "2", "", {"NPU": 8, TYPE: 1, "sp:s7": 1})
    (pool,) = found(node("a", {"sp": "s1"}, NPU=8, type_=1), marked, supernode="sp").pools
    assert [each.supernode for each in pool.declared.nodes] == ["s1", "s7"]


# --- use ------------------------------------------------------------------------------


def usable(of: RayView, held: Any = nobody) -> int:
    pools = discover(of, Names({}, CATALOGUE), [PoolOffer("NPU")]).pools
    declared = [pool.declared for pool in pools]
    (pool,) = Inventory("s", declared, conditions(of, pools, held)).pools()
    return pool.cards_usable


def test_the_sites_own_jobs_come_first() -> None:
    here = node("a", NPU=8, type_=1)
    assert usable(view(here)) == 8
    assert usable(view(here, taken={"id-a": {"NPU": 2.5}})) == 5
    assert usable(view(here, taken={"id-a": {"CPU": 9.0}})) == 3  # of 2 CPUs a card
    assert usable(view(here, taken={})) == 0  # it joined just now


@pytest.mark.parametrize(
    ("state", "ended_at", "cards"),
    [("RUNNING", 0.0, 6), ("SUCCEEDED", 101.0, 6), ("SUCCEEDED", 99.0, 4), ("PENDING", 0.0, 4)],
)
def test_what_our_own_runs_hold_is_not_local(state: str, ended_at: float, cards: int) -> None:
    job = RayJob(NAME, state, ended_at=ended_at, metadata={HOLDS: "id-a=2/4 id-b=8/8 odd"})
    taken = {"id-a": {"NPU": 4.0, "CPU": 4.0}}
    assert usable(view(node("a", NPU=8, type_=1), taken=taken, jobs=(job,))) == cards


def test_cards_kept_back_are_not_those_that_we_hold() -> None:
    here = view(node("a", NPU=8, type_=1), taken={"id-a": {"NPU": 4.0}})
    pools = discover(here, Names({}, CATALOGUE)).pools
    (condition,) = conditions(here, pools, lambda pool, node: frozenset({6, 7}))
    assert condition.kept_back == {2, 3, 4, 5}


# --- ends -----------------------------------------------------------------------------


def ended(reason: Reason, code: int = 0, signal: int = 0, detail: str = "") -> Exit:
    return Exit(NAME, code, signal, reason, 1.0, 2.0, detail=detail)


TOLD = ended(Reason.STOPPED, detail=TOLD_TO_END)


@pytest.mark.parametrize(
    ("told", "job", "reason", "detail"),
    [
        (TOLD, {"state": "STOPPED"}, Reason.STOPPED, "SitePaused"),
        (TOLD, {"state": "FAILED", "exit_code": driver.NODE_LOST}, Reason.MACHINE_REBOOTED, "Ray:"),
        (TOLD, {"state": "FAILED", "exit_code": driver.OUT_OF_MEMORY}, Reason.OUT_OF_MEMORY, ""),
        (TOLD, {"error": "JOB_SUPERVISOR_ACTOR_DIED"}, Reason.MACHINE_REBOOTED, "Ray:"),
        (TOLD, {"message": "killed: the node is low on memory"}, Reason.OUT_OF_MEMORY, ""),
        (TOLD, {"error": "OF_TOMORROW"}, Reason.STOPPED, "SitePaused"),
        (ended(Reason.EXITED, 7), {"exit_code": driver.NODE_LOST}, Reason.EXITED, ""),
        (ended(Reason.TIME_LIMIT), {"state": "STOPPED"}, Reason.TIME_LIMIT, ""),
    ],
)
def test_rays_word(told: Exit, job: dict[str, Any], reason: Reason, detail: str) -> None:
    word = RayWord(RayJob(NAME, **({"state": "FAILED"} | job)))
    said = judged(told, "Ray", word, "")
    assert said.reason is reason
    assert said.detail.startswith(detail)


def test_what_is_proof_of_an_end() -> None:
    assert RayWord(RayJob(NAME, "SUCCEEDED", exit_code=0)).is_proof
    assert RayWord(RayJob(NAME, "FAILED", exit_code=driver.ENDED_BADLY)).is_proof
    for doubtful in (
        RayJob(NAME, "FAILED", exit_code=1),
        RayJob(NAME, "FAILED", exit_code=driver.UNPROVEN),
        RayJob(NAME, "STOPPED"),
        RayJob(NAME, "EVAPORATED"),
    ):
        assert not RayWord(doubtful).is_proof
    assert set(words_of([RayJob(NAME, "RUNNING"), RayJob("theirs", "RUNNING")])) == {NAME}


# --- how it is put ------------------------------------------------------------------------

SETTINGS = RaySettings(
    {
        "n1": RayPlace("id-1", "NPU", 4),
        "n2": RayPlace("id-2", "NPU", 4),
        "g1": RayPlace("id-3", "GPU", 0),
    },
    python="/opt/ray/bin/python",
)


def put(*nodes: str, settings: RaySettings = SETTINGS, **fields: Any) -> Any:
    shares = tuple(NodeShare(name, name, (0, 1)) for name in nodes)
    order = RunOrder(NAME, "j1", 1, "s", shares, fields.pop("cards", 2), "true", **fields)
    return submission(order, Path("/a b"), Path("/a b/tools"), settings, 600.0)


def test_one_node_is_a_submission_with_its_cards() -> None:
    said = put("n1", memory_gib_per_node=0.5)
    assert said.request["submission_id"] == NAME
    assert said.request["entrypoint"] == (
        "exec /opt/ray/bin/python -I -S '/a b/tools/driver.py' '/a b' suan-j1-1"
    )
    assert said.request["entrypoint_num_cpus"] == 8
    assert said.request["entrypoint_resources"] == {"NPU": 2}
    assert said.request["entrypoint_memory"] == 2**29
    assert said.request["entrypoint_label_selector"] == {"ray.io/node-id": "id-1"}
    assert said.request["metadata"] == {"suan_state": "/a b", HOLDS: "id-1=2/8"}
    gpu = put("g1").request
    assert (gpu["entrypoint_num_gpus"], "entrypoint_resources" in gpu) == (2, False)


def test_a_gang_is_a_driver_with_a_bundle_for_each_node() -> None:
    said = put("n1", "n2", cpus_per_node=12)
    assert not any(key.startswith("entrypoint_") for key in said.request)
    assert said.plan["nodes"] == ["id-1", "id-2"]
    assert said.plan["bundles"] == [{"CPU": 12, "NPU": 2}] * 2
    assert not said.plan["alone"]
    old = RaySettings(SETTINGS.places, version=(2, 50))
    assert put("n1", settings=old).plan["alone"] is False
    assert put("g1", settings=old, cards=0).plan["bundles"] == [{"CPU": 0.001}]


def test_a_node_that_has_gone_is_refused() -> None:
    with pytest.raises(BackendRefused) as refused:
        put("n1", "gone")
    assert refused.value.code == "BadShape"
