"""Windows and shares by the hour: in real time, in words, and as cards that are offered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from supervised import WALL, Site, effects, exited, grant, pool

from agent.backends import LeaseClass
from agent.checks.preflight import check_policy
from agent.config.file import load_config
from agent.inventory import DeclaredPool, Inventory, Limit
from agent.policy import (
    EVERYTHING,
    PoolPolicy,
    Recall,
    Window,
    in_words,
    next_change,
    next_opening,
    share_now,
)
from agent.supervisor import State
from agent.supervisor.messages import InventoryChanged, RunStarted, SendCapacity
from agent.supervisor.values import Settings
from scheduler.model import Pool, Release, Slice
from scheduler.priority import PriorityClass
from suan.catalogue import load
from suan.errors import InvalidSpec

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")
WEEKDAYS = frozenset(range(5))
NIGHTS = PoolPolicy(0.0, (Window(20 * 60, 8 * 60, WEEKDAYS),))
HOUR = 3_600.0


def at(text: str, zone: ZoneInfo = SHANGHAI) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


# --- the hour ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "share"),
    [
        ("2026-11-23T19:59:59", 0.0),  # a Monday
        ("2026-11-23T20:00:00", 1.0),
        ("2026-11-24T07:59:59", 1.0),
        ("2026-11-24T08:00:00", 0.0),
        ("2026-11-28T07:00:00", 1.0),  # Friday's night ends on Saturday
        ("2026-11-28T21:00:00", 0.0),
        ("2026-11-30T07:00:00", 0.0),  # Sunday has no night
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(
    local: str, share: float
) -> None:
    assert share_now(NIGHTS, at(local), SHANGHAI) == share


def test_the_hours_are_those_of_the_site() -> None:
    moment = at("2026-11-23T21:00:00")
    assert share_now(NIGHTS, moment, SHANGHAI) == 1.0
    assert share_now(NIGHTS, moment, UTC) == 0.0  # 13:00 there


def test_of_open_windows_the_first_counts() -> None:
    lunch = Window(12 * 60, 13 * 60, share=0.2)
    policy = PoolPolicy(1.0, (lunch, Window(8 * 60, 20 * 60, share=0.5)))
    said = [share_now(policy, at(f"2026-11-23T{hour:02}:30:00"), SHANGHAI) for hour in (7, 8, 12)]
    assert said == [1.0, 0.5, 0.2]
    assert policy.share_max == 1.0


def test_a_whole_day_and_one_until_midnight() -> None:
    always = PoolPolicy(0.0, (Window(0, 24 * 60), Window(0, 0)))
    assert next_change(always, at("2026-11-23T12:00:00"), SHANGHAI) is None
    sundays = PoolPolicy(0.0, (Window(0, 24 * 60, frozenset({6})),))
    sunday = at("2026-11-29T00:00:00")
    assert next_change(sundays, sunday - 1, SHANGHAI) == sunday
    assert next_change(sundays, sunday, SHANGHAI) == sunday + 24 * HOUR


def test_the_next_change_and_the_next_opening() -> None:
    night = at("2026-11-27T22:00:00")  # Friday
    assert next_change(NIGHTS, night, SHANGHAI) == at("2026-11-28T08:00:00")
    assert next_opening(NIGHTS, night, SHANGHAI) is None  # it is all already
    assert next_opening(NIGHTS, at("2026-11-28T09:00:00"), SHANGHAI) == at("2026-11-30T20:00:00")
    assert next_change(EVERYTHING, night, SHANGHAI) is None


def test_windows_that_meet_are_no_change() -> None:
    policy = PoolPolicy(0.0, (Window(8 * 60, 12 * 60), Window(12 * 60, 18 * 60)))
    assert next_change(policy, at("2026-11-23T09:00:00"), SHANGHAI) == at("2026-11-23T18:00:00")


@pytest.mark.parametrize(
    ("night", "hours"), [("2026-10-24", 13), ("2026-03-28", 11), ("2026-11-23", 12)]
)
def test_a_night_of_a_clock_change_opens_and_closes_once(night: str, hours: int) -> None:
    every = PoolPolicy(0.0, (Window(20 * 60, 8 * 60),))
    opens = at(f"{night}T20:00:00", BERLIN)
    closes = next_change(every, opens, BERLIN)
    assert closes == opens + hours * HOUR
    asked = range(0, int(closes - opens), 600)
    assert {share_now(every, opens + seconds, BERLIN) for seconds in asked} == {1.0}
    assert share_now(every, closes, BERLIN) == 0.0


def test_an_end_in_the_hour_that_comes_twice_closes_at_the_first() -> None:
    every = PoolPolicy(0.0, (Window(20 * 60, 2 * 60 + 30),))
    opens = at("2026-10-24T20:00:00", BERLIN)
    assert next_change(every, opens, BERLIN) == opens + 6.5 * HOUR
    assert share_now(every, opens + 7.25 * HOUR, BERLIN) == 0.0  # 02:15 for the second time


# --- in words ----------------------------------------------------------------------------


def test_a_policy_in_words() -> None:
    days = Window(8 * 60, 20 * 60, share=0.5)
    assert in_words(EVERYTHING) == "all"
    assert in_words(PoolPolicy(1.0, (days,), Recall())) == (
        "50% 08:00–20:00, all else; recall within 10 min"
    )
    low = Recall(90.0, (PriorityClass.LOW, PriorityClass.NORMAL))
    assert in_words(replace(NIGHTS, recall=low)) == (
        "all mon–fri 20:00–08:00, none else; recall within 90 s of low, normal"
    )
    assert in_words(PoolPolicy(0.3, (Window(0, 60, frozenset({0, 3})),))) == (
        "all mon thu 00:00–01:00, 30% else"
    )


SITE = """\
site: shenzhen
broker: broker.example.cn:443
state_dir: state
time_zone: Asia/Shanghai
"""
POOLS = """\
pools:
  - name: dcu
    accelerator: hygon-k100
    nodes: 2
    cards_per_node: 8
    share: 1.0
    windows:
      - {days: [mon, tue, wed, thu, fri], from: 08:00, to: "20:00", share: 0.5}
    recall: {grace_seconds: 300, classes: [low]}
  - {name: free, accelerator: hygon-k100, nodes: 1, cards_per_node: 8}
"""
SLURM = """\
backend: slurm
slurm:
  shared_dir: shared
  partitions:
    - {name: dcu, share: 0.25, windows: [{from: "20:00", to: "08:00"}]}
    - {name: npu, windows: [{from: "20:00", to: "08:00", share: 0.5}]}
"""
POLICY = PoolPolicy(
    1.0, (Window(8 * 60, 20 * 60, WEEKDAYS, 0.5),), Recall(300.0, (PriorityClass.LOW,))
)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return path


def test_what_the_file_says(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SITE + POOLS), load())
    assert config.time_zone == SHANGHAI
    assert config.policies == {"dcu": POLICY, "free": EVERYTHING}
    assert config.declared_pools[0].policy == POLICY


def test_a_cluster_s_offers_say_it_the_same_way(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SITE + SLURM), load())
    nights = Window(20 * 60, 8 * 60)
    assert config.policies == {
        "dcu": PoolPolicy(0.25, (nights,)),
        "npu": PoolPolicy(0.0, (replace(nights, share=0.5),)),  # outside its windows none
    }
    assert config.slurm is not None
    assert [offer.policy.share_max for offer in config.slurm.partitions] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"20:00"', '"20h"', "BadTime"),
        ('"20:00"', '"24:01"', "BadTime"),
        ("from: 08:00", 'from: "24:00"', "BadTime"),
        ("mon, tue", "mon, tues", "UnknownWord"),
        ("share: 0.5", "share: 1.5", "OutOfRange"),
        ("[low]", "[lowest]", "UnknownWord"),
        ("Asia/Shanghai", "Asia/Shangai", "UnknownTimeZone"),
        ("Asia/Shanghai", "../../etc/passwd", "UnknownTimeZone"),
        ('to: "20:00", ', "", "MissingKey"),
    ],
)
def test_what_cannot_be(tmp_path: Path, old: str, new: str, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        load_config(written(tmp_path, (SITE + POOLS).replace(old, new, 1)), load())
    assert [problem.code for problem in caught.value.problems] == [code]


def test_preflight_says_what_holds_now(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, SITE + POOLS), load())
    said = check_policy(config, at("2026-11-23T09:00:00")).message
    assert said == (
        "pool dcu: 50% mon–fri 08:00–20:00, all else; recall within 5 min of low"
        " (now 50%, until mon 20:00) [Asia/Shanghai]"
    )
    plain = written(tmp_path, SITE + POOLS.split("  - name: dcu")[0] + POOLS.splitlines()[-1])
    said = check_policy(load_config(plain, load()), WALL).message
    assert said == "all cards, at any time; none are recalled"


# --- cards -------------------------------------------------------------------------------


def offered(inventory: Inventory) -> tuple[int, int]:
    """Usable and free."""
    (told,) = inventory.pools()
    return told.cards_usable, told.cards_free


def test_what_is_taken_beyond_a_limit_is_reserved_once_it_is_released() -> None:
    stock = Inventory("s", [pool("train")])  # 4 nodes of 8
    first, second = (stock.allocate("train", [Slice("train-s0", 2, 8)]) for _ in range(2))
    assert isinstance(first, tuple)
    stock.occupy("train", first)
    assert stock.limit("train", Limit(12))
    assert offered(stock) == (16, 0)  # it runs on
    stock.release("train", first)
    assert offered(stock) == (12, 12)
    assert not stock.limit("train", Limit(12))
    assert stock.limit("train", None)
    assert offered(stock) == (32, 32)
    assert second == first  # the fullest first, each time


def test_within_a_limit_cards_come_and_go() -> None:
    stock = Inventory("s", [pool("train")])
    stock.limit("train", Limit(12))
    for _ in range(3):
        place = stock.allocate("train", [Slice("train-s0", 1, 4)])
        assert isinstance(place, tuple)
        stock.occupy("train", place)
        assert offered(stock) == (12, 8)
        stock.release("train", place)
        assert offered(stock) == (12, 12)


def test_what_is_adopted_on_reserved_cards_counts() -> None:
    whole = Inventory("s", [pool("train")])
    everything = whole.allocate("train", [Slice("train-s0", 4, 8)])
    assert isinstance(everything, tuple)
    stock = Inventory("s", [pool("train")])
    stock.limit("train", Limit(12))
    stock.occupy("train", everything[-1:])  # its cards are all reserved
    assert offered(stock) == (12, 4)
    assert stock.offered("train") == 12


def test_what_opens_later_is_told() -> None:
    releases = {"train": (Release(8, 50.0),)}
    stock = Inventory("s", [pool("train")], releases=releases)
    assert stock.pools()[0].releases == releases["train"]
    stock.limit("train", Limit(8, opens_at=900.0))
    assert stock.pools()[0].releases == (Release(24, 900.0),)  # its own people's are theirs
    stock.limit("train", Limit(8))
    assert stock.pools()[0].releases == ()
    stock.limit("train", Limit(32))
    assert stock.pools()[0].releases == releases["train"]


def site(declared: DeclaredPool) -> Site:
    made = Site(Settings(time_zone=UTC), State(Inventory("shenzhen", [declared])))
    midnight = WALL - WALL % (24 * HOUR)
    made.wall_jump = midnight + 19 * HOUR - WALL - made.elapsed  # 19:00
    return made


def told(site: Site) -> list[Pool]:
    """What the next full word on capacity holds."""
    (message,) = effects(site.pass_time(60.0), SendCapacity)
    return list(message.pools)


def test_cards_are_offered_by_the_hour_and_nothing_is_stopped_for_that() -> None:
    nights = PoolPolicy(0.25, (Window(20 * 60, 8 * 60),))
    made = site(replace(pool("train"), policy=nights))
    made.meet()
    (before,) = told(made)
    assert (before.cards_usable, before.cards_free) == (8, 8)
    assert before.releases == (Release(24, made.wall_jump + WALL + 1_000.0 + HOUR),)
    assert made.give(grant("big", nodes=2)).effects  # beyond the share: refused
    assert not made.state.attempts
    changed = effects(made.pass_time(HOUR), SendCapacity)
    assert [p.cards_usable for m in changed for p in m.pools] == [32]
    seq = made.beat()
    night = grant("night", nodes=4, grant_seq=2, anchor_seq=seq, lease_class=LeaseClass.PROOF)
    made.give(night)
    made.tell(RunStarted("suan-night-1"))
    made.elapsed += 12 * HOUR  # the window closes
    made.tell()
    (running,) = made.state.live()
    assert running.stop_reason == ""
    assert offered(made.state.inventory) == (32, 0)
    made.tell(exited("night"))
    assert offered(made.state.inventory) == (8, 8)


def test_a_new_reading_of_the_cards_opens_nothing() -> None:
    declared = replace(pool("train"), policy=PoolPolicy(0.5))
    made = site(declared)
    made.meet()
    made.give(grant("j1"))
    made.tell(InventoryChanged(Inventory("shenzhen", [declared])))
    assert made.state.inventory.offered("train") == 16
    assert offered(made.state.inventory) == (16, 8)
