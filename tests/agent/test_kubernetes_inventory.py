"""What is made of a cluster's nodes, pods, health and topology, in the vendors' own shapes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.inventory import Inventory
from agent.kubernetes.capacity import Discovery, PoolOffer, discover
from agent.kubernetes.fields import quantity
from agent.kubernetes.health import NodeHealth, State, health_of
from agent.kubernetes.objects import JobKey, Node, Pod, deadline_of, node_of, pod_of
from agent.kubernetes.pods import KubernetesWord, run_pod_of
from agent.kubernetes.resources import Namer
from agent.kubernetes.topology import supernodes
from agent.kubernetes.usage import Toleration, conditions, out_of_service, owners, releases
from scheduler.model import Release
from suan import catalogue

FIXTURES = Path(__file__).parent / "fixtures" / "kubernetes"
NAMER = Namer(catalogue.load(), {})


def objects(name: str) -> list[dict[str, Any]]:
    document = json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))
    assert document["source"]
    found: list[dict[str, Any]] = document["objects"]
    return found


def nodes(*names: str) -> list[Node]:
    return [node for name in names for each in objects(name) if (node := node_of(each))]


def pods() -> list[Pod]:
    return [pod for each in objects("pods") if (pod := pod_of(each))]


def health(*names: str) -> dict[str, NodeHealth]:
    return health_of(each for name in names for each in objects(name))


def found(*names: str, offers: tuple[PoolOffer, ...] = (), namer: Namer = NAMER) -> Discovery:
    here = nodes(*names)
    grouped = supernodes(here, objects("hypernodes"), health("clusterd"))
    return discover(here, pods(), namer, grouped, offers)


def usable(
    discovery: Discovery, here: list[Node], sick: dict[str, NodeHealth], **held: set[int]
) -> dict[str, list[int]]:
    """By node, the cards that may be used now."""
    site = "harbin"

    def ours(_pool: str, node: str) -> set[int]:
        return held.get(node.replace("-", "_"), set())

    told = conditions(here, pods(), discovery.pools, sick, (Toleration("dedicated"),), site, ours)
    return {
        each.node: sorted(
            set(range(next(p.declared.cards_per_node for p in discovery.pools)))
            - each.faulty
            - each.kept_back
        )
        for each in told
    }


def test_pools_by_the_catalogues_names() -> None:
    discovery = found("ascend-910b", "ascend-a3", "hygon", "nvidia")
    pools = {pool.declared.name: pool for pool in discovery.pools}
    assert {
        name: (pool.resource, pool.declared.cards_per_node, len(pool.declared.nodes))
        for name, pool in pools.items()
    } == {
        "ascend-910b": ("huawei.com/Ascend910", 8, 5),
        "ascend-910c": ("huawei.com/Ascend910", 8, 4),  # 16 dies
        "ascend-950pr": ("huawei.com/npu", 8, 1),
        "hygon-bw1000": ("hygon.com/hcu", 8, 1),
        "nvidia-h100": ("nvidia.com/gpu", 8, 1),
    }
    assert pools["ascend-910c"].declared.dies_per_card == 2
    assert pools["hygon-bw1000"].declared.cpus_per_node == 128
    # A DaemonSet's 2 CPUs and 4 GiB are not the federation's to give.
    assert pools["ascend-910b"].declared.cpus_per_node == 190
    assert pools["ascend-910b"].declared.memory_gib_per_node == 1052
    assert set(discovery.unknown) == {
        "hygon.com/dcu",  # without a label nobody knows which
        "nvidia.com/gpu",  # on the node that shares each
        "rdma/hca_shared_devices_a",
    }
    assert set(discovery.shared) == {
        "hygon.com/hcu-share-4c-16g",
        "hygon.com/hcunum",
        "nvidia.com/mig-1g.10gb",
    }


def test_the_operators_word_goes_first() -> None:
    namer = Namer(
        catalogue.load(), {"hygon.com/dcu": "hygon-k100", "huawei.com/npu=Ascend950PR_9599": "910b"}
    )
    offers = (
        PoolOffer("old", {"kubernetes.io/hostname": "dcu-1"}),
        PoolOffer("new", {"accelerator": "huawei-npu"}, supernode_nodes=1),
        PoolOffer("none", {"no": "such"}),
    )
    discovery = found("hygon", "ascend-a3", offers=offers, namer=namer)
    assert [(p.declared.name, p.declared.accelerator) for p in discovery.pools] == [
        ("old", "hygon-k100"),
        ("new", "ascend-910b"),
    ]
    assert discovery.empty_offers == ("none",)
    (new,) = (p for p in discovery.pools if p.declared.name == "new")
    assert [node.supernode for node in new.declared.nodes] == ["new-s0"]


def test_shapes_of_one_pool_are_told_apart() -> None:
    here = nodes("nvidia")[:1]
    half = node_of({**objects("nvidia")[0], "metadata": {**objects("nvidia")[0]["metadata"]}})
    assert half is not None
    smaller = Node(
        "gpu-9", "10.0.4.9", half.labels, {}, {"nvidia.com/gpu": 4}, {}, 8.0, 1024, True, False
    )
    discovery = discover([*here, smaller], (), NAMER, {}, (PoolOffer("gpus"),))
    assert [pool.declared.name for pool in discovery.pools] == [
        "gpus-nvidia-h100-8",
        "gpus-nvidia-h100-4",
    ]


def test_supernodes_by_superpod_and_hypernode() -> None:
    here = nodes("ascend-910b", "ascend-a3", "hygon")
    assert supernodes(here, objects("hypernodes"), health("clusterd")) == {
        "a2-1": "s0",
        "a2-2": "s0",
        "a2-3": "s1",
        "a2-4": "s1",
        "hcu-1": "s2",
        "hcu-2": "s2",
        "a3-1": "superpod-3",  # by its device information
        "a3-2": "superpod-3",
        "a3-3": "superpod-7",  # by its annotation
        "a3-4": "superpod-7",
    }


def test_the_health_of_ascend_cards() -> None:
    single = health("device-info")
    assert single == {"a2-1": NodeHealth(State.GOOD, {0: State.DRAINED, 4: State.GONE})}
    rolled = health("device-info", "clusterd")
    assert rolled["a2-1"] == single["a2-1"]
    assert rolled["a3-1"].devices == {0: State.GONE, 5: State.DRAINED, 8: State.GONE}
    assert rolled["a3-1"].superpod == "3"
    assert rolled["s950-1"] == NodeHealth(State.GOOD, {2: State.GONE, 3: State.GONE})
    assert (rolled["a3-3"].node, rolled["a3-4"].node) == (State.DRAINED, State.GONE)


def test_what_may_be_used_now() -> None:
    here, sick = nodes("ascend-910b"), health("device-info")
    discovery = found("ascend-910b")
    assert usable(discovery, here, sick) == {
        "a2-1": [3, 5, 6, 7],  # 4 is gone, 0 is pre-separated, 1 and 2 are a pod's
        "a2-2": [0, 1, 2, 3, 4],  # one is withdrawn, two are others': our own is not counted
        "a2-3": [],  # cordoned
        "a2-4": [],  # nobody knows
        "a2-5": list(range(8)),  # its taint is tolerated
    }
    # Cards that runs of ours hold are not taken for those of others.
    assert usable(discovery, here, sick, a2_2={6, 7})["a2-2"] == [0, 1, 2, 6, 7]


def test_dies_are_counted_as_cards() -> None:
    here, sick = nodes("ascend-a3"), health("clusterd")
    told = usable(found("ascend-a3"), here, sick)
    assert told["a3-1"] == [1, 3, 5, 6, 7]  # dies 0, 5 and 8 are of cards 0, 2 and 4
    assert told["a3-2"] == list(range(6))  # four dies, while its first container ran
    assert (told["a3-3"], told["a3-4"]) == ([], [])


def local_pod(name: str, cards: int, owner: str = "", **spec: Any) -> dict[str, Any]:
    owners = [{"apiVersion": "batch/v1", "kind": "Job", "name": owner}] if owner else []
    limits = {"limits": {"huawei.com/Ascend910": str(cards)}}
    return {
        "metadata": {"name": name, "namespace": "lab", "ownerReferences": owners},
        "spec": {"nodeName": "a2-2", "containers": [{"resources": limits}], **spec},
        "status": {"phase": "Running", "startTime": "2026-11-01T10:00:00Z"},
    }


def test_when_local_pods_give_cards_back() -> None:
    """Ten in the morning is 1793527200; then the deadline, and the grace to end within."""
    job = {
        "metadata": {"name": "sweep", "namespace": "lab"},
        "spec": {
            "activeDeadlineSeconds": 7200,
            "template": {"spec": {"terminationGracePeriodSeconds": 600}},
        },
        "status": {"startTime": "2026-11-01T10:00:00Z"},
    }
    told = deadline_of(job)
    assert told == (JobKey("lab", "sweep"), 1793527200.0 + 7200 + 600)
    documents = [
        local_pod("short", 2, activeDeadlineSeconds=3600, terminationGracePeriodSeconds=0),
        local_pod("of-a-job", 1, "sweep"),
        local_pod("of-another", 1, "no-deadline"),
        local_pod("for-ever", 1),
        local_pod("odd", 1, activeDeadlineSeconds="3600"),
        local_pod("no-cards", 0, activeDeadlineSeconds=60),
    ]
    here = [pod for each in documents if (pod := pod_of(each))]
    pools = found("ascend-910b").pools
    assert releases(here, pools, dict([told]), "harbin") == {
        pools[0].declared.name: (Release(2, 1793530800.0), Release(1, 1793535000.0))
    }
    assert owners(here, pools, "harbin") == {
        JobKey("lab", "sweep"),
        JobKey("lab", "no-deadline"),
    }
    started = local_pod("of-a-job", 1, "sweep")
    started["status"]["startTime"] = "yesterday"
    assert deadline_of({**job, "status": started["status"]}) is None


def test_why_a_node_is_out() -> None:
    sick = health("clusterd")
    by_name = {node.name: node for node in nodes("ascend-910b", "ascend-a3")}

    def why(name: str, *tolerated: Toleration) -> str:
        return out_of_service(by_name[name], tolerated, sick)

    assert why("a2-1") == ""
    assert why("a2-3") == "cordoned"
    assert why("a2-4") == "not ready"
    assert why("a2-5") == "tainted dedicated=ai:NoSchedule"
    assert why("a2-5", Toleration("dedicated", "ai", "NoSchedule")) == ""
    assert why("a2-5", Toleration("dedicated", "db")) != ""
    assert (why("a3-3"), why("a3-4")) == ("pre-separated", "separated")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"metadata": None},
        {"metadata": {"name": "n"}, "status": {"capacity": "eight", "conditions": [1, None]}},
        {"metadata": {"name": "n", "labels": [1]}, "spec": {"taints": [{}, "x"]}, "status": []},
        {"metadata": {"name": "n"}, "status": {"capacity": {"huawei.com/Ascend910": "many"}}},
        {
            "metadata": {"name": "n"},
            "spec": {"nodeName": "n", "containers": [None, {"resources": 3}]},
        },
    ],
)
def test_garbage_is_nothing(document: dict[str, Any]) -> None:
    node, pod = node_of(document), pod_of(document)
    assert node is None or discover([node], (), NAMER, {}, ()).pools == ()
    assert pod is None or not pod.requests
    assert (
        health_of([{"metadata": {"name": "cluster-info-device-0"}, "data": {"a": "{[", "b": "3"}}])
        == {}
    )
    bad = {"metadata": {"name": "mindx-dl-deviceinfo-n"}, "data": {"DeviceInfoCfg": "[" * 100_000}}
    assert health_of([bad, document]) == {"n": NodeHealth()}


WORDS = """
metadata name labels annotations spec status capacity allocatable conditions type reason
addresses address taints key value effect unschedulable nodeName phase containers resources
limits requests initContainers ownerReferences kind containerStatuses state terminated
waiting message podIP deletionTimestamp data DeviceInfoCfg tier members selector exactMatch
regexMatch pattern labelMatch matchLabels huawei.com/Ascend910 cpu memory suan/run Ready True
mindx-dl-deviceinfo-n cluster-info-device-0 InternalIP DisruptionTarget Node
"""
KEYS = st.sampled_from(WORDS.split())
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), KEYS, st.sampled_from(["8", "1e999", ""])
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_nothing_that_a_server_says_stops_the_agent(document: dict[str, Any]) -> None:
    named = {
        **document,
        "metadata": {"name": "suan-j1-1", "annotations": {"suan/run": "suan-j1-1"}},
    }
    for each in (document, named):
        node, pod, run_pod = node_of(each), pod_of(each), run_pod_of(each)
        here = [node] if node else []
        grouped = supernodes(here, [each], health_of([each]))
        discovery = discover(here, [pod] if pod else (), NAMER, grouped, ())
        conditions(here, [pod] if pod else (), discovery.pools, {}, (), "s", lambda p, n: ())
        if run_pod is not None:
            word = KubernetesWord("", (run_pod,))
            assert isinstance(word.state + word.reason, str)
            assert word.is_over or not word.is_proof
            assert word.meaning is None or word.meaning[1]


def test_quantities() -> None:
    said = ["96", "95500m", "1Ki", "2Gi", "1k", "12e6", "0.5", 7]
    assert [quantity(each) for each in said] == [96, 95.5, 1024, 2 * 2**30, 1000, 12e6, 0.5, 7]
    with pytest.raises(ValueError, match="could not"):
        quantity("many")


def test_a_node_that_says_too_much() -> None:
    template = objects("ascend-910b")[0]
    amounts = {"huawei.com/Ascend910": "1E", "cpu": "-3", "memory": "NaN"}
    found = node_of({**template, "status": {"capacity": amounts, "allocatable": amounts}})
    assert found is not None
    (pool,) = discover([found], (), NAMER, {}, ()).pools
    assert (pool.declared.cards_per_node, pool.declared.cpus_per_node) == (1024, 0)


def test_five_thousand_nodes() -> None:
    template = objects("ascend-910b")[0]
    documents = [
        {**template, "metadata": {**template["metadata"], "name": f"n{number}"}}
        for number in range(5_000)
    ]
    began = time.process_time()
    here = [node for each in documents if (node := node_of(each))]
    discovery = discover(here, (), NAMER, supernodes(here, (), {}), ())
    told = conditions(here, (), discovery.pools, {}, (), "harbin", lambda pool, node: ())
    (pool,) = Inventory("harbin", [p.declared for p in discovery.pools], told).pools()
    took = time.process_time() - began
    assert pool.cards_usable == 40_000
    print(f"5,000 nodes parsed, grouped and judged in {took:.2f} s of CPU")
