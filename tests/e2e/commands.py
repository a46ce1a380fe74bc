"""The commands as people run them: processes with a home of their own, and what they said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.federation import COMMANDS

COMMAND_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended, and its two streams."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder to work in, and what the environment says there."""

    folder: Path
    variables: Mapping[str, str]

    def start(self, command: str, *arguments: object) -> subprocess.Popen[bytes]:
        """A command of Suan, without input."""
        own = {"HOME": str(self.folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        return subprocess.Popen(
            [COMMANDS / command, *map(str, arguments)],
            cwd=self.folder,
            env=own | dict(self.variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, command: str, *arguments: object) -> Told:
        return told(self.start(command, *arguments))

    def suan(self, *arguments: object, identity: Path | None = None) -> Told:
        """`suan`, as another identity than the usual when one is given."""
        if identity is None:
            return self.run("suan", *arguments)
        other = Desk(self.folder, {**self.variables, "SUAN_IDENTITY": str(identity)})
        return other.run("suan", *arguments)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path


def told(process: subprocess.Popen[bytes]) -> Told:
    """What a command said, once it has ended."""
    try:
        out, err = process.communicate(timeout=COMMAND_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it does not end: {out!r} {err!r}") from None
    return Told(process.returncode, out.decode(), err.decode())


def require_refusal(said: Told, status: int, code: str, *words: str, hint: bool = True) -> None:
    """A refusal for people: status, code, words and a hint; no data, no insides of ours."""
    assert said.status == status, said
    assert f"[{code}]" in said.err, said
    for word in words:
        assert word in said.err, said
    assert "hint: " in said.err or not hint, said
    assert "Traceback" not in said.out + said.err, said
    assert said.out == "", said
