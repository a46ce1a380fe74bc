"""Staging: from where, which way, how long, how dear."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from federations import NOW, SITES, gang, network, pool, queued, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.fleet import Fleet
from scheduler.model import (
    Dataset,
    Demand,
    Fetch,
    Link,
    Network,
    NetworkNode,
    Prestaging,
    Restore,
    Round,
    Running,
    Site,
    Transfer,
    Verdict,
    Work,
)
from scheduler.network import Routes
from scheduler.placement import place
from scheduler.staging import latency_ms, stage
from scheduler.supply import Supply
from scheduler.traffic import transfer_key

TB = 10**12
NODE = supernode("s", 8, 8)


def supply_of(*pools: object, **facts: object) -> Supply:
    shot = snapshot(pools, **facts)  # type: ignore[arg-type]
    return Supply(Fleet(shot, Routes(shot.network), 0.4), shot)


def test_staging_is_from_the_nearest_replica_and_back() -> None:
    supply = supply_of(
        *(pool(name, supernodes=[NODE]) for name in ("guiyang", "shenzhen", "zhengzhou")),
        datasets=(
            Dataset("one", TB, ("zhengzhou",)),
            Dataset("two", 2 * TB, ("shenzhen", "zhengzhou")),
        ),
    )
    routes = Routes(network())
    both = stage(supply, Demand((gang(),), inputs=("one", "two"), output_bytes=TB)).seconds
    fetch, back = 3 * TB / (100e9 / 8), routes.transfer_seconds("Zhengzhou", "Guiyang", TB)
    to_guiyang = fetch + back  # both inputs cross one link
    to_shenzhen = 2 * routes.transfer_seconds("Zhengzhou", "Shenzhen", TB)
    assert both.tolist() == [pytest.approx(to_guiyang), pytest.approx(to_shenzhen), 0.0]


def test_data_that_cannot_come_is_infinitely_far() -> None:
    off_net = Site("island", "Atlantis")
    supply = supply_of(
        pool("island", supernodes=[NODE]),
        pool("shenzhen", supernodes=[NODE]),
        sites=(*SITES, off_net),
        datasets=(Dataset("here", TB, ("shenzhen",)), Dataset("there", TB, ("island",))),
    )
    assert stage(supply, Demand((gang(),), inputs=("here",))).seconds.tolist() == [math.inf, 0.0]
    assert stage(supply, Demand((gang(),), inputs=("there",))).seconds.tolist() == [0.0, math.inf]
    assert stage(supply, Demand((gang(),), inputs=("lost",))).seconds.tolist() == [math.inf] * 2


def test_a_state_to_go_on_from_costs_its_way_and_forbids_nothing() -> None:
    """It lies in a store, which the network need not know."""
    supply = supply_of(
        *(pool(name, supernodes=[NODE]) for name in ("guiyang", "island", "shenzhen")),
        sites=(*SITES, Site("island", "Atlantis")),
        datasets=(Dataset("one", TB, ("guiyang",)),),
    )
    state = Restore("checkpoint/a", "shenzhen", TB)
    way = Routes(network()).transfer_seconds("Shenzhen", "Guiyang", TB)
    alone = stage(supply, Demand((gang(),), output_bytes=TB, restore=state))
    assert alone.seconds.tolist() == [pytest.approx(way), 0.0, 0.0]
    assert alone.fetches(0) == (Fetch("checkpoint/a", "shenzhen", TB),)
    assert alone.fetches(1) == alone.fetches(2) == ()
    beside = stage(supply, Demand((gang(),), inputs=("one",), restore=state))
    assert beside.seconds.tolist() == [pytest.approx(way), math.inf, pytest.approx(way)]


def star(**gbps: float) -> Network:
    """Every named city at the end of a link of its own to the hub."""
    return Network(links=tuple(Link("Hub", city, rate, 5.0, 0.1) for city, rate in gbps.items()))


def at(city: str, **facts: object) -> Site:
    return Site(city.lower(), city, **facts)  # type: ignore[arg-type]


def federation(
    net: Network, sites: tuple[Site, ...], datasets: tuple[Dataset, ...], **facts: object
) -> Supply:
    """One pool at each site."""
    pools = [pool(site.name, supernodes=[NODE]) for site in sites]
    shot = replace(snapshot(pools, sites=sites, datasets=datasets, **facts), network=net)  # type: ignore[arg-type]
    return Supply(Fleet(shot, Routes(net), 0.4), shot)


def test_inputs_overlap_where_their_ways_part_and_queue_where_they_meet() -> None:
    net = star(A=8.0, B=8.0, C=80.0)
    sites = (at("A"), at("B"), at("C"))
    apart = federation(net, sites, (Dataset("x", TB, ("a",)), Dataset("y", TB, ("b",))))
    both = stage(apart, Demand((gang(),), inputs=("x", "y"))).fetch_seconds
    assert both[2] == pytest.approx(1000.01)  # each over its own link, and C's has room for both
    together = federation(net, sites, (Dataset("x", TB, ("a",)), Dataset("y", TB, ("a",))))
    both = stage(together, Demand((gang(),), inputs=("x", "y"))).fetch_seconds
    assert both.tolist() == pytest.approx([0.0, 2000.0, 2000.0], rel=1e-4)
    once = stage(together, Demand((gang(),), inputs=("x", "x"))).fetch_seconds
    assert once[2] == pytest.approx(1000.01)


def test_the_nearest_of_several_copies_is_nearest_by_time() -> None:
    net = star(A=8.0, B=40.0, C=80.0)
    sites = (at("A"), at("B"), at("C"))
    data = (Dataset("x", TB, ("a", "b")),)
    free = stage(federation(net, sites, data), Demand((gang(),), inputs=("x",)))
    assert free.fetches(2) == (Fetch("x", "b", TB),)
    assert free.fetches(0) == free.fetches(1) == ()
    load = tuple(Transfer(str(n), (1,), 1e16) for n in range(9))
    supply = federation(net, sites, data, transfers=load)
    busy = stage(supply, Demand((gang(),), inputs=("x",)))
    assert busy.fetches(2) == (Fetch("x", "a", TB),)
    assert busy.fetch_seconds[2] == pytest.approx(1000.01)
    assert busy.yuan[2] == pytest.approx(200.0)  # 1,000 GB over two links at 0.1


def test_what_is_on_its_way_already_is_there_sooner_and_costs_nothing() -> None:
    net, sites = star(A=8.0, C=80.0), (at("A"), at("C"))
    coming = (Transfer(transfer_key("x", "c"), (0, 1), TB / 4, NOW),)
    supply = federation(net, sites, (Dataset("x", TB, ("a",)),), transfers=coming)
    staging = stage(supply, Demand((gang(),), inputs=("x",)))
    assert staging.fetch_seconds[1] == pytest.approx(250.0)
    assert staging.yuan[1] == 0.0
    assert staging.fetches(1) == (Fetch("x", "a", TB),)


def test_outputs_go_home_in_time_and_money_and_sites_ask_for_egress() -> None:
    net = star(A=8.0, C=80.0)
    sites = (at("A", egress_yuan_per_gb=0.5), at("C", egress_yuan_per_gb=0.25))
    supply = federation(net, sites, (Dataset("x", TB, ("a",)),))
    staging = stage(supply, Demand((gang(),), inputs=("x",), output_bytes=TB // 10))
    assert staging.write_back_seconds.tolist() == pytest.approx([0.0, 100.01])
    assert staging.seconds.tolist() == pytest.approx([0.0, 1100.02])
    there, back = 1000 * (0.2 + 0.5), 100 * (0.2 + 0.25)
    assert staging.yuan.tolist() == pytest.approx([0.0, there + back])


def test_latency_is_from_a_city_or_the_nearest_site_of_a_region() -> None:
    net = star(A=8.0, B=8.0, C=80.0)
    sites = (at("A", region="west"), at("B", region="west"), at("C", region="east"), at("Mars"))
    supply = federation(net, sites, ())
    assert latency_ms(supply, "Hub").tolist() == pytest.approx([5.0, 5.0, 5.0, math.inf])
    assert latency_ms(supply, "west").tolist() == pytest.approx([0.0, 0.0, 10.0, math.inf])
    assert latency_ms(supply, "Mars").tolist() == [math.inf] * 4
    assert latency_ms(supply, "").tolist() == [math.inf] * 4


def latency_round(users_at: str, ms_max: float) -> Round:
    sites = (at("A"), at("C"))
    net = Network(links=(Link("Hub", "A", 8.0, 5.0), Link("Hub", "C", 8.0, 25.0)))
    demand = Demand((gang(),), users_at=users_at, latency_ms_max=ms_max)
    pools = [pool(site.name, supernodes=[NODE]) for site in sites]
    return place(replace(snapshot(pools, [queued("c", demand, 4)], sites=sites), network=net))


def test_a_latency_bound_job_goes_where_it_answers_in_time_or_nowhere() -> None:
    decided = latency_round("Hub", 20.0)
    assert [each.pool for each in decided.placements] == ["a/main"] * 2
    (_, why), *_ = latency_round("Hub", 1.0).explanations
    assert why.verdict is Verdict.NEVER
    assert [(each.code, each.cards) for each in why.rejections] == [("LatencyTooHigh", 32)]
    assert why.rejections[0].detail == "limit 1 ms from Hub, from 5.0 ms here"
    (_, why), *_ = latency_round("Nowhere", 20.0).explanations
    assert why.rejections[0].detail == "no way from Nowhere in the network"


@pytest.mark.parametrize(
    ("datasets", "links", "words"),
    [
        ((Dataset("x", TB, ()),), star(A=8.0, C=8.0).links, "no site has a copy of x"),
        ((Dataset("x", TB, ("mars",)),), star(A=8.0).links, "x: Mars or A is no node"),
        (
            (Dataset("x", TB, ("c",)),),
            (Link("Hub", "A", 8.0, 5.0), Link("Hub", "C", 8.0, 5.0, down=True)),
            "x: no link that is up leads from C to A",
        ),
    ],
)
def test_why_data_cannot_come_is_told(
    datasets: tuple[Dataset, ...], links: tuple[Link, ...], words: str
) -> None:
    net = Network(nodes=(NetworkNode("C"),), links=links)
    shot = snapshot(
        [pool("a", supernodes=[NODE])],
        [queued("c", Demand((gang(),), inputs=("x",)))],
        sites=(at("A"), at("C"), at("Mars")),
        datasets=datasets,
    )
    (_, why), *_ = place(replace(shot, network=net)).explanations
    assert why.verdict is Verdict.WAIT
    (rejection,) = [each for each in why.rejections if each.code == "DataUnreachable"]
    assert rejection.detail.startswith(words)


@pytest.mark.parametrize(
    ("size", "busy_seconds", "expected"),
    [
        (TB // 100, 7200.0, "c/main"),  # 10 s of moving beat two hours of waiting
        (100 * TB, 600.0, None),  # a day of moving does not beat ten minutes: wait at the data
        (100 * TB, 200_000.0, "c/main"),  # but it beats two days
    ],
)
def test_move_the_data_or_wait_at_the_data(
    size: int, busy_seconds: float, expected: str | None
) -> None:
    sites, net = (at("A"), at("C")), star(A=8.0, C=80.0)
    full = pool("a", supernodes=[supernode("s", 0, 0)])
    shot = snapshot(
        [full, pool("c", supernodes=[NODE])],
        [queued("j", Demand((gang(),), inputs=("x",), work=Work(seconds=600.0)))],
        sites=sites,
        datasets=(Dataset("x", size, ("a",)),),
        running=(Running("a/main", 16, NOW + busy_seconds),),
    )
    placed = place(replace(shot, network=net)).placements
    assert [each.pool for each in placed] == ([expected] if expected else [])
    if expected:
        assert placed[0].fetches == (Fetch("x", "a", size),)


def test_a_class_sees_what_the_round_has_decided_before_it() -> None:
    """Both want two terabytes out of A, and the second finds the line of A taken."""
    net = Network(links=(Link("A", "C", 8.0, 5.0), Link("B", "C", 6.0, 5.0)))
    sites = (at("A"), at("B"), at("C"))
    shot = snapshot(
        [pool("c", supernodes=[NODE])],
        [queued(name, Demand((gang(1, 1),), inputs=(name,))) for name in ("x", "y")],
        sites=sites,
        datasets=(Dataset("x", 2 * TB, ("a", "b")), Dataset("y", 2 * TB, ("a", "b"))),
    )
    placed = place(replace(shot, network=net)).placements
    assert [each.fetches[0].source for each in placed] == ["a", "b"]
    assert [each.score.stage_seconds for each in placed] == pytest.approx([2000.005, 2666.67])


def waiting_round(busy_seconds: float, regions: tuple[str, ...] = ()) -> Round:
    """The data is at A, which has no such cards; those at C are busy for a while."""
    sites = (at("A", region="west"), at("C", region="east"))
    shot = snapshot(
        [pool("c", supernodes=[supernode("s", 0, 0)])],
        [queued("j", Demand((gang(),), inputs=("x",), work=Work(seconds=600.0)), 3)],
        sites=sites,
        datasets=(Dataset("x", TB, ("a",), regions),),
        running=(Running("c/main", 16, NOW + busy_seconds),),
    )
    return place(replace(shot, network=star(A=8.0, C=80.0)))


def test_data_is_sent_ahead_while_the_job_waits_for_cards() -> None:
    soon = waiting_round(1200.0)
    assert soon.placements == ()
    assert soon.prestagings == (Prestaging("c/main", Fetch("x", "a", TB)),)
    assert waiting_round(20_000.0).prestagings == ()  # there is time: the plan may yet change
    assert waiting_round(1200.0, ("west",)).prestagings == ()  # it may not leave the west


@pytest.mark.parametrize(("busy_seconds", "left"), [(400.0, 600.01), (1200.0, 0.0)])
def test_a_wait_hides_the_transfer_that_goes_on_meanwhile(busy_seconds: float, left: float) -> None:
    """The data take 1,000 s to C; what is left of that when the cards come free counts."""
    ((_, told),) = waiting_round(busy_seconds).explanations
    score = told.candidates[0].score
    assert score.stage_seconds == pytest.approx(left)
    assert score.finish_seconds == pytest.approx(score.wait_seconds + left + 600.0)


regions_of_data = st.lists(st.sampled_from(["west", "east"]), max_size=1).map(tuple)


@examples(60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 10**14), regions_of_data),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.lists(st.integers(0, 3), max_size=3), min_size=1, max_size=6),
    st.lists(st.sampled_from([0, 4, 8]), min_size=3, max_size=3),
    st.lists(st.sampled_from([0.0, 10.0, 100.0]), min_size=3, max_size=3),
)
def test_residency_is_never_broken(
    data: list[tuple[str, int, tuple[str, ...]]],
    wanted: list[list[int]],
    free: list[int],
    gbps: list[float],
) -> None:
    region = {"a": "west", "b": "east", "c": "east"}
    sites = tuple(at(name.upper(), region=region[name]) for name in "abc")
    datasets = tuple(Dataset(f"d{n}", size, (home,), r) for n, (home, size, r) in enumerate(data))
    kept = {each.name: each.regions_allowed for each in datasets}
    queue = [
        queued(f"q{n}", Demand((gang(1, 4),), inputs=tuple(f"d{i}" for i in set(inputs))), 2)
        for n, inputs in enumerate(wanted)
    ]
    pools = [pool(n, supernodes=[supernode("s", f)]) for n, f in zip("abc", free, strict=True)]
    shot = snapshot(
        pools,
        queue,
        sites=sites,
        datasets=datasets,
        running=tuple(Running(f"{name}/main", 8, NOW + 100.0) for name in "abc"),
    )
    decided = place(replace(shot, network=star(**dict(zip("ABC", gbps, strict=True)))))
    inputs_of = {job: each.demand.inputs for each in queue for job in each.jobs}
    for placement in decided.placements:
        site = placement.pool.partition("/")[0]
        for name in inputs_of[placement.job_id]:
            assert not kept[name] or region[site] in kept[name]
        homes = {f"d{n}": home for n, (home, _, _) in enumerate(data)}
        elsewhere = {n for n in inputs_of[placement.job_id] if homes[n] != site}
        assert {fetch.dataset for fetch in placement.fetches} == elsewhere
        assert all(fetch.source == homes[fetch.dataset] for fetch in placement.fetches)
    for proposed in decided.prestagings:
        allowed = kept[proposed.fetch.dataset]
        assert not allowed or region[proposed.pool.partition("/")[0]] in allowed
