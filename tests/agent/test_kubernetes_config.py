"""The section `kubernetes` of agent.yaml, what is made of it, and what preflight finds with it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes_api import VOLCANO, ApiServer, kubeconfig, serving
from kubernetes_cluster import can_run, node, running_cluster

from agent.assembly import profile_of
from agent.checks.check import Check, Status
from agent.cluster import cluster_of
from agent.config.file import AgentConfig, load_config
from agent.kubernetes.backend import KubernetesBackend
from agent.kubernetes.capacity import PoolOffer
from agent.kubernetes.config import KUBERNETES, OFFER, TenantPlace
from agent.kubernetes.preflight import kubernetes_checks
from agent.kubernetes.survey import KubernetesSurvey
from agent.kubernetes.usage import Toleration
from suan import catalogue
from suan.errors import InvalidSpec, Problem

ROOT = Path(__file__).parents[2]
LEAST = """\
site: harbin
broker: 127.0.0.1:7443
state_dir: state
backend: kubernetes
kubernetes: {shared_dir: shared, image: registry/base}
"""
WHOLE = """\
site: harbin
broker: 127.0.0.1:7443
state_dir: state
backend: kubernetes
data_roots: [/data/sets]
kubernetes:
  shared_dir: /mnt/suan
  image: registry/base
  host_path: /lustre/suan
  kubeconfig: kube/config
  context: production
  namespace: federation
  service_account: runner
  scheduler: volcano
  queue: federation
  highest_tier: 2
  host_network: false
  ranktable: true
  python: /opt/python3
  tenants:
    team-a: {namespace: team-a, image: registry/a}
  pools:
    - {name: npu-train, labels: {accelerator: huawei-Ascend910}, share: 0.5, image: registry/cann}
    - {name: dcu, supernode_nodes: 8, linearity: {64: 0.9, 8: 0.99}}
  accelerators: {hygon.com/dcu: hygon-k100, "huawei.com/npu=950PR": 950PR}
  tolerations: [dedicated=ai:NoSchedule, gpu]
  wait_seconds_max: 300
  poll_seconds: 60
"""


def read(place: Path, text: str) -> AgentConfig:
    (place / "agent.yaml").write_text(text, "utf-8")
    return load_config(place / "agent.yaml", catalogue.load())


def problems(place: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSpec) as refused:
        read(place, text)
    return refused.value.problems


def test_the_least_and_the_whole(tmp_path: Path) -> None:
    least = read(tmp_path, LEAST)
    assert least.runs_dir == tmp_path / "shared"
    assert least.kubernetes is not None
    assert (least.kubernetes.scheduler, least.kubernetes.host_network) == ("auto", True)
    whole = read(tmp_path, WHOLE).kubernetes
    assert whole is not None
    assert whole.kubeconfig == str(tmp_path / "kube" / "config")
    assert (whole.host_path, whole.host_network, whole.ranktable) == ("/lustre/suan", False, "1.0")
    assert dict(whole.tenants) == {"team-a": TenantPlace("team-a", image="registry/a")}
    assert [(offer.name, offer.policy.share, dict(offer.labels)) for offer in whole.pools] == [
        ("npu-train", 0.5, {"accelerator": "huawei-Ascend910"}),
        ("dcu", 1.0, {}),
    ]
    assert whole.pools[1].linearity == ((8, 0.99), (64, 0.9))
    assert isinstance(whole.pools[0], PoolOffer)
    assert whole.tolerations == (Toleration("dedicated", "ai", "NoSchedule"), Toleration("gpu"))
    assert dict(whole.accelerators) == {
        "hygon.com/dcu": "hygon-k100",
        "huawei.com/npu=950PR": "ascend-950pr",
    }


def test_what_is_made_of_it(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE)
    cluster = cluster_of(config, {"AGENT_KEY": "hunter2"})
    assert isinstance(cluster.survey, KubernetesSurvey)
    assert isinstance(cluster.backend, KubernetesBackend)
    settings = cluster.survey.settings()
    assert settings.data_roots == ("/data/sets",)
    assert settings.tenant("team-a").service_account == "runner"
    assert profile_of(config, "").backend == "kubernetes"


def whole(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new)


WRONG = [
    (LEAST.replace(", image: registry/base", ""), 5, "kubernetes.image", "MissingKey"),
    (LEAST.replace("shared_dir: shared, ", ""), 5, "kubernetes.shared_dir", "MissingKey"),
    (LEAST.replace("backend: kubernetes", ""), 5, "kubernetes", "WrongKey"),
    (LEAST.replace("backend: kubernetes", "backend: slurm"), 1, "slurm", "MissingKey"),
    (whole("  host_path", "  claim: suan\n  host_path"), 7, "kubernetes", "WrongKey"),
    (whole("scheduler: volcano", "scheduler: yarn"), 14, "kubernetes.scheduler", "UnknownWord"),
    (whole("namespace: federation", "namespace: Fed"), 12, "kubernetes.namespace", "BadText"),
    (whole("name: dcu", "name: npu-train"), 7, "kubernetes", "DuplicateName"),
    (whole(", gpu]", ", 'a b']"), 26, "kubernetes.tolerations[1]", "BadText"),
    (whole("host_network: false", "host_network: no"), 17, "kubernetes.host_network", "WrongType"),
]


@pytest.mark.parametrize(("text", "line", "path", "code"), WRONG)
def test_what_is_wrong(tmp_path: Path, text: str, line: int, path: str, code: str) -> None:
    found = {(each.line, each.path, each.code) for each in problems(tmp_path, text)}
    assert (line, path, code) in found


def test_the_page_for_operators_shows_a_file_that_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sites" / "kubernetes.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = read(tmp_path, blocks[0])
    assert config.kubernetes is not None
    named = set(re.findall(r"^\| `(?:pools\[\]\.)?([a-z_]+)`", page, re.MULTILINE))
    assert named
    assert {field.name for field in (*KUBERNETES.fields, *OFFER.fields)} >= named


def test_the_rights_that_are_handed_out_are_those_that_are_asked_about() -> None:
    path = ROOT / "deploy" / "examples" / "kubernetes-rbac.yaml"
    documents = [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]
    rules = [rule for each in documents for rule in each.get("rules", ())]
    granted = {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    for verb in ("list", "watch"):
        assert ("", "nodes", verb) in granted
        assert ("", "pods", verb) in granted
    for group in ("batch", "batch.volcano.sh"):
        for verb in ("create", "list", "delete"):
            assert (group, "jobs", verb) in granted
    assert not any("*" in part for part in {part for right in granted for part in right})
    assert not any(resource == "secrets" for _, resource, _ in granted)


# --- preflight -----------------------------------------------------------------------------------


def lines(checks: list[Check]) -> dict[str, tuple[Status, str]]:
    return {check.name: (check.status, check.message) for check in checks}


@pytest.mark.skipif(not can_run(), reason="needs namespaces (unshare, as root)")
async def test_preflight_tries_a_job(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, ApiServer((VOLCANO,))) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        cluster.server.put("nodes", node("npu3", spec={"unschedulable": True}))
        section = f"{{shared_dir: '{cluster.shared}', image: i, kubeconfig: '{way}',"
        text = LEAST.replace("{shared_dir: shared, image: registry/base}", section)
        config = read(tmp_path, f"{text} python: '{sys.executable}'}}")
        assert config.kubernetes is not None
        found = lines(await kubernetes_checks(config, config.kubernetes))
        assert found["cluster"][1].startswith("kubernetes v1.34.1 + volcano, nodes 3, pods 0")
        assert found["permissions"][0] is Status.OK
        status, said = found["accelerators ascend-910b"]
        assert (status, "16 may be used now; out of service: npu3 (cordoned)" in said) == (
            Status.WARN,
            True,
        )
        assert found["names"] == (Status.OK, "huawei.com/Ascend910 → ascend-910b; all mapped")
        assert found["job"][0] is Status.OK, found["job"]
        assert not cluster.server.of(f"jobs@{VOLCANO}")


async def test_preflight_names_what_is_missing(tmp_path: Path) -> None:
    async with serving(ApiServer()) as opened:
        way = kubeconfig(tmp_path, opened.url)
        text = LEAST.replace("registry/base}", f"i, kubeconfig: '{way}'}}")
        config = read(tmp_path, text)
        assert config.kubernetes is not None
        opened.put("nodes", node("odd", resource="acme.com/card"))
        opened.forbidden |= {("create", "jobs"), ("list", "hypernodes")}
        found = lines(await kubernetes_checks(config, config.kubernetes))
        assert found["permissions"] == (Status.FAIL, "not allowed: create jobs in default")
        assert found["names"] == (Status.FAIL, "not known, so not offered: acme.com/card")
        assert found["shared"][0] is Status.FAIL  # it is not mounted
        assert "job" not in found
        opened.forbidden |= {("list", "nodes")}
        found = lines(await kubernetes_checks(config, config.kubernetes))
        assert found["cluster"][0] is Status.FAIL
    (away,) = await kubernetes_checks(config, config.kubernetes)
    assert (away.name, away.status) == ("cluster", Status.FAIL)
    assert away.hint
