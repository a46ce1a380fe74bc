"""Fixtures of the SDK's and the CLI's tests: a federation's keys and a stand-in broker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from standin import Identities, Served, identities, served

from suan.cli import root


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return identities(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def stand(keys: Identities) -> Iterator[Served]:
    with served(keys) as running:
        yield running


@pytest.fixture(autouse=True)
def no_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the contexts or the variables of whoever runs it."""
    for name in ("SUAN_ADDRESS", "SUAN_IDENTITY", "SUAN_CONTEXT", "SUAN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUAN_CONFIG", str(tmp_path / "config.yaml"))


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def suan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, as the entry point would."""

    def run(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(stdin.encode())))
        code = root.run(list(arguments))
        said = capsys.readouterr()
        return Outcome(int(code), said.out, said.err)

    return run


@pytest.fixture
def at_stand(stand: Served, suan: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same, with the stand-in as the broker and a user as oneself."""
    monkeypatch.setenv("SUAN_ADDRESS", stand.address)
    monkeypatch.setenv("SUAN_IDENTITY", str(stand.keys.user))
    return suan
