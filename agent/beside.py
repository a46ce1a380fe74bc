# ruff: noqa: PTH105, PTH110, PTH118, PTH123, PTH208
"""Commands beside a run: its fence starts them as it starts ranks, and attends each to its end.

Loaded by the fence when the first is wanted; Python 3.8 and the standard library, as the fence.
So a command has the environment, account, cgroup and devices of its rank, on every kind of site,
and cannot outlive the run. The agent and the fence speak through files:

    beside/<rank here>.<id>/   whole when it appears
        order.json   argv, limits
        attended     how far its output was read; must change, or nobody is there any more
        stop         its presence asks for the end
        out, err     what it wrote; it is held back while nobody reads on
        input        what it reads, if it takes any; input.end: nothing follows
        exit         its exit code by POSIX rules; 124: its time was over

Between the fence and the command stands a fork of the fence that moves what is written, keeps
the limits, and ends with the fence.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from types import SimpleNamespace
from typing import Any, NoReturn, Optional  # Python 3.8

POLL_SECONDS = 0.1  # between two looks
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
AHEAD_BYTES_MAX = 4 << 20  # of each stream, that nobody has read yet
OUTPUT_BYTES_MAX = 4 << 30  # of a command in all
PIECE_BYTES = 64 << 10
DESCRIPTORS_MAX = 4096
TIME_OVER, NOT_FOUND, NOT_RUN = 124, 127, 126  # exit codes, as of timeout(1) and a shell


class Commands:
    """In the fence: what was started beside its ranks. `names` are those of the fence's module."""

    def __init__(self, run: Any, names: dict[str, Any]) -> None:
        self.run = run
        self.fence = SimpleNamespace(**names)
        self.begun: set[str] = set()
        self.directories: dict[int, str] = {}  # by the pid of who attends

    def begin(self) -> None:
        """Start what is new; whatever goes wrong with it, the run goes on."""
        place = self.run.path("beside")
        for name in sorted(set(os.listdir(place)) - self.begun):
            self.begun.add(name)
            directory = os.path.join(place, name)
            try:
                self.directories[self.start(directory, int(name.partition(".")[0]))] = directory
            except Exception as error:
                with contextlib.suppress(OSError):
                    self.fence.write_text(os.path.join(directory, "err"), f"suan: {error}\n")
                write_exit(directory, NOT_RUN)

    def start(self, directory: str, index: int) -> int:
        order = json.loads(self.fence.read_text(os.path.join(directory, "order.json")))
        rank = self.run.order["phases"][-1][index]
        order["argv"] = [*rank.get("within", ()), *order["argv"]]  # its container, if it has one
        attended = {
            **rank,
            "label": "the command",
            "stdout": os.path.join(directory, "out"),
            "stderr": os.path.join(directory, "err"),
            "attend": lambda: Attendant(self.fence, directory, order, rank["environment"]).attend(),
        }
        pid: int = self.fence.start(attended, self.run.cgroup, self.run.account)
        return pid

    def note_death(self, pid: int, code: int) -> None:
        directory = self.directories.pop(pid, None)
        if directory is not None:
            write_exit(directory, code)


def write_exit(directory: str, code: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the agent sees that the run ends
        path = os.path.join(directory, "exit")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(str(code))
        os.replace(path + ".new", path)


class Attendant:
    """One command, in a process of its own; its output goes to our own descriptors 1 and 2."""

    def __init__(
        self, fence: Any, directory: str, order: dict[str, Any], environment: dict[str, str]
    ) -> None:
        os.closerange(3, DESCRIPTORS_MAX)  # the fence's lock, and the pipe that says we begin
        self.fence = fence
        self.directory = directory
        self.order = order
        self.environment = environment
        self.began = self.attended_at = now_seconds()
        self.attended = ""
        self.read = {1: 0, 2: 0}  # how far the agent has read, by descriptor
        self.written = {1: 0, 2: 0}
        self.pipes: dict[int, int] = {}  # from the command: to which descriptor
        self.input = -1  # to the command
        self.input_file = -1
        self.pending = b""
        self.pid = 0
        self.code: Optional[int] = None  # noqa: UP045
        self.kill_at = float("inf")
        self.is_over = False  # its time limit

    def attend(self) -> int:
        """Start the command, serve it, and end all that it started; its exit code."""
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # its input may close
        signal.signal(signal.SIGTERM, self.end_with_run)
        self.fence.LIBC.prctl(self.fence.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.start()
        while self.pipes or self.code is None:
            self.move()
            if self.code is None:
                self.look()
            self.attention()
            if self.code is not None and self.kill_at < now_seconds():
                break  # nobody reads what is left
        return TIME_OVER if self.is_over else self.code or 0

    def start(self) -> None:
        out, err = os.pipe(), os.pipe()
        reads = os.pipe() if self.order["takes_input"] else None
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            self.become(parent, out[1], err[1], reads[0] if reads else -1)
        for descriptor in (out[1], err[1], *(reads[:1] if reads else ())):
            os.close(descriptor)
        self.pipes = {out[0]: 1, err[0]: 2}
        if reads:
            self.input = reads[1]
            os.set_blocking(self.input, False)

    def become(self, parent: int, out: int, err: int, reads: int) -> NoReturn:
        code = NOT_RUN
        try:
            os.setsid()
            for number in (signal.SIGPIPE, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self.fence.LIBC.prctl(self.fence.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(128 + signal.SIGKILL)
            if reads >= 0:
                os.dup2(reads, 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            argv = self.order["argv"]
            os.execvpe(argv[0], argv, self.environment)
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN
            os.write(2, f"suan: {self.order['argv'][0]}: {error.strerror}\n".encode())
        finally:
            os._exit(code)

    def move(self) -> None:
        """What was written goes on, unless too much is unread; wait for it a little."""
        wanted = [
            pipe
            for pipe, to in self.pipes.items()
            if self.written[to] - self.read[to] < AHEAD_BYTES_MAX
        ]
        self.take_input()
        writes = [self.input] if self.pending else []
        readable, writable, _ = select.select(wanted, writes, (), POLL_SECONDS)
        for pipe in readable:
            data = os.read(pipe, PIECE_BYTES)
            if not data:
                os.close(pipe)
                del self.pipes[pipe]
            else:
                self.write(self.pipes[pipe], data)
        if writable:
            self.give_input()

    def write(self, to: int, data: bytes) -> None:
        if sum(self.written.values()) + len(data) > OUTPUT_BYTES_MAX:
            self.end(f"it wrote more than {OUTPUT_BYTES_MAX >> 30} GiB")
            return
        try:
            while data:
                count = os.write(to, data)
                self.written[to] += count
                data = data[count:]
        except OSError as error:
            self.end(f"its output cannot be kept: {error.strerror}")

    def take_input(self) -> None:
        if self.input < 0 or self.pending:
            return
        if self.input_file < 0:
            with contextlib.suppress(FileNotFoundError):
                self.input_file = os.open(self.path("input"), os.O_RDONLY | os.O_NOFOLLOW)
        ended = os.path.exists(self.path("input.end"))  # looked at before what may follow
        self.pending = os.read(self.input_file, PIECE_BYTES) if self.input_file >= 0 else b""
        if ended and not self.pending:
            self.close_input()

    def give_input(self) -> None:
        try:
            self.pending = self.pending[os.write(self.input, self.pending) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more
            self.close_input()

    def close_input(self) -> None:
        os.close(self.input)
        self.input, self.pending = -1, b""

    def look(self) -> None:
        """Whether it has ended, or is to."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.code = self.fence.exit_code(status)
            self.fence.kill_descendants(lambda _pid, _status: None)
            return
        now = now_seconds()
        if now >= self.kill_at:
            self.fence.send(self.pid, signal.SIGKILL)
        elif now - self.began >= self.order["seconds"] and not self.is_over:
            self.is_over = True
            self.end(f"its time is over: {self.order['seconds']:g} s")

    def attention(self) -> None:
        """Whether somebody still wants it."""
        said = self.fence.read_text(self.path("attended"))
        if said != self.attended:
            self.attended, self.attended_at = said, now_seconds()
            with contextlib.suppress(ValueError):
                _, out, err = map(int, said.split())
                self.read = {1: out, 2: err}
        unwanted = now_seconds() - self.attended_at >= self.order["attend_seconds"]
        if unwanted or os.path.exists(self.path("stop")):
            self.end("nobody waits for it")

    def end(self, why: str) -> None:
        """SIGTERM now, SIGKILL after the grace."""
        if self.kill_at != float("inf"):
            return
        self.kill_at = now_seconds() + GRACE_SECONDS
        self.fence.send(self.pid, signal.SIGTERM)
        self.fence.send(self.pid, signal.SIGCONT)
        with contextlib.suppress(OSError):
            self.written[2] += os.write(2, f"suan: the command was ended: {why}\n".encode())

    def end_with_run(self, number: int, _frame: Any) -> NoReturn:
        """The run ends: a command has no grace of its own, for the run would have to wait."""
        self.fence.kill_descendants(lambda _pid, _status: None)
        os._exit(128 + number)

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)


def now_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
