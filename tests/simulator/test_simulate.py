"""`suan simulate` from end to end: figures, what-ifs, the page, and every kind of bad input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from simulator.__main__ import main
from simulator.study.study import POLICIES

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "simulate"
LISTED = {  # the keys of a policy that are promised, and stay
    "finished", "unfinished", "mean_jct_seconds", "p50_jct_seconds", "p99_jct_seconds",
    "mean_wait_seconds", "makespan_seconds", "utilisation", "worst_tenant_ftf",
}  # fmt: skip
FEDERATION = """
apiVersion: suan/v1
name: Two
links:
  - {a: east, b: west, bandwidth_gbps: 10, latency_ms: 5, yuan_per_gb: 0.1}
sites:
  - {name: east, pools: [{name: npu, accelerator: ascend-910b, nodes: 4, cards_per_node: 8,
                          yuan_per_card_hour: 6}]}
  - {name: west, pools: [{name: dcu, accelerator: hygon-bw1000, nodes: 4, cards_per_node: 8,
                          yuan_per_card_hour: 3}]}
"""


def swf(*rows: tuple[int, float, float, int]) -> str:
    """Rows of (number, submission, run, cards)."""
    return "".join(
        f"{n} {at:g} -1 {run:g} {cards} -1 -1 {cards} -1 -1 1 {n % 3 + 1} {n % 2 + 1} "
        "-1 -1 -1 -1 -1\n"
        for n, at, run, cards in rows
    )


GOOD = swf(*((n, 60.0 * n, 600.0 + 40 * n, 2 ** (n % 5)) for n in range(1, 25)))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    trace, federation = tmp_path / "trace.swf", tmp_path / "federation.yaml"
    trace.write_text(GOOD)
    federation.write_text(FEDERATION)
    return trace, federation


def simulated(capsys: Any, files: tuple[Path, Path], *options: str) -> tuple[int, Any, str]:
    """Exit status, the record, and what was said beside it."""
    status = main(
        ["simulate", str(files[0]), "--federation", str(files[1]), "-o", "json", *options]
    )
    out, err = capsys.readouterr()
    return status, json.loads(out) if out else None, err


def test_the_record_has_the_keys_that_are_promised(capsys: Any, files: tuple[Path, Path]) -> None:
    status, record, said = simulated(capsys, files, "--compare", ",".join(POLICIES))
    assert status == 0
    assert {"trace", "jobs", "bounds", "policies", "decisions_per_second"} <= record.keys()
    assert record["bounds"].keys() == {"mean_jct_seconds", "makespan_seconds"}
    assert tuple(record["policies"]) == POLICIES
    for its in record["policies"].values():
        assert its.keys() >= LISTED
        assert its["finished"] == record["jobs"] == 24
        assert its["mean_jct_over_bound"] >= 1 - 1e-9 <= its["makespan_over_bound"]
        assert 0 < its["utilisation"] <= 1 and 0 < its["jain"] <= 1 + 1e-9
        assert sum(site["jobs"] for site in its["sites"].values()) == 24
        for site in its["sites"].values():
            assert 0 <= site["utilisation"] <= site["absorption"] <= 1 + 1e-9
        assert its["preemptions"] == its["lost_runs"] == 0
        assert its["kwh"] > 0 and its["yuan"] > 0
        assert sum(link["bytes"] for link in its["links"]) == its["bytes_moved"]  # one link
    assert "drawn from seed 0" in said
    assert "drawn from seed 0" in record["synthesised"][0]


def test_a_seed_gives_the_same_again_and_another_something_else(
    capsys: Any, files: tuple[Path, Path]
) -> None:
    def jct(seed: str) -> float:
        _, record, _ = simulated(capsys, files, "--seed", seed)
        return float(record["policies"]["suan"]["mean_jct_seconds"])

    assert jct("3") == jct("3") != jct("4")


def test_load_changes_how_fast_jobs_come(capsys: Any, files: tuple[Path, Path]) -> None:
    _, record, _ = simulated(capsys, files, "--load", "0.5", "--compare", "sjf")
    assert record["load"] == pytest.approx(0.5, rel=0.01)


def test_a_failed_site_costs_its_runs_and_no_job(capsys: Any, files: tuple[Path, Path]) -> None:
    options = ("--fail-site", "east@10m..1h", "--compare", "suan,sjf,easy,slurm-federation,ect-sjf")
    _, before, _ = simulated(capsys, files, *options[2:])
    status, record, said = simulated(capsys, files, *options)
    assert status == 0 and "east is away" in said
    for name, its in record["policies"].items():
        assert its["lost_runs"] > 0 == before["policies"][name]["lost_runs"]
        assert its["finished"] == 24
        assert its["mean_jct_seconds"] > before["policies"][name]["mean_jct_seconds"]


def test_a_cut_link_keeps_bytes_off_it(capsys: Any, files: tuple[Path, Path]) -> None:
    _, before, _ = simulated(capsys, files)
    status, record, _ = simulated(capsys, files, "--cut-link", "west-east@0")
    assert status == 0
    assert before["policies"]["suan"]["bytes_moved"] > 0
    assert record["policies"]["suan"]["bytes_moved"] == 0


def test_another_price_is_paid(capsys: Any, files: tuple[Path, Path]) -> None:
    _, record, _ = simulated(capsys, files, "--price", "ascend-910b=0", "--price", "west=0")
    _, dear, _ = simulated(capsys, files, "--price", "east/npu=600")
    moved = record["policies"]["suan"]["bytes_moved"]
    assert record["policies"]["suan"]["yuan"] == pytest.approx(moved / 1e9 * 0.1)
    assert dear["policies"]["suan"]["sites"]["east"]["yuan"] > 1000


def test_times_of_one_column_have_one_unit(capsys: Any, files: tuple[Path, Path]) -> None:
    """Short and long waits side by side, as the same numbers that the record has."""
    files[0].write_text(swf(*((n, 10.0 * n, 300.0 * n, 16) for n in range(1, 25))))
    compared = ("--compare", "random,sjf,suan")
    _, record, _ = simulated(capsys, files, *compared)
    assert main(["simulate", str(files[0]), "--federation", str(files[1]), *compared]) == 0
    _, _, heads, *rows = capsys.readouterr().out.splitlines()[:6]
    titles = re.split(r"  +", heads)
    cells = [dict(zip(titles, re.split(r"  +", row), strict=True)) for row in rows]
    seconds = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
    for title, key in (
        ("MEAN JCT", "mean_jct_seconds"),
        ("P99", "p99_jct_seconds"),
        ("MEAN WAIT", "mean_wait_seconds"),
        ("MAKESPAN", "makespan_seconds"),
    ):
        (found,) = (each for each in titles if each.startswith(title))
        one = seconds[found.removeprefix(title).strip()]
        shown = [float(row[found].replace(",", "")) for row in cells]
        assert shown == [round(its[key] / one, 1) for its in record["policies"].values()], title


class Page(HTMLParser):
    """Tags and addresses of a page, and whether all that was opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attributes if k in ("href", "src", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(capsys: Any, files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out" / "page.html"
    files[1].write_text(FEDERATION.replace("name: Two", 'name: "Two <script>alert(1)</script>"'))
    status, _, said = simulated(capsys, files, "--compare", "sjf,suan", "--report", str(out))
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    assert status == 0 and str(out) in said
    assert page.open == [] and "script" not in page.tags and page.addresses == []
    assert page.tags.count("svg") == 3 and page.tags.count("polyline") == 4
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    for name in ("sjf", "suan", "east", "west", "drawn from seed 0"):
        assert name in text


def test_a_policy_file(capsys: Any, files: tuple[Path, Path], tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("yuan_per_hour_saved: 1.5\nplacements_max: 100\n")
    assert simulated(capsys, files, "--policy", str(policy))[0] == 0
    policy.write_text("yuan_per_hour_savd: 1\nplacements_max: 1.5\n")
    status, record, said = simulated(capsys, files, "--policy", str(policy))
    assert (status, record) == (2, None)
    assert "line 1" in said and "did you mean yuan_per_hour_saved?" in said
    assert "line 2" in said and "whole number" in said


def test_bad_rows_are_counted_with_their_lines(capsys: Any, files: tuple[Path, Path]) -> None:
    bad = ("1 2 3\n", swf((90, -5, 60, 1)), swf((91, 5, -60, 1)), swf((92, 5, 60, 100_000)))
    files[0].write_text(GOOD + "".join(bad) + swf((93, 0, 60, 1)))
    status, record, said = simulated(capsys, files, "--compare", "suan,sjf,random,easy")
    assert status == 0
    assert record["rows"] == {
        "read": 29,
        "dropped": {"MissingField": 1, "NegativeTime": 2},
        "unsorted": 2,
        "fit_nowhere": 1,
    }
    assert "MissingField (line 25)" in said and "NegativeTime (line 26, 27)" in said
    assert "1 jobs fit no pool" in said and "(line 28)" in said
    for its in record["policies"].values():
        assert (its["finished"], its["unfinished"]) == (25, 1)


TWO_EAST = (
    FEDERATION
    + "  - {name: east, pools: [{name: a, accelerator: h20, nodes: 1, cards_per_node: 8}]}\n"
)


@pytest.mark.parametrize(
    ("federation", "words"),
    [
        ("", "the file is empty"),
        ("sites: []\n", "FederationEmpty"),
        (FEDERATION.replace("nodes: 4", "nodes: 0"), "must be between 1"),
        (FEDERATION.replace("nodes: 4", "nodes: 1e30"), "must be between 1"),
        (FEDERATION.replace("nodes: 4", "nodes: nan"), "must be a number"),
        (FEDERATION.replace("ascend-910b", "ascend-911"), "no accelerator is called"),
        (
            FEDERATION + "failures: [{site: eastt, from_hours: 1, until_hours: 2}]",
            "did you mean east",
        ),
        (FEDERATION + "datasets: [{name: d, size_gb: 1, replicas: [north]}]", "no site is called"),
        (FEDERATION.replace("name: npu", "nam: npu"), "did you mean name"),
        (TWO_EAST, "stands here twice"),
        ("[" * 5000, "more than"),
    ],
)
def test_bad_federations_are_told(
    capsys: Any, files: tuple[Path, Path], federation: str, words: str
) -> None:
    files[1].write_text(federation)
    status, record, said = simulated(capsys, files)
    assert (status, record) == (2, None)
    assert words in said and "Traceback" not in said


def test_a_federation_in_two_parts_is_told_and_replayed(
    capsys: Any, files: tuple[Path, Path]
) -> None:
    link = "links:\n  - {a: east, b: west, bandwidth_gbps: 10, latency_ms: 5, yuan_per_gb: 0.1}\n"
    files[1].write_text(FEDERATION.replace(link, ""))
    status, record, said = simulated(capsys, files, "--compare", "suan,nearest-data")
    assert status == 0 and "no data can be staged between east and west" in said
    suan = record["policies"]["suan"]
    assert suan["finished"] + suan["unfinished"] == 24 and suan["bytes_moved"] == 0


@pytest.mark.parametrize(
    ("trace", "code"),
    [
        ("", "TraceEmpty"),
        ("; only comments\n", "TraceEmpty"),
        (swf((1, -1, -1, 0)), "TraceEmpty"),
        ("a,b,c\n1,2,3\n", "UnknownTraceFormat"),
        ("\x00\x01\x02", "UnknownTraceFormat"),
    ],
)
def test_bad_traces_are_told(capsys: Any, files: tuple[Path, Path], trace: str, code: str) -> None:
    files[0].write_text(trace)
    status, record, said = simulated(capsys, files)
    assert (status, record) == (2, None)
    assert f"[{code}]" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--compare", "suan,sfj", "did you mean sjf?"),
        ("--cut-link", "east-north@1h", "no such link"),
        ("--cut-link", "east-west", "names no time"),
        ("--cut-link", "east-west@soon", "write A-B@36h"),
        ("--cut-link", "east-west@2h..1h", "ends before it begins"),
        ("--fail-site", "eastt@1h..2h", "did you mean east?"),
        ("--price", "north=3", "[UnknownName]"),
        ("--price", "east=cheap", "=YUAN"),
        ("--price", "east=nan", "=YUAN"),
        ("--price", "east=-1", "=YUAN"),
        ("--policy", "/nowhere/policy.yaml", "[FileUnreadable]"),
    ],
)
def test_bad_options_are_told(
    capsys: Any, files: tuple[Path, Path], option: str, value: str, words: str
) -> None:
    status, record, said = simulated(capsys, files, option, value)
    assert (status, record) == (2, None)
    assert words in said


@pytest.mark.parametrize(
    "option", ["--load=0", "--load=nan", "--round=-1", "--seed=x", "--first=-2"]
)
def test_options_out_of_range_are_usage_errors(files: tuple[Path, Path], option: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", str(files[0]), "--federation", str(files[1]), option])
    assert ended.value.code == 2


def test_the_readmes_command_works_from_the_command_line(tmp_path: Path) -> None:
    """As a newcomer types it, on the examples, in a process of its own."""
    page = tmp_path / "week.html"
    command = [
        sys.executable, "-m", "suan.cli", "simulate", str(EXAMPLES / "week.swf"), "--first", "40",
        "--federation", str(EXAMPLES / "federation.yaml"), "--compare", "random,easy,suan",
        "--report", str(page),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("lower bounds:")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:6]] == [
        "POLICY", "random", "easy", "suan",
    ]  # fmt: skip
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_week_is_what_its_script_writes() -> None:
    script = EXAMPLES / "make_week.py"
    written = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    assert written == (EXAMPLES / "week.swf").read_bytes()
