"""Explanations: what-ifs that work when followed, plans before submission, candidates."""

from __future__ import annotations

from dataclasses import replace

import pytest
from federations import NOW, SHENZHEN, SITES, gang, pool, queued, snapshot, supernode

from scheduler.cascade import CANDIDATES_MAX
from scheduler.explain import PLAN_KEY, explain, plan
from scheduler.model import Demand, Policy, Pool, Running, Snapshot, Suggestion, Verdict, Work
from scheduler.placement import place
from scheduler.words import span

BUSY = pool("shenzhen", supernodes=[supernode("s", 8, 0, 0, 0)], yuan_per_card_hour=10.0)
OPEN = pool("zhengzhou", "hygon-k100-ai", [supernode("s", 8, 8, 8, 8)])
WORK = Work(seconds=3600.0, accelerator="ascend-910b", cards=32)


def suggested(demand: Demand, *pools: Pool, **facts: object) -> dict[str, Suggestion]:
    told = plan(snapshot(pools or (BUSY, OPEN), **facts), demand, "tenant-a")  # type: ignore[arg-type]
    assert told.verdict is not Verdict.PLACED
    return {suggestion.change: suggestion for suggestion in told.suggestions}


def test_a_busy_class_is_told_what_would_start_it_now() -> None:
    found = suggested(Demand((gang(4),), work=WORK))
    assert found == {
        "1 × 8 cards": Suggestion("1 × 8 cards", "shenzhen/main", "now"),
        "accelerator hygon-k100-ai": Suggestion(
            "accelerator hygon-k100-ai", "zhengzhou/main", "now"
        ),
    }


def test_its_own_reservation_is_not_in_the_way_of_what_would_help() -> None:
    soon = tuple(Running("shenzhen/main", 8, NOW + 60) for _ in range(3))
    found = suggested(Demand((gang(4),), work=WORK), running=soon)
    assert found["1 × 8 cards"] == Suggestion("1 × 8 cards", "shenzhen/main", "now")


def test_a_site_restriction_that_stands_in_the_way_is_named() -> None:
    demand = Demand((gang(4, accelerator="hygon-k100-ai"),), sites_allowed=("shenzhen",))
    assert suggested(demand)["allow any site"] == Suggestion(
        "allow any site", "zhengzhou/main", "now"
    )


def test_the_least_cost_limit_that_works_is_named() -> None:
    free = replace(BUSY, supernodes=(supernode("s", 8, 8, 8, 8),))
    demand = Demand((gang(4),), work=WORK, yuan_max=300.0)
    found = suggested(demand, free)
    assert found["a cost limit of 320 yuan"].starts == "now"
    enough = replace(demand, yuan_max=320.0)
    assert plan(snapshot([free]), enough, "tenant-a").verdict is Verdict.PLACED


def test_needs_beyond_a_site_are_named_with_what_it_has() -> None:
    limited = replace(SHENZHEN, time_limit_seconds_max=7200.0)
    free = pool(
        "shenzhen", supernodes=[supernode("s", 8, 8)], cpus_per_node=64, memory_gib_per_node=512.0
    )
    sites = (limited, *SITES[1:])
    for demand, words in (
        (Demand((gang(cpus_per_node=68),)), "64 CPUs per node"),
        (Demand((gang(memory_gib_per_node=513.0),)), "512 GiB of memory per node"),
        (Demand((gang(),), time_limit_seconds=7201.0), "a time limit of 2.0 h"),
        (Demand((gang(1, 16),)), "8 cards per node, more nodes"),
        (
            Demand((gang(2, 8, group_nodes=2, group_required=True),)),
            "a supernode group that is preferred, not required",
        ),
    ):
        torn = replace(free, supernodes=(supernode("a", 8), supernode("b", 8)))
        found = suggested(demand, torn, sites=sites)
        assert found[words] == Suggestion(words, "shenzhen/main", "now")


def test_what_never_fits_is_told_what_would_fit_one_day() -> None:
    full = replace(BUSY, supernodes=(supernode("s", 0, 0, 0, 0),))
    found = suggested(Demand((gang(9),)), full)
    assert found == {"4 × 8 cards": Suggestion("4 × 8 cards", "shenzhen/main", "later")}


def test_a_placed_class_and_one_that_waits_by_choice_get_no_suggestions() -> None:
    placed = plan(snapshot([OPEN]), Demand((gang(1, 8, "hygon-k100-ai"),)), "tenant-a")
    assert (placed.verdict, placed.suggestions) == (Verdict.PLACED, ())
    either = Demand((gang(4), gang(4, 8, "hygon-k100-ai")), work=WORK)
    soon = tuple(Running("shenzhen/main", 8, NOW + 60) for _ in range(3))
    picky = Policy(accept_factor=1.0)  # a place that is hardly worse is worth a wait to it
    held = plan(snapshot([BUSY, OPEN], running=soon), either, "tenant-a", policy=picky)
    assert (held.verdict, held.suggestions) == (Verdict.WAIT, ())


def test_a_plan_stands_behind_the_queue_and_changes_nothing() -> None:
    ahead = queued("ahead", Demand((gang(),)), age_seconds=60.0)
    before: Snapshot = snapshot([BUSY], [ahead])
    told = plan(before, Demand((gang(),)), "tenant-a")
    assert told.verdict is Verdict.WAIT
    assert place(before).placements[0].job_id == "ahead/0"
    with pytest.raises(KeyError):
        explain(before, PLAN_KEY)


def test_candidates_are_bounded_best_first_with_the_reason_of_each_loser() -> None:
    many = [
        pool(
            "shenzhen", supernodes=[supernode("s", 8)], name=f"p{at:02}", utilisation=0.4 + at / 100
        )
        for at in range(CANDIDATES_MAX + 8)
    ]
    told = plan(snapshot(many), Demand((gang(),), work=Work(flops=1e18)), "tenant-a")
    assert len(told.candidates) == CANDIDATES_MAX
    assert [candidate.chosen for candidate in told.candidates] == [True] + [False] * (
        CANDIDATES_MAX - 1
    )
    assert told.candidates[0].pool == many[-1].key
    finishes = [candidate.score.finish_seconds for candidate in told.candidates]
    assert finishes == sorted(finishes)
    assert all(f"later than {many[-1].key}" in c.lost_because for c in told.candidates[1:])


def test_losers_by_money_and_by_name() -> None:
    two = [replace(OPEN, name="a", yuan_per_card_hour=9.0), replace(OPEN, name="b")]
    demand = Demand((gang(1, 8, "hygon-k100-ai"),), prefer=("cost",))
    told = plan(snapshot(two), demand, "tenant-a")
    assert told.candidates[1].lost_because == "72.00 yuan more than zhengzhou/b"
    same = plan(snapshot([replace(OPEN, name="a"), OPEN]), demand, "tenant-a")
    assert same.candidates[1].lost_because == "no better than zhengzhou/a"


def test_the_wait_is_the_earliest_end_that_frees_enough() -> None:
    running = tuple(
        Running("shenzhen/main", 8, NOW + seconds) for seconds in (600.0, 1200.0, 9000.0)
    )
    told = plan(snapshot([BUSY], running=running), Demand((gang(3),)), "tenant-a")
    assert told.candidates[0].score.wait_seconds == pytest.approx(1200.0)
    unknown = plan(snapshot([BUSY], running=running[:1]), Demand((gang(3),)), "tenant-a")
    assert unknown.candidates[0].lost_because == "busy, until when unknown"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2.0 min"),
        (7200, "2.0 h"),
        (200_000, "2.3 d"),
        (1e400, "an unknown time"),
    ],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words
