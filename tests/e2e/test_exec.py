"""`suan exec` on real parts: beside the job, as the job, no longer than the job or its reader."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Desk, require_refusal
from witness import processes_left

from bench.federation import ASCEND, COMMANDS, Federation, SiteSpec, wait_until
from suan.models import JobSpec, JobState, Launch, Variant

ALLOWING = {"exec": "allowed", "environment": {"SITE_SAYS": "hello 你好"}, "grace_seconds": 2}
WAITS = "echo here > mark; until [ -e {folder}/stop ]; do sleep 0.05; done"


@pytest.fixture(scope="module")
def open_site() -> Iterator[Federation]:
    """One site that allows commands beside jobs."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        made = Federation(Path(name), limits={"heartbeat_seconds": 1.0})
        try:
            made.start_broker()
            made.join(SiteSpec("shenzhen", ASCEND, settings=ALLOWING))
            yield made
        finally:
            made.stop()


def desk_of(federation: Federation, folder: Path) -> Desk:
    own = {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)}
    return Desk(folder, own)


@pytest.fixture
def desk(open_site: Federation, folder: Path) -> Desk:
    return desk_of(open_site, folder)


def started(
    federation: Federation, folder: Path, model: str = "ascend-910b", cards: int = 1
) -> str:
    """A job that runs until the test is over."""
    run = WAITS.format(folder=folder)
    wish = JobSpec(
        (Variant("ascend-910b", accelerators_per_node=cards, run=run),),
        name="waits",
        launch=Launch.PER_CARD,
        environment=(("USER_SAYS", "a b"),),
    )
    with federation.client() as client:
        (item,) = client.submit(wish)
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
    return str(item.id)


@pytest.fixture
def job(open_site: Federation, folder: Path) -> Iterator[str]:
    job_id = started(open_site, folder, cards=2)
    yield job_id
    (folder / "stop").touch()
    with open_site.client() as client:
        client.wait([job_id])
    wait_until(lambda: not processes_left(open_site.folder), "all processes to end")


def test_a_command_runs_as_the_rank_does(desk: Desk, job: str) -> None:
    script = 'cat mark; echo "$SUAN_JOB_ID $RANK $USER_SAYS $SITE_SAYS"; echo bad >&2; exit 7'
    said = desk.suan("exec", job[-8:], "--rank", "1", "--", "sh", "-c", script)
    assert said.status == 7
    assert said.out == f"here\n{job} 1 a b hello 你好\n"
    assert said.err == "bad\n"
    words = ("a b", "", "$HOME", "'\"", "文件")
    told = desk.suan("exec", job, "--", "printf", "[%s]\\n", *words)
    assert (told.status, told.out) == (0, "".join(f"[{word}]\n" for word in words))
    assert desk.suan("exec", job, "--", "sh", "-c", "kill -9 $$").status == 128 + signal.SIGKILL
    missing = desk.suan("exec", job, "--", "no-such-program")
    assert missing.status == 127
    assert "no-such-program" in missing.err


def test_who_may_and_what_is_written_down(open_site: Federation, desk: Desk, job: str) -> None:
    secret = "hunter2"
    assert desk.suan("exec", job, "--", "echo", secret).status == 0
    colleague = open_site.identity("zhao.min", "team-a")
    said = desk.suan("exec", job, "--", "id", identity=colleague)
    require_refusal(said, 4, "NotYourJob", "li.wei")
    stranger = open_site.identity("wang.fang", "team-b")
    require_refusal(desk.suan("exec", job, "--", "id", identity=stranger), 3, "JobNotFound")
    said = desk.suan("exec", job, "--", "id", identity=open_site.admin)
    require_refusal(said, 4, "RoleNotAllowed")
    require_refusal(desk.suan("exec", job, "--rank", "9", "--", "id"), 3, "NoSuchRank", hint=False)
    with open_site.client(open_site.admin) as admin:
        acts = [entry for entry in admin.audit() if entry.action == "job.exec"]
        rules = admin.site("shenzhen").facts.rules
    mine = [entry for entry in acts if job in entry.object]
    assert "'echo', 2 words sha256:" in mine[0].detail
    assert mine[0].actor.endswith("/tenant/team-a/user/li.wei")
    assert all(secret not in entry.detail for entry in mine)
    assert "commands beside jobs (suan exec)" in rules


def test_it_takes_input(open_site: Federation, desk: Desk, job: str) -> None:
    data = os.urandom(1 << 20)
    env = dict(os.environ) | dict(desk.variables)

    def given(*command: str) -> subprocess.CompletedProcess[bytes]:
        words = [COMMANDS / "suan", "exec", "-i", job, "--", *command]
        return subprocess.run(words, env=env, input=data, capture_output=True, timeout=60)

    done = given("sha256sum")
    local = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True)
    assert (done.returncode, done.stdout) == (0, local.stdout), done.stderr
    done = given("true")  # reads none of it
    assert done.returncode == 0, done.stderr
    assert desk.suan("exec", job, "--", "cat").out == ""


def test_each_byte_once_though_broker_and_agent_die(
    open_site: Federation, folder: Path, job: str
) -> None:
    script = f"""
    n=0; until [ -e {folder}/enough ]; do n=$((n + 1)); echo "line $n"; sleep 0.01; done
    echo "$n" > {folder}/lines; exit 5
    """
    read, codes, lines = b"", [], 0

    def more(count: int) -> bool:
        return read.count(b"\n") >= lines + count

    with open_site.client() as client:
        client.deadline_seconds = 120.0
        killed = 0
        for output in client.execute(job, ["sh", "-c", script]):
            read += output.stdout
            codes.append(output.exit_code)
            if killed < 2 and more(50):
                lines = read.count(b"\n")
                if not killed:
                    open_site.broker.kill()
                    open_site.start_broker()
                else:
                    open_site.agents["shenzhen"].kill()
                    open_site.agents["shenzhen"].start()
                killed += 1
            elif killed == 2 and more(50):
                (folder / "enough").touch()
    assert codes[-1] == 5
    count = int((folder / "lines").read_text())
    assert read == b"".join(b"line %d\n" % number for number in range(1, count + 1))


def test_much_output_and_a_slow_reader(open_site: Federation, folder: Path, job: str) -> None:
    """What nobody reads is held back, so the command waits and the disk does not fill."""
    script = f"head -c 24000000 /dev/zero; echo done > {folder}/written"
    place = open_site.folder / "sites/shenzhen/state/runs"

    def waiting() -> bool:
        return sum(file.stat().st_size for file in place.glob("*/beside/*/out")) >= 4 << 20

    size = 0
    with open_site.client() as client:
        for number, output in enumerate(client.execute(job, ["sh", "-c", script])):
            if number == 1:
                wait_until(waiting, "its output to pile up")
                assert not (folder / "written").exists()
            size += len(output.stdout)
    assert size == 24_000_000


def test_its_time_is_over(desk: Desk, job: str) -> None:
    said = desk.suan("exec", "--timeout", "1s", job, "--", "sh", "-c", "echo a; sleep 1000")
    assert (said.status, said.out) == (124, "a\n")
    assert "time is over" in said.err


def test_it_ends_with_its_reader(desk: Desk, folder: Path, job: str) -> None:
    """Children that left its session too."""
    script = f"setsid sh -c 'echo $$ > {folder}/child; sleep 1000' & echo $$ > {folder}/pid; wait"
    process = desk.start("suan", "exec", job, "--", "sh", "-c", script)
    pids = [
        int(wait_until(lambda name=name: text(folder / name), name))  # type: ignore[misc]
        for name in ("pid", "child")
    ]
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    wait_until(lambda: not any(map(alive, pids)), "the command to end")


def test_it_ends_with_its_job(open_site: Federation, desk: Desk, folder: Path) -> None:
    job_id = started(open_site, folder)
    script = f"echo $$ > {folder}/pid; trap '' TERM; while :; do sleep 0.1; done"
    process = desk.start("suan", "exec", job_id, "--", "sh", "-c", script)
    pid = int(wait_until(lambda: text(folder / "pid"), "the command"))
    (folder / "stop").touch()
    _, err = process.communicate(timeout=60)
    assert b"[RunEnded]" in err or process.returncode == 128 + signal.SIGKILL, err
    assert not alive(pid)
    with open_site.client() as client:
        assert client.wait([job_id])[0].state is JobState.SUCCEEDED
    require_refusal(desk.suan("exec", job_id, "--", "true"), 1, "NotRunning")


def test_a_site_denies_it_unless_it_says_otherwise(federation: Federation, folder: Path) -> None:
    """Files may be copied; the same behind a Ray."""
    job_id, desk = started(federation, folder), desk_of(federation, folder)
    require_refusal(desk.suan("exec", job_id, "--", "id"), 4, "ExecDenied", "shenzhen")
    said = desk.suan("cp", f"{job_id}:work/mark", ".")
    assert (said.status, (folder / "mark").read_text()) == (0, "here\n"), said
    (folder / "stop").touch()
    with federation.client() as client:
        client.wait([job_id])


def text(path: Path) -> str:
    """What a file holds, once its line is whole."""
    said = path.read_text() if path.exists() else ""
    return said if said.endswith("\n") else ""


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")
