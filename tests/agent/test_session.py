"""The stream: what is said first, what waits, and what happens when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256

import grpc.aio
import pytest
from scripted_broker import ScriptedBroker, job, serving
from site_agent import QUICK
from supervised import WALL, inventory, one

from agent.backends import Launch
from agent.session.lanes import LOGS_MAX, URGENT_MAX, LaneOverflow, Lanes
from agent.session.stream import Session
from agent.supervisor import State, Supervisor
from agent.supervisor.messages import (
    Closed,
    Event,
    GrantsReceived,
    HeartbeatReplied,
    Opened,
    SendCapacity,
    SendHeartbeat,
    SendReports,
    StopReceived,
    VerdictsReceived,
)
from agent.supervisor.values import (
    PROTOCOL_MAX,
    Failure,
    Held,
    Moment,
    Phase,
    Report,
    ReportKind,
    Settings,
)
from agent.wire.decode import Decoder, Goodbye, LogRequest
from agent.wire.encode import LogAnswer, SiteProfile, encode, log_chunk
from agent.wire.specs import SPEC_OVERHEAD_BYTES, SpecMissing, Specs
from suan.errors import Conflict, SuanError, Unavailable
from suan.models import AcceleratorClass, JobSpec, Variant
from suan.models import Launch as SpecLaunch
from suan.v1 import job_pb2, session_pb2
from suan.wire import spec_bytes

PROFILE = SiteProfile("shenzhen", "a1", "boot", "shenzhen", backend="process")
BAD = Failure("user", "NonZeroExit", "3")


def report(number: int) -> Report:
    return Report(number, "suan-j-1", "j", 1, ReportKind.ENDED, WALL, 3, "failed", BAD)


def capacity(seq: int, *names: str, full: bool = False, reflects: int = 0) -> SendCapacity:
    pools = {pool.name: pool for pool in inventory().pools()}
    return SendCapacity("s", seq, tuple(pools[name] for name in names), reflects, full, False)


# --- lanes --------------------------------------------------------------------------


async def test_heartbeats_go_first_and_logs_last() -> None:
    lanes = Lanes()
    lanes.put_log(LogAnswer("1"))
    lanes.put(capacity(1, "train"))
    lanes.put(SendReports("s", (report(1),), 1))
    lanes.put(SendHeartbeat("s", 1, 0, 0, 0))
    kinds = [type(await lanes.next()) for _ in range(4)]
    assert kinds == [SendHeartbeat, SendReports, SendCapacity, LogAnswer]


async def test_waiting_reports_go_together_in_order_and_bounded() -> None:
    lanes = Lanes()
    for number in range(1, 1_202):
        lanes.put(SendReports("s", (report(number),), 1))
    sizes, numbers = [], []
    for _ in range(3):
        sent = await lanes.next()
        assert isinstance(sent, SendReports)
        sizes.append(len(sent.reports))
        numbers += [item.report_seq for item in sent.reports]
    assert (sizes, numbers) == ([500, 500, 201], list(range(1, 1_202)))


async def test_waiting_capacity_is_one_word_that_says_all() -> None:
    lanes = Lanes()
    lanes.put(capacity(1, "train", "spare", full=True))
    lanes.put(capacity(2, "train", reflects=7))
    merged = await lanes.next()
    assert isinstance(merged, SendCapacity)
    assert (merged.seq, merged.reflects_grant_seq, merged.full) == (2, 7, True)
    assert [pool.name for pool in merged.pools] == ["train", "spare"]


async def test_lanes_are_bounded() -> None:
    lanes = Lanes()
    for seq in range(URGENT_MAX):
        lanes.put(SendHeartbeat("s", seq, 0, 0, 0))
    with pytest.raises(LaneOverflow):
        lanes.put(SendHeartbeat("s", URGENT_MAX, 0, 0, 0))
    for number in range(LOGS_MAX):
        lanes.put_log(LogAnswer(str(number)))
    with pytest.raises(LaneOverflow):
        lanes.put_log(LogAnswer("too many"))


# --- the wire -----------------------------------------------------------------------


def test_hello_says_all() -> None:
    supervisor = Supervisor(State(inventory()), Settings(), lambda: 0.5)
    body = encode(supervisor.hello("s", Moment(1.0, WALL)), PROFILE).hello
    assert (body.site, body.session, body.agent_id, body.boot_id) == (
        "shenzhen",
        "s",
        "a1",
        "boot",
    )
    assert [pool.name for pool in body.capacity.pools] == ["train", "spare"]
    assert list(body.capacity.pools[0].supernodes[0].nodes_by_free) == [0] * 8 + [4]
    assert (body.capacity.full, body.facts.backend, body.protocol) == (
        True,
        "process",
        PROTOCOL_MAX,
    )


def test_a_report_says_all() -> None:
    (body,) = encode(SendReports("s", (report(7),), 7), PROFILE).reports.reports
    assert (body.report_seq, body.id.job_id, body.id.epoch, body.at) == (7, "j", 1, WALL)
    assert (body.kind, body.outcome, body.exit_code) == (3, "failed", 3)
    assert (body.failure.category, body.failure.code) == ("user", "NonZeroExit")


def test_only_a_full_capacity_repeats_the_facts() -> None:
    assert encode(capacity(1, full=True), PROFILE).capacity.HasField("facts")
    assert not encode(capacity(2), PROFILE).capacity.HasField("facts")


def test_held_attempts_have_a_state_for_each_phase() -> None:
    states = {
        Phase.ACCEPTED: job_pb2.ATTEMPT_STATE_OFFERED,
        Phase.RUNNING: job_pb2.ATTEMPT_STATE_RUNNING,
        Phase.ENDED: job_pb2.ATTEMPT_STATE_ENDED,
    }
    supervisor = Supervisor(State(inventory()), Settings(), lambda: 0.5)
    hello = supervisor.hello("s", Moment(1.0, WALL))
    for phase, state in states.items():
        held = (Held(one(), phase, 5.0),)
        sent = type(hello)("s", 1, held, hello.capacity, 0)
        assert encode(sent, PROFILE).hello.attempts[0].state == state


def test_a_log_answer_carries_its_failure() -> None:
    body = log_chunk("s", LogAnswer("9", b"x", 1, True, 2, BAD)).log_chunk
    assert (body.request_id, body.data, body.next_offset) == ("9", b"x", 1)
    assert (body.at_end, body.ranks, body.failure.code) == (True, 2, "NonZeroExit")


def decoded(**body: object) -> tuple[object, ...]:
    return Decoder(30.0).decode(session_pb2.BrokerMessage(**body))  # type: ignore[arg-type]


def test_the_brokers_words_become_events() -> None:
    id = session_pb2.AttemptId(job_id="j1", epoch=1)
    verdicts = session_pb2.Verdicts(session="s", term=2, keep=[id], expect=[id], hello=True)
    assert decoded(verdicts=verdicts) == (
        VerdictsReceived("s", 2, keep=(one(),), expect=(one(),), hello=True, protocol=1),
    )
    reply = session_pb2.HeartbeatReply(session="s", seq=4, term=2, reconcile=True, stop=[id])
    assert decoded(heartbeat_reply=reply) == (HeartbeatReplied("s", 4, 2, True, (one(),)),)
    stops = session_pb2.Stops(session="s", stops=[session_pb2.Stop(id=id, reason="Preempted")])
    assert decoded(stops=stops) == (StopReceived("s", one(), "Preempted"),)
    goodbye = session_pb2.Goodbye(code="TermPassed", message="m")
    assert decoded(goodbye=goodbye) == (Goodbye("TermPassed", "m"),)
    asked = session_pb2.LogRequest(request_id="1", id=id, stream="stderr", offset=5)
    (request,) = decoded(log_request=asked)
    assert isinstance(request, LogRequest)
    assert (request.name, request.offset, request.stream) == ("suan-j1-1", 5, "stderr")


def test_what_is_newer_than_this_agent_is_passed_over() -> None:
    assert Decoder(30.0).decode(session_pb2.BrokerMessage()) == ()


def granted(decoder: Decoder, spec: JobSpec | bytes, **fields: object) -> GrantsReceived:
    data = spec if isinstance(spec, bytes) else spec_bytes(spec)
    digest = _digest(data)
    id = session_pb2.AttemptId(job_id="j1", epoch=3)
    body = session_pb2.Grant(id=id, spec_sha256=digest, **fields)  # type: ignore[arg-type]
    grants = session_pb2.Grants(session="s", term=1, grants=[body], specs={digest: data})
    (event,) = decoder.decode(session_pb2.BrokerMessage(grants=grants))
    assert isinstance(event, GrantsReceived)
    return event


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_a_grant_carries_what_its_variant_asks_for() -> None:
    spec = JobSpec(
        variants=(
            Variant("hygon-k100-ai", run="other"),
            Variant(AcceleratorClass(), 2, 4, setup="prepare", run="train"),
        ),
        environment=(("A", "1"),),
        time_limit_seconds=60.0,
        launch=SpecLaunch.PER_CARD,
    )
    slices = [session_pb2.Slice(supernode="s0", num_nodes=2, cards=4)]
    event = granted(Decoder(30.0), spec, variant=1, slices=slices, array_id="a", array_index=7)
    (grant,) = event.grants
    assert (grant.name, grant.array_id, grant.array_index) == ("suan-j1-3", "a", 7)
    task = grant.task
    assert not isinstance(task, Failure)
    assert (task.setup, task.run, task.model, task.launch) == (
        "prepare",
        "train",
        "",
        Launch.PER_CARD,
    )
    assert (task.num_nodes, task.cards_per_node, task.ranks) == (2, 4, 8)
    assert (task.environment, task.time_limit_seconds) == ((("A", "1"),), 60.0)
    assert task.grace_seconds == 30.0


@pytest.mark.parametrize(
    ("spec", "variant", "category", "code"),
    [(b"\xff\xff", 0, "user", "UnreadableSpec"), (job(), 1, "broker", "BadGrant")],
)
def test_what_cannot_be_read_is_a_fault_of_the_grant(
    spec: JobSpec | bytes, variant: int, category: str, code: str
) -> None:
    (grant,) = granted(Decoder(30.0), spec, variant=variant).grants
    assert isinstance(grant.task, Failure)
    assert (grant.task.category, grant.task.code) == (category, code)


def test_a_spec_is_sent_once_and_missed_when_it_was_not() -> None:
    decoder = Decoder(30.0)
    granted(decoder, job("echo 1"))
    known = session_pb2.Grant(spec_sha256=_digest(spec_bytes(job("echo 1"))))
    decoder.decode(session_pb2.BrokerMessage(grants=session_pb2.Grants(grants=[known])))
    unknown = session_pb2.Grant(spec_sha256="0" * 64)
    with pytest.raises(SpecMissing):
        decoder.decode(session_pb2.BrokerMessage(grants=session_pb2.Grants(grants=[unknown])))


def test_specs_are_bounded_and_never_taken_for_another() -> None:
    room = SPEC_OVERHEAD_BYTES + 200
    specs = Specs(30.0, bytes_max=room)
    first, second = spec_bytes(job("echo 1")), spec_bytes(job("echo 2"))
    specs.add(_digest(first), second)
    with pytest.raises(SpecMissing):
        specs.task(_digest(first), 0)
    specs.add(_digest(first), first)
    specs.add(_digest(second), second)
    with pytest.raises(SpecMissing):
        specs.task(_digest(first), 0)
    assert not isinstance(specs.task(_digest(second), 0), Failure)


# --- the stream ---------------------------------------------------------------------


class Site:
    """A session whose events a test reads."""

    def __init__(self, address: str) -> None:
        self.events: list[Event] = []
        self._changed = asyncio.Condition()
        self.session = Session(
            PROFILE,
            30.0,
            lambda: grpc.aio.insecure_channel(address),
            self._deliver,
            self._answer,
            lambda: Unavailable("nothing answers", "", "BrokerUnreachable"),
            QUICK,
        )

    async def _deliver(self, event: Event) -> None:
        if isinstance(event, Opened):
            supervisor = Supervisor(State(inventory()), Settings(), lambda: 0.5)
            self.session.send(supervisor.hello(event.session, Moment(1.0, WALL)))
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    async def _answer(self, request: LogRequest) -> LogAnswer:
        return LogAnswer(request.request_id, b"log", 3, True, 1)

    async def until(self, condition: Callable[[list[Event]], bool]) -> None:
        async with asyncio.timeout(30.0), self._changed:
            await self._changed.wait_for(lambda: condition(self.events))

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)


@asynccontextmanager
async def dialling(address: str) -> AsyncIterator[Site]:
    """A session that runs."""
    site = Site(address)
    running = asyncio.create_task(site.session.run())
    try:
        yield site
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_new_stream_is_a_new_session() -> None:
    broker = ScriptedBroker()
    async with serving(broker) as address, dialling(address) as site:
        await site.until(lambda _: site.count(VerdictsReceived) == 1)
        broker.talk.end()
        await site.until(lambda _: site.count(VerdictsReceived) == 2)
    kinds = [type(event) for event in site.events]
    assert kinds[:5] == [Opened, VerdictsReceived, Closed, Opened, VerdictsReceived]
    first, second = (talk.hello.session for talk in broker.talks[:2])
    assert first != second
    assert len(first) == len(second) == 32


async def test_a_broker_that_is_not_there_is_dialled_until_it_is() -> None:
    broker = ScriptedBroker()
    async with serving(broker) as address:
        pass
    async with dialling(address) as site, serving(ScriptedBroker(), address):
        await site.until(lambda _: site.count(VerdictsReceived) == 1)


async def test_a_spec_that_was_never_sent_ends_the_session_and_heals_it() -> None:
    broker = ScriptedBroker()
    async with serving(broker) as address, dialling(address) as site:
        await site.until(lambda _: site.count(VerdictsReceived) == 1)
        broker.grant(("j1", 1), with_spec=False)
        await site.until(lambda _: site.count(VerdictsReceived) == 2)
        broker.grant(("j1", 1))
        await site.until(lambda _: site.count(GrantsReceived) == 1)


async def test_log_requests_are_answered_on_the_stream() -> None:
    broker = ScriptedBroker()
    async with serving(broker) as address, dialling(address) as site:
        await site.until(lambda _: site.count(VerdictsReceived) == 1)
        assert (await broker.read_log("j1", 1)).data == b"log"


async def test_messages_of_another_session_are_not_sent() -> None:
    broker = ScriptedBroker()
    async with serving(broker) as address, dialling(address) as site:
        await site.until(lambda _: site.count(VerdictsReceived) == 1)
        site.session.send(SendHeartbeat("an earlier one", 1, 0, 0, 0))
        site.session.send(SendHeartbeat(broker.talk.hello.session, 2, 0, 0, 0))
        await broker.until(lambda: broker.talk.heard)
        assert broker.talk.heard[0].heartbeat.seq == 2


async def test_a_site_name_that_is_taken_ends_an_agent_that_is_new() -> None:
    broker = ScriptedBroker()
    broker.goodbye = "SiteNameTaken"
    async with serving(broker) as address:
        with pytest.raises(Conflict) as caught:
            await Site(address).session.run()
    assert caught.value.code == "SiteNameTaken"
    assert caught.value.hint


@pytest.mark.parametrize("code", ["SiteNameTaken", "TermPassed", "SiteUnknown"])
async def test_an_agent_that_was_welcome_before_goes_on_trying(code: str) -> None:
    """It has jobs to look after: only at its start a taken name is somebody else's."""
    broker = ScriptedBroker()
    async with serving(broker) as address, dialling(address) as site:
        await site.until(lambda _: site.count(VerdictsReceived) == 1)
        broker.goodbye = code
        broker.talk.end()
        await site.until(lambda _: site.count(Closed) >= 2)
        assert isinstance(site.session.problem, SuanError)
        assert site.session.problem.code == code
        broker.goodbye = ""
        await site.until(lambda _: site.count(VerdictsReceived) == 2)
        assert site.session.problem is None


async def test_without_a_stream_single_calls_say_so() -> None:
    site = Site("127.0.0.1:1")
    with pytest.raises(Unavailable) as caught:
        _ = site.session.channel
    assert caught.value.code == "NotConnected"
