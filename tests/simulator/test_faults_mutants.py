"""Each safety mechanism, taken away, is missed: else the simulation proves nothing."""

from __future__ import annotations

import pytest

from simulator.faults.campaign import Broken
from simulator.faults.federation import Federation, Scenario
from simulator.faults.hunting import hunt, play_mutant
from simulator.faults.mutants import BY_NAME, MUTANTS
from simulator.faults.seeds import MUTANTS_DIE_FROM

SEEDS = 30  # from the one at which it was seen to die
SLOW = sorted(
    {mutant.name for mutant in MUTANTS} - set(MUTANTS_DIE_FROM)
)  # too rare for the default suite
SEEDS_MAX = 2_000


def test_enough_mechanisms_are_tried() -> None:
    assert len(MUTANTS) >= 12
    assert MUTANTS_DIE_FROM.keys() <= BY_NAME.keys()
    for mutant in MUTANTS:
        assert not mutant.with_it or mutant.with_it in BY_NAME


@pytest.mark.parametrize("name", MUTANTS_DIE_FROM)
def test_a_mutant_dies(name: str) -> None:
    first = MUTANTS_DIE_FROM[name]
    for seed in range(first, first + SEEDS):
        if isinstance(play_mutant(name, seed), Broken):
            return
    pytest.fail(f"{name} lives through seeds {first}:{first + SEEDS}")


def test_a_mutant_leaves_nothing_behind() -> None:
    """After a hunt the house is whole again: the same seed is the same run."""
    before = Federation(Scenario(3)).run().fingerprint
    for mutant in MUTANTS:
        with mutant.applied():
            pass
    assert Federation(Scenario(3)).run().fingerprint == before


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", SLOW)
def test_a_rare_mutant_dies(name: str) -> None:
    (caught,) = hunt([BY_NAME[name]], range(SEEDS_MAX), processes=2)
    assert caught.broken is not None
