"""What is read of Slurm's output, of several versions, and what may be offered of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.backends import NodeShare
from agent.inventory import Inventory
from agent.local_use import RELEASES_MAX
from agent.policy import PoolPolicy
from agent.slurm import from_json, from_text
from agent.slurm.capacity import CardType, PartitionOffer, discover
from agent.slurm.from_text import (
    SlurmFrame,
    SlurmJob,
    SlurmNode,
    SlurmPartition,
    SlurmQos,
    SlurmView,
)
from agent.slurm.notation import (
    Gres,
    SlurmUnreadable,
    hosts,
    parse_duration,
    parse_gres,
    parse_states,
)
from agent.slurm.rules import refused_accounts, rules_of, time_limit_seconds
from agent.slurm.usage import conditions, is_ours, releases
from agent.supervisor import State, Supervisor
from agent.supervisor.messages import Tick
from agent.supervisor.values import Moment, Settings
from scheduler.model import Release

FIXTURES = Path(__file__).parent / "fixtures" / "slurm"
CARDS = {
    "npu:910b": CardType("ascend-910b", "npu"),
    "dcu:k100": CardType("hygon-k100", "dcu"),
}.get
ENDS_AT = 1762007200.0


def text(name: str) -> str:
    return (FIXTURES / name).read_text()


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


def recorded() -> SlurmView:
    return SlurmView(
        SlurmFrame((22, 5), {}),
        from_text.parse_nodes(text("22.05-nodes.txt")),
        from_text.parse_partitions(text("22.05-partitions.txt")),
        from_json.parse_jobs(text("22.05-squeue.json")),
    )


def documented(version: str) -> SlurmView:
    nodes = from_json.parse_nodes(text(f"{version}-nodes.json"))
    partition = SlurmPartition("ascend", up=True, nodes=tuple(node.name for node in nodes))
    jobs = from_json.parse_jobs(text(f"{version}-squeue.json"))
    return SlurmView(SlurmFrame((23, 2), {}), nodes, (partition,), jobs)


# --- the small languages ----------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("gpu:h100:4(S:0-1)", [("gpu", "h100", 4, [])]),
        ("gpu:h100:0(IDX:N/A)", [("gpu", "h100", 0, [])]),
        ("gpu:a100:3(IDX:0,2-3),npu:8", [("gpu", "a100", 3, [0, 2, 3]), ("npu", "", 8, [])]),
        ("dcu:K100-PCIE-64GB-LS:8", [("dcu", "K100-PCIE-64GB-LS", 8, [])]),
        ("npu:910:8", [("npu", "910", 8, [])]),
        ("gres:npu:910b:3", [("npu", "910b", 3, [])]),
        ("gres/npu:910b=3", [("npu", "910b", 3, [])]),
        ("gres:npu:910b", [("npu", "910b", 1, [])]),
        ("npu", [("npu", "", 1, [])]),
        ("(null)", []),
        ("N/A", []),
    ],
)
def test_gres(words: str, found: list[tuple[str, str, int, list[int]]]) -> None:
    read = [(g.name, g.model, g.count, sorted(g.indices)) for g in parse_gres(words)]
    assert read == found


def test_hosts() -> None:
    names = hosts("n[1-3,07],gpu2,r[1-2]n[1-2]")
    assert names == ["n1", "n2", "n3", "n07", "gpu2", "r1n1", "r1n2", "r2n1", "r2n2"]
    assert hosts("(null)") == []
    for nonsense in ("n[x-y]", "n[1-99999999]"):
        with pytest.raises(SlurmUnreadable):
            hosts(nonsense)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("3-00:00:00", 259200.0),
        ("1-12", 129600.0),
        ("12:00:00", 43200.0),
        ("30:00", 1800.0),
        ("45", 2700.0),
        ("UNLIMITED", None),
        ("", None),
    ],
)
def test_duration(words: str, seconds: float | None) -> None:
    assert parse_duration(words) == seconds


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("IDLE", True),
        ("MIXED-", True),
        ("ALLOCATED+COMPLETING", True),
        ("IDLE+DRAIN", False),
        ("MIXED+DRAIN", False),
        ("DOWN", False),
        ("IDLE*", False),
        ("IDLE~", False),
        ("IDLE+MAINTENANCE+RESERVED", False),
        ("A_STATE_OF_TOMORROW", False),
        ("", False),
    ],
)
def test_usable_states(state: str, usable: bool) -> None:
    node = SlurmNode("n1", "n1", parse_states(state), ("p",), 1, 1, ())
    assert node.usable is usable


# --- whole outputs ------------------------------------------------------------------


def test_nodes_of_22_05() -> None:
    dcu, npu, drained = from_text.parse_nodes(text("22.05-nodes.txt"))
    assert (dcu.name, dcu.address, dcu.cpus, dcu.memory_mib) == ("dcu1", "127.0.0.1", 16, 4000)
    assert npu.gres == (Gres("npu", "910b", 8),)
    assert Gres("npu", "910b", 3) in npu.gres_used
    assert (npu.usable, drained.usable) == (True, False)
    assert drained.reason.startswith("HBM ECC")


def test_text_and_json_of_22_05_say_the_same() -> None:
    def known(node: SlurmNode) -> tuple[object, ...]:
        return (node.name, node.address, node.cpus, node.memory_mib, node.gres, node.gres_used)

    by_text = from_text.parse_nodes(text("22.05-nodes.txt"))
    by_json = from_json.parse_nodes(text("22.05-sinfo.json"))
    assert [known(node) for node in by_text] == [known(node) for node in by_json]
    assert [node.usable for node in by_text] == [node.usable for node in by_json]


def test_partitions_of_22_05() -> None:
    ascend, hygon = from_text.parse_partitions(text("22.05-partitions.txt"))
    assert ascend.nodes == ("npu1", "npu2")
    assert (ascend.up, ascend.seconds_max, hygon.seconds_max) == (True, 259200.0, 86400.0)
    assert ascend.nodes_max is None
    assert ascend.accounts_allowed == ()


def test_rules_of_a_partition() -> None:
    (partition,) = from_text.parse_partitions(
        "PartitionName=p AllowAccounts=a,b MaxNodes=4 MaxTime=UNLIMITED Nodes=(null) State=DRAIN"
        " MaxMemPerCPU=3888"
    )
    assert partition.accounts_allowed == ("a", "b")
    assert (partition.nodes_max, partition.memory_mib_per_cpu_max) == (4, 3888)
    assert (partition.seconds_max, partition.up, partition.nodes) == (None, False, ())


def test_jobs_by_text() -> None:
    one, endless = from_text.parse_jobs(
        "7|RUNNING|None|n[1-2]|gres:npu:910b:3|1762007200|a|name\n8|RUNNING|None|n3|N/A|NONE|b\n"
    )
    assert one == SlurmJob(7, "a|name", "RUNNING", ("n1", "n2"), (Gres("npu", "910b", 3),), ENDS_AT)
    assert endless.ends_at is None


@pytest.mark.parametrize("version", ["23.02", "24.05", "25.05"])
def test_documented_versions(version: str) -> None:
    view = documented(version)
    assert [node.usable for node in view.nodes] == [True, False, False, True]
    assert view.nodes[0].cpus == 190
    local, ours = view.jobs
    assert (local.name, local.state, local.ends_at) == ("train|weird name", "RUNNING", ENDS_AT)
    assert local.gres_per_node == (Gres("npu", "910b", 3),)
    assert is_ours(ours.name)
    assert ours.ends_at is None


@pytest.mark.parametrize(
    "garbage",
    [
        "slurm_load_partitions: Unable to contact slurm controller (connect failure)",
        "<html>502</html>",
        "NodeName",
    ],
)
def test_garbage_is_not_an_empty_site(garbage: str) -> None:
    for parse in (
        from_text.parse_nodes,
        from_text.parse_partitions,
        from_text.parse_jobs,
        from_json.parse_nodes,
        from_json.parse_jobs,
    ):
        with pytest.raises(SlurmUnreadable):
            parse(garbage)


@pytest.mark.parametrize("document", ["{}", "[]", '{"nodes": 3}', '{"nodes": [1]}', "null"])
def test_json_of_another_shape(document: str) -> None:
    with pytest.raises(SlurmUnreadable):
        from_json.parse_nodes(document)


def test_unknown_fields_and_missing_ones() -> None:
    (node,) = from_json.parse_nodes(json.dumps({"nodes": [{"name": "n1", "new": {}}]}))
    assert (node.name, node.usable, node.gres) == ("n1", False, ())


# --- what may be offered ------------------------------------------------------------


def test_pools_are_partitions() -> None:
    found = discover(recorded(), CARDS)
    ascend, hygon = (pool.declared for pool in found.pools)
    assert (ascend.name, ascend.accelerator, ascend.kind) == ("ascend", "ascend-910b", "npu")
    assert (len(ascend.nodes), ascend.cards_per_node, ascend.cpus_per_node) == (2, 8, 16)
    assert (hygon.name, hygon.cards_per_node) == ("hygon", 4)
    assert {node.supernode for node in ascend.nodes} == {"ascend"}


def test_unknown_cards_are_told() -> None:
    found = discover(recorded(), {"npu:910b": CARDS("npu:910b")}.get)
    assert [pool.declared.name for pool in found.pools] == ["ascend"]
    assert found.unknown_gres == ("dcu:k100",)


def test_only_the_partitions_that_are_named() -> None:
    offers = [PartitionOffer("hygon", "dcu-train"), PartitionOffer("not-there")]
    found = discover(recorded(), CARDS, offers)
    assert [pool.declared.name for pool in found.pools] == ["dcu-train"]
    assert found.pools[0].partition.name == "hygon"
    assert found.unknown_partitions == ("not-there",)


def test_a_node_of_two_partitions_counts_once() -> None:
    view = recorded()
    again = SlurmPartition("debug", up=True, nodes=("npu1", "npu2"))
    both = replace(view, partitions=(*view.partitions, again))
    assert sum(pool.declared.cards for pool in discover(both, CARDS).pools) == 20


def test_two_shapes_in_one_partition_are_two_pools() -> None:
    nodes = tuple(
        SlurmNode(
            f"n{count}", "", frozenset({"IDLE"}), ("p",), 8, 1024, (Gres("npu", "910b", count),)
        )
        for count in (4, 8)
    )
    partition = SlurmPartition("p", True, ("n4", "n8"))
    view = SlurmView(SlurmFrame((22, 5), {}), nodes, (partition,), ())
    names = [pool.declared.name for pool in discover(view, CARDS).pools]
    assert names == ["p-910b-4", "p-910b-8"]


def test_leaf_switches_are_supernodes() -> None:
    leaves = from_text.parse_topology(
        "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=npu1\n"
        "SwitchName=s2 Level=0 LinkSpeed=1 Nodes=npu2\n"
        "SwitchName=top Level=1 LinkSpeed=1 Nodes=npu[1-2] Switches=s[1-2]\n"
    )
    switched = replace(recorded(), frame=SlurmFrame((22, 5), leaves))
    ascend = discover(switched, CARDS).pools[0].declared
    assert [node.supernode for node in ascend.nodes] == ["s1", "s2"]
    declared = [PartitionOffer("ascend", supernode_nodes=2)]
    ascend = discover(switched, CARDS, declared).pools[0].declared
    assert {node.supernode for node in ascend.nodes} == {"ascend-s0"}


def test_drained_nodes_and_local_jobs_are_kept_out_of_the_offer() -> None:
    view = recorded()
    pools = discover(view, CARDS).pools
    found = conditions(view, pools, nobody)
    inventory = Inventory("s", [pool.declared for pool in pools], found)
    ascend, hygon = inventory.pools()
    assert ascend.cards_usable == 5
    assert ascend.supernodes[0].nodes_by_free == (1, 0, 0, 0, 0, 1, 0, 0, 0)
    assert hygon.cards_usable == 4


@pytest.mark.parametrize("version", ["23.02", "24.05", "25.05"])
def test_our_own_runs_are_not_local_jobs(version: str) -> None:
    view = documented(version)
    pools = discover(view, CARDS).pools
    first, drained, down, part = conditions(view, pools, lambda pool, node: {0})
    assert len(first.kept_back) == 3
    assert 0 not in first.kept_back
    assert len(drained.faulty) == len(down.faulty) == 8
    assert len(part.faulty) == 1


def test_cards_that_slurm_names_are_the_ones_kept_back() -> None:
    view = documented("23.02")
    alone = replace(view, jobs=view.jobs[:1])
    condition = conditions(alone, discover(alone, CARDS).pools, nobody)[0]
    assert condition.kept_back == frozenset({0, 1, 2, 3})


def test_a_vanished_node_and_a_closed_partition_offer_nothing() -> None:
    view = recorded()
    pools = discover(view, CARDS).pools
    gone = replace(view, nodes=view.nodes[1:])
    by_node = {found.node: found for found in conditions(gone, pools, nobody)}
    assert len(by_node["dcu1"].faulty) == 4
    closed = replace(view, partitions=())
    assert all(len(found.faulty) >= 4 for found in conditions(closed, pools, nobody))


def test_releases_by_time_limit() -> None:
    view = documented("24.05")
    by_pool = releases(view, discover(view, CARDS).pools)
    assert by_pool == {"ascend": (Release(3, ENDS_AT + 20),)}  # the next whole minute


def test_many_releases_are_told_in_few() -> None:
    view = documented("24.05")
    gres = (Gres("npu", "910b", 1),)
    jobs = tuple(
        SlurmJob(n, "local", "RUNNING", ("npu1",), gres, ENDS_AT + 61.0 * n) for n in range(1000)
    )
    ends = releases(replace(view, jobs=jobs), discover(view, CARDS).pools)["ascend"]
    assert len(ends) == RELEASES_MAX
    assert sum(release.cards for release in ends) == 1000
    assert list(ends) == sorted(ends, key=lambda release: release.ends_at)
    assert ends[-1].ends_at >= ENDS_AT + 61.0 * 999


def test_jobs_that_wait_or_are_over_hold_nothing() -> None:
    view = documented("24.05")
    pools = discover(view, CARDS).pools
    local = view.jobs[0]
    for state in ("PENDING", "COMPLETED", "CANCELLED", "NODE_FAIL"):
        assert releases(replace(view, jobs=(replace(local, state=state),)), pools) == {}
    for state in ("COMPLETING", "SUSPENDED", "A_STATE_OF_TOMORROW"):
        assert releases(replace(view, jobs=(replace(local, state=state),)), pools)


def test_the_federation_holds_no_more_than_its_share() -> None:
    view = replace(recorded(), jobs=())
    nodes = tuple(
        replace(node, gres_used=(), states=frozenset({"IDLE"}), gres_drained=())
        for node in view.nodes
    )
    view = replace(view, nodes=nodes)
    offers = [
        PartitionOffer("ascend", policy=PoolPolicy(0.6)),
        PartitionOffer("hygon", policy=PoolPolicy(0.0)),
    ]
    pools = discover(view, CARDS, offers).pools
    declared = [pool.declared for pool in pools]

    busy = replace(view, jobs=documented("24.05").jobs)

    def offered(held: int) -> dict[str, int]:
        def holds(pool: str, node: str) -> frozenset[int]:
            return frozenset(range(held)) if node == "npu1" else frozenset()

        expected = releases(busy, pools)
        inventory = Inventory("s", declared, conditions(view, pools, holds), expected)
        inventory.occupy("ascend", [NodeShare("npu1", "", tuple(range(held)))])
        supervisor = Supervisor(State(inventory), Settings(site="s"), lambda: 0.5)
        supervisor.handle([Tick()], Moment(0.0, 0.0))
        assert all(pool.releases == () for pool in inventory.pools())  # they are the site's own
        return {pool.name: pool.cards_free for pool in inventory.pools()}

    assert offered(0) == {"ascend": 9, "hygon": 0}  # 0.6 of 16
    assert offered(5) == {"ascend": 4, "hygon": 0}


# --- its rules ----------------------------------------------------------------------

QOS = """Current Association Manager state

QOS Records

QOS=short(3)
    UsageRaw=0.000000
    GrpJobs=N(0) GrpTRES=cpu=N(0)
    MaxWallPJ=120
    MaxTRESPJ=
    MinTRESPJ=cpu=1,gres/dcu=1
QOS=normal(1)
    MaxWallPJ=
    MinTRESPJ=
"""


def test_rules_of_a_quality_of_service() -> None:
    short, normal = from_text.parse_qos(QOS)
    assert short == SlurmQos("short", 7200.0, (Gres("dcu", "", 1),))
    assert normal == SlurmQos("normal")
    assert from_text.parse_qos("\nNo QOS currently cached in Slurm.\n\n") == ()


def test_what_is_told_of_rules() -> None:
    frame = SlurmFrame((22, 5), {}, 3888, from_text.parse_qos(QOS))
    strict = SlurmPartition(
        "p", True, (), 259200.0, 4, accounts_allowed=("lab", "guests"), qos="short"
    )
    loose = SlurmPartition("q", True, ())
    assert time_limit_seconds(strict, frame) == 7200.0  # the shorter of the two
    assert rules_of({"dcu-train": strict, "q": loose}, frame) == (
        "memory ≤ 3888 MiB per CPU",
        "dcu-train: run time ≤ 2 h · nodes ≤ 4 · cards ≥ 1 dcu · accounts lab, guests only",
    )
    assert refused_accounts(strict, ["lab", "other"]) == ("other",)


def test_rules_bound_what_is_offered() -> None:
    frame = SlurmFrame((22, 5), {}, memory_mib_per_cpu_max=100)
    (ascend, _) = discover(replace(recorded(), frame=frame), CARDS).pools
    assert ascend.declared.memory_gib_per_node == 1600 / 1024  # 16 CPUs
    assert ascend.declared.time_limit_seconds_max == 259200.0
