"""How runs are put to a cluster, what its words on their pods mean, and tables of ranks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes_api import Json, Refused, check, templates

from agent.backends import BackendRefused, Exit, NodeShare, Reason, RunOrder
from agent.backends.judge import judged
from agent.backends.prepare import StateDirectory
from agent.kubernetes.config import KubernetesConfig, TenantPlace
from agent.kubernetes.manifest import BATCH, VOLCANO, job_of
from agent.kubernetes.names import object_name, run_of
from agent.kubernetes.pods import KubernetesWord, RunPod, by_run, run_pod_of
from agent.kubernetes.ranktable import table_of
from agent.kubernetes.settings import KubernetesSettings, RunPlace
from agent.kubernetes.usage import Toleration
from agent.supervisor.outcomes import outcome_of

NAME = "suan-j1-1"
STATE = StateDirectory(Path("/mnt/suan 共享"), 0)
ASCEND = RunPlace("ascend", "huawei.com/Ascend910", 2, "npu", "", 12, 65_536)
CONFIG = KubernetesConfig(str(STATE.path), "registry/base:1")
SETTINGS = KubernetesSettings("harbin", CONFIG, 1000, 1001, (), {"n1": ASCEND, "n2": ASCEND})


def order(*nodes: str, **fields: Any) -> RunOrder:
    shares = tuple(NodeShare(node, node, (0, 1)) for node in nodes or ("n1",))
    return RunOrder(NAME, "j1", 1, "s", shares, 2, "true", **fields)


def made(wish: RunOrder, settings: KubernetesSettings = SETTINGS, api: str = BATCH) -> Json:
    """The job, which a server would take."""
    job = job_of(wish, STATE, settings, api)
    check("jobs" if api == BATCH else "jobs@volcano", job)
    return job


def pod_spec(job: Json) -> Json:
    (template,) = templates(job)
    spec: Json = template["spec"]
    return spec


def changed(**fields: Any) -> KubernetesSettings:
    return replace(SETTINGS, config=replace(CONFIG, **fields))


def test_an_indexed_job() -> None:
    job = made(order("n1", "n2", time_limit_seconds=3600.0, grace_seconds=30.0))
    assert (job["apiVersion"], job["metadata"]["name"], run_of(job)) == (BATCH, NAME, NAME)
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 2, 2)
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 3600 + 600 + 30 + 60)
    pod = pod_spec(job)
    assert (pod["restartPolicy"], pod["terminationGracePeriodSeconds"]) == ("Never", 45)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"] == {"runAsUser": 1000, "runAsGroup": 1001}
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"huawei.com/Ascend910": "4", "memory": "131072Mi"}
    assert container["resources"]["requests"]["cpu"] == "24"
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = pod["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["n1"], ["n2"]]
    assert pod["affinity"]["podAntiAffinity"][required]
    assert container["command"][:3] == ["python3", "-I", "-S"]
    assert container["command"][-3:] == [str(STATE.path), NAME, "720"]


def test_a_pod_sees_what_is_its_own() -> None:
    wish = order(data_directory=str(STATE.path / "data" / NAME), working_directory="/data/sets/a")
    roots = replace(SETTINGS, data_roots=("/data/sets", str(STATE.path / "sets")))
    pod = pod_spec(made(wish, roots))
    mounts = {
        mount["mountPath"]: (mount.get("subPath"), mount.get("readOnly", False))
        for mount in pod["containers"][0]["volumeMounts"]
    }
    shared = str(STATE.path)
    assert mounts == {
        "/dev/shm": (None, False),
        f"{shared}/runs/{NAME}": (f"runs/{NAME}", False),
        f"{shared}/asks": (f"runs/{NAME}/asks", False),
        f"{shared}/tools": ("tools", True),
        f"{shared}/outputs/j1/1": ("outputs/j1/1", False),
        f"{shared}/checkpoints/j1": ("checkpoints/j1", False),
        f"{shared}/data/{NAME}": (f"data/{NAME}", False),
        f"{shared}/sets": ("sets", True),
        "/data/sets": (None, True),
    }
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["suan"]["hostPath"] == {"path": shared, "type": "Directory"}
    assert volumes["data-0"]["hostPath"] == {"path": "/data/sets"}


def test_the_image_of_a_job() -> None:
    settings = changed(images_allowed=("docker://registry.cn/lab/*",))
    for image in ("registry.cn/lab/torch:2", "docker://registry.cn/lab/torch:2"):
        pod = pod_spec(made(order(image=image), settings))
        assert pod["containers"][0]["image"] == "registry.cn/lab/torch:2"
    for given, code in ((settings, "ImageNotAllowed"), (SETTINGS, "ImagesUnsupported")):
        with pytest.raises(BackendRefused) as refused:
            made(order(image="evil.example/lab/torch:2"), given)
        assert refused.value.code == code
    assert pod_spec(made(order(), settings))["containers"][0]["image"] == CONFIG.image


def test_places_of_tenants_and_pools() -> None:
    tenants = {"lab": TenantPlace("lab", "trainer", "registry/lab:2", "lab-suan", "gold")}
    settings = changed(
        namespace="everybody",
        claim="suan",
        tenants=tenants,
        tolerations=(Toleration("dedicated", "ai", "NoSchedule"), Toleration("gpu")),
        host_network=False,
    )
    pool = replace(ASCEND, image="registry/cann:8")
    settings = settings.with_places({"n1": pool})
    lab = made(order(tenant="lab"), settings)
    assert lab["metadata"]["namespace"] == "lab"
    pod = pod_spec(lab)
    assert pod["serviceAccountName"] == "trainer"
    assert pod["containers"][0]["image"] == "registry/lab:2"
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "lab-suan"}
    assert pod["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "ai", "effect": "NoSchedule"},
        {"key": "gpu", "operator": "Exists"},
    ]
    assert "hostNetwork" not in pod
    other = made(order(tenant="other"), settings)
    assert other["metadata"]["namespace"] == "everybody"
    assert pod_spec(other)["containers"][0]["image"] == "registry/cann:8"
    assert settings.namespaces == ("everybody", "lab")


def test_a_volcano_job() -> None:
    job = made(order("n1", "n2"), changed(queue="q", highest_tier=2), VOLCANO)
    spec = job["spec"]
    assert (spec["minAvailable"], spec["queue"], spec["schedulerName"]) == (2, "q", "volcano")
    assert spec["networkTopology"] == {"mode": "hard", "highestTierAllowed": 2}
    assert spec["tasks"][0]["replicas"] == 2
    assert pod_spec(job)["schedulerName"] == "volcano"


def test_what_cannot_be_put() -> None:
    refusals = [
        (order("n1", "n9"), "BadShape"),
        (order(working_directory="/root"), "BadDirectory"),
        (order(data_directory="/elsewhere"), "BadDirectory"),
    ]
    for wish, code in refusals:
        with pytest.raises(BackendRefused) as refused:
            job_of(wish, STATE, SETTINGS, BATCH)
        assert refused.value.code == code


def test_the_tests_server_refuses_what_a_server_refuses() -> None:
    for change in ({"backofLimit": 0}, {"completions": "two"}, {"completions": None}):
        job = made(order())
        job["spec"] |= change
        with pytest.raises(Refused):
            check("jobs", job)
    job = made(order())
    pod_spec(job)["containers"][0]["volumeMounts"][1]["subPath"] = "../etc"
    with pytest.raises(Refused):
        check("jobs", job)


@pytest.mark.parametrize("job_id", ["j1", "J1", "a.b", "x" * 100, "0192f3a4-7777-7abc-8def-00"])
def test_names(job_id: str) -> None:
    run = f"suan-{job_id}-3"
    name = object_name(run)
    assert len(name) <= 52
    assert name == object_name(run) != object_name(f"suan-{job_id}-4")
    assert run_of({"metadata": {"name": name, "annotations": {"suan/run": run}}}) == run
    assert run_of({"metadata": {"name": "other", "annotations": {"suan/run": run}}}) == ""


# --- words ----------------------------------------------------------------------------------


def pod(phase: str, state: Json | None = None, **status: Any) -> RunPod:
    containers = [{"name": "run", "state": state}] if state else []
    going = {"deletionTimestamp": "2026-11-22T00:00:00Z"} if status.pop("going", False) else {}
    found = run_pod_of(
        {
            "metadata": {
                "name": f"{NAME}-0",
                "labels": {"suan/object": NAME},
                "annotations": {"suan/run": NAME},
                **going,
            },
            "spec": {"nodeName": status.pop("node", "n1")},
            "status": {"phase": phase, "containerStatuses": containers, **status},
        }
    )
    assert found is not None
    return found


def terminated(reason: str, code: int = 137) -> Json:
    return {"terminated": {"reason": reason, "exitCode": code}}


def disrupted(reason: str) -> list[Json]:
    return [{"type": "DisruptionTarget", "status": "True", "reason": reason}]


ENDS = [
    (pod("Failed", terminated("OOMKilled")), "OutOfMemory", "user"),
    (pod("Failed", terminated("Error"), reason="DeadlineExceeded"), "TimeLimit", "user"),
    (pod("Failed", terminated("Error"), reason="Evicted"), "SitePreempted", "site"),
    (
        pod("Failed", terminated("Error"), conditions=disrupted("PreemptionByScheduler")),
        "SitePreempted",
        "site",
    ),
    (
        pod("Failed", terminated("Error"), conditions=disrupted("EvictionByEvictionAPI")),
        "SitePaused",
        "site",
    ),
    (pod("Failed", terminated("Error"), reason="NodeLost"), "MachineRebooted", "site"),
    (pod("Failed", conditions=disrupted("DeletionByPodGC")), "MachineRebooted", "site"),
    (pod("Failed", terminated("Error"), reason="Terminated"), "MachineRebooted", "site"),
    (pod("Failed", terminated("Error", 1)), "SitePaused", "site"),
]


@pytest.mark.parametrize(("said", "code", "category"), ENDS)
def test_why_a_run_was_told_to_end(said: RunPod, code: str, category: str) -> None:
    told = Exit(NAME, 0, 0, Reason.STOPPED, 1.0, 2.0, detail="the fence was told to end")
    ended = judged(told, "Kubernetes", KubernetesWord("/jobs/x", (said,)), "")
    _, failure = outcome_of(ended, "")
    assert failure is not None
    assert (failure.code, failure.category) == (code, category)


def test_a_killed_rank_is_out_of_memory_only_if_kubernetes_says_so() -> None:
    told = Exit(NAME, 137, 9, Reason.EXITED, 1.0, 2.0)
    oom = KubernetesWord("", (pod("Failed", terminated("OOMKilled")),))
    assert judged(told, "Kubernetes", oom, "").reason is Reason.OUT_OF_MEMORY
    plain = KubernetesWord("", (pod("Failed", terminated("Error")),))
    assert judged(told, "Kubernetes", plain, "").reason is Reason.EXITED
    assert judged(told, "Kubernetes", None, "").reason is Reason.EXITED


def test_what_is_over_and_what_is_proof() -> None:
    def word(*pods: RunPod, hopeless: str = "") -> tuple[bool, bool, bool]:
        said = KubernetesWord("/jobs/x", pods, hopeless)
        return said.may_wait, said.is_over, said.is_proof

    running, done = pod("Running", {"running": {}}), pod("Succeeded", terminated("Completed", 0))
    failed = pod("Failed", terminated("Error", 1))
    lost = pod(
        "Running", {"running": {}}, going=True, conditions=disrupted("DeletionByTaintManager")
    )
    unknown = pod("Failed", terminated("ContainerStatusUnknown"))
    collected = pod("Failed", {"running": {}}, conditions=disrupted("DeletionByPodGC"))
    refused = pod("Failed", reason="OutOfcpu", message="Pod was rejected")
    assert word() == (True, False, False)
    assert word(running) == (True, False, False)
    assert word(running, done) == (True, False, False)
    assert word(done, done) == (False, True, True)
    assert word(failed, running) == (True, True, False)  # the gang is broken
    assert word(lost, running) == (True, True, False)
    assert word(pod("Running", {"running": {}}, going=True)) == (True, False, False)
    assert word(unknown) == (False, True, False)
    assert word(collected) == (False, True, False)
    assert word(refused) == (False, True, True)  # it never began
    assert word(pod("Pending"), hopeless="ImagePullBackOff: x") == (True, True, False)
    assert by_run([failed, running])[NAME] == (failed, running)


# --- tables of ranks ---------------------------------------------------------------------------


def configuration(server: str, *devices: int, super_pod: int | None = None) -> str:
    """As the Ascend device plugin annotates pods (MindCluster's `Instance`)."""
    listed: list[dict[str, Any]] = []
    for device in devices:
        told = {"device_id": str(device), "device_ip": f"192.168.100.{device}"}
        if super_pod is not None:
            told["super_device_id"] = str(37748736 + device)
        listed.append(told)
    pod = {} if super_pod is None else {"super_pod_id": super_pod}
    return json.dumps({"pod_name": "p", "server_id": server, "devices": listed, **pod})


def level(layer: int, **ways: str) -> dict[str, Any]:
    """As MindCluster's `RankLevel`: by network, an address."""
    return {
        "level": layer,
        "info": {
            network: {
                "net_layer": layer,
                "net_instance_id": f"az0-{layer}",
                "net_type": "CLOS" if layer else "TOPO_FILE_DESC",
                "net_attr": "",
                "rank_addr_list": [
                    {"addr_type": "EID", "addr": address, "ports": ["0/1"], "plane_id": "plane0"}
                ],
            }
            for network, address in ways.items()
        },
    }


def test_a_table_of_ranks() -> None:
    told = [configuration("10.0.0.1", 4, 5), configuration("10.0.0.2", 0)]
    table = json.loads(table_of(told, "1.0"))
    assert (table["status"], table["version"], table["server_count"]) == ("completed", "1.0", "2")
    first, second = table["server_list"]
    assert first == {
        "server_id": "10.0.0.1",
        "device": [
            {"device_id": "4", "device_ip": "192.168.100.4", "rank_id": "0"},
            {"device_id": "5", "device_ip": "192.168.100.5", "rank_id": "1"},
        ],
    }
    assert second["device"][0]["rank_id"] == "2"


def test_a_table_of_ranks_of_superpods() -> None:
    told = [configuration(f"10.0.0.{n}", 0, 1, super_pod=n // 2) for n in range(3)]
    table = json.loads(table_of(told, "1.2"))
    assert (table["version"], table["server_count"]) == ("1.2", "3")
    assert table["super_pod_list"] == [
        {
            "super_pod_id": "0",
            "server_list": [{"server_id": "10.0.0.0"}, {"server_id": "10.0.0.1"}],
        },
        {"super_pod_id": "1", "server_list": [{"server_id": "10.0.0.2"}]},
    ]
    assert table["server_list"][2]["device"][1] == {
        "device_id": "1",
        "device_ip": "192.168.100.1",
        "rank_id": "5",
        "super_device_id": "37748737",
    }
    assert table_of([configuration("10.0.0.1", 0)], "1.2") == ""  # of no SuperPoD
    assert table_of([configuration("10.0.0.1", 0, super_pod=-1)], "1.2") == ""


def test_a_table_of_ranks_of_the_950_has_numbers() -> None:
    levels = [level(0, UB="000000000000002000100000df001001"), level(1, RoCE="a", UBG="b")]
    devices = [{"device_id": str(d), "device_ip": "", "levelList": levels} for d in (2, 3)]
    told = [json.dumps({"server_id": f"10.0.0.{n}", "devices": devices}) for n in range(2)]
    table = json.loads(table_of(told, "2.0"))
    assert (table["status"], table["version"], table["rank_count"]) == ("completed", "2.0", 4)
    assert [(r["rank_id"], r["local_id"], r["device_id"]) for r in table["rank_list"]] == [
        (0, 2, 2),
        (1, 3, 3),
        (2, 2, 2),
        (3, 3, 3),
    ]
    first, second = table["rank_list"][0]["level_list"]
    assert first == {
        "net_layer": 0,
        "net_instance_id": "az0-0",
        "net_type": "TOPO_FILE_DESC",
        "net_attr": "",
        "rank_addr_list": [
            {
                "addr_type": "EID",
                "addr": "000000000000002000100000df001001",
                "ports": ["0/1"],
                "plane_id": "plane0",
            }
        ],
    }
    assert second["rank_addr_list"][0]["addr"] == "b"  # UBG goes before RoCE
    assert table_of([configuration("10.0.0.1", 0)], "2.0") == ""  # of an older generation


@pytest.mark.parametrize("said", ["", "{", "[]", '{"devices": [{}]}', '{"devices": []}'])
def test_a_table_waits_for_every_pod(said: str) -> None:
    assert table_of([configuration("10.0.0.1", 0), said], "1.0") == ""
