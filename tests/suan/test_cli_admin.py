"""The commands of administrators and those about files, contexts and the network."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from standin import Served

from suan.cli.times import length, moment, parse_length
from suan.codes import MEANINGS
from suan.errors import InvalidRequest
from suan.identity.directory import load_identity
from suan.identity.joinfile import read_join_file
from suan.v1 import admin_service_pb2 as admin_pb
from suan.v1 import jobs_service_pb2 as pb
from suan.v1 import site_pb2

ROOT = Path(__file__).parents[2]
CHINA = ROOT / "deploy" / "networks" / "china.yaml"


@pytest.fixture
def site(stand: Served) -> None:
    pool = site_pb2.Pool(
        name="dcu", accelerator="hygon-bw1000", cards_per_node=8, cards_total=32, cards_usable=30
    )
    pool.supernodes.add(name="s", nodes_by_free=[1, 0, 0, 0, 0, 0, 0, 0, 2])
    facts = site_pb2.SiteFacts(city="zhengzhou", region="henan", backend="slurm", pue=1.2)
    stand.broker.sites["zhengzhou"] = site_pb2.Site(
        name="zhengzhou", state="draining", reason="冷却检修", pools=[pool], facts=facts,
        attempts=2, cards_leased=14, last_heard_at=1_700_000_000.0,
    )  # fmt: skip


# --- sites ------------------------------------------------------------------


def test_sites_are_listed_with_their_cards_and_why_they_drain(at_stand: Any, site: None) -> None:
    outcome = at_stand("site", "list")
    header, row = outcome.out.splitlines()
    assert "FREE/USABLE/TOTAL" in header
    for part in ("zhengzhou", "draining", "hygon-bw1000", "16/30/32 card", "冷却检修"):
        assert part in row
    assert row.index("冷却检修") == header.index("REASON")
    assert "slurm" not in row and "slurm" in at_stand("site", "list", "-o", "wide").out
    (record,) = json.loads(at_stand("site", "list", "-o", "json").out)
    assert record == json.loads(at_stand("site", "show", "zhengzhou", "-o", "json").out)
    assert record["last_heard_at"].startswith("2023-11-1")


def test_one_site_is_shown_whole(at_stand: Any, site: None) -> None:
    shown = at_stand("site", "show", "zhengzhou").out
    for part in ("draining: 冷却检修", "2 on 14 cards", "henan", "slurm", "dcu"):
        assert part in shown
    assert at_stand("site", "show", "nowhere").code == 3


def test_a_token_becomes_a_private_join_file(at_stand: Any, tmp_path: Path) -> None:
    place = tmp_path / "zhengzhou.join.yaml"
    outcome = at_stand("site", "token", "zhengzhou", "--ttl", "2h", "--file", str(place))
    assert (outcome.code, outcome.out) == (0, f"{place}\n")
    assert place.stat().st_mode & 0o777 == 0o600
    join = read_join_file(place)
    assert (join.site, join.federation, join.join) == ("zhengzhou", "demo", "127.0.0.1:1")
    assert join.token not in outcome.out + outcome.err
    again = at_stand("site", "token", "zhengzhou", "--file", str(place))
    assert again.code == 1 and "[FileExists]" in again.err


def test_a_broker_that_listens_everywhere_is_joined_where_it_is_reached(
    at_stand: Any, stand: Served, tmp_path: Path
) -> None:
    stand.broker.join_address = "0.0.0.0:7444"
    place = str(tmp_path / "j.yaml")
    at_stand("site", "token", "a", "--file", place, "--broker", "broker.example.cn:7443")
    join = read_join_file(Path(place))
    assert (join.broker, join.join) == ("broker.example.cn:7443", "broker.example.cn:7444")


def test_approving_needs_a_comparison(at_stand: Any, stand: Served) -> None:
    stand.broker.pending = [admin_pb.PendingJoin(site="zhengzhou", fingerprint="SHA256:AB-CD")]
    assert "SHA256:AB-CD" in at_stand("site", "pending").out
    blind = at_stand("site", "approve", "zhengzhou")
    assert blind.code == 2 and "SHA256:AB-CD" in blind.err and "--fingerprint" in blind.err
    assert stand.broker.count("Approve") == 0
    assert at_stand("site", "approve", "zhengzhou", "--fingerprint", "SHA256:AB-CD").code == 0
    assert at_stand("site", "approve", "zhengzhou", "--yes").code == 0
    assert at_stand("site", "approve", "guiyang", "--yes").code == 3


def test_the_audit_log_is_listed(at_stand: Any, stand: Served) -> None:
    stand.broker.audit = [
        admin_pb.AuditEntry(seq=n, at=1.7e9, actor="a", action="site.drain", hash=b"\xab")
        for n in (1, 2, 3)
    ]
    assert at_stand("admin", "audit", "--after", "1", "-o", "name").out == "2\n3\n"
    assert json.loads(at_stand("admin", "audit", "-n", "1", "-o", "json").out)[0]["hash"] == "ab"


# --- supply -----------------------------------------------------------------


def test_offers_say_free_usable_total_and_their_age(at_stand: Any, stand: Served) -> None:
    stand.broker.offers = [
        pb.Offer(site="b", pool="npu", accelerator="ascend-910b", cards_free=0, cards_usable=8,
                 cards_total=8, yuan_per_card_hour=1.0, site_state="lost", reported_at=1.7e9),
        pb.Offer(site="a", pool="npu", accelerator="ascend-910b", cards_free=4, cards_usable=7,
                 cards_total=8, yuan_per_card_hour=6.2, site_state="open", fits_now=True,
                 reported_at=1.7e9),
    ]  # fmt: skip
    outcome = at_stand("offers", "--gpus", "910B:4", "-n", "2")
    _, first, second = outcome.out.splitlines()
    assert "4/7/8 card" in first and "now" in first and second.startswith("b ")
    assert "2 offers · data" in outcome.err and "stale sites: b" in outcome.err
    (request,) = (asked for name, asked in stand.broker.requests if name == "Offers")
    assert (request.accelerator, request.num_nodes, request.accelerators_per_node) == ("910B", 2, 4)
    assert at_stand("offers", "-o", "name").out == "a/npu\nb/npu\n"
    assert at_stand("offers", "--gpus", "x:0").code == 2


def test_accelerators_need_no_broker(suan: Any) -> None:
    assert "ascend-910b" in suan("accelerators", "-o", "name").out.splitlines()
    assert json.loads(suan("accelerators", "910B3", "-o", "json").out)["model"] == "ascend-910b"
    shown = suan("accelerators", "hygon-bw1000").out
    assert "memory_gib" in shown and "SOURCE" in shown
    outcome = suan("accelerators", "ascend-910x")
    assert outcome.code == 3 and "did you mean" in outcome.err


# --- network and data -------------------------------------------------------


def test_a_network_file_is_shown_and_drawn_without_a_broker(suan: Any, tmp_path: Path) -> None:
    shown = suan("network", "show", str(CHINA), "--sources")
    assert shown.code == 0
    assert "beijing-tianjin-hebei" in shown.out and "SOURCE" in shown.out
    picture = tmp_path / "china.svg"
    assert suan("network", "show", str(CHINA), "--svg", str(picture)).code == 0
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert suan("network", "show", str(CHINA), "--svg", "-").out.startswith("<")


def test_a_network_is_checked_then_applied(at_stand: Any, stand: Served) -> None:
    assert at_stand("network", "apply", str(CHINA), "--dry-run", "client").code == 0
    assert stand.broker.requests == []
    dry = at_stand("network", "apply", str(CHINA), "--dry-run", "server")
    assert "would change" in dry.err
    assert "changed" in at_stand("network", "apply", str(CHINA)).err
    assert "is so already" in at_stand("network", "apply", str(CHINA)).err
    names = at_stand("network", "show", "-o", "name").out.splitlines()
    assert {"shenzhen", "zhengzhou", "guizhou"} <= set(names)


def test_a_network_file_with_faults_exits_2(suan: Any, tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text("nodes: [{name: a, kind: hub}]\nlinks: [{a: a, b: x}]\n")
    outcome = suan("network", "apply", str(file), "--dry-run", "client")
    assert outcome.code == 2 and "line 1" in outcome.err and "line 2" in outcome.err


def test_datasets_are_put_and_listed(at_stand: Any) -> None:
    put = ("dataset", "put", "wudao", "--size", "200GB", "--at", "zhengzhou:/d", "--at", "guiyang")
    assert at_stand(*put, "--region", "henan").code == 0
    (record,) = json.loads(at_stand("dataset", "list", "-o", "json").out)
    assert record["size_bytes"] == 200_000_000_000
    assert record["replicas"][0] == {"site": "zhengzhou", "path": "/d"}
    assert "200.0 GB" in at_stand("dataset", "list").out
    assert at_stand("dataset", "put", "x", "--size", "much", "--at", "a").code == 2
    removed = at_stand("dataset", "remove", "wudao", "--yes")
    assert removed.code == 0 and "wudao is removed" in removed.err
    assert json.loads(at_stand("dataset", "list", "-o", "json").out or "[]") == []


def test_tenants_are_set_bit_by_bit_and_listed(at_stand: Any) -> None:
    command = "admin", "tenant", "set", "team-a"
    quotas = "--quota", "npu=64+32", "--quota", "all=100.5+0:compute"
    assert at_stand(*command, "--weight", "2", *quotas, "--project", "nlp=3").code == 0
    assert at_stand(*command, "--quota", "npu=48", "--project-quota", "nlp:dcu=8").code == 0
    assert at_stand(*command, "--suspend").code == 0
    (record,) = json.loads(at_stand("admin", "tenant", "list", "-o", "json").out)
    assert (record["weight"], record["suspended"]) == (2.0, True)
    assert record["quotas"] == [
        {"kind": "npu", "guaranteed": 48.0, "borrow_max": None, "unit": "cards"},
        {"kind": "", "guaranteed": 100.5, "borrow_max": 0.0, "unit": "compute"},
    ]
    (project,) = record["projects"]
    assert (project["name"], project["weight"], len(project["quotas"])) == ("nlp", 3.0, 1)
    shown = at_stand("admin", "tenant", "list").out
    assert "npu=48, all=100.5+0:compute" in shown and "nlp=3 dcu=8" in shown
    assert at_stand(*command, "--no-quotas", "--drop-project", "nlp", "--resume").code == 0
    (record,) = json.loads(at_stand("admin", "tenant", "list", "-o", "json").out)
    assert (record["quotas"], record["projects"], record["suspended"]) == ([], [], False)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--quota", "npu"),
        ("--quota", "tpu=3"),
        ("--quota", "npu=1.2.3"),
        ("--quota", "npu=-1"),
        ("--weight", "0"),
        ("--project", "nlp=much"),
        ("--project-quota", "npu=3"),
    ],
)
def test_a_tenant_is_not_set_to_nonsense(at_stand: Any, wrong: tuple[str, str]) -> None:
    assert at_stand("admin", "tenant", "set", "team-a", *wrong).code == 2


# --- identities and contexts ------------------------------------------------


def test_a_federation_is_founded_and_its_people_are_issued(suan: Any, tmp_path: Path) -> None:
    place = tmp_path / "fed"
    init = ("admin", "init", str(place), "--federation", "example.cn")
    founded = suan(*init, "--address", "127.0.0.1:7443")
    assert (founded.code, founded.out) == (0, f"{place}\n")
    assert "SHA256:" in founded.err
    again = suan(*init, "--address", "127.0.0.1:7443")
    assert again.code == 1 and "[FederationExists]" in again.err
    issue = ("admin", "issue", "user", "li.wei", "--ca", str(place / "ca"))
    assert suan(*issue, "--out", str(tmp_path / "li"), "--tenant", "team-a").code == 0
    principal = load_identity(tmp_path / "li").principal
    assert principal.uri == "spiffe://example.cn/tenant/team-a/user/li.wei"
    nobody = suan(*issue, "--out", str(tmp_path / "x"))
    assert nobody.code == 2 and "--tenant" in nobody.err


def test_contexts_are_kept_used_shown_and_forgotten(
    suan: Any, stand: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, admin = str(stand.keys.user), str(stand.keys.admin)
    suan("context", "set", "me", "--address", stand.address, "--identity", user)
    suan("context", "set", "root", "--address", stand.address, "--identity", admin)
    assert suan("offers").code == 0
    assert [line.split()[0] for line in suan("context", "list").out.splitlines()[1:]] == [
        "*", "root",
    ]  # fmt: skip
    assert "tenant/team-a/user/li.wei" in suan("context", "show").out
    assert suan("context", "use", "root").code == 0
    assert "admin/admin" in suan("context", "show").out
    assert json.loads(suan("context", "show", "me", "-o", "json").out)["identity"] == user
    assert suan("--context", "nobody", "ps").code == 3
    assert suan("context", "delete", "root").code == 0
    assert suan("context", "list", "-o", "name").out == "me\n"


# --- files ------------------------------------------------------------------


def test_convert_prints_a_job_file(suan: Any, tmp_path: Path) -> None:
    script = "#!/bin/bash\n#SBATCH -J mine --gres=dcu:4 -N 2 -t 1:00:00\nsrun hostname\n"
    converted = yaml.safe_load(suan("convert", "-", stdin=script).out)
    assert (converted["name"], converted["num_nodes"]) == ("mine", 2)
    file = tmp_path / "job.yaml"
    file.write_text(suan("convert", "-", stdin=script).out)
    assert suan("submit", str(file), "--dry-run", "client").code == 0
    empty = suan("convert", "-", stdin="#!/bin/bash\n")
    assert (empty.code, empty.out) == (2, "")


def test_schema_prints_a_key_or_the_whole(suan: Any) -> None:
    whole = json.loads(suan("schema", "job").out)
    assert whole["properties"]["run"]
    part = json.loads(suan("schema", "job.resources.topology").out)
    assert part["properties"]["scope"]
    assert suan("schema", "job.nothing").code == 2
    assert suan("schema", "site").code == 2


# --- words ------------------------------------------------------------------


def test_every_condition_of_the_scheduler_has_a_meaning() -> None:
    from scheduler.reasons import Code

    assert {code.value for code in Code} - MEANINGS.keys() == set()
    assert all(each.text.endswith(".") and each.advice for each in MEANINGS.values())


def codes_given(room: str) -> dict[str, str]:
    """Codes of literal failures and refusals in a room's source, and where one is."""
    found: dict[str, str] = {}
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in SPEAKERS:
                for argument in node.args[:2]:
                    value = getattr(argument, "value", None)
                    if isinstance(value, str) and value[:1].isupper() and value.isalnum():
                        found[value] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


SPEAKERS = {"Failure", "Refusal", "BackendRefused", "StagingRefused", "StoreError"}


@pytest.mark.parametrize("room", ["broker", "agent"])
def test_every_reason_that_a_user_may_meet_has_a_meaning(room: str) -> None:
    """A code that is added asks for a sentence in `suan.codes`."""
    given = codes_given(room)
    assert len(given) > 5
    assert {code: place for code, place in given.items() if code not in MEANINGS} == {}


def test_every_end_of_a_run_has_a_meaning() -> None:
    from agent.backends import Reason

    ends = {reason.value for reason in Reason} - {"Exited", "Stopped"}  # these are spelled out
    assert ends - MEANINGS.keys() == set()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (0.44, "0.4s"), (59, "59s"), (61, "1m01s"), (3600, "1h00m"), (90_061, "1d01h")],
)
def test_lengths_have_two_units_at_most(seconds: float, said: str) -> None:
    assert length(seconds) == said


def test_moments_have_a_zone_and_lengths_are_read() -> None:
    assert moment(0.0) is None
    said = moment(1.7e9)
    assert said is not None and said[-6] in "+-"
    assert parse_length("1h30m") == 5400
    with pytest.raises(InvalidRequest):
        parse_length("soon")
