"""How often cards fail: counted over restarts, estimated, and told to the broker."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assembly import profile_of
from agent.cards.failure_rate import (
    CURED_SECONDS,
    GAP_SECONDS_MAX,
    PRIOR_CARD_DAYS,
    FailureCount,
    FailureTally,
    failures_per_card_day,
)
from agent.cards.failure_watch import FILE, SAVE_SECONDS, FailureWatch, read_count
from agent.config.file import AgentConfig
from agent.inventory import DeclaredNode, DeclaredPool, NodeCondition

DAY = 86_400.0
EIGHT = {"p": 8}


def of(node: str, *faulty: int, seen: bool = True) -> NodeCondition:
    return NodeCondition("p", node, frozenset(faulty), cards_seen=seen)


# --- the estimate -----------------------------------------------------------------


def test_the_stated_rate_stands_until_more_was_seen() -> None:
    assert failures_per_card_day(0.0003, FailureCount()) == pytest.approx(0.0003)
    assert failures_per_card_day(0.0, FailureCount()) == 0.0
    # As many card-days as the prior's weight, and none failed: half of what was stated.
    assert failures_per_card_day(0.0003, FailureCount(0, PRIOR_CARD_DAYS)) == pytest.approx(0.00015)
    # 13 of 10,000 cards in a day, where three were expected: (3 + 13) / 20,000.
    assert failures_per_card_day(0.0003, FailureCount(13, 10_000.0)) == pytest.approx(0.0008)
    assert failures_per_card_day(1.0, FailureCount(10**9, 0.0)) == 1.0


@given(st.floats(0, 1), st.integers(0, 10**6), st.floats(0, 1e9, allow_subnormal=False))
def test_the_estimate_lies_between_what_was_stated_and_what_was_seen(
    stated: float, failures: int, card_days: float
) -> None:
    rate = failures_per_card_day(stated, FailureCount(failures, card_days))
    observed = failures / card_days if card_days else float("inf") if failures else stated
    low, high = sorted((stated, min(observed, 1.0)))
    assert min(low, 1.0) * (1 - 1e-9) <= rate <= high * (1 + 1e-9) + 1e-12


# --- counting ---------------------------------------------------------------------


def test_card_days_and_failures() -> None:
    tally = FailureTally(FailureCount())
    assert tally.look([of("a", 3), of("b")], EIGHT, 30.0) == 0  # where it begins
    assert tally.seen == FailureCount()
    assert tally.look([of("a", 3), of("b", 1, 2)], EIGHT, 30.0) == 2
    assert tally.seen.failures == 2
    assert tally.seen.card_days == pytest.approx((7 + 6) * 30 / DAY)


def test_a_card_that_comes_and_goes_has_failed_once() -> None:
    tally = FailureTally(FailureCount())
    tally.look([of("a")], EIGHT, 30.0)
    for _ in range(50):
        tally.look([of("a", 5)], EIGHT, 30.0)
        tally.look([of("a")], EIGHT, 30.0)
    assert tally.seen.failures == 1
    for _ in range(int(CURED_SECONDS / 30)):
        tally.look([of("a")], EIGHT, 30.0)
    assert tally.look([of("a", 5)], EIGHT, 30.0) == 1


def test_a_card_under_another_number_is_no_other_card() -> None:
    """A cluster manager withdraws a card without a number; later an exporter names it."""
    tally = FailureTally(FailureCount())
    tally.look([of("a")], EIGHT, 30.0)
    assert tally.look([of("a", 7)], EIGHT, 30.0) == 1
    assert tally.look([of("a", 0)], EIGHT, 30.0) == 0


def test_a_node_out_of_service_counts_for_nothing() -> None:
    tally = FailureTally(FailureCount())
    tally.look([of("a"), of("b")], EIGHT, 30.0)
    drained = of("a", *range(8), seen=False)
    assert tally.look([drained, of("b")], EIGHT, 30.0) == 0
    assert tally.seen.card_days == pytest.approx(8 * 30 / DAY)
    assert tally.look([of("a", 2), of("b")], EIGHT, 30.0) == 1  # it came back with one fewer
    assert tally.look([of("b")], EIGHT, 30.0) == 0  # it is gone, and forgotten
    assert tally.look([of("a", 2), of("b")], EIGHT, 30.0) == 0


@pytest.mark.parametrize("seconds", [-1e9, float("-inf")])
def test_time_that_goes_back_counts_for_nothing(seconds: float) -> None:
    tally = FailureTally(FailureCount(2, 5.0))
    tally.look([of("a")], EIGHT, 30.0)
    tally.look([of("a")], EIGHT, seconds)
    assert tally.seen == FailureCount(2, 5.0)


def test_a_long_gap_counts_as_a_short_one() -> None:
    """The machine was suspended for a year: nobody looked."""
    tally = FailureTally(FailureCount())
    tally.look([of("a")], EIGHT, 30.0)
    tally.look([of("a")], EIGHT, 365 * DAY)
    assert tally.seen.card_days == pytest.approx(8 * GAP_SECONDS_MAX / DAY)


# --- over restarts ----------------------------------------------------------------


@dataclass
class Site:
    """A survey as the watch sees it."""

    conditions: tuple[NodeCondition, ...] = ()
    rules: tuple[str, ...] = ()
    now: float = 1000.0
    told: list[float] = field(default_factory=list)

    @property
    def declared_pools(self) -> Iterable[DeclaredPool]:
        nodes = (DeclaredNode("a", "127.0.0.1", "s"),)
        return (DeclaredPool("p", "ascend-910b", "npu", nodes, cards_per_node=8),)

    def watch(self, state_dir: Path, stated: float = 0.0003) -> FailureWatch:
        return FailureWatch(
            state_dir,
            stated,
            self,  # type: ignore[arg-type]
            self.told.append,
            clock=lambda: self.now,
        )


async def look(site: Site, watch: FailureWatch, *faulty: int, seconds: float = 30.0) -> None:
    site.now += seconds
    site.conditions = (of("a", *faulty),)
    await watch.look()


async def test_counts_outlive_the_agent(tmp_path: Path) -> None:
    site = Site()
    watch = site.watch(tmp_path)
    await look(site, watch)
    await look(site, watch, 3)
    assert read_count(tmp_path).failures == 1  # written at once
    assert site.told[-1] == pytest.approx((3 + 1) / PRIOR_CARD_DAYS, rel=1e-3)

    site.now = 5.0  # another process, another clock
    again = site.watch(tmp_path)
    assert again.seen.failures == 1
    await look(site, again, 3)
    await look(site, again, 3)
    assert again.seen.failures == 1  # it was out of order before
    await look(site, again, 3, 4)
    assert read_count(tmp_path).failures == 2


async def test_card_days_are_written_now_and_then(tmp_path: Path) -> None:
    site = Site()
    watch = site.watch(tmp_path)
    for _ in range(int(SAVE_SECONDS / 30)):
        assert not (tmp_path / FILE).exists()
        await look(site, watch)
    assert read_count(tmp_path).card_days == pytest.approx(8 * (SAVE_SECONDS - 30) / DAY, rel=1e-3)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"failures": -1, "card_days": 1}',
        b'{"failures": 1, "card_days": 1e999}',
        b'{"failures": 1, "card_days": "x"}',
        b"[" * 5000,
    ],
)
def test_a_file_that_nobody_understands(
    tmp_path: Path, written: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(written)
    with caplog.at_level(logging.WARNING):
        assert read_count(tmp_path) == FailureCount()
    assert "counted anew" in caplog.text


async def test_a_full_disk_is_told_and_borne(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site, blocked = Site(), tmp_path / "file"
    blocked.write_text("no directory")
    watch = site.watch(blocked / "state")
    await look(site, watch)
    with caplog.at_level(logging.WARNING):
        await look(site, watch, 1)
    assert "was not written" in caplog.text
    assert watch.seen.failures == 1


def test_the_profile_says_what_was_counted(tmp_path: Path) -> None:
    config = AgentConfig(
        site="s",
        broker="127.0.0.1:1",
        city="s",
        state_dir=tmp_path,
        identity_dir=tmp_path,
        pools=(),
        failures_per_card_day=0.0003,
    )
    assert profile_of(config, "").failures_per_card_day == pytest.approx(0.0003)
    (tmp_path / FILE).write_text(json.dumps({"failures": 13, "card_days": 10_000}))
    assert profile_of(config, "").failures_per_card_day == pytest.approx(0.0008)
