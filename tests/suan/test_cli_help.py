"""The command line before any command has run: help, completion, errors, light imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from suan.cli import root
from suan.cli.root import COMMANDS, cli

HEAVY = {"grpc", "google.protobuf", "rich", "yaml", "numpy", "cryptography", "asyncio"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = list(commands(cli))


def test_the_table_says_what_the_commands_say() -> None:
    context = click.Context(cli)
    for section in COMMANDS.values():
        for name, (_, text) in section.items():
            command = cli.get_command(context, name)
            assert command is not None
            assert text == command.get_short_help_str(limit=200), name


def test_every_command_and_option_is_explained() -> None:
    for words in ALL:
        command: Any = cli
        for word in words:
            command = command.get_command(click.Context(command), word)
        assert command.help, words
        silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
        assert silent == [], words


def test_no_help_imports_what_is_heavy() -> None:
    script = (
        "import sys\n"
        "from suan.cli.root import run\n"
        f"for words in {[list(words) for words in [(), *ALL]]!r}:\n"
        "    assert run([*words, '--help']) == 0, words\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_goes_to_standard_output(suan: Any) -> None:
    outcome = suan("--help")
    assert (outcome.code, outcome.err) == (0, "")
    for section in COMMANDS:
        assert section in outcome.out


def test_the_version_is_that_of_the_distribution(suan: Any) -> None:
    from importlib.metadata import version

    assert suan("--version").out == f"suan {version('suan')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sumbit", "x"], "did you mean submit?"),
        (["ps", "--nothing"], "No such option"),
        (["submit"], "Missing argument"),
        (["get", "x", "-o", "xml"], "'xml' is not one of"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(suan: Any, words: list[str], said: str) -> None:
    outcome = suan(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(suan: Any, shell: str) -> None:
    outcome = suan("completion", shell)
    assert outcome.code == 0
    assert "_SUAN_COMPLETE" in outcome.out


def test_completion_completes() -> None:
    environment = os.environ | {
        "_SUAN_COMPLETE": "bash_complete",
        "COMP_WORDS": "suan sub",
        "COMP_CWORD": "1",
    }
    command = [str(Path(sys.executable).parent / "suan")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,submit"]


def broken() -> None:
    raise ZeroDivisionError("a secret detail")


def test_our_own_mistakes_end_in_a_report_and_not_in_a_traceback(
    suan: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(root.cli, "main", lambda *_, **__: broken())
    outcome = suan("ps", "--name", "private")
    assert (outcome.code, outcome.out) == (1, "")
    assert "Traceback" not in outcome.err and "[InternalError]" in outcome.err
    (report,) = tmp_path.glob("suan-report-*.txt")
    assert str(report) in outcome.err
    assert "ZeroDivisionError: a secret detail" in report.read_text()
    assert "private" not in report.read_text()
    assert report.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("SUAN_DEBUG", "1")
    assert "Traceback" in suan("ps").err


def test_a_closed_pipe_is_no_error_to_speak_of() -> None:
    suan = Path(sys.executable).parent / "suan"
    line = f"set -o pipefail; {suan} schema | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_gets_a_table_without_boxes(colour: bool) -> None:
    """NO_COLOR is obeyed; a narrow terminal folds and cuts nothing off."""
    main, terminal = os.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "60"} | (
        {} if colour else {"NO_COLOR": "1"}
    )
    suan = str(Path(sys.executable).parent / "suan")
    command = [suan, "accelerators", "hygon-bw1000"]
    with subprocess.Popen(command, stdout=terminal, env=environment) as process:
        os.close(terminal)
        said = b""
        while part := _read(main):
            said += part
    os.close(main)
    text = said.decode()
    assert process.returncode == 0
    assert ("\x1b[" in text) is colour
    assert not set("│┃─━┏╭|") & set(text)
    assert "bf16_" in text and "supernode_" in text


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # its other end is closed
        return b""
