"""Federation files: read into the scheduler's values, and every fault at once with its line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scheduler.model import Snapshot
from scheduler.placement import place
from simulator.federation import (
    Federation,
    instance,
    load_federation,
    pools_of,
    random_federation,
    synthesise,
)
from simulator.traces import TraceJob
from suan.errors import InvalidRequest, InvalidSpec
from suan.network import load as load_network

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "federations"
NETWORK = load_network((ROOT / "deploy" / "networks" / "china.yaml").read_bytes()).network
JOBS = tuple(TraceJob(str(at), at * 60.0, 600.0, 8, tenant=f"group-{at % 3}") for at in range(200))


def problems(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    file = tmp_path / "federation.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSpec) as refused:
        load_federation(file)
    return [(problem.line, problem.code) for problem in refused.value.problems]


@pytest.mark.parametrize("name", ["three-sites", "national"])
def test_the_examples_are_sound(name: str) -> None:
    federation = load_federation(EXAMPLES / f"{name}.yaml")
    assert federation.warnings == ()
    for pool in federation.pools:
        assert pool.cards_free == pool.cards_total > 0
    made = instance(federation, synthesise(JOBS, federation, seed=1))
    assert made.feasible.all()


def test_the_values_are_what_the_file_says() -> None:
    federation = load_federation(EXAMPLES / "three-sites.yaml")
    shenzhen = federation.sites[0]
    assert (shenzhen.name, shenzhen.city, shenzhen.region) == ("shenzhen", "shenzhen", "guangdong")
    assert (shenzhen.pue, shenzhen.failures_per_card_day) == (1.2, 0.0003)
    npu, super_ = federation.pools[:2]
    assert (npu.accelerator, npu.cards_total, npu.yuan_per_card_hour) == ("ascend-910b", 256, 6.2)
    assert [node.cards_free for node in super_.supernodes] == [384]
    assert federation.weights == (("group-1", 2.0),)
    assert federation.outages[0].from_seconds == 360_000
    assert pools_of(federation).cards.tolist() == [256, 384, 640, 128]


def test_the_scheduler_takes_it(tmp_path: Path) -> None:
    federation = load_federation(EXAMPLES / "national.yaml")
    snapshot = Snapshot(
        0.0, federation.accelerators, federation.sites, federation.pools, federation.network, (), ()
    )
    assert place(snapshot).placements == ()


def test_all_faults_at_once_with_their_lines(tmp_path: Path) -> None:
    text = """\
apiVersion: suan/v2
links:
  - {a: x, b: x, bandwidth_gbps: 10, latency_ms: 1}
  - {a: x, b: y, bandwidth_gbps: 0, latency_ms: 1}
sites:
  - name: x
    pue: 0.5
    pools:
      - {name: p, accelerator: ascend-911b, nodes: 2, cards_per_node: 8}
      - {name: q, accelerator: ascend-910b, nodes: 0, cards_per_node: 8}
      - {name: r, accelerator: ascend-910b, nodes: 1.5, cards_per_node: 99999}
      - {name: s, accelerator: ascend-910b, nodes: 1}
      - {name: t, accelerator: ascend-910b, nodes: 1, cards_per_node: 8}
      - {name: t, accelerator: ascend-910b, nodes: 1, cards_per_node: 8}
  - {name: x, pools: []}
datasets:
  - {name: d, size_gb: -3, replicas: [z]}
failures:
  - {site: z, from_hours: 1, until_hours: 2}
  - {link: [x, q], from_hours: 1, until_hours: 2}
  - {site: x, from_hours: 3, until_hours: 2}
  - {from_hours: 1, until_hours: 2}
tenants: {a: 0}
speed: 3
"""
    assert problems(tmp_path, text) == [
        (1, "UnknownVersion"),
        (3, "SelfLink"),
        (4, "OutOfRange"),
        (7, "OutOfRange"),
        (9, "UnknownAccelerator"),
        (10, "OutOfRange"),
        (11, "WrongType"),
        (11, "OutOfRange"),
        (12, "MissingKey"),
        (14, "DuplicatePool"),
        (15, "DuplicateSite"),
        (15, "NoPools"),
        (17, "OutOfRange"),
        (17, "UnknownSite"),
        (19, "UnknownSite"),
        (20, "UnknownLink"),
        (21, "OutOfRange"),
        (22, "Contradiction"),
        (23, "OutOfRange"),
        (24, "UnknownKey"),
    ]


def test_a_city_that_the_network_lacks_and_a_network_that_is_not_there(tmp_path: Path) -> None:
    pool = "{name: p, accelerator: h100, nodes: 1, cards_per_node: 8}"
    site = f"sites: [{{name: atlantis, pools: [{pool}]}}]\n"
    network = tmp_path / "network.yaml"
    network.write_bytes((ROOT / "deploy" / "networks" / "china.yaml").read_bytes())
    assert problems(tmp_path, f"network: network.yaml\n{site}") == [(2, "UnknownNode")]
    assert problems(tmp_path, f"network: no.yaml\n{site}") == [(1, "FileUnreadable")]
    network.write_text("nodes: 3\nlinks: []\n")
    assert (1, "WrongType") in problems(tmp_path, f"network: network.yaml\n{site}")


def test_sites_that_no_data_can_reach_are_told(tmp_path: Path) -> None:
    pool = "pools: [{name: p, accelerator: h100, nodes: 1, cards_per_node: 8}]"
    file = tmp_path / "apart.yaml"
    file.write_text(f"sites:\n  - {{name: a, {pool}}}\n  - {{name: b, {pool}}}\n")
    federation = load_federation(file)
    assert [problem.code for problem in federation.warnings] == ["Disconnected"]
    made = instance(federation, synthesise(JOBS, federation, seed=1))
    reachable = np.isfinite(made.known.stage_seconds).sum(axis=1)
    assert (reachable >= 1).all() and (reachable == 1).any()


@pytest.mark.parametrize("text", ["", "- 1", "sites: 3", "sites: [", "sites: []\nnetwork: [1]"])
def test_no_text_breaks_the_reader(tmp_path: Path, text: str) -> None:
    file = tmp_path / "federation.yaml"
    file.write_text(text)
    with pytest.raises(InvalidSpec):
        load_federation(file)
    with pytest.raises(InvalidRequest):
        load_federation(tmp_path / "none.yaml")


def random(seed: int) -> Federation:
    return random_federation(NETWORK, 20, 40, 4000, seed, widest_cards=256)


def test_random_federations_are_those_of_their_seed() -> None:
    assert random(3) == random(3) != random(4)
    federation = random(3)
    assert (len(federation.sites), len(federation.pools)) == (20, 40)
    assert 3600 <= federation.cards <= 6 * 256 + 4400
    for model in federation.accelerators:
        assert max(p.cards_usable for p in federation.pools if p.accelerator == model.model) >= 256
    with pytest.raises(ValueError, match="pool for every"):
        random_federation(NETWORK, 5, 4, 100, 0)


def test_what_is_synthesised_is_of_its_seed_and_said() -> None:
    federation = random(3)
    made = synthesise(JOBS, federation, seed=5)
    again = synthesise(JOBS, federation, seed=5)
    assert made.families == again.families and made.datasets == again.datasets
    assert np.array_equal(made.family, again.family) and np.array_equal(made.dataset, again.dataset)
    assert made.tenants == ("group-0", "group-1", "group-2")
    assert all(
        made.families[at].tenant == job.tenant for at, job in zip(made.family, JOBS, strict=True)
    )
    assert all(
        made.datasets[at].name.startswith(job.tenant)
        for at, job in zip(made.dataset, JOBS, strict=True)
    )
    assert "seed 5" in made.said[0] and not any("tenants" in line for line in made.said[3:])
    nameless = synthesise([TraceJob("x", 0.0, 1.0, 1)], federation, seed=5)
    assert any("20 tenants" in line for line in nameless.said)


def test_residency_and_lists_of_tenants_close_pools() -> None:
    federation = load_federation(EXAMPLES / "three-sites.yaml")
    workload = synthesise(JOBS, federation, seed=1)
    bound = tuple(
        replace(d, regions_allowed=("henan",), replicas=("zhengzhou",)) for d in workload.datasets
    )
    made = instance(federation, replace(workload, datasets=bound))
    zhengzhou = [pool.site == "zhengzhou" for pool in federation.pools]
    assert (np.isfinite(made.known.stage_seconds) == zhengzhou).all()
    closed = tuple(replace(site, tenants_denied=("group-0",)) for site in federation.sites)
    made = instance(replace(federation, sites=closed), workload)
    assert (made.feasible == (workload.tenant != 0)).all()
