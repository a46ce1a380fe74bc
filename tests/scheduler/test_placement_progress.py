"""Rounds over virtual time: every job that could run has run in bounded time, whole gangs only."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from federations import NOW, gang, pool, snapshot, supernode
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from scheduler.model import Demand, Placement, Pool, QueueClass, Running, Snapshot, Work
from scheduler.placement import place
from simulator.production.cards import Held, PoolCards

DAY = 86_400.0
MODELS = ("ascend-910b", "hygon-k100-ai", "nvidia-h100")
SITES = ("shenzhen", "zhengzhou", "guiyang")
CARDS_PER_NODE = 4


@dataclass(frozen=True)
class Job:
    """A gang, the run that is expected on its first model, and how wrong that is."""

    submit: float
    demand: Demand
    error: float = 1.0


class World:
    """Real rounds at every arrival and end; a gang that is not free as proposed fails the test."""

    def __init__(self, pools: list[Pool], jobs: list[Job]) -> None:
        self.jobs = jobs
        self.cards = {each.key: PoolCards(each) for each in pools}
        self.waiting: dict[str, int] = {}
        self.ends: list[tuple[float, str]] = []
        self.running: dict[str, tuple[Held, Running]] = {}
        self.started: dict[int, float] = {}
        self.durations: dict[int, float] = {}

    def run(self) -> float:
        """Until nothing happens any more; when the last run ended."""
        arrivals = sorted(range(len(self.jobs)), key=lambda at: self.jobs[at].submit)
        now = 0.0
        while arrivals or self.ends:
            moments = [self.jobs[at].submit for at in arrivals[:1]]
            now = min(moments + [end for end, _ in self.ends[:1]])
            while arrivals and self.jobs[arrivals[0]].submit <= now:
                at = arrivals.pop(0)
                self.waiting[f"c{at}/0"] = at
            while self.ends and self.ends[0][0] <= now:
                self._end(heapq.heappop(self.ends)[1])
            if self.waiting:
                for placement in place(self._picture(now)).placements:
                    self._start(placement, now)
        return now

    def _picture(self, now: float) -> Snapshot:
        queue = [
            QueueClass(f"c{at}", self.jobs[at].demand, "tenant-a", jobs=(job_id,), queued=1,
                       oldest_submitted_at=NOW + self.jobs[at].submit)
            for job_id, at in self.waiting.items()
        ]  # fmt: skip
        picture = snapshot(
            [cards.report() for cards in self.cards.values()],
            queue,
            running=tuple(known for _, known in self.running.values()),
        )
        return replace(picture, now=NOW + now)

    def _start(self, placement: Placement, now: float) -> None:
        at = self.waiting.pop(placement.job_id)
        job = self.jobs[at]
        variant = job.demand.variants[placement.variant]
        assert sum(part.nodes for part in placement.slices) == variant.nodes
        assert {part.cards for part in placement.slices} == {variant.cards_per_node}
        held = self.cards[placement.pool].take(placement.slices)
        assert held is not None, "cards were given that are not free"
        expected = placement.score.run_seconds
        known = Running(placement.pool, variant.cards, NOW + now + expected)
        self.running[placement.job_id] = held, known
        self.started[at] = now
        self.durations[at] = expected * job.error
        heapq.heappush(self.ends, (now + self.durations[at], placement.job_id))

    def _end(self, job_id: str) -> None:
        held, known = self.running.pop(job_id)
        self.cards[known.pool].give(held)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    pools = [
        pool(
            draw(st.sampled_from(SITES)),
            draw(st.sampled_from(MODELS)),
            [
                supernode(f"s{row}", *[CARDS_PER_NODE] * draw(st.integers(1, 4)),
                          cards_per_node=CARDS_PER_NODE)
                for row in range(draw(st.integers(1, 3)))
            ],
            CARDS_PER_NODE,
            name=f"p{number}",
        )
        for number in range(draw(st.integers(1, 4)))
    ]  # fmt: skip
    jobs = []
    for _ in range(draw(st.integers(1, 16))):
        nodes, cards = draw(st.integers(1, 6)), draw(st.integers(1, CARDS_PER_NODE))
        models = draw(st.lists(st.sampled_from(MODELS), min_size=1, unique=True))
        demand = Demand(
            tuple(gang(nodes, cards, model) for model in models),
            work=Work(
                seconds=draw(st.sampled_from([30.0, 600.0, 7_200.0, 2 * DAY])),
                accelerator=models[0],
            ),
        )
        submit = draw(st.sampled_from([0.0, 5.0, 3_600.0, DAY]))
        jobs.append(Job(submit, demand, draw(st.sampled_from([0.1, 1.0, 10.0]))))
    return World(pools, jobs)


def could_run(pools: list[Pool], job: Job) -> bool:
    return any(
        variant.accelerator == each.accelerator
        and variant.nodes <= each.cards_total // each.cards_per_node
        and variant.cards <= each.cards_usable
        for variant in job.demand.variants
        for each in pools
    )


@examples(60)
@given(worlds())
def test_every_job_that_could_run_has_run_in_bounded_time(world: World) -> None:
    """While such a job waits something runs: so all is over after the runs one by one."""
    pools = [cards.report() for cards in world.cards.values()]
    over = world.run()
    feasible = {at for at, job in enumerate(world.jobs) if could_run(pools, job)}
    assert set(world.started) == feasible
    last = max(job.submit for job in world.jobs)
    assert over <= last + sum(world.durations.values()) + 1e-3
    assert [cards.report() for cards in world.cards.values()] == pools


def test_a_gang_as_wide_as_its_pool_waits_no_longer_than_is_promised() -> None:
    """Narrow jobs could fill the pool for ever: 20 runs and a day, and what then still runs."""
    whole = pool("shenzhen", supernodes=[supernode("s0", *[4] * 4, cards_per_node=4)],
                 cards_per_node=4)  # fmt: skip
    run, narrow = 600.0, 7_200.0
    wide_work = Work(seconds=run, accelerator="ascend-910b")
    jobs = [Job(1.0, Demand((gang(4, 4),), work=wide_work))]
    narrow_demand = Demand((gang(1, 4),), work=Work(seconds=narrow, accelerator="ascend-910b"))
    jobs += [Job(1_700.0 * at, narrow_demand) for at in range(80)]
    world = World([whole], jobs)
    world.run()
    assert len(world.started) == len(jobs)
    assert world.started[0] - 1.0 <= 20.0 * run + DAY + narrow + 1_700.0
