"""Whose turn it is among several brokers, and lists of their addresses."""

from __future__ import annotations

import pytest

from suan.errors import InvalidRequest
from suan.identity.address import ADDRESSES_MAX, split_addresses
from suan.retry import Backoff
from suan.turns import PASS_OVER_SECONDS, Turns


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_turn_goes_round() -> None:
    turns = Turns(3, Clock())
    seen = []
    for _ in range(4):
        seen.append(turns.current)
        turns.pass_on(turns.current, silent=False)
    assert seen == [0, 1, 2, 0]


def test_one_alone_keeps_its_turn() -> None:
    turns = Turns(1, Clock())
    turns.pass_on(0, silent=True)
    assert turns.current == 0


def test_calls_that_fail_together_pass_the_turn_on_once() -> None:
    turns = Turns(3, Clock())
    for _ in range(5):
        turns.pass_on(0, silent=False)
    assert turns.current == 1


def test_a_silent_one_is_passed_over_for_a_while() -> None:
    clock = Clock()
    clock.now = 50.0
    turns = Turns(2, clock)
    turns.pass_on(0, silent=True)
    for _ in range(3):
        turns.pass_on(1, silent=False)
        assert turns.current == 1
    clock.now += PASS_OVER_SECONDS
    turns.pass_on(1, silent=False)
    assert turns.current == 0


def test_when_all_are_silent_each_has_its_turn() -> None:
    clock = Clock()
    clock.now = 50.0
    turns = Turns(3, clock)
    seen = []
    for _ in range(6):
        seen.append(turns.current)
        turns.pass_on(turns.current, silent=True)
    assert seen == [0, 1, 2, 0, 1, 2]


def test_the_last_one_that_answered_is_asked_first() -> None:
    turns = Turns(3, Clock())
    turns.pass_on(0, silent=True)
    turns.heard(2)
    assert turns.current == 2


def test_pauses_lie_between_rounds() -> None:
    backoff = Backoff(1.0, 100.0, random=lambda: 1.0)
    assert [backoff.pause_after_round(n, 3) for n in range(1, 10)] == [0, 0, 1, 0, 0, 2, 0, 0, 4]
    assert [backoff.pause_after_round(n, 1) for n in range(1, 4)] == [1, 2, 4]


def test_a_list_of_addresses() -> None:
    assert split_addresses("a:1") == ("a:1",)
    assert split_addresses("a:1, b.example.cn:2,[::1]:3,a:1") == (
        "a:1",
        "b.example.cn:2",
        "[::1]:3",
    )


@pytest.mark.parametrize("text", ["", "a", "a:1,", ",a:1", "a:1;b:2", "a:1 b:2"])
def test_what_is_no_list_of_addresses(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        split_addresses(text)
    assert caught.value.code == "AddressInvalid"


def test_a_list_of_addresses_is_bounded() -> None:
    with pytest.raises(InvalidRequest):
        split_addresses(",".join(f"a:{port}" for port in range(1, ADDRESSES_MAX + 2)))
