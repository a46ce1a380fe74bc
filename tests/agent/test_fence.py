"""The fence with real processes: who dies when, and what is recorded of it."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import FENCE, PATIENCE_SECONDS, FenceRun, alive, until

from agent.clock import boottime_ns

STUBBORN = "trap '' TERM; echo $$ > pid; while :; do sleep 0.05; done"
SAVING = "trap 'echo saved > saved; exit 0' TERM; echo $$ > pid; while :; do sleep 0.02; done"
# Leaves its session, its parent and SIGTERM behind, as a daemon does.
DAEMON = (
    "(trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > daemon; "
    "while :; do sleep 0.05; done' & ); "
)


def test_runs_on_python_3_8_without_suan() -> None:
    tree = ast.parse(FENCE.read_text(), feature_version=(3, 8))
    imported = {
        name.name if isinstance(node, ast.Import) else str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 0", 0, 0), ("exit 7", 7, 0), ("kill -9 $$", 137, 9), ("kill -SEGV $$", 139, 11)],
)
def test_exit_status_by_posix_rules(fence: FenceRun, script: str, code: int, number: int) -> None:
    record = fence.run(script)
    assert (record["exit_code"], record["signal"]) == (code, number)
    assert record["reason"] == "Exited"
    assert record["rank_codes"] == [code]
    assert 0 < record["started_at"] <= record["ended_at"]


def test_output_of_each_rank_and_environment(fence: FenceRun) -> None:
    fence.run(
        'echo "$GREETING"; echo wrong >&2', "echo second", environment={"GREETING": "你好 wörld"}
    )
    assert fence.text("0.out") == "你好 wörld\n"
    assert fence.text("0.err") == "wrong\n"
    assert fence.text("1.out") == "second\n"


GLIBC_SIGNALS = 0b11 << 31  # 32 and 33: glibc's own, which no program can set back


def test_a_rank_starts_clean(fence: FenceRun) -> None:
    """No blocked or ignored signals, no inherited files, an own session."""
    fence.run(
        "grep -E '^Sig(Blk|Ign)' /proc/self/status;"
        "ls /proc/self/fd | wc -l; cut -d' ' -f1,6 /proc/$$/stat"
    )
    blocked, ignored, files, session = fence.text("0.out").splitlines()
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) & ~GLIBC_SIGNALS == 0
    assert int(files) == 4  # 0, 1, 2 and the one that ls reads
    assert len(set(session.split())) == 1


def test_the_same_attempt_never_starts_twice(fence: FenceRun) -> None:
    fence.order("echo started >> count; read line < gate")
    os.mkfifo(fence.directory / "gate")
    fence.lease()
    first = fence.start()
    fence.wait_text("count")
    second = subprocess.run(
        [sys.executable, "-I", "-S", str(FENCE), str(fence.directory)], timeout=PATIENCE_SECONDS
    )
    assert second.returncode == 3
    assert alive(first.pid)
    (fence.directory / "gate").write_text("go\n")
    assert fence.wait()["reason"] == "Exited"
    fence.start()
    fence.wait()
    assert fence.text("count") == "started\n"


def test_what_says_that_it_has_begun_can_tell_its_end_on_a_full_disk(fence: FenceRun) -> None:
    """Nothing that it must write later needs room which is not taken by then."""
    fence.order("read line < gate")
    os.mkfifo(fence.directory / "gate")
    fence.lease()
    command = [sys.executable, "-I", "-S", str(FENCE), str(fence.directory)]
    fence.process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert fence.process.stdout is not None
    with fence.process.stdout as output:
        assert output.read() == b""  # it has begun
    assert (fence.directory / "exit.json.new").stat().st_blocks * 512 >= 4096
    assert json.loads(fence.text("started"))["boot_id"]
    (fence.directory / "gate").write_text("go\n")
    assert fence.wait()["reason"] == "Exited"


def test_two_fences_at_once_start_one(fence: FenceRun) -> None:
    fence.order("echo started >> count")
    fence.lease()
    command = [sys.executable, "-I", "-S", str(FENCE), str(fence.directory)]
    both = [subprocess.Popen(command) for _ in range(4)]
    codes = sorted(process.wait(PATIENCE_SECONDS) for process in both)
    assert codes == [0, 3, 3, 3]
    assert fence.text("count") == "started\n"


def test_setup_comes_first_and_its_failure_ends_the_run(fence: FenceRun) -> None:
    record = fence.run("echo ran > ran", setup="echo preparing; exit 4")
    assert (record["reason"], record["exit_code"]) == ("Exited", 4)
    assert record["detail"] == "setup on n0 failed"
    assert record["rank_codes"] == []
    assert fence.text("0.out") == "preparing\n"
    assert not (fence.directory / "ran").exists()


def test_setup_then_ranks(fence: FenceRun) -> None:
    record = fence.run("cat made", setup="echo ready > made")
    assert record["exit_code"] == 0
    assert fence.text("0.out") == "ready\n"
    assert json.loads(fence.text("ranks.json"))["pids"]


def test_a_gang_fails_as_one(fence: FenceRun) -> None:
    waits = "echo $$ > one; while :; do sleep 0.05; done"
    record = fence.run(
        waits, "until [ -s one ] && [ -s pid ]; do sleep 0.02; done; exit 9", STUBBORN, grace=0.3
    )
    assert (record["reason"], record["exit_code"], record["signal"]) == ("Exited", 9, 0)
    assert record["rank_codes"] == [143, 9, 137]
    assert record["detail"] == "rank 1 failed"


def test_the_others_of_a_gang_get_their_grace(fence: FenceRun) -> None:
    saves = "trap 'echo saved > saved; exit 0' TERM; echo > up; while :; do sleep 0.05; done"
    record = fence.run(saves, "until [ -e up ]; do :; done; exit 1")
    assert fence.text("saved") == "saved\n"
    assert record["rank_codes"] == [0, 1]


def test_a_gang_waits_for_all_its_ranks(fence: FenceRun) -> None:
    record = fence.run("exit 0", "until [ -e go ]; do :; done", "sleep 0.1; echo > go")
    assert record["rank_codes"] == [0, 0, 0]


def test_time_limit_then_grace_then_kill(fence: FenceRun) -> None:
    record = fence.run(STUBBORN, time_limit=1.5, grace=0.3)
    assert (record["reason"], record["exit_code"], record["signal"]) == ("TimeLimit", 137, 9)
    assert record["ended_at"] - record["started_at"] >= 1.8
    assert not alive(fence.wait_pid("pid"))


def test_a_program_that_saves_at_the_time_limit(fence: FenceRun) -> None:
    record = fence.run(SAVING, time_limit=1.5)
    assert fence.text("saved") == "saved\n"
    assert (record["reason"], record["exit_code"]) == ("TimeLimit", 0)


def test_orphans_keep_the_grace_when_their_shell_is_gone(fence: FenceRun) -> None:
    """The shell dies of SIGTERM at once; what it had started may still save."""
    child = "trap 'sleep 0.3; echo saved > saved; exit 0' TERM; while :; do sleep 0.02; done"
    record = fence.run(f"sh -c '{child.replace(chr(39), chr(34))}'; true", time_limit=1.5)
    assert fence.text("saved") == "saved\n"
    assert record["exit_code"] == 143


def test_lease_end_kills_what_ignores_sigterm_and_its_daemons(fence: FenceRun) -> None:
    fence.order(DAEMON + STUBBORN, grace=0.4)
    fence.lease()
    fence.start()
    daemon, pid = fence.wait_pid("daemon"), fence.wait_pid("pid")
    fence.lease(0.6)
    record = fence.wait()
    assert (record["reason"], record["exit_code"]) == ("LeaseEnded", 137)
    assert not alive(daemon)
    assert not alive(pid)


def test_sigterm_comes_a_grace_before_the_end_of_the_lease(fence: FenceRun) -> None:
    fence.order(SAVING, grace=100.0)
    fence.lease()
    fence.start()
    fence.wait_pid("pid")
    fence.lease(4.0)  # half of it is left for saving
    record = fence.wait()
    assert fence.text("saved") == "saved\n"
    assert (record["reason"], record["exit_code"]) == ("LeaseEnded", 0)
    assert record["detail"] == "the lease was not renewed in time"


def test_a_grace_longer_than_the_lease_leaves_half_of_it_for_work(fence: FenceRun) -> None:
    fence.order("echo $$ > pid; until [ -e done ]; do sleep 0.02; done", grace=100.0)
    fence.lease(20.0)
    fence.start()
    fence.wait_pid("pid")
    (fence.directory / "done").touch()
    assert fence.wait()["reason"] == "Exited"


def test_a_renewed_lease_keeps_the_run_alive(fence: FenceRun) -> None:
    fence.order("until [ -e done ]; do sleep 0.02; done", grace=0.1)
    fence.lease(2.0)
    first_end_ns = fence.lease_end_ns()
    fence.start()

    def renew_past_the_first_end() -> bool:
        fence.lease(2.0)
        return boottime_ns() > first_end_ns + 500_000_000

    until(renew_past_the_first_end)
    (fence.directory / "done").touch()
    record = fence.wait()
    assert (record["reason"], record["exit_code"]) == ("Exited", 0)


def test_a_torn_lease_changes_nothing(fence: FenceRun) -> None:
    """Half of it new and half of it old might name an end that nobody granted."""
    fence.order("until [ -e done ]; do sleep 0.02; done; exit 5")
    fence.lease(2.0)
    whole = fence.text("lease")
    end_ns = fence.lease_end_ns()
    (fence.directory / "lease").write_text(whole.replace(str(end_ns), str(10 * end_ns)))
    fence.start()
    assert fence.wait()["detail"] == "the lease cannot be read"


@pytest.mark.parametrize("lease_class", ["proof", "overlap"])
def test_time_does_not_end_the_other_classes(fence: FenceRun, lease_class: str) -> None:
    fence.order("exit 3")
    fence.lease(-5.0, lease_class)
    fence.start()
    assert fence.wait()["exit_code"] == 3


def test_a_lease_that_ended_before_never_starts_the_run(fence: FenceRun) -> None:
    fence.order("echo ran > ran")
    fence.lease(-0.001)
    fence.start()
    record = fence.wait()
    assert (record["reason"], record["started_at"], record["rank_codes"]) == ("LeaseEnded", 0.0, [])
    assert not (fence.directory / "ran").exists()


def test_another_boot_never_starts_the_run(fence: FenceRun) -> None:
    fence.order("echo ran > ran")
    fence.lease(boot="00000000-0000-0000-0000-000000000000")
    fence.start()
    assert fence.wait()["reason"] == "MachineRebooted"
    assert not (fence.directory / "ran").exists()


@pytest.mark.parametrize("broken", ["order.json", "lease"])
def test_what_cannot_be_read_is_a_launch_failure(fence: FenceRun, broken: str) -> None:
    fence.order("echo ran > ran")
    fence.lease()
    (fence.directory / broken).write_text("{")
    fence.start()
    record = fence.wait()
    assert record["reason"] == "LaunchFailed"
    assert not (fence.directory / "ran").exists()


def test_a_program_that_is_not_there(fence: FenceRun) -> None:
    fence.order(STUBBORN, "true", grace=0.2)
    order = json.loads(fence.text("order.json"))
    order["phases"][0][1]["argv"][0] = "/no/such/shell"
    (fence.directory / "order.json").write_text(json.dumps(order))
    fence.lease()
    fence.start()
    record = fence.wait()
    assert (record["reason"], record["exit_code"]) == ("LaunchFailed", 127)
    assert "rank 1 could not be started" in record["detail"]
    assert "No such file" in record["detail"]
    assert len(record["rank_codes"]) == 2


def test_a_cgroup_that_cannot_be_entered_starts_nothing(fence: FenceRun) -> None:
    """What it does where it can: tests/agent/test_cgroups.py."""
    fence.order("echo ran > ran")
    order = json.loads(fence.text("order.json")) | {"cgroup": "/no/such/cgroup"}
    (fence.directory / "order.json").write_text(json.dumps(order))
    fence.lease()
    fence.start()
    record = fence.wait()
    assert record["reason"] == "LaunchFailed"
    assert "/no/such/cgroup/cgroup.procs" in record["detail"]
    assert not (fence.directory / "ran").exists()


def test_stop_file_alone_is_seen(fence: FenceRun) -> None:
    fence.order(STUBBORN, grace=0.2)
    fence.lease()
    fence.start()
    fence.wait_pid("pid")
    (fence.directory / "stop").write_text("Cancelled")
    record = fence.wait()
    assert (record["reason"], record["detail"]) == ("Stopped", "Cancelled")


def test_sigterm_to_the_fence_stops_with_grace(fence: FenceRun) -> None:
    fence.order(SAVING)
    fence.lease()
    process = fence.start()
    fence.wait_pid("pid")
    process.send_signal(signal.SIGTERM)
    assert fence.wait()["reason"] == "Stopped"
    assert fence.text("saved") == "saved\n"


def test_what_has_left_its_session_gets_its_grace_too(fence: FenceRun) -> None:
    away = SAVING.replace("pid", "away").replace("'", '"')
    fence.order(f"setsid sh -c '{away}' & wait")
    fence.lease()
    process = fence.start()
    fence.wait_pid("away")
    process.send_signal(signal.SIGTERM)
    assert fence.wait()["reason"] == "Stopped"
    assert fence.text("saved") == "saved\n"


def test_a_stopped_rank_is_ended_too(fence: FenceRun) -> None:
    fence.order(SAVING)
    fence.lease()
    process = fence.start()
    os.kill(fence.wait_pid("pid"), signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    fence.wait()
    assert fence.text("saved") == "saved\n"


def test_nothing_outlives_a_run_that_ended_well(fence: FenceRun) -> None:
    record = fence.run(DAEMON + "until [ -s daemon ]; do :; done; exit 0")
    assert record["exit_code"] == 0
    assert not alive(fence.wait_pid("daemon"))


def fence_pid(fence: FenceRun) -> int:
    """The fence itself; the process that was started is its parent, the keeper."""
    return int(json.loads(fence.wait_text("started"))["pid"])


def begun(fence: FenceRun, script: str = DAEMON + STUBBORN) -> tuple[int, int]:
    """Start a run with a detached daemon; the numbers of daemon and rank."""
    fence.order(script, grace=0.2)
    fence.lease()
    fence.start()
    return fence.wait_pid("daemon"), fence.wait_pid("pid")


def test_what_a_killed_fence_leaves_is_ended_by_its_keeper(fence: FenceRun) -> None:
    """No agent is needed, also for what has left its session and its parent."""
    daemon, pid = begun(fence)
    os.kill(fence_pid(fence), signal.SIGKILL)
    record = fence.wait()
    assert (record["reason"], record["signal"]) == ("Unknown", signal.SIGKILL)
    assert record["detail"] == "its fence was killed"
    assert 0 < record["started_at"] <= record["ended_at"]
    assert not alive(daemon)
    assert not alive(pid)


def test_a_run_outlives_its_keeper(fence: FenceRun) -> None:
    daemon, pid = begun(fence)
    assert fence.process is not None
    fence.process.kill()
    fence.process.wait()
    assert alive(pid)
    fence.lease(0.6)
    until(lambda: (fence.directory / "exit.json").exists(), "the run to be ended")
    assert fence.record()["reason"] == "LeaseEnded"
    assert not alive(daemon)
    assert not alive(pid)


def test_a_stopped_fence_does_not_outlast_the_lease(fence: FenceRun) -> None:
    fence.order(DAEMON + STUBBORN, grace=0.2)
    fence.lease(3.0)
    fence.start()
    daemon, pid = fence.wait_pid("daemon"), fence.wait_pid("pid")
    os.kill(fence_pid(fence), signal.SIGSTOP)
    assert fence.wait()["detail"] == "its fence was killed"
    assert boottime_ns() > fence.lease_end_ns()
    assert not alive(daemon)
    assert not alive(pid)


def test_ranks_die_with_fence_and_keeper(fence: FenceRun) -> None:
    """Killed at one moment, nobody is left to end the daemon: the agent will find it."""
    daemon, pid = begun(fence)
    assert fence.process is not None
    try:
        os.killpg(fence.process.pid, signal.SIGKILL)
        fence.process.wait()
        until(lambda: not alive(pid), "the rank to die")
        assert not (fence.directory / "exit.json").exists()
    finally:
        os.kill(daemon, signal.SIGKILL)


# An agent that renews for ever: what happens when it is killed or stopped?
AGENT = """
import json, os, subprocess, sys, time, zlib
fence, directory, seconds = sys.argv[1:]
subprocess.Popen([sys.executable, "-I", "-S", fence, directory], start_new_session=True)
lease = os.open(directory + "/lease", os.O_RDWR)
terms = json.loads(os.pread(lease, 256, 0).partition(b" ")[2])
while True:
    left = int(float(seconds) * 1e9)
    terms["boottime_ns"] = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + left
    terms["raw_ns"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + left
    text = json.dumps(terms)
    line = f"{zlib.crc32(text.encode()):08x} {text}".ljust(255) + "\\n"
    os.pwrite(lease, line.encode(), 0)
    print("renewed", flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_the_fence_outlives_the_agent_and_ends_the_run_in_time(
    fence: FenceRun, tmp_path: Path, fate: signal.Signals
) -> None:
    fence.order(DAEMON + STUBBORN, grace=0.3)
    fence.lease(2.5)
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(FENCE), str(fence.directory), "2.5"],
        stdout=subprocess.PIPE,
    )
    try:
        daemon, pid = fence.wait_pid("daemon"), fence.wait_pid("pid")
        agent.send_signal(fate)
        until(lambda: (fence.directory / "exit.json").exists(), "the run to be ended")
        assert fence.record()["reason"] == "LeaseEnded"
        assert not alive(daemon)
        assert not alive(pid)
    finally:
        agent.kill()
        agent.communicate()
