"""The site takes its cards back: who is stopped, what is kept back, and what is told of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from click.testing import CliRunner
from processes import until
from scripted_broker import ScriptedBroker, job, serving
from site_agent import agent, config
from supervised import WALL, Site, effects, exited, grant, pool, said

from agent.__main__ import cli
from agent.backends import LeaseClass, NodeShare, Reason
from agent.config.file import AgentConfig, ProbedPool, load_config
from agent.control import ask
from agent.inventory import DeclaredPool, Inventory, NodeCondition
from agent.journal import ClockReading, Journal
from agent.policy import PoolPolicy, Recall, Window
from agent.supervisor import State
from agent.supervisor.messages import (
    AttemptPut,
    CardsRecalled,
    InventoryChanged,
    Launch,
    RecallDropped,
    RecallPut,
    RecallReleased,
    RunStarted,
    SendCapacity,
    StopRun,
)
from agent.supervisor.policing import victims
from agent.supervisor.values import NEVER, Attempt, Phase, Recalled, Settings
from scheduler.priority import PriorityClass
from suan import catalogue
from suan.errors import InvalidRequest
from suan.v1 import session_pb2

EVERY = tuple(PriorityClass)
HOUR = 3_600.0
GRACE = 600.0


# --- who is stopped ----------------------------------------------------------------------


def held(name: str, cards: int, since: float = 0.0, **fields: object) -> tuple[Attempt, int]:
    attempt = Attempt(
        name, name, 1, Phase.RUNNING, "train", (), 1, LeaseClass.PROOF, 0.0, since, NEVER
    )
    return replace(attempt, **fields), cards  # type: ignore[arg-type]


def names(found: list[Attempt]) -> list[str]:
    return [attempt.name for attempt in found]


def test_the_order_of_those_that_are_stopped() -> None:
    runs = [
        held("firm", 8, since=99.0, preemptible=False, priority=-5),
        held("high", 8, since=99.0, priority=100),
        held("old", 8, since=10.0),
        held("young", 8, since=90.0),
        held("young-and-large", 16, since=90.0),
    ]
    order = ["young", "young-and-large", "old", "high", "firm"]
    for count, excess in ((1, 8), (2, 24), (3, 32), (4, 40), (5, 48)):
        assert names(victims(runs, excess, EVERY, 100.0)) == order[:count]
    assert names(victims(runs, 0, EVERY, 100.0)) == []
    assert names(victims(runs, 500, EVERY, 100.0)) == order


def test_a_gang_is_stopped_whole_and_what_it_makes_needless_is_spared() -> None:
    runs = [held("a", 1, since=99.0), held("b", 2, since=99.0), held("gang", 32, since=99.0)]
    assert names(victims(runs, 1, EVERY, 100.0)) == ["a"]
    assert names(victims(runs, 4, EVERY, 100.0)) == ["gang"]
    assert names(victims(runs, 33, EVERY, 100.0)) == ["a", "gang"]


def test_only_the_classes_that_may_be() -> None:
    runs = [held("low", 8, priority=-1), held("normal", 8), held("urgent", 8, priority=500)]
    low = (PriorityClass.LOW,)
    assert names(victims(runs, 24, low, 100.0)) == ["low"]
    assert names(victims(runs, 24, (PriorityClass.URGENT, *low), 100.0)) == ["low", "urgent"]


# --- the site ----------------------------------------------------------------------------

RECALLABLE = replace(pool("train"), policy=PoolPolicy(recall=Recall(GRACE)))  # 4 nodes of 8


def site(declared: DeclaredPool = RECALLABLE, state: State | None = None) -> Site:
    made = Site(Settings(time_zone=UTC), state or State(Inventory("shenzhen", [declared])))
    midnight = WALL - WALL % (24 * HOUR)
    made.wall_jump = midnight + 12 * HOUR - WALL - made.elapsed  # noon
    return made


@pytest.fixture
def busy() -> Site:
    """Three runs of a node each; "firm" must not be stopped for others of the federation."""
    made = site()
    made.meet()
    asked: dict[str, dict[str, object]] = {"firm": {"preemptible": False}, "low": {"priority": -1}}
    for number, name in enumerate(("low", "firm", "plain"), start=1):
        wish = grant(name, grant_seq=number, lease_class=LeaseClass.PROOF)
        made.give(replace(wish, task=replace(wish.task, **asked.get(name, {}))))  # type: ignore[type-var]
        made.tell(RunStarted(wish.name))
    return made


def usable(made: Site) -> int:
    (told,) = made.state.inventory.pools()
    return told.cards_usable


def stops(decision: object) -> list[StopRun]:
    return effects(decision, StopRun)  # type: ignore[arg-type]


def test_free_cards_go_first(busy: Site) -> None:
    decision = busy.tell(CardsRecalled("train", 8, GRACE))
    assert stops(decision) == []
    assert usable(busy) == 24
    assert busy.state.inventory.pools()[0].cards_free == 0
    told = effects(busy.pass_time(1.0), SendCapacity) + effects(decision, SendCapacity)
    assert [p.cards_usable for message in told for p in message.pools] == [24]


def test_then_runs_are_stopped_and_what_they_leave_is_kept_back(busy: Site) -> None:
    decision = busy.tell(CardsRecalled("train", 16, GRACE))
    assert stops(decision) == [StopRun("suan-low-1", "SiteRecalled")]
    assert busy.state.attempts["suan-low-1"].stop_reason == "SiteRecalled"
    assert stops(busy.pass_time(5.0)) == []  # it is on its way out: nobody else is stopped
    ended = busy.tell(exited("low", exit_code=143, reason=Reason.STOPPED))
    assert said(ended) == [("ended", "preempted", "SiteRecalled")]
    (report,) = [r for r in busy.state.outbox.values() if r.name == "suan-low-1" and r.outcome]
    assert report.failure is not None
    assert report.failure.category == "site"
    assert usable(busy) == 16
    seq = busy.beat()
    busy.give(grant("next", grant_seq=9, anchor_seq=seq))
    assert "suan-next-1" not in busy.state.attempts


def test_a_second_recall_takes_more_and_a_release_gives_all_back(busy: Site) -> None:
    busy.tell(CardsRecalled("train", 8, GRACE))
    assert stops(busy.tell(CardsRecalled("train", 8, GRACE))) == [
        StopRun("suan-low-1", "SiteRecalled")
    ]
    busy.tell(exited("low", reason=Reason.STOPPED))
    assert usable(busy) == 16
    busy.tell(RecallReleased(""))
    assert usable(busy) == 32
    assert busy.state.recalls == {}


def test_with_more_time_than_runs_need_to_end_they_go_on_meanwhile(busy: Site) -> None:
    assert stops(busy.tell(CardsRecalled("train", 32, GRACE + 100.0))) == []
    assert stops(busy.pass_time(98.0)) == []
    assert len(stops(busy.pass_time(3.0))) == 3


def test_cards_in_use_by_the_site_s_own_count_once(busy: Site) -> None:
    """After the recall its people take the free node, and the survey sees that."""
    busy.tell(CardsRecalled("train", 8, GRACE))
    taken = {node.name for attempt in busy.state.live() for node in attempt.nodes}
    (free,) = [node.name for node in RECALLABLE.nodes if node.name not in taken]
    kept = NodeCondition("train", free, kept_back=frozenset(range(8)))
    decision = busy.tell(InventoryChanged(Inventory("shenzhen", [RECALLABLE], [kept])))
    assert stops(decision) == []
    assert usable(busy) == 24


def test_a_node_that_is_gone_was_not_what_the_site_wanted(busy: Site) -> None:
    busy.tell(CardsRecalled("train", 8, GRACE))
    fewer = replace(RECALLABLE, nodes=RECALLABLE.nodes[1:])
    assert stops(busy.tell(InventoryChanged(Inventory("shenzhen", [fewer])))) == []


def test_without_its_word_in_the_file_nothing_is_recalled() -> None:
    made = site(pool("train"))
    made.tell(CardsRecalled("train", 8, GRACE), CardsRecalled("other", 8, GRACE))
    assert made.state.recalls == {}
    assert usable(made) == 32


NIGHTS = (Window(20 * 60, 8 * 60), Window(8 * 60, 20 * 60, share=0.5))


def test_at_a_window_s_end_what_is_over_the_next_share_is_stopped() -> None:
    declared = replace(pool("train"), policy=PoolPolicy(0.0, NIGHTS, Recall(GRACE)))
    made = site(declared)
    made.elapsed += 10 * HOUR  # 22:00
    made.meet()
    for number in (1, 2, 3):
        made.give(grant(f"j{number}", grant_seq=number, lease_class=LeaseClass.PROOF))
        made.tell(RunStarted(f"suan-j{number}-1"))
        made.elapsed += 1.0
    assert stops(made.pass_time(10 * HOUR - 10.0)) == []
    assert stops(made.pass_time(10.0)) == [StopRun("suan-j3-1", "SiteRecalled")]


def test_what_was_recalled_is_offered_again_when_a_window_opens() -> None:
    night = Window(20 * 60, 8 * 60)
    made = site(replace(pool("train"), policy=PoolPolicy(0.5, (night,), Recall(GRACE))))
    made.tell(CardsRecalled("train", 8, GRACE))
    assert usable(made) == 8
    made.pass_time(7 * HOUR)
    assert usable(made) == 8
    made.pass_time(HOUR)  # 20:00
    assert made.state.recalls == {}
    assert usable(made) == 32


def test_a_job_gets_no_more_grace_than_its_cards_have() -> None:
    made = site()
    made.meet()
    decision = made.give(grant("j1", grace_seconds=3_000.0), grant("j2", grace_seconds=60.0))
    assert [launch.order.grace_seconds for launch in effects(decision, Launch)] == [GRACE, 60.0]


# --- the journal -------------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def test_a_recall_outlives_the_agent(tmp_path: Path, journal: Journal) -> None:
    now = ClockReading("b", 1.0, 1, 1)
    journal.load(now)
    kept, gone = Recalled("train", 8, 5.0, NEVER), Recalled("spare", 4, 5.0, 9.0)
    journal.commit([RecallPut(kept), RecallPut(gone)], now)
    journal.commit([RecallDropped("spare")], now)
    again = Journal(tmp_path / "journal.sqlite")
    state = State(Inventory("shenzhen", [RECALLABLE]))
    for record in again.load(now):
        state.apply(record)
    again.close()
    assert state.recalls == {"train": kept}
    made = site(state=state)
    made.tell()
    assert usable(made) == 8


def test_a_journal_of_the_version_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    old = sqlite3.connect(path)
    old.executescript(
        "ALTER TABLE attempts DROP COLUMN priority; ALTER TABLE attempts DROP COLUMN preemptible;"
        "ALTER TABLE attempts DROP COLUMN outputs; ALTER TABLE attempts DROP COLUMN retried;"
        "ALTER TABLE outbox DROP COLUMN stored;"
        "PRAGMA user_version = 1;"
        "INSERT INTO attempts VALUES ('suan-j-1', 'j', 1, 'running', 'train',"
        " '[[\"n\", \"h\", [0]]]', 1, 'proof', 0, 1, 2, '')"
    )
    old.close()
    opened = Journal(path)
    now = ClockReading("b", 1.0, 1, 1)
    (put,) = [record for record in opened.load(now) if isinstance(record, AttemptPut)]
    assert (put.attempt.priority, put.attempt.preemptible) == (0, True)
    firm = replace(put.attempt, priority=7, preemptible=False, nodes=(NodeShare("n", "h", (0,)),))
    opened.commit([AttemptPut(firm)], now)
    (put,) = [record for record in opened.load(now) if isinstance(record, AttemptPut)]
    assert (put.attempt.priority, put.attempt.preemptible) == (7, False)
    opened.close()


# --- a whole agent -----------------------------------------------------------------------


def recallable(state_dir: Path, grace_seconds: float) -> AgentConfig:
    settings = config(state_dir, cards=4)
    policy = PoolPolicy(recall=Recall(grace_seconds))
    (probed,) = settings.pools
    declared = replace(probed.declared, policy=policy)
    return replace(settings, pools=(ProbedPool(declared),))


def capacities(broker: ScriptedBroker) -> list[int]:
    """The usable cards of the pool, each time that this session told of them."""
    told = [broker.talk.hello.capacity]
    told += [m.capacity for m in broker.talk.heard if m.HasField("capacity")]
    return [pool.cards_usable for message in told for pool in message.pools]


def ended(broker: ScriptedBroker, job_id: str) -> session_pb2.Report | None:
    return next((each for each in broker.reports(job_id) if each.outcome), None)


async def test_a_running_job_is_stopped_within_the_grace_and_its_cards_stay(tmp_path: Path) -> None:
    """It ignores SIGTERM and asks for an hour to end: the site's grace of 2 s holds."""
    settings = recallable(tmp_path / "state", grace_seconds=2.0)
    begun = tmp_path / "begun"
    text = f"trap '' TERM; touch {begun}; while :; do sleep 0.1; done"
    stubborn = job(text, grace_seconds=3_000, cards=3)
    broker = ScriptedBroker()
    async with serving(broker) as address:
        async with agent(address, settings):
            await broker.connected()
            broker.grant(("j1", 1), spec=stubborn, cards=3)
            broker.grant(("j2", 1), spec=job("sleep 600"), cards=1)
            await broker.until(lambda: broker.told("j1") == broker.told("j2") == ["started"])
            await asyncio.to_thread(until, begun.exists, "the job to ignore SIGTERM")
            wish = {"command": "recall", "pool": "train", "cards": 3}
            said = await ask(settings.state_dir, wish)
            assert said == {"pool": "train", "cards": 3, "grace_seconds": 2.0}
            report = await broker.until(lambda: ended(broker, "j1"))
            assert (report.outcome, report.failure.code) == ("preempted", "SiteRecalled")
            assert report.failure.category == "site"
            assert broker.told("j2") == ["started"]  # the smaller one was not needed
            await broker.until(lambda: capacities(broker)[-1] == 1)
            status = await ask(settings.state_dir, {"command": "status"})
            assert status["recalls"] == {"train": 1}
        async with agent(address, settings):  # the same site after a restart
            await broker.connected(2)
            assert capacities(broker)[0] == 1
            assert await ask(settings.state_dir, {"command": "release"}) == {"pools": ["train"]}
            await broker.until(lambda: capacities(broker)[-1] == 4)
            broker.stop("j2", 1, "Cancelled")
            await broker.until(lambda: ended(broker, "j2"))


async def test_what_cannot_be_recalled_is_said(tmp_path: Path) -> None:
    settings = recallable(tmp_path / "state", grace_seconds=60.0)
    plain = config(tmp_path / "plain")
    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, settings), agent(address, plain):
        for place, wish, code in (
            (settings, {"pool": "other", "cards": 1}, "NoSuchPool"),
            (settings, {"pool": "train", "cards": 5}, "RecallOutOfRange"),
            (settings, {"pool": "train", "cards": 0}, "RecallOutOfRange"),
            (settings, {"pool": "train", "cards": 1, "grace_seconds": 5.0}, "RecallOutOfRange"),
            (plain, {"pool": "train", "cards": 1}, "RecallNotDeclared"),
        ):
            with pytest.raises(InvalidRequest) as caught:
                await ask(place.state_dir, {"command": "recall", **wish})
            assert caught.value.code == code
            assert caught.value.hint


async def test_as_the_operator_types_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "site: shenzhen\nbroker: 127.0.0.1:1\nstate_dir: state\npools:\n"
        "  - {name: train, accelerator: ascend-910b, nodes: 2, cards_per_node: 8, recall: {}}\n"
    )
    settings = load_config(path, catalogue.load())

    async def typed(*words: str) -> tuple[int, str]:
        command = ["-c", str(path), *words]
        result = await asyncio.to_thread(CliRunner().invoke, cli, command)
        return result.exit_code, result.output

    broker = ScriptedBroker()
    async with serving(broker) as address, agent(address, settings):
        await broker.connected()
        assert capacities(broker)[0] == 16
        code, said = await typed("recall", "--pool", "train", "--cards", "6")
        assert (code, said.splitlines()[0]) == (0, "6 cards of train come back within 600 s")
        await broker.until(lambda: capacities(broker)[-1] == 10)
        _, said = await typed("status")
        assert "recalled     from pool train: runs may hold 10 cards there" in said.splitlines()
        assert await typed("recall", "--release") == (0, "offered again: train\n")
        await broker.until(lambda: capacities(broker)[-1] == 16)
        _, said = await typed("recall", "--release", "--pool", "train")
        assert said == "offered again: nothing was recalled\n"
        for words in ((), ("--pool", "train"), ("--cards", "6"), ("--release", "--cards", "6")):
            code, said = await typed("recall", *words)
            assert (code, "say --pool and --cards, or --release" in said) == (2, True)
