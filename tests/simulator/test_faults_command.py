"""`python -m simulator faults` and `mutants`: figures, stories, replays, bad arguments."""

from __future__ import annotations

import re

import pytest

from simulator.__main__ import main
from simulator.faults import command
from simulator.faults.campaign import Broken
from simulator.faults.hunting import Caught
from simulator.faults.mutants import BY_NAME


def test_a_campaign_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--seeds", "40:44", "--jobs", "2"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^faults: 4 seeds in [\d.]+ s on 2 processes: [\d.]+ seeds/s$", said, re.M)
    assert re.search(r"virtual time +4\.\d h", said)
    assert re.search(r"faults +\d+: \d+\.\d a seed, at least (\d+)", said)
    assert re.search(r"^ +cut +\d+$", said, re.M)
    assert re.search(r"jobs +\d+; \d+ starts", said)
    assert re.search(r"violations +0$", said, re.M)


def test_processes_do_not_change_what_comes_out(capsys: pytest.CaptureFixture[str]) -> None:
    def figures(jobs: str) -> list[str]:
        main(["faults", "--seeds", "50:54", "--jobs", jobs])
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if "seeds/s" not in line and "virtual" not in line]

    assert figures("1") == figures("2")


def test_a_violation_tells_its_story_and_how_to_replay_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BY_NAME["guard-inside-the-agent"].applied():
        assert main(["faults", "--seeds", "0:20", "--jobs", "1"]) == 1
        said = capsys.readouterr().out
        first = re.search(r"^VIOLATION of I1 in seed (\d+), commit (\S+)$", said, re.M)
        assert first is not None
        seed = int(first[1])
        assert re.search(r"^ +seconds +who +what$", said, re.M)
        assert re.search(r"store +placed; epoch 1 at \w+ offered", said)
        assert re.search(r"EXECUTION of epoch \d+ begins", said)
        assert "is stopped for" in said or "agent crashes" in said
        replay = f"python -m simulator faults --seeds {seed}:{seed + 1} --story"
        assert f"replay: {replay}" in said
        block = said[: said.index(replay)]
        assert main(replay.split()[3:]) == 1
        assert capsys.readouterr().out.startswith(block)


def test_the_story_of_a_whole_seed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--seeds", "7:8", "--story"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^seed 7: \d+ starts, \d+ faults$", said, re.M)
    assert re.search(r"client +is told: accepted +\[job\d+\.\d\]$", said, re.M)
    assert re.search(r"^fingerprint [0-9a-f]{32}$", said, re.M)


def test_far_too_much_drift_breaks_the_fence_and_never_the_proof(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["faults", "--seeds", "0:3", "--jobs", "2", "--drift"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"time-fenced class broke in \d of 3 seeds, the class of proof in 0 of 3", said
    )


def test_a_mutant_is_named_with_how_long_it_lived(capsys: pytest.CaptureFixture[str]) -> None:
    name = "capacity-not-checked"
    assert main(["mutants", "--seeds", "0:40", "--jobs", "1", "--only", name]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^ +{name} +dies of I4 at seed \d+ +[\d.]+ s  without: leases", said, re.M)
    assert said.endswith("1 of 1 died, 0 live\n")


def test_a_mutant_that_lives_fails_the_hunt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mutant = BY_NAME["late-start"]
    monkeypatch.setattr(command, "hunt", lambda *_: iter([Caught(mutant, 9, 1.0, None)]))
    assert main(["mutants", "--seeds", "0:9", "--only", "late-start"]) == 1
    assert "LIVES after 9 seeds" in capsys.readouterr().out


def test_a_campaign_ends_after_some_broken_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Broken(0, "I1", "I1: told", ("story",))
    monkeypatch.setattr(command.campaign, "play", lambda _scenario, seed: broken)
    assert main(["faults", "--seeds", "0:100", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert said.count("VIOLATION of I1") == command.BROKEN_MAX
    assert "ended early" in said


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["faults", "--seeds", "5"],
        ["faults", "--seeds", "5:5"],
        ["faults", "--seeds", "9:3"],
        ["faults", "--seeds", "-1:3"],
        ["faults", "--seeds", "a:b"],
        ["faults", "--seeds", "0:99999999"],
        ["faults", "--jobs", "0"],
        ["faults", "--jobs", "many"],
        ["mutants", "--only", "no-such-mechanism"],
    ],
)
def test_bad_arguments_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m simulator")
    assert "Traceback" not in said
