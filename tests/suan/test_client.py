"""The asynchronous client against a stand-in broker over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar, cast

import grpc
import pytest
from standin import Fault, Identities, Served, identities, served

import suan.logs
from scheduler.model import Link, Network, NetworkNode, Verdict
from suan import administration, client, retry
from suan.client import Client
from suan.errors import (
    Conflict,
    DeadlineExceeded,
    ExitCode,
    InvalidSpec,
    NotFound,
    PermissionDenied,
    SuanError,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from suan.models import ArrayRange, JobSpec, JobState, Variant
from suan.network.file import NetworkFile
from suan.submission import SubmitRefused, batches, submissions
from suan.v1 import admin_service_pb2 as admin_pb
from suan.v1 import jobs_service_pb2 as pb
from suan.views import Dataset, Replica

T = TypeVar("T")
SPEC = JobSpec(name="train", variants=(Variant("ascend-910b", run="python train.py"),))
LOST = Fault(after=True)


def call(stand: Served, work: Callable[[Client], Awaitable[T]], **options: Any) -> T:
    """The result of `work(client)` for a user of the stand-in."""

    async def done() -> T:
        async with Client.connect(
            address=stand.address, identity=options.pop("identity", stand.keys.user), **options
        ) as opened:
            opened.transport.backoff = retry.Backoff(0.001, 0.01)
            return await work(opened)

    return asyncio.run(asyncio.wait_for(done(), 30))


async def collected(items: Any, count: int = 0) -> list[Any]:
    """The items, or only the first `count` of them."""
    found: list[Any] = []
    async with contextlib.aclosing(items):
        async for item in items:
            found.append(item)
            if count and len(found) == count:
                break
    return found


# --- submitting -------------------------------------------------------------


def test_submit_answers_the_id_that_it_minted(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    assert submitted.accepted and not submitted.existed and not submitted.array_id
    assert list(stand.broker.jobs) == [submitted.id]


def test_a_lost_answer_does_not_make_a_second_job(stand: Served) -> None:
    stand.broker.fail("Submit", LOST, LOST)
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    assert stand.broker.count("Submit") == 3
    assert submitted.existed
    assert list(stand.broker.jobs) == [submitted.id]


def test_an_array_is_sent_in_batches_that_share_its_id(stand: Served) -> None:
    spec = JobSpec(variants=SPEC.variants, name="sweep", array=ArrayRange(0, 2402, 2))
    submitted = call(stand, lambda c: c.submit(spec))
    sizes = [len(request.jobs) for name, request in stand.broker.requests if name == "Submit"]
    assert sizes == [500, 500, 202]
    assert len({item.array_id for item in submitted}) == 1 and submitted[0].array_id
    assert len({item.id for item in submitted}) == 1202
    assert [item.array_index for item in submitted] == list(range(0, 2403, 2))


def test_batches_keep_below_two_mebibytes() -> None:
    large = JobSpec(variants=(Variant("ascend-910b", run="x" * 120_000),) * 4)
    jobs = [job for _ in range(9) for job in submissions(large)]
    sizes = [sum(len(job.spec) for job in batch) for batch in batches(jobs)]
    assert len(sizes) == 3 and max(sizes) <= 2 * 1024 * 1024
    assert [job for batch in batches(jobs) for job in batch] == jobs


def test_a_refusal_is_an_error_that_keeps_what_was_accepted(stand: Served) -> None:
    stand.broker.refusals["second"] = "QueueFull"
    specs = [JobSpec(variants=SPEC.variants, name=name) for name in ("first", "second")]
    with pytest.raises(SubmitRefused) as caught:
        call(stand, lambda c: c.submit(specs))
    error = caught.value
    assert (error.code, error.hint) == ("QueueFull", "wait")
    assert "1 of 2 jobs were refused" in error.message
    assert [item.accepted for item in error.submissions] == [True, False]
    assert [job.name for job in stand.broker.jobs.values()] == ["first"]


def test_a_spec_too_large_is_not_even_sent(stand: Served) -> None:
    huge = JobSpec(variants=(Variant("ascend-910b", run="x" * 600_000),))
    with pytest.raises(InvalidSpec):
        call(stand, lambda c: c.submit(huge))
    assert stand.broker.requests == []


def test_the_working_directory_travels_along_once(stand: Served, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("print(1)\n")
    specs = [JobSpec(variants=SPEC.variants, name=name, working_directory="src") for name in "ab"]
    call(stand, lambda c: c.submit(specs, directory=tmp_path))
    assert stand.broker.count("PutBundle") == 1
    ((digest, data),) = stand.broker.bundles.items()
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        assert archive.getnames() == ["train.py"]
    for job_id in stand.broker.jobs:
        spec = call(stand, lambda c, j=job_id: c.spec(j))  # type: ignore[misc]
        assert spec.bundle is not None
        assert (spec.bundle.sha256, spec.working_directory) == (digest, "")


# --- looking ----------------------------------------------------------------


def test_list_goes_over_all_pages(stand: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE_JOBS", 7)
    call(stand, lambda c: c.submit([SPEC] * 20))
    jobs = call(stand, lambda c: collected(c.list()))
    assert [job.id for job in jobs] == list(reversed(stand.broker.jobs))
    assert stand.broker.count("List") == 3


def test_list_filters(stand: Served) -> None:
    specs = [JobSpec(variants=SPEC.variants, name=name) for name in ("one", "two")]
    one, two = call(stand, lambda c: c.submit(specs))
    stand.do(lambda: stand.broker.end(one.id))
    found = call(stand, lambda c: collected(c.list(states=[JobState.SUCCEEDED])))
    assert [job.id for job in found] == [one.id]
    found = call(stand, lambda c: collected(c.list(name_prefix="tw")))
    assert [job.id for job in found] == [two.id]


def test_watch_goes_on_after_a_break_without_loss_or_repetition(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    stand.broker.cut("Watch", 2, 3)

    async def watched(c: Client) -> list[int]:
        revisions: list[int] = []
        async with contextlib.aclosing(c.watch([submitted.id])) as jobs:
            async for job in jobs:
                revisions.append(job.revision)
                if len(revisions) == 9:
                    break
                stand.do(lambda: stand.broker.change(submitted.id, priority=len(revisions)))
        return revisions

    assert call(stand, watched) == list(range(1, 10))
    assert stand.broker.count("Watch") == 3


def test_a_watch_outlives_a_restart_of_the_broker(keys: Identities) -> None:
    async def watched(first: Served, ends: contextlib.ExitStack) -> list[int]:
        async with Client.connect(address=first.address, identity=keys.user) as c:
            c.transport.backoff = retry.Backoff(0.001, 0.01)
            (submitted,) = await c.submit(SPEC)
            async with contextlib.aclosing(c.watch([submitted.id])) as jobs:
                seen = [(await anext(jobs)).revision]
                await asyncio.to_thread(ends.close)
                with served(keys, before=first) as second:
                    second.do(lambda: second.broker.remember(first.broker))
                    second.do(lambda: second.broker.begin(submitted.id))
                    seen.append((await anext(jobs)).revision)
        return seen

    with contextlib.ExitStack() as ends:
        first = ends.enter_context(served(keys))
        assert asyncio.run(asyncio.wait_for(watched(first, ends), 60)) == [1, 2]


def test_wait_answers_in_the_order_of_the_ids(
    stand: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "IDS_MAX", 2)
    ids = [item.id for item in call(stand, lambda c: c.submit([SPEC] * 5))]
    stand.do(lambda: stand.broker.end(ids[3], exit_code=7))

    async def waited(c: Client) -> Any:
        waiting = asyncio.create_task(c.wait(ids))
        for job_id in (ids[4], ids[0], ids[2], ids[1]):
            stand.do(lambda job_id=job_id: stand.broker.end(job_id))
        return await waiting

    jobs = call(stand, waited)
    assert [job.id for job in jobs] == ids
    assert [job.exit_code for job in jobs] == [0, 0, 0, 7, 0]
    assert call(stand, lambda c: c.wait([])) == ()


def test_cancel_says_what_became_of_each(stand: Served) -> None:
    ids = [item.id for item in call(stand, lambda c: c.submit([SPEC, SPEC]))]
    answers = call(stand, lambda c: c.cancel(ids, "wrong"))
    assert [(item.id, item.accepted) for item in answers] == [(each, True) for each in ids]


def test_explain_and_plan_mirror_the_record(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    stand.broker.explanation = pb.Explanation(
        verdict="wait",
        examined_pools=2,
        examined_cards=64,
        rejections=[pb.Rejection(code="NotFreeNow", cards=64, pools=["a/b"], fix_by="wait")],
        candidates=[pb.Candidate(pool="a/b", score=pb.Score(run_seconds=60), chosen=True)],
        suggestions=[pb.Suggestion(change="1 node", pool="a/b", starts="now")],
        position=3,
        decided_at=5.0,
    )
    explained = call(stand, lambda c: c.explain(submitted.id))
    planned = call(stand, lambda c: c.plan(SPEC))
    assert explained.job.id == submitted.id
    assert explained.explanation == planned
    assert planned.verdict is Verdict.WAIT
    assert (planned.position, planned.decided_at) == (3, 5.0)
    assert planned.rejections[0].pools == ("a/b",)
    assert planned.candidates[0].score.finish_seconds == 60


# --- logs -------------------------------------------------------------------


def text(chunks: list[Any], stream: str = "stdout", rank: int = 0) -> str:
    return b"".join(c.data for c in chunks if (c.stream, c.rank) == (stream, rank)).decode()


def test_logs_survive_breaks_with_each_byte_once(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    stand.do(lambda: stand.broker.begin(submitted.id))
    stand.do(lambda: stand.broker.end(submitted.id))
    written = {(rank, name): f"{rank} {name} é\n" * 5 for rank in (0, 1) for name in OUTPUTS}
    stand.broker.logs = {(1, *key): value.encode() for key, value in written.items()}
    stand.broker.cut("Logs", 3, 1, 20, 0)
    chunks = call(stand, lambda c: collected(c.logs(submitted.id)))
    assert {key: text(chunks, key[1], key[0]) for key in written} == written
    assert stand.broker.count("Logs") == 5


OUTPUTS = ("stdout", "stderr")


def test_following_goes_from_attempt_to_attempt(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    broker = stand.broker
    broker.logs = {(1, 0, "stdout"): b"first\n", (2, 0, "stdout"): b"second\n"}
    broker.logs_open = {1, 2}

    async def followed(c: Client) -> list[Any]:
        chunks: list[Any] = []
        stand.do(lambda: broker.begin(submitted.id))
        async with contextlib.aclosing(c.logs(submitted.id, follow=True)) as items:
            async for chunk in items:
                chunks.append(chunk)
                if text(chunks) == "first\n":
                    broker.logs_open.discard(1)
                    stand.do(lambda: broker.begin(submitted.id))
                if text(chunks) == "first\nsecond\n":
                    stand.do(lambda: broker.end(submitted.id))
        return chunks

    chunks = call(stand, followed)
    assert text(chunks) == "first\nsecond\n"
    assert {chunk.epoch for chunk in chunks} == {1, 2}


def test_following_leaves_a_lost_site_for_the_next_attempt(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    broker = stand.broker

    def run_elsewhere() -> None:
        broker.begin(submitted.id, site="zhengzhou")
        broker.end(submitted.id)

    away = Unavailable("the site is not connected", "", "SiteAway")
    broker.fail("Logs", Fault(away), Fault(away), Fault(away, meanwhile=run_elsewhere))
    broker.logs = {(2, 0, "stdout"): b"second\n"}
    stand.do(lambda: broker.begin(submitted.id))
    chunks = call(stand, lambda c: collected(c.logs(submitted.id, follow=True)))
    assert text(chunks) == "second\n"


def test_a_follower_goes_on_exactly_where_it_was(stand: Served) -> None:
    """Though only the tail was asked for, and the log grows while nobody listens."""
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    broker = stand.broker
    stand.do(lambda: broker.begin(submitted.id))
    key = (1, 0, "stdout")
    broker.logs = {key: b"old\n" * 50 + b"1st\n2nd\n3rd\n", (1, 1, "stdout"): b""}

    def grow() -> None:
        broker.logs[key] += b"4th\n" * 9 + b"5th"
        broker.logs[1, 1, "stdout"] += b"began\nwhile\nnobody\nlistened\n"
        broker.change(submitted.id)

    broker.cut("Logs", 4)  # three lines, and that the other rank has written nothing

    async def followed(c: Client) -> list[Any]:
        chunks: list[Any] = []
        log = c.logs(submitted.id, follow=True, tail_lines=3, since=5.0)
        async with contextlib.aclosing(log) as items:
            async for chunk in items:
                chunks.append(chunk)
                if len(chunks) == 3:
                    stand.do(grow)
                if text(chunks).endswith("5th"):
                    stand.do(lambda: broker.end(submitted.id))
        return chunks

    broker.logs_open = {1}
    chunks = call(stand, followed)
    assert text(chunks) == "1st\n2nd\n3rd\n" + "4th\n" * 9 + "5th"
    assert text(chunks, rank=1) == "began\nwhile\nnobody\nlistened\n"
    for chunk in chunks:
        whole = broker.logs[chunk.epoch, chunk.rank, chunk.stream]
        assert whole[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data


def test_a_break_between_two_attempts_loses_nothing(stand: Served) -> None:
    """The rest of the first is still read; what was asked of it does not limit the second."""
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    broker = stand.broker
    broker.logs = {(1, 0, "stdout"): b"1st\n2nd\n3rd\n", (2, 0, "stdout"): b"4th\n5th\n"}
    broker.logs_open = {1}
    stand.do(lambda: broker.begin(submitted.id))

    def again() -> None:
        broker.logs_open.clear()
        broker.begin(submitted.id)
        broker.end(submitted.id)

    broker.fail("Logs", Fault(meanwhile=again))
    log = call(stand, lambda c: collected(c.logs(submitted.id, follow=True, tail_lines=1)))
    assert text(log) == "3rd\n4th\n5th\n"
    asked = [request for name, request in broker.requests if name == "Logs"]
    assert [(r.epoch, r.tail_lines, r.follow) for r in asked] == [
        (1, 1, True), (1, 1, False), (2, 0, True),
    ]  # fmt: skip


def test_a_broker_older_than_offsets_is_read_in_order() -> None:
    class Old:
        backoff = retry.Backoff()

        async def stream(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            for data in (b"one", b"two"):
                yield pb.LogsResponse(stream="stdout", data=data, epoch=1)

    async def look() -> Any:
        raise AssertionError("nothing broke")

    log = suan.logs.AttemptLog(suan.logs.Wanted("j"), 0, look)
    chunks = asyncio.run(collected(log.read(cast(Any, Old()), None)))
    assert [(chunk.data, chunk.offset) for chunk in chunks] == [(b"one", 0), (b"two", 3)]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_lost_site_has_a_while_for_the_rest(
    stand: Served, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suan.logs, "REST_SECONDS", 0.05)
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    broker = stand.broker
    broker.logs = {(2, 0, "stdout"): b"second\n"}
    broker.logs_lost = {1}
    stand.do(lambda: broker.begin(submitted.id))

    def over() -> None:
        if elsewhere:
            broker.begin(submitted.id, site="zhengzhou")
        broker.end(submitted.id)

    broker.fail("Logs", Fault(meanwhile=over))
    ended = contextlib.nullcontext() if elsewhere else pytest.raises(Unavailable)
    with ended as caught:
        log = call(stand, lambda c: collected(c.logs(submitted.id, follow=True)))
        assert text(log) == "second\n"
    assert elsewhere or caught.value.code == "LogsIncomplete"


@pytest.mark.parametrize("elsewhere", [True, False])
def test_of_a_lost_site_the_rest_is_what_was_kept(
    stand: Served, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the reader is told; whoever does not follow has it at once."""
    monkeypatch.setattr(suan.logs, "REST_SECONDS", 0.05)
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    broker = stand.broker
    broker.logs = {(2, 0, "stdout"): b"second\n"}
    broker.logs_kept = {1: b"one\ntwo\nthree\n"}
    stand.do(lambda: broker.begin(submitted.id))

    def lose() -> None:
        broker.logs_lost = {1}
        if elsewhere:
            broker.begin(submitted.id, site="zhengzhou")
        broker.end(submitted.id)

    broker.fail("Logs", Fault(meanwhile=lose))
    log = call(stand, lambda c: collected(c.logs(submitted.id, follow=True)))
    assert text(log) == "one\ntwo\nthree\n" + "second\n" * elsewhere
    assert log[0].kept is not None and log[0].kept.site == "east"
    at_once = call(stand, lambda c: collected(c.logs(submitted.id, epoch=1)))
    assert text(at_once) == "one\ntwo\nthree\n" and at_once[0].kept is not None


def test_a_site_that_is_away_is_told_at_once_without_follow(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    stand.do(lambda: stand.broker.begin(submitted.id))
    stand.broker.fail("Logs", Fault(Unavailable("the site is away", "later", "SiteAway")))
    with pytest.raises(Unavailable) as caught:
        call(stand, lambda c: collected(c.logs(submitted.id)))
    assert caught.value.code == "SiteAway"


def test_following_a_job_that_never_began_yields_nothing(stand: Served) -> None:
    (submitted,) = call(stand, lambda c: c.submit(SPEC))
    stand.do(lambda: stand.broker.end(submitted.id, state="CANCELLED"))
    assert call(stand, lambda c: collected(c.logs(submitted.id, follow=True))) == []
    assert stand.broker.count("Logs") == 0


# --- errors -----------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        NotFound("no job x", "see `suan ps`", "JobNotFound"),
        PermissionDenied("用户不可以", "请管理员 · 100 %", "RoleNotAllowed"),
        Conflict("ended: already", "", "AlreadyEnded"),
        SuanError("what", "why\nwhy", "Odd"),
    ],
)
def test_an_error_arrives_as_it_was_sent(stand: Served, error: SuanError) -> None:
    stand.broker.fail("Get", Fault(error))
    with pytest.raises(SuanError) as caught:
        call(stand, lambda c: c.get("x"))
    met = caught.value
    assert (met.message, met.hint, met.code) == (error.message, error.hint, error.code)
    assert stand.broker.count("Get") == 1


def test_a_broker_that_comes_back_is_waited_for(stand: Served) -> None:
    stand.broker.fail("Offers", Fault(), Fault(Unavailable("not the leader")), Fault())
    assert call(stand, lambda c: c.offers()) == ()
    assert stand.broker.count("Offers") == 4


def test_a_token_whose_fate_is_unknown_is_not_asked_for_again(stand: Served) -> None:
    slow = Fault(status=grpc.StatusCode.DEADLINE_EXCEEDED, after=True)
    stand.broker.fail("CreateToken", slow)
    with pytest.raises(DeadlineExceeded):
        call(stand, lambda c: c.create_token("zhengzhou"))
    assert stand.broker.count("CreateToken") == 1


def test_every_call_has_a_deadline(stand: Served) -> None:
    stand.broker.fail("Offers", *[Fault(Unavailable("starting", "wait"))] * 10_000)
    with pytest.raises(Unavailable) as caught:
        call(stand, lambda c: c.offers(), deadline_seconds=0.3)
    assert caught.value.message == "starting"


def test_an_unknown_call_says_that_the_port_may_be_wrong(stand: Served) -> None:
    with pytest.raises(Unsupported) as caught:
        call(stand, lambda c: c.accelerators())
    assert "port" in caught.value.hint


def test_a_silent_port_is_told_and_diagnosed(stand: Served) -> None:
    told: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        nobody = Served(stand.broker, address, stand.keys, stand.loop)
        with pytest.raises(Unavailable) as caught:
            call(
                nobody,
                lambda c: c.offers(),
                deadline_seconds=0.5,
                on_wait=lambda error: told.append(error.code),
            )
    assert caught.value.code == "BrokerUnreachable"
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert told == ["BrokerUnreachable"]


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return identities(tmp_path_factory.mktemp("strangers"))


def test_a_wrong_certificate_fails_at_once_and_says_so(
    stand: Served, strangers: Identities
) -> None:
    with pytest.raises(Unauthenticated) as caught:
        call(stand, lambda c: c.offers(), identity=strangers.user, deadline_seconds=3600)
    assert caught.value.code == "BrokerNotTrusted"
    assert caught.value.exit_code == ExitCode.NOT_AUTHORISED


def test_a_plaintext_port_is_named(stand: Served) -> None:
    async def asked() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Client.connect(address=address, identity=stand.keys.user) as opened:
            await opened.offers()

    with pytest.raises(Unavailable) as caught:
        asyncio.run(asyncio.wait_for(asked(), 30))
    assert caught.value.code == "BrokerNotTls"


# --- administration ---------------------------------------------------------


def test_audit_goes_over_all_pages(stand: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration, "PAGE_AUDIT", 3)
    stand.broker.audit = [
        admin_pb.AuditEntry(seq=seq, at=1.0, actor="a", action="b", hash=b"\x01")
        for seq in range(1, 8)
    ]
    found = call(stand, lambda c: collected(c.audit(1)))
    assert [each.seq for each in found] == [2, 3, 4, 5, 6, 7]
    assert stand.broker.count("ListAudit") == 3


def test_the_network_comes_back_as_it_was_applied(stand: Served) -> None:
    network = Network(
        (NetworkNode("a", "hub", 30.0, 110.0, title="甲"), NetworkNode("b")),
        (Link("a", "b", 25.0, 5.7, 0.03),),
    )
    file = NetworkFile(network, link_sources=("assumed: a test",))
    dry = call(stand, lambda c: c.apply_network(file, dry_run=True))
    assert (dry.nodes, dry.links, dry.changed) == (2, 1, True)
    assert call(stand, lambda c: c.network()).network == Network()
    call(stand, lambda c: c.apply_network(file))
    assert call(stand, lambda c: c.network()) == file
    assert not call(stand, lambda c: c.apply_network(file)).changed


def test_a_dataset_comes_back_as_it_was_put(stand: Served) -> None:
    wudao = Dataset("wudao", 200_000_000_000, (Replica("zhengzhou", "/data"),), ("henan",))
    assert call(stand, lambda c: c.put_dataset(wudao)) == wudao
    assert call(stand, lambda c: c.datasets()) == (wudao,)
    call(stand, lambda c: c.remove_dataset("wudao"))
    assert call(stand, lambda c: c.datasets()) == ()
