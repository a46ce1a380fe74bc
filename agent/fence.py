# ruff: noqa: PTH100, PTH104, PTH105, PTH110, PTH112, PTH116, PTH118, PTH120, PTH123, PTH202, PTH208
"""The fence: the launcher that lives beside a run and ends it, with or without the agent.

    python3 -I -S fence.py RUN_DIRECTORY

It needs Python 3.8 or later on Linux, the standard library and nothing of Suan, so it can
be carried to any node. It knows one run directory and its files:

    order.json  what to start: phases of processes, time limit, grace; their cgroup and account
    lease       when the lease ends, on this machine's clocks; the agent writes over it
    stop        its presence asks for the end; its text is the reason
    started     taken exclusively, locked while fence or keeper lives; whom to send SIGTERM
    ranks.json  the processes of the last phase, once all of them run
    exit.json   how it ended; written durably, and only when every process is dead

No process of the run can leave: orphans come back to the fence, and ranks die when it dies. Its
parent, the keeper, does nothing while all is well; of a fence that was killed, or stopped beyond
the lease, it ends what is left. If both are killed at one moment, the agent finds what detached.
It starts once per run, so it must start quickly: pathlib would add a third to that time.
"""

from __future__ import annotations

import binascii
import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import sys
import time
from typing import Any, Callable, NoReturn  # noqa: UP035 - Python 3.8

POLL_SECONDS = 1.0  # how often `lease` and `stop` are looked at
KEEPER_SECONDS = 1.0  # after the lease's end the keeper takes a living fence for stopped
KEEPER_POLL_SECONDS_MAX = 60.0
KILL_POLL_SECONDS = 0.02  # how often the dying are counted
EXIT_RETRIES_MAX = 60  # one per second, while the disk is full
EXIT_BYTES = 4096  # kept free for exit.json from the start, beside the order's own size
LAUNCH_FAILED_STATUS = 127 << 8  # as a wait status: exit status 127
WAITED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
BOOT_ID = "/proc/sys/kernel/random/boot_id"
LIBC = ctypes.CDLL(None)


class Lease:
    """The end of the lease as last read; a file that cannot be read changes nothing."""

    def __init__(self, path: str, grace_seconds: float) -> None:
        self.path = path
        self.grace_seconds = grace_seconds
        self.margin_seconds = 0.0  # SIGTERM comes this long before the end
        self.terms: dict[str, Any] = {}
        self.read()

    def read(self) -> None:
        # Written over in place, which needs no room on a full disk; the sum tells a torn read.
        checksum, _, text = read_text(self.path).partition(" ")
        if checksum != f"{binascii.crc32(text.encode()):08x}":
            return
        terms = json.loads(text)
        if terms != self.terms:
            self.terms = terms
            # A lease shorter than twice the grace still leaves half of itself for work.
            self.margin_seconds = max(0.0, min(self.grace_seconds, self.remaining() / 2))

    def remaining(self) -> float:
        """Seconds left by whichever clock is further; infinite where time does not end it."""
        if self.terms.get("class") != "restart":
            return float("inf")
        boottime_ns: int = self.terms["boottime_ns"] - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        raw_ns: int = self.terms["raw_ns"] - time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        return min(boottime_ns, raw_ns) / 1e9


class Run:
    """One run, from its first process to the death of its last."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.order = json.loads(read_text(self.path("order.json")))
        self.grace_seconds: float = self.order["grace_seconds"]
        self.time_limit_seconds: float = self.order["time_limit_seconds"] or float("inf")
        self.cgroup: str = self.order.get("cgroup", "")  # v2, made by the agent; "": none
        self.account: dict[str, Any] = self.order.get("account", {})  # {}: the fence's own
        self.lease = Lease(self.path("lease"), self.grace_seconds)
        self.began = now_seconds()
        self.polled_at = self.started_at = 0.0
        self.reason, self.detail = "Exited", ""
        self.failure, self.failed = 0, ""  # wait status and label of the first that failed
        self.labels: list[str] = []  # of the phase's processes, by index
        self.codes: list[int | None] = []  # of the phase's processes, by index
        self.pids: dict[int, int] = {}  # living processes of the phase: index by pid
        self.kill_at: float | None = None  # set once the end has begun
        self.terminated: set[int] = set()  # process groups that were asked to end
        self.beside: Any = None  # the commands beside its ranks, once one is wanted

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def live(self) -> None:
        """Phase after phase, until one fails or the end is asked for."""
        if not self.may_start():
            return
        self.started_at = time.time()
        for processes in self.order["phases"]:
            last = processes is self.order["phases"][-1]
            self.launch(processes, last)
            self.wait_phase()
            if self.kill_at is not None:
                self.codes = self.codes if last else []
                return

    def may_start(self) -> bool:
        if not self.lease.terms:
            self.reason, self.detail = "LaunchFailed", "the lease cannot be read"
        elif self.lease.terms["boot_id"] != read_text(BOOT_ID):
            self.reason, self.detail = "MachineRebooted", "the machine restarted before it began"
        elif self.lease.remaining() <= 0:
            self.reason, self.detail = "LeaseEnded", "the lease had ended before it began"
        elif os.path.exists(self.path("stop")):
            self.reason, self.detail = "Stopped", read_text(self.path("stop"))
        return self.reason == "Exited"

    def launch(self, processes: list[dict[str, Any]], last: bool) -> None:
        self.codes, self.labels = [None] * len(processes), [each["label"] for each in processes]
        try:
            for index, process in enumerate(processes):
                self.pids[start(process, self.cgroup, self.account)] = index
        except OSError as error:
            self.failure = LAUNCH_FAILED_STATUS
            self.begin_end("LaunchFailed", str(error))
            return
        if last:
            with contextlib.suppress(OSError):  # only tells; the run need not end for it
                write_text(self.path("ranks.json.new"), json.dumps({"pids": list(self.pids)}))
                os.replace(self.path("ranks.json.new"), self.path("ranks.json"))

    def wait_phase(self) -> None:
        """Until the phase is over, or its end has run out of time."""
        while True:
            children = reap(self.note_death)
            now = now_seconds()
            if self.kill_at is None:
                if None not in self.codes and not self.failure:
                    return
                self.look(now)
            elif not children or now >= self.kill_at or self.lease.remaining() <= 0:
                return
            else:
                self.terminate()
            if children or self.kill_at is None:
                self.sleep(now)

    def look(self, now: float) -> None:
        """Begin the end if anything asks for it."""
        if now - self.polled_at >= POLL_SECONDS:
            self.polled_at = now
            self.lease.read()
        if os.path.isdir(self.path("beside")):
            with contextlib.suppress(Exception):  # whatever fails there, the run goes on
                if self.beside is None:
                    names: dict[str, Any] = {"__name__": "beside"}
                    exec(read_text(os.path.dirname(__file__) + "/beside.py"), names)  # noqa: S102
                    self.beside = names["Commands"](self, globals())
                self.beside.begin()
        if self.failure:
            self.begin_end("Exited", f"{self.failed} failed")
        elif os.path.exists(self.path("stop")):
            self.begin_end("Stopped", read_text(self.path("stop")))
        elif self.lease.remaining() <= self.lease.margin_seconds:
            self.begin_end("LeaseEnded", "the lease was not renewed in time")
        elif now - self.began >= self.time_limit_seconds:
            self.begin_end("TimeLimit", f"it ran longer than {self.time_limit_seconds:g} s")

    def begin_end(self, reason: str, detail: str) -> None:
        """SIGTERM to all; SIGKILL follows after the grace, or when the lease ends."""
        if self.kill_at is not None:
            return
        self.reason, self.detail = reason, detail
        self.kill_at = now_seconds() + self.grace_seconds
        self.terminate()

    def terminate(self) -> None:
        """SIGTERM, once, to every group of children; orphans of the dead join them later."""
        for group in child_groups() - self.terminated:
            self.terminated.add(group)
            send(group, signal.SIGTERM)
            send(group, signal.SIGCONT)

    def sleep(self, now: float) -> None:
        """Until a process dies or the next thing is due; a wish to stop is taken here."""
        margin = self.lease.margin_seconds if self.kill_at is None else 0.0
        end = self.began + self.time_limit_seconds if self.kill_at is None else self.kill_at
        due = min(self.lease.remaining() - margin, end - now)
        caught = signal.sigtimedwait(WAITED, max(0.0, min(due, POLL_SECONDS)))
        if caught is not None and caught.si_signo != signal.SIGCHLD:
            self.begin_end("Stopped", read_text(self.path("stop")) or "the fence was told to end")

    def note_death(self, pid: int, status: int) -> None:
        index = self.pids.pop(pid, None)
        if index is not None:
            self.codes[index] = exit_code(status)
            if status and not self.failure:
                self.failure, self.failed = status, self.labels[index]
        elif self.beside is not None:
            self.beside.note_death(pid, exit_code(status))


def exit_record(
    reason: str, detail: str, failure: int, started_at: float, codes: list[int | None]
) -> dict[str, Any]:
    return {
        "exit_code": exit_code(failure),
        "signal": os.WTERMSIG(failure) if os.WIFSIGNALED(failure) else 0,
        "reason": reason,
        "detail": detail,
        "started_at": started_at,
        "ended_at": time.time(),
        "rank_codes": [127 if code is None else code for code in codes],
    }


def start(process: dict[str, Any], cgroup: str, account: dict[str, Any]) -> int:
    """Fork one process into a session of its own; its pid once its program runs, or OSError."""
    parent = os.getpid()
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            become(process, parent, cgroup, account)
        except Exception as error:
            os.write(write_end, str(error).encode())
        finally:
            os._exit(127)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        fault = pipe.read().decode(errors="replace")
    if fault:
        os.waitpid(pid, 0)
        raise OSError(f"{process['label']} could not be started: {fault}")
    return pid


def become(process: dict[str, Any], parent: int, cgroup: str, account: dict[str, Any]) -> NoReturn:
    if cgroup:
        write_text(cgroup + "/cgroup.procs", "0")
    os.setsid()
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(process["stdout"], append, 0o600), 1)
    os.dup2(os.open(process["stderr"], append, 0o600), 2)
    if account:  # another user for good, with the usual mask whatever the agent's own is
        os.setgroups(account["groups"])
        os.setresgid(*[account["gid"]] * 3)
        os.setresuid(*[account["uid"]] * 3)
        os.umask(0o022)
    # After the change of user, which would take this back.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)
    for number in signal.valid_signals():  # by Python, by nohup, by a shell's background
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(process["directory"])
    if "attend" in process:
        os._exit(process["attend"]())
    os.execve(process["argv"][0], process["argv"], process["environment"])


def kill_descendants(note_death: Callable[[int, int], None], cgroup: str = "") -> None:
    """SIGKILL until no descendant is left; returns only then.

    Orphans come to us as children, and the number of a child that we have not reaped is
    given to nobody else, so no stranger is hit. By group, so that none forks away.
    """
    while True:
        if cgroup:
            with contextlib.suppress(OSError):  # Linux 5.14: all of it in one step
                write_text(cgroup + "/cgroup.kill", "1")
        for group in child_groups():
            send(group, signal.SIGKILL)
        if not reap(note_death):
            return
        signal.sigtimedwait((signal.SIGCHLD,), KILL_POLL_SECONDS)


def reap(note_death: Callable[[int, int], None]) -> bool:
    """Take in the dead; whether any child lives."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            note_death(pid, status)
    return False


def child_groups() -> set[int]:
    """The process groups of our children, as they are now."""
    groups = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            _state, parent, group = file.read().rpartition(b")")[2].split()[:3]
            if int(parent) == os.getpid():
                groups.add(int(group))
    return groups - {os.getpgrp()}


def send(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def exit_code(status: int) -> int:
    """A wait status by POSIX rules: the exit status, or 128 + the signal."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def now_seconds() -> float:
    """For grace and time limit; leases are measured by both clocks."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def write_text(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def lacked_memory(cgroup: str) -> bool:
    """Whether the kernel ended a process of the cgroup because it took too much."""
    words = read_text(cgroup + "/memory.events").split() if cgroup else []
    return "oom_kill" in words and words[words.index("oom_kill") + 1] != "0"


def take(directory: str) -> int | None:
    """Take the file that says that this attempt has begun; None when it was taken before."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    try:
        lock = os.open(os.path.join(directory, "started"), flags, 0o600)
    except FileExistsError:
        return None
    fcntl.flock(lock, fcntl.LOCK_EX)
    if os.path.exists(os.path.join(directory, "exit.json")):
        return None  # between the two steps the agent found nobody here and said so
    return lock


def reserve(directory: str) -> int:
    """Take the room for exit.json while there is some; returns its descriptor."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
    room = os.open(os.path.join(directory, "exit.json.new"), flags, 0o600)
    with contextlib.suppress(OSError):
        os.posix_fallocate(room, 0, EXIT_BYTES + os.path.getsize(directory + "/order.json"))
    return room


def write_exit(directory: str, room: int, record: dict[str, Any]) -> None:
    """Durably, into the room kept for it; waits a while for a full disk."""
    text = json.dumps(record).encode()
    for attempt in range(EXIT_RETRIES_MAX + 1):
        try:
            os.pwrite(room, text, 0)
            os.ftruncate(room, len(text))
            os.fsync(room)
            path = os.path.join(directory, "exit.json")
            os.rename(path + ".new", path)
            os.fsync(os.open(directory, os.O_RDONLY))
            return
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or attempt == EXIT_RETRIES_MAX:
                raise
            time.sleep(1.0)


def guard(directory: str) -> dict[str, Any]:
    """Run what the directory orders; whatever goes wrong, nothing of it is left alive."""
    try:
        run = Run(directory)
    except (ValueError, KeyError, TypeError) as error:
        detail = f"the order cannot be read: {error}"
        return exit_record("LaunchFailed", detail, LAUNCH_FAILED_STATUS, 0.0, [])
    if run.account:
        os.umask(0o077)  # what the fence writes is not for other accounts
    try:
        run.live()
    except Exception as error:
        run.reason, run.detail = "Unknown", f"the fence failed: {error}"
    kill_descendants(run.note_death, run.cgroup)
    if run.reason == "Exited" and run.failure and lacked_memory(run.cgroup):
        run.reason, run.detail = "OutOfMemory", "it took more memory than it may"
    return exit_record(run.reason, run.detail, run.failure, run.started_at, run.codes)


def keep(directory: str, room: int, fence: int) -> int:
    """Wait for the fence; end what it leaves if it is killed, or does not end with its lease."""
    lease = Lease(os.path.join(directory, "lease"), 0.0)
    pid = status = 0
    while not pid:
        wait = min(lease.remaining() + KEEPER_SECONDS, KEEPER_POLL_SECONDS_MAX)
        caught = signal.sigtimedwait(WAITED, max(wait, POLL_SECONDS))
        if caught is not None and caught.si_signo != signal.SIGCHLD:
            os.kill(fence, caught.si_signo)
        lease.read()
        if lease.remaining() + KEEPER_SECONDS <= 0:
            os.kill(fence, signal.SIGKILL)
        pid, status = os.waitpid(fence, os.WNOHANG)
    kill_descendants(lambda _pid, _status: None)
    if os.WIFSIGNALED(status) and not os.path.exists(os.path.join(directory, "exit.json")):
        began = os.stat(os.path.join(directory, "started")).st_mtime
        killed = "its fence was killed"
        write_exit(directory, room, exit_record("Unknown", killed, status, began, []))
    return exit_code(status)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not os.path.isdir(arguments[0]):
        print("usage: fence.py RUN_DIRECTORY", file=sys.stderr)
        return 2
    directory = os.path.abspath(arguments[0])
    signal.pthread_sigmask(signal.SIG_BLOCK, WAITED)
    if (lock := take(directory)) is None:
        return 3
    room, quiet = reserve(directory), os.open(os.devnull, os.O_WRONLY)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if fence := os.fork():
        os.dup2(quiet, 1)  # of the two only the fence tells
        return keep(directory, room, fence)
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.write(lock, json.dumps({"pid": os.getpid(), "boot_id": read_text(BOOT_ID)}).encode())
    os.fsync(lock)
    os.dup2(quiet, 1)  # whoever reads our output knows: it has begun, and what room it has
    write_exit(directory, room, guard(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
