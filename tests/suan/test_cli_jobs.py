"""The commands about jobs, against a stand-in broker: data, words, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin import Fault, Identities, Served, identities

from suan.ids import short_id
from suan.v1 import job_pb2
from suan.v1 import jobs_service_pb2 as pb

JOB = "name: train\nresources: {accelerators: ascend-910b:8}\nrun: python train.py\n"
SUAN = str(Path(sys.executable).parent / "suan")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "train.yaml"
    path.write_text(JOB)
    return str(path)


@pytest.fixture
def job(at_stand: Any, file: str) -> str:
    """The id of a queued job."""
    return str(at_stand("submit", file).out.strip())


# --- submit -----------------------------------------------------------------


def test_submit_prints_the_id_and_what_comes_next(at_stand: Any, stand: Served, file: str) -> None:
    outcome = at_stand("submit", file)
    (job_id,) = stand.broker.jobs
    assert (outcome.code, outcome.out) == (0, f"{job_id}\n")
    for command in ("logs -f", "explain", "cancel"):
        assert f"suan {command} {short_id(job_id)}" in outcome.err


def test_submit_reads_standard_input_and_sbatch_scripts(at_stand: Any, stand: Served) -> None:
    assert at_stand("submit", "-", stdin=JOB).code == 0
    script = "#!/bin/bash\n#SBATCH -J mine --gres=npu:910B:8\n#SBATCH --exclusive\nsrun hostname\n"
    outcome = at_stand("submit", "-", stdin=script)
    assert outcome.code == 0, outcome.err
    assert [job.name for job in stand.broker.jobs.values()] == ["train", "mine"]
    assert "note: " in outcome.err and "exclusive" in outcome.err


def test_an_array_is_named_by_its_own_id(at_stand: Any, stand: Served) -> None:
    outcome = at_stand("submit", "-", "-o", "json", stdin=JOB + "array: 0-2\n")
    listed = json.loads(outcome.out)
    assert [item["array_index"] for item in listed] == [0, 1, 2]
    plain = at_stand("submit", "-", stdin=JOB + "array: 0-2\n")
    array_id = plain.out.strip()
    assert at_stand("ps", "--array", array_id, "-o", "name").out.count("\n") == 3
    assert at_stand("get", short_id(array_id), "-o", "name").out.count("\n") == 3


def test_all_faults_of_a_file_are_told_at_once(at_stand: Any, stand: Served) -> None:
    wrong = "name: x\nresorces: {accelerators: foo:1}\nnum_nodes: -2\nrun: [1]\n"
    outcome = at_stand("submit", "-", stdin=wrong)
    assert (outcome.code, outcome.out) == (2, "")
    for part in ("line 2", "did you mean resources?", "line 3", "line 4", "[InvalidSpec]"):
        assert part in outcome.err
    assert stand.broker.requests == []


@pytest.mark.parametrize(
    ("path", "code"), [("nowhere.yaml", "FileUnreadable"), (".", "FileUnreadable")]
)
def test_an_unreadable_file_is_named(at_stand: Any, path: str, code: str) -> None:
    outcome = at_stand("submit", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert path in outcome.err and code in outcome.err


def test_ten_megabytes_are_refused_before_they_are_read_as_yaml(
    at_stand: Any, tmp_path: Path
) -> None:
    large = tmp_path / "large.yaml"
    large.write_text(JOB + "#" * 10_000_000)
    outcome = at_stand("submit", str(large))
    assert outcome.code == 2
    assert "10,000," in outcome.err


def test_variables_are_given_and_replaced(at_stand: Any, stand: Served) -> None:
    text = JOB + 'envs: {LR: null, SIZE: "1"}\n'
    outcome = at_stand("submit", "-", stdin=text)
    assert outcome.code == 2 and "LR" in outcome.err
    outcome = at_stand(
        "submit", "-", "-e", "LR=0.1", "--env", "SIZE=2", "-e", "MORE=a=b", stdin=text
    )
    assert outcome.code == 0, outcome.err
    (spec,) = stand.broker.specs.values()
    found = dict(job_pb2.JobSpec.FromString(spec).environment)
    assert found == {"LR": "0.1", "SIZE": "2", "MORE": "a=b"}
    assert at_stand("submit", "-", "-e", "LR", stdin=text).code == 2


def test_a_dry_run_of_the_client_needs_no_broker(suan: Any, file: str) -> None:
    outcome = suan("submit", file, "--dry-run", "client")
    assert (outcome.code, outcome.out) == (0, "")
    assert "sound" in outcome.err
    shown = suan("submit", file, "--dry-run=client", "-o", "yaml")
    assert yaml.safe_load(shown.out)["variants"][0]["accelerator"] == "ascend-910b"


VERDICTS = [("placed", 0), ("wait", 20), ("never", 21)]


@pytest.mark.parametrize(("verdict", "code"), VERDICTS)
def test_a_dry_run_of_the_server_is_a_plan(
    at_stand: Any, stand: Served, file: str, verdict: str, code: int
) -> None:
    stand.broker.explanation = pb.Explanation(verdict=verdict, examined_pools=1)
    assert at_stand("plan", file).code == code
    assert at_stand("submit", file, "--dry-run", "server").code == code
    assert at_stand("plan", file, "-o", "name").out == f"{verdict}\n"
    assert stand.broker.jobs == {}


def test_a_refusal_says_why_and_what_to_do(at_stand: Any, stand: Served, file: str) -> None:
    stand.broker.refusals["train"] = "QueueFull"
    outcome = at_stand("submit", file)
    assert (outcome.code, outcome.out) == (1, "")
    assert "no room  [QueueFull]" in outcome.err and "hint: wait" in outcome.err


ENDS = [
    ({"exit_code": 0}, 0),
    ({"exit_code": 7}, 7),
    ({"exit_code": 99}, 99),
    ({"exit_code": 137}, 100),
    ({"exit_code": 0, "state": "FAILED"}, 100),
    ({"state": "CANCELLED"}, 103),
    ({"state": "FAILED", "code": "NeverPlaceable"}, 21),
]


@pytest.mark.parametrize(("end", "code"), ENDS)
def test_waiting_commands_exit_with_the_jobs_code(
    at_stand: Any, stand: Served, file: str, end: dict[str, Any], code: int
) -> None:
    after_submission(stand, lambda job_id: stand.broker.end(job_id, **end))
    assert at_stand("submit", "--wait", file).code == code


def after_submission(stand: Served, work: Callable[[str], None]) -> None:
    """Has `work(job id)` done by the broker as soon as a job is watched."""
    stand.broker.on_watch = lambda: [work(job_id) for job_id in list(stand.broker.jobs)]


def test_secrets_that_cannot_be_sent_are_refused_and_not_dropped(
    at_stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    outcome = at_stand("submit", "-", stdin=JOB + "secrets: {HF_TOKEN: null}\n")
    assert outcome.code == 1
    assert "[SecretsUnsupported]" in outcome.err and "s3cret" not in outcome.err


# --- run --------------------------------------------------------------------


def test_run_stays_with_the_job(at_stand: Any, stand: Served) -> None:
    stand.broker.logs = {(1, 0, "stdout"): b"out \xe5\x87\xba\n", (1, 0, "stderr"): b"err\n"}

    def work(job_id: str) -> None:
        if not stand.broker.jobs[job_id].attempts:
            stand.broker.begin(job_id)
            stand.broker.end(job_id, exit_code=3)

    after_submission(stand, work)
    outcome = at_stand("run", "--gpus", "ascend-910b:2", "--name", "try", "--", "ls", "-l", "a b")
    assert (outcome.code, outcome.out) == (3, "out 出\n")
    assert "err\n" in outcome.err
    assert "failed after 1m00s at shenzhen" in outcome.err and "exit code 3" in outcome.err
    (data,) = stand.broker.specs.values()
    spec = job_pb2.JobSpec.FromString(data)
    assert (spec.name, spec.variants[0].run) == ("try", "ls -l 'a b'")
    assert spec.variants[0].accelerators_per_node == 2


def test_run_detached_only_submits(at_stand: Any, stand: Served) -> None:
    outcome = at_stand(
        "run", "-d", "--gpus", "ascend-910b:1", "--gpus", "nvidia-h20:1", "-n", "2",
        "--site", "shenzhen", "-e", "A=1", "--time-limit", "2h", "echo $A | cat",
    )  # fmt: skip
    (job_id,) = stand.broker.jobs
    assert (outcome.code, outcome.out) == (0, f"{job_id}\n")
    spec = job_pb2.JobSpec.FromString(stand.broker.specs[job_id])
    assert [variant.accelerator for variant in spec.variants] == ["ascend-910b", "nvidia-h20"]
    assert (spec.name, spec.variants[0].run) == ("echo", "echo $A | cat")
    assert list(spec.where.sites_allowed) == ["shenzhen"]
    assert (spec.time_limit_seconds, dict(spec.environment)) == (7200.0, {"A": "1"})


def test_run_with_a_wrong_model_names_no_line_of_a_file_nobody_wrote(at_stand: Any) -> None:
    outcome = at_stand("run", "--gpus", "ascend-910x:1", "--", "ls")
    assert outcome.code == 2
    assert "ascend-910" in outcome.err and "line" not in outcome.err


def test_lines_of_several_ranks_say_which(at_stand: Any, stand: Served) -> None:
    text = "name: two\nnum_nodes: 2\nresources: {accelerators: ascend-910b:1}\nrun: x\n"
    job_id = at_stand("submit", "-", stdin=text).out.strip()
    stand.broker.logs = {
        (1, 0, "stdout"): b"10%\r50%\r100%\nlast",
        (1, 1, "stdout"): b"hello\n",
    }
    stand.do(lambda: stand.broker.begin(job_id, cards=2))
    stand.do(lambda: stand.broker.end(job_id))
    outcome = at_stand("logs", job_id)
    assert sorted(outcome.out.splitlines()) == ["[0] 100%", "[0] last", "[1] hello"]
    assert at_stand("logs", job_id, "--rank", "1").out == "hello\n"


def test_ctrl_c_detaches_and_never_cancels(stand: Served, at_stand: Any) -> None:
    def work(job_id: str) -> None:
        if not stand.broker.jobs[job_id].attempts:
            stand.broker.begin(job_id)

    after_submission(stand, work)
    stand.broker.logs = {(1, 0, "stdout"): b"first line\n"}
    stand.broker.logs_open = {1}
    command = [SUAN, "run", "--gpus", "ascend-910b:1", "--", "sleep", "1000"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "first line\n"
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=60)
    (job_id,) = stand.broker.jobs
    assert running.returncode == 130, words
    assert f"detached; the job goes on.  Next: suan logs -f {short_id(job_id)}" in words
    assert "Traceback" not in words and "Task" not in words
    assert stand.broker.count("Cancel") == 0


# --- looking ----------------------------------------------------------------


def test_ps_is_plain_in_a_pipe_and_gives_reasons(at_stand: Any, stand: Served, job: str) -> None:
    stand.broker.explanation = pb.Explanation(
        verdict="wait",
        rejections=[
            pb.Rejection(code="WrongAccelerator", cards=90),
            pb.Rejection(code="NotFreeNow", cards=10),
        ],
    )
    ended = at_stand("submit", "-", stdin=JOB).out.strip()
    stand.do(lambda: stand.broker.begin(ended, cards=8))
    stand.do(lambda: stand.broker.end(ended, exit_code=1, code="NonZeroExit"))
    outcome = at_stand("ps", "-a")
    header, newest, oldest = outcome.out.splitlines()
    assert header.split() == ["JOB", "NAME", "STATE", "SITE", "CARDS", "AGE", "REASON"]
    assert outcome.out.isprintable() is False and outcome.out.replace("\n", "").isprintable()
    assert newest.split()[:6] == [
        short_id(ended), "train", "FAILED", "shenzhen/npu", "8", "ascend-910b",
    ]  # fmt: skip
    assert newest.endswith("NonZeroExit")
    assert oldest.endswith("NotFreeNow, WrongAccelerator")
    assert at_stand("ps", "-a", "--no-headers").out.splitlines() == [newest, oldest]


def test_ps_leaves_out_what_ended_long_ago(at_stand: Any, stand: Served, job: str) -> None:
    stand.do(lambda: stand.broker.end(job))
    assert at_stand("ps", "-o", "name").out == ""
    assert at_stand("ps", "-a", "-o", "name").out == f"{job}\n"
    assert at_stand("ps", "--state", "succeeded", "-o", "name").out == f"{job}\n"
    assert at_stand("ps", "-a", "--since", "1h", "-o", "name").out == ""


def test_records_have_the_same_keys_in_lists_and_alone(
    at_stand: Any, stand: Served, job: str
) -> None:
    stand.do(lambda: stand.broker.begin(job))
    alone = json.loads(at_stand("get", job, "-o", "json").out)
    (listed,) = json.loads(at_stand("ps", "-o", "json").out)
    assert listed == alone
    assert yaml.safe_load(at_stand("get", job, "-o", "yaml").out) == alone
    assert alone["state"] == "RUNNING" and alone["finished_at"] is None
    assert alone["submitted_at"].startswith("2023-11-1") and alone["submitted_at"][-6] in "+-"
    assert alone["attempts"][0]["cards"] == 1
    assert job in at_stand("ps", "-o", "wide").out


def test_get_shows_every_attempt_and_takes_short_ids(
    at_stand: Any, stand: Served, job: str
) -> None:
    stand.do(lambda: stand.broker.begin(job))
    stand.do(lambda: stand.broker.begin(job, site="zhengzhou"))
    outcome = at_stand("get", short_id(job))
    assert outcome.code == 0
    assert f"job        {job}" in outcome.out
    assert outcome.out.index("shenzhen/npu") < outcome.out.index("zhengzhou/npu")
    assert at_stand("get", short_id(job), "-o", "name").out == f"{job}\n"


@pytest.mark.parametrize("command", ["get", "logs", "explain", "cancel"])
def test_a_job_that_is_not_there_exits_3(at_stand: Any, command: str) -> None:
    outcome = at_stand(command, "deadbeef")
    assert (outcome.code, outcome.out) == (3, "")
    assert "[JobNotFound]" in outcome.err and "hint:" in outcome.err


def test_following_logs_exits_with_the_jobs_code(at_stand: Any, stand: Served, job: str) -> None:
    stand.broker.logs = {(1, 0, "stdout"): b"a\n"}
    stand.do(lambda: stand.broker.begin(job))
    stand.do(lambda: stand.broker.end(job, exit_code=5))
    assert at_stand("logs", job).code == 0
    outcome = at_stand("logs", "-f", job)
    assert (outcome.code, outcome.out) == (5, "a\n")


def asked_since(stand: Served) -> float:
    return float([request for name, request in stand.broker.requests if name == "Logs"][-1].since)


def test_logs_since_a_length_or_a_moment(at_stand: Any, stand: Served, job: str) -> None:
    stand.broker.logs = {(1, 0, "stdout"): b"1\n2\n3\n"}
    stand.do(lambda: stand.broker.begin(job))
    stand.do(lambda: stand.broker.end(job))
    before = time.time()
    outcome = at_stand("logs", job, "--since", "1h30m", "--tail", "2")
    assert (outcome.code, outcome.out) == (0, "2\n3\n")
    assert before - 5_400 <= asked_since(stand) <= time.time() - 5_400
    for written in ("2023-11-14T22:13:20Z", "2023-11-15 06:13:20+08:00", "20231114T221320Z"):
        assert at_stand("logs", "-f", job, "--since", written).code == 0
        assert asked_since(stand) == 1_700_000_000.0
    assert at_stand("logs", job).code == 0
    assert asked_since(stand) == 0.0


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("soon", "soon"),
        ("", "''"),
        ("-10m", "-10m"),
        ("10:00:00", "10:00:00"),
        ("2023-11-14", "zone"),
        ("2023-11-14T22:13:20", "zone"),
        ("2023-13-14T22:13:20Z", "2023-13-14"),
        ("2999-01-01T00:00:00Z", "future"),
    ],
)
def test_a_moment_that_is_none_is_told(
    at_stand: Any, stand: Served, job: str, written: str, word: str
) -> None:
    outcome = at_stand("logs", job, f"--since={written}")
    assert (outcome.code, outcome.out) == (2, "")
    assert word in outcome.err and "hint: " in outcome.err
    assert stand.broker.count("Logs") == 0


def test_the_end_of_a_log_at_a_lost_site_is_told_as_missing(
    at_stand: Any, stand: Served, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the job's own outcome counts."""
    monkeypatch.setattr("suan.logs.REST_SECONDS", 0.0)
    stand.broker.logs_lost = {1}
    stand.do(lambda: stand.broker.begin(job))
    stand.broker.fail("Logs", Fault(meanwhile=lambda: stand.broker.end(job, exit_code=9)))
    outcome = at_stand("logs", "-f", job)
    assert (outcome.code, outcome.out) == (9, "")
    assert "attempt 1 is missing" in outcome.err and "exit code 9" in outcome.err


def test_watching_prints_each_change(at_stand: Any, stand: Served, job: str) -> None:
    watching = subprocess.Popen(
        [SUAN, "ps", "-a", "-w", "-o", "table"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(2)]
    assert lines[1].split()[2] == "QUEUED"
    wait_until(lambda: stand.broker.count("Watch") == 1)
    stand.do(lambda: stand.broker.begin(job))
    assert watching.stdout.readline().split()[2] == "RUNNING"
    watching.send_signal(signal.SIGINT)
    _, words = watching.communicate(timeout=60)
    assert watching.returncode == 130, words
    assert "Traceback" not in words


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_cancel_prints_what_is_cancelled(at_stand: Any, stand: Served, job: str) -> None:
    other = at_stand("submit", "-", stdin=JOB).out.strip()
    stand.do(lambda: stand.broker.end(other))
    outcome = at_stand("cancel", short_id(job), other, "--wait")
    assert (outcome.code, outcome.out) == (0, f"{job}\n")
    assert "already succeeded" in outcome.err
    array_id = at_stand("submit", "-", stdin=JOB + "array: 0-2\n").out.strip()
    assert at_stand("cancel", array_id).out.count("\n") == 3


# --- why --------------------------------------------------------------------


EXPLANATION = pb.Explanation(
    verdict="wait",
    examined_pools=3,
    examined_cards=400,
    rejections=[
        pb.Rejection(code="WrongAccelerator", cards=16, pools=["z/gpu"], fix_by="you"),
        pb.Rejection(code="MemoryTooSmall", cards=126, pools=["z/a", "z/b", "z/c", "z/d"],
                     fix_by="you", detail="needs 256 GiB"),
        pb.Rejection(code="NotFreeNow", cards=232, pools=["s/npu"], fix_by="wait"),
    ],
    candidates=[
        pb.Candidate(pool="s/npu", score=pb.Score(wait_seconds=7500, run_seconds=3600, yuan=12.5),
                     lost_because="busy"),
    ],
    suggestions=[pb.Suggestion(change="num_nodes: 1", pool="s/npu", starts="now")],
    position=2,
)  # fmt: skip


def test_explain_names_every_reason_and_adds_up(at_stand: Any, stand: Served, job: str) -> None:
    stand.broker.explanation = EXPLANATION
    outcome = at_stand("explain", job)
    assert outcome.code == 20
    rows = [line.split() for line in outcome.out.splitlines()]
    table = {row[0]: (int(row[1]), int(row[2])) for row in rows if row and row[0] in CODES}
    left = 400
    for code in CODES:
        left -= table[code][1]
        assert table[code][0] == left
    for part in (
        "400 physical cards", "z/a, z/b, z/c +1", "needs 256 GiB", "2 job(s) are ahead",
        "[NotFreeNow, MemoryTooSmall, WrongAccelerator]", "2h05m", "12.50",
        "num_nodes: 1  →  s/npu, starts now", "8 ascend-910b",
    ):  # fmt: skip
        assert part in outcome.out, part


CODES = ("WrongAccelerator", "MemoryTooSmall", "NotFreeNow")


def test_explain_says_what_the_estimate_rests_on(at_stand: Any, stand: Served, job: str) -> None:
    basis = pb.Basis(
        source="computed", precision="fp8", work_seconds=3000, learned_factor=1.25,
        learned_runs=12, availability=0.95, checkpoint_every_seconds=2520, p90_seconds=9000,
    )  # fmt: skip
    stand.broker.explanation = pb.Explanation()
    stand.broker.explanation.CopyFrom(EXPLANATION)
    stand.broker.explanation.candidates[0].score.basis.CopyFrom(basis)
    told = at_stand("explain", job).out
    for part in (
        "RUN    1h00m at s/npu: from the stated operations, at fp8 peaks", "× 1.25 as 12 like it",
        "÷ 0.950 for failures", "within 2h30m", "a checkpoint every 42m00s loses least",
    ):  # fmt: skip
        assert part in told, part
    record = json.loads(at_stand("explain", job, "-o", "json").out)
    score = record["explanation"]["candidates"][0]["score"]
    assert score["basis"]["p90_seconds"] == 9000
    assert score["basis"]["checkpoint_every_seconds"] == 2520


def test_explain_of_a_job_that_runs_exits_0(at_stand: Any, stand: Served, job: str) -> None:
    stand.broker.explanation = EXPLANATION
    stand.do(lambda: stand.broker.begin(job))
    outcome = at_stand("explain", job)
    assert outcome.code == 0
    assert "shenzhen/npu, attempt 1" in outcome.out and "NotFreeNow" not in outcome.out


def test_never_differs_from_not_now(at_stand: Any, stand: Served, job: str) -> None:
    stand.broker.explanation = pb.Explanation(verdict="never", examined_pools=1)
    assert at_stand("explain", job).code == 21
    record = json.loads(at_stand("explain", job, "-o", "json").out)
    assert record["explanation"]["verdict"] == "never"
    assert record["job"]["id"] == job


def test_a_code_is_explained_without_a_broker(suan: Any) -> None:
    outcome = suan("explain", "--code", "shapeunfit")
    assert outcome.code == 0 and outcome.out.startswith("ShapeUnfit\n")
    outcome = suan("explain", "--code", "ShapeUnfitt")
    assert outcome.code == 3 and "did you mean ShapeUnfit?" in outcome.err
    assert suan("explain").code == 2


# --- connection -------------------------------------------------------------


def test_an_absent_broker_exits_5(
    suan: Any, keys: Identities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suan.cli.options.DEADLINE_SECONDS", 0.5)
    monkeypatch.setenv("SUAN_IDENTITY", str(keys.user))
    outcome = suan("--address", "127.0.0.1:1", "ps")
    assert (outcome.code, outcome.out) == (5, "")
    assert "[BrokerUnreachable]" in outcome.err and "hint:" in outcome.err


def test_a_wrong_certificate_exits_4(
    at_stand: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SUAN_IDENTITY", str(identities(tmp_path).user))
    outcome = at_stand("ps")
    assert (outcome.code, outcome.out) == (4, "")
    assert "[BrokerNotTrusted]" in outcome.err


def test_without_any_context_it_says_how_to_make_one(suan: Any) -> None:
    outcome = suan("ps")
    assert (outcome.code, outcome.out) == (2, "")
    assert "[AddressMissing]" in outcome.err and "context" in outcome.err


def test_the_address_of_the_command_is_the_strongest(at_stand: Any, stand: Served) -> None:
    outcome = at_stand("--address", "127.0.0.1:1", "offers", "--address", stand.address)
    assert outcome.code == 0


def test_the_error_of_the_broker_is_shown_whole(at_stand: Any, stand: Served) -> None:
    from suan.errors import PermissionDenied

    stand.broker.fail("List", Fault(PermissionDenied("不可以", "请管理员", "RoleNotAllowed")))
    outcome = at_stand("ps")
    assert outcome.code == 4
    assert outcome.err == "suan: 不可以  [RoleNotAllowed]\n  hint: 请管理员\n"
