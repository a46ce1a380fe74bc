# ruff: noqa: ASYNC240
"""Commands beside a run: a real fence, as the agent asks it; and what the agent's room refuses."""

from __future__ import annotations

import json
import os
import pwd
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from processes import FenceRun, alive, until

from agent.backends import Backend, BackendRefused, RankPlace
from agent.backends.command import CommandDirectory, CommandOrder
from agent.reach import commands
from agent.reach.command_messages import CommandAnswer, CommandRequest
from agent.reach.commands import Commands

WAITS = "until [ -e {}/go ]; do sleep 0.02; done"
NAME = "suan-j1-1"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[FenceRun]:
    """Two ranks that wait until `go` is there."""
    made = FenceRun(tmp_path / "run 一")
    waits = WAITS.format(f"'{made.directory}'")
    made.order(waits, waits, environment={"OWN": "value"})
    made.lease()
    yield made
    made.end()


def command(run: FenceRun, script: str, index: int = 0, **limits: Any) -> CommandDirectory:
    """Asked for in a run that has begun."""
    made = CommandDirectory(RankPlace(str(run.directory), index), secrets.token_hex(16))
    given = {"seconds": 60.0, "attend_seconds": 60.0, "takes_input": False} | limits
    made.make(CommandOrder(("/bin/sh", "-c", script), **given))
    return made


def end_of(one: CommandDirectory) -> tuple[int, bytes, bytes]:
    until(lambda: one.exit_code() is not None, "the command to end")
    code = one.exit_code()
    assert code is not None
    return code, one.read("out", 0, 1 << 20), one.read("err", 0, 1 << 20)


def go(run: FenceRun) -> dict[str, Any]:
    (run.directory / "go").touch()
    return run.wait()


# --- the fence ----------------------------------------------------------------------


def test_what_the_fence_starts_has_what_the_rank_has(run: FenceRun) -> None:
    run.start()
    one = command(run, 'echo "$OWN"; pwd; echo bad >&2; exit 3', index=1)
    assert end_of(one) == (3, f"value\n{run.directory}\n".encode(), b"bad\n")
    one.make(CommandOrder(("/bin/false",), 1.0, 1.0, takes_input=False))  # begun once
    other = command(run, "read line; echo $?")
    assert end_of(other) == (0, b"1\n", b"")
    assert go(run)["reason"] == "Exited"


def test_what_makes_no_sense_harms_nothing(run: FenceRun) -> None:
    run.start()
    bad = [command(run, "true", index=9), command(run, "true")]
    for one in bad[1:]:
        (one.path / "order.json").write_text("{")
    (run.directory / "beside" / "no number").mkdir()
    good = command(run, "echo well")
    assert end_of(good)[:2] == (0, b"well\n")
    assert [end_of(one)[0] for one in bad] == [126, 126]
    assert go(run)["exit_code"] == 0


def test_it_runs_in_the_ranks_container(run: FenceRun) -> None:
    """What goes before the rank's own shell goes before the command, too."""
    order = json.loads(run.text("order.json"))
    for rank in order["phases"][-1]:
        rank["within"] = ["/usr/bin/env", "INSIDE=yes"]
    (run.directory / "order.json").write_text(json.dumps(order))
    run.start()
    assert end_of(command(run, 'echo "$INSIDE $OWN"'))[:2] == (0, b"yes value\n")
    go(run)


def test_input_comes_in_pieces(run: FenceRun) -> None:
    run.start()
    one = command(run, "cat; echo end", takes_input=True)
    assert one.add_input(0, b"one ", ends=False) == 4
    until(lambda: one.read("out", 0, 9) == b"one ", "the first piece")
    assert one.add_input(9, b"too early", ends=True) == 4
    assert one.add_input(0, b"one two\n", ends=True) == 8  # what was sent before is passed over
    assert end_of(one)[:2] == (0, b"one two\nend\n")
    go(run)


def test_it_ends_when_nobody_asks_any_more(run: FenceRun) -> None:
    run.start()
    one = command(run, "trap '' TERM; echo $$; while :; do sleep 0.02; done", attend_seconds=0.5)
    code, out, err = end_of(one)
    assert (code, b"nobody waits" in err) == (137, True)
    assert not alive(int(out))
    go(run)


@pytest.mark.parametrize("how", ["go", "stop", "kill"])
def test_it_ends_with_the_run(run: FenceRun, how: str) -> None:
    """Also with a fence that is killed; and what left its session too."""
    process = run.start()
    script = "trap '' TERM; setsid sh -c 'echo $$; exec sleep 1000' & echo $$; wait; wait"
    one = command(run, script)
    until(lambda: one.read("out", 0, 99).count(b"\n") == 2, "both")
    pids = [int(line) for line in one.read("out", 0, 99).split()]
    if how == "kill":
        os.kill(json.loads(run.text("started"))["pid"], 9)
        process.wait(30)
    else:
        (run.directory / how).touch()
        run.wait()
    until(lambda: not any(map(alive, pids)), "all of it to end")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes of others")
def test_it_is_the_accounts_as_the_rank_is(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for place in (tmp_path, *tmp_path.parents):
        if place.owner() == "root" and place != Path("/") and not place.stat().st_mode & 0o001:
            place.chmod(place.stat().st_mode | 0o011)
    run = FenceRun(tmp_path / "run")
    run.directory.chmod(0o711)
    run.order("until [ -e go ]; do sleep 0.02; done")
    account = {"uid": nobody.pw_uid, "gid": nobody.pw_gid, "groups": [nobody.pw_gid]}
    order = json.loads(run.text("order.json")) | {"account": account}
    (run.directory / "order.json").write_text(json.dumps(order))
    run.lease()
    before = os.umask(0o077)  # as a careful agent's
    try:
        run.start()
        one = command(run, "id -u; cat", takes_input=True)
        one.add_input(0, b"given\n", ends=True)
        assert end_of(one)[:2] == (0, f"{nobody.pw_uid}\ngiven\n".encode())
        quick = command(run, "sleep 1000", seconds=0.2)
        assert end_of(quick)[0] == 124
        go(run)
    finally:
        os.umask(before)
        run.end()


def test_a_link_in_its_place_is_not_followed(run: FenceRun, tmp_path: Path) -> None:
    """The job can put it there where it is the agent's own user."""
    run.start()
    one = command(run, "true")
    end_of(one)
    target = tmp_path / "target"
    target.write_text("secret")
    for name in ("out", "attended"):
        (one.path / name).unlink()
        (one.path / name).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        one.read("out", 0, 99)
    one.attend(1, 2)
    assert target.read_text() == "secret"
    go(run)


# --- the agent's room ---------------------------------------------------------------


class Placing:
    """A backend with one run."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def beside(self, name: str, rank: int) -> RankPlace:
        if name != NAME:
            raise KeyError(name)
        if rank:
            raise BackendRefused("NoSuchRank", "the job has ranks 0 to 0")
        return RankPlace(str(self.directory), rank)


def asked(argv: tuple[str, ...] = ("id",), **wanted: Any) -> CommandRequest:
    given = {"name": NAME, "command_id": "0" * 32, "rank": 0} | wanted
    return CommandRequest("7", argv=argv, **given)


def code_of(answer: CommandAnswer) -> str:
    return answer.failure.code if answer.failure else ""


@pytest.fixture
def room(tmp_path: Path) -> Commands:
    return Commands(cast(Backend, Placing(tmp_path)), allowed=True)


async def test_what_is_refused(room: Commands, tmp_path: Path) -> None:
    denied = Commands(cast(Backend, Placing(tmp_path)), allowed=False)
    assert code_of(await denied.answer(asked())) == "ExecDenied"
    for request, code in (
        (asked(command_id="../../x"), "BadCommand"),
        (asked(("a\0b",)), "BadCommand"),
        (asked(("",)), "BadCommand"),
        (asked(("x" * (64 << 10),)), "BadCommand"),
        (asked(()), "NoSuchCommand"),
        (asked(is_unwanted=True), "NoSuchCommand"),
        (asked(rank=1), "NoSuchRank"),
        (asked(name="suan-j1-2"), "NotRunning"),
    ):
        assert code_of(await room.answer(request)) == code, request
    assert list(tmp_path.iterdir()) == []


async def test_there_are_not_too_many(room: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMANDS_MAX", 2)
    ids = [f"{number:032x}" for number in range(3)]
    codes = [code_of(await room.answer(asked(command_id=each))) for each in ids]
    assert codes == ["", "", "TooManyCommands"]
    assert code_of(await room.answer(asked(command_id=ids[0]))) == ""
    await room.answer(asked(command_id=ids[0], is_unwanted=True))
    assert code_of(await room.answer(asked(command_id=ids[2]))) == ""


async def test_too_much_input_and_a_run_that_does_not_take_it(
    room: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_of(await room.answer(asked())) == ""
    much = asked(input=b"x", input_offset=commands.INPUT_BYTES_MAX)
    assert code_of(await room.answer(much)) == "InputTooLarge"
    monkeypatch.setattr(commands, "BEGIN_SECONDS_MAX", -1.0)
    assert code_of(await room.answer(asked())) == "NotRunning"
    (tmp_path / "exit.json").touch()
    assert code_of(await room.answer(asked())) == "RunEnded"


async def test_another_agent_goes_on_with_it(room: Commands, tmp_path: Path) -> None:
    """All that matters lies in files."""
    await room.answer(asked())
    (place,) = (tmp_path / "beside").iterdir()
    (place / "out").write_bytes(b"abc")
    again = Commands(cast(Backend, Placing(tmp_path)), allowed=True)
    answer = await again.answer(asked((), stdout_offset=1, limit_bytes=99))
    assert (answer.stdout, answer.has_ended) == (b"bc", False)
    (place / "exit").write_text("5")
    answer = await again.answer(asked((), stdout_offset=3, limit_bytes=99))
    assert (answer.has_ended, answer.exit_code) == (True, 5)
    await again.answer(asked((), is_unwanted=True))
    assert not (place / "out").exists()
    answer = await again.answer(asked(stdout_offset=3))
    assert (answer.has_ended, answer.exit_code) == (True, 5)
