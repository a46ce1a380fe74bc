"""What several brokers of one etcd promise each other: one leader, and standbys that know all."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support_core import Forgetful, parse_spec, spec_of
from support_etcd import Etcd, Open, start_writer
from support_standby import Campaign, Mirror, break_watch, code_of, rows_of, tables_of, until

from broker.core.lifecycle import JobState
from broker.core.rows import Audit, Bundle, Delete, Job, Put, Record, Tenant
from broker.core.state import replay
from broker.leadership import StandbyState
from broker.store import StaleTerm, StoreError, codec, load_state
from broker.store.codec import UnreadableRow
from broker.store.etcd import EtcdSettings, EtcdStore
from broker.store.etcd.connection import Cluster, Connection
from broker.store.etcd.follower import Follower
from broker.store.etcd.keys import Keys
from broker.store.etcd.loader import messages, stub


def job(name: str, **more: object) -> Put:
    return Put(Job(name, "lab", "", "li", "train", "sha", 1.0, **more))  # type: ignore[arg-type]


# --- the loader -------------------------------------------------------------------------


def test_the_package_is_read_and_neither_run_nor_changed() -> None:
    script = (
        "import os, sys\n"
        "from broker.store.etcd.loader import messages\n"
        "from google.protobuf import descriptor_pool\n"
        "from google.protobuf.internal import api_implementation\n"
        "request = messages().RangeRequest(key=b'a', limit=3)\n"
        "assert messages().RangeRequest.FromString(request.SerializeToString()) == request\n"
        "assert request.SerializeToString() == bytes([10, 1, 97, 24, 3])\n"
        "assert messages().Event.DELETE == 1\n"
        "try: descriptor_pool.Default().FindMessageTypeByName('etcdserverpb.RangeRequest')\n"
        "except KeyError: pass\n"
        "else: raise SystemExit('in the default pool')\n"
        "print(api_implementation.Type(), 'etcd3' in sys.modules)\n"
        "print('PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION' in os.environ)\n"
    )
    told = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(told, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["upb", "False", "False"], "")


def test_fields_that_came_later_are_known() -> None:
    wire = messages()
    assert wire.WatchCreateRequest(fragment=True).SerializeToString() == b"\x40\x01"
    assert wire.WatchResponse.FromString(b"\x38\x01").fragment
    assert wire.StatusResponse.FromString(b"\x48\x05").dbSizeInUse == 5


def test_every_service_has_its_methods() -> None:
    import grpc

    with grpc.insecure_channel("127.0.0.1:1") as channel:
        assert vars(stub(channel, "KV")).keys() == {"Range", "Put", "DeleteRange", "Txn", "Compact"}
        assert {"LeaseGrant", "LeaseKeepAlive"} < vars(stub(channel, "Lease")).keys()


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from broker.store.etcd import loader

    monkeypatch.setattr(loader, "find_spec", lambda name: None)
    with pytest.raises(StoreError, match="StoreNotInstalled"):
        loader._embedded("kv")


# --- one leader ---------------------------------------------------------------------------


def test_of_two_brokers_one_leads_and_the_other_takes_over(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    first, second, mirror = opened(settings), opened(settings), Mirror()
    term = first.campaign(Forgetful())
    first.commit([job("a")], term)
    campaign = Campaign(second, mirror)
    first.commit([job("b")], term)
    until(lambda: mirror.rows.keys() == {"job/a", "job/b"})
    assert campaign.waits
    assert second.led_seconds() == 0.0
    assert 0 < first.led_seconds() <= settings.lease_seconds
    first.commit([Delete("job/a")], term)
    first.close()
    assert campaign.wait() == term + 1
    assert mirror.rows.keys() == {"job/b"}
    assert second.led_seconds() > 0
    second.commit([job("c")], term + 1)


def test_many_brokers_have_one_leader_at_a_time(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    campaigns = [Campaign(opened(settings), Mirror()) for _ in range(5)]
    terms = []
    while campaigns:
        until(lambda: any(not campaign.waits for campaign in campaigns))
        leaders = [campaign for campaign in campaigns if not campaign.waits]
        assert len(leaders) == 1
        terms.append(leaders[0].wait())
        leaders[0].store.commit([job(f"by-{terms[-1]}")], terms[-1])
        leaders[0].store.close()
        campaigns.remove(leaders[0])
    assert terms == sorted(set(terms))
    assert len(rows_of(opened(settings))) == 5


def test_a_leader_whose_lease_is_lost_writes_nothing_more(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    first, second, mirror = opened(settings), opened(settings), Mirror()
    term = first.campaign(Forgetful())
    first.commit([job("a")], term)
    campaign = Campaign(second, mirror)
    etcd.end_lead(settings)
    new = campaign.wait()
    with pytest.raises(StaleTerm, match=f"term {term} has passed, {new} leads"):
        first.commit([job("late")], term)
    with pytest.raises(StaleTerm):
        first.commit([job(f"late-{n}") for n in range(1_000)], term)
    assert first.led_seconds() == 0.0
    second.commit([job("b")], new)
    assert rows_of(second).keys() == mirror.rows.keys() | {"job/b"} == {"job/a", "job/b"}


def test_a_leader_without_its_lease_writes_nothing_though_nobody_else_leads(
    etcd: Etcd, opened: Open
) -> None:
    settings = etcd.settings()
    store = opened(settings)
    term = store.campaign(Forgetful())
    store.commit([job("a")], term)
    etcd.end_lead(settings)
    with pytest.raises(StaleTerm, match="nobody leads"):
        store.commit([job("b")], term)
    assert rows_of(store).keys() == {"job/a"}
    assert store.led_seconds() == 0.0
    store.commit([job("c")], store.campaign(Forgetful()))


def test_a_lease_that_nobody_renews_ends_here_before_it_ends_there(
    etcd: Etcd, opened: Open
) -> None:
    settings = etcd.settings(lease_seconds=2, renew_seconds=0.5)
    first, second = opened(settings), opened(settings)
    first.campaign(Forgetful())
    campaign = Campaign(second, Mirror())
    lease = first._lead.lease  # type: ignore[union-attr]
    lease._ended.set()
    lease._thread.join()
    lease._ended.clear()  # it counts on, and nobody renews it
    assert first.led_seconds() > 0
    while first.led_seconds() > 0:
        assert campaign.waits, "two lead at once"
        time.sleep(0.001)
    campaign.wait()


def test_a_stopped_process_knows_at_once_that_its_time_has_passed(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings(lease_seconds=2, renew_seconds=0.5)
    second = opened(settings)
    writer = start_writer(settings, 10)
    try:
        assert writer.stdout is not None
        while writer.stdout.readline() != "5\n":
            pass
        campaign = Campaign(second, Mirror())
        writer.send_signal(signal.SIGSTOP)
        etcd.end_lead(settings)
        term = campaign.wait()
        second.commit([job("by the second")], term)
        before = rows_of(second)
        writer.send_signal(signal.SIGCONT)
        *numbers, last = writer.stdout.read().split()
        assert last == "ended"
        assert rows_of(second) == before
        told = {f"job/j{number}-{row}" for number in numbers for row in range(10)}
        assert told <= before.keys()
    finally:
        writer.kill()
        writer.wait()


def test_the_clock_that_ran_furthest_counts(
    etcd: Etcd, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept knows it from one of its clocks, and one is enough."""
    store = opened(etcd.settings(lease_seconds=60, renew_seconds=20.0))
    store.campaign(Forgetful())
    assert 50 < store.led_seconds() <= 60 * (1 - 0.001) ** 2
    real = time.clock_gettime

    def after_sleep(clock: int) -> float:
        return real(clock) + (61.0 if clock == time.CLOCK_BOOTTIME else 0.0)

    monkeypatch.setattr("broker.store.etcd.lease.time.clock_gettime", after_sleep)
    assert store.led_seconds() == 0.0


def test_a_late_copy_of_an_own_write_changes_nothing(etcd: Etcd, opened: Open) -> None:
    """A stopped node may deliver a write that was since tried again elsewhere."""
    store = opened(etcd.settings())
    term = store.campaign(Forgetful())
    sent: list[object] = []
    call = store._rows.call

    def record(method: str, request: object, *more: object, **options: object) -> object:
        sent.append(request)
        return call(method, request, *more, **options)  # type: ignore[arg-type]

    store._rows.call = record  # type: ignore[method-assign]
    store.commit([job("a", priority=1)], term)
    store.commit([job("a", priority=2)], term)
    copy = sent[0]
    assert b'"priority":1' in copy.SerializeToString()  # type: ignore[attr-defined]
    raw = etcd.raw()
    assert not raw.kv.Txn(copy, timeout=5.0).succeeded
    raw.close()
    assert list(store.load()) == [job("a", priority=2)]
    store.commit([job("a", priority=3)], term)
    assert list(store.load()) == [job("a", priority=3)]


def test_the_wait_for_the_lead_ends_when_the_store_is_closed(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    first, second = opened(settings), opened(settings)
    first.campaign(Forgetful())
    mirror = Mirror()
    campaign = Campaign(second, mirror)
    until(lambda: mirror.loads == 1)
    second.close()
    with pytest.raises(StoreError, match="StoreClosed"):
        campaign.wait()
    with pytest.raises(StoreError, match="StoreClosed"):
        second.campaign(Forgetful())
    with pytest.raises(StoreError, match="StoreClosed"):
        second.commit([job("a")], 1)


def test_a_broker_that_cannot_read_the_rows_gives_the_lead_up(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    raw = etcd.raw()
    raw.put(settings.prefix + b"rows/job/a", b"not json")
    store = opened(settings)
    with pytest.raises(UnreadableRow, match="row job/a"):
        store.campaign(Mirror())
    assert store.led_seconds() == 0.0
    assert raw.pairs(settings.prefix + b"leader") == {}
    raw.delete(settings.prefix + b"rows/job/a")
    raw.close()
    store.commit([job("a")], store.campaign(Mirror()))


def test_federations_share_an_etcd_and_nothing_else(etcd: Etcd, opened: Open) -> None:
    one, other = opened(etcd.settings(federation="x")), opened(etcd.settings(federation="xy"))
    one.commit([job("a")], one.campaign(Forgetful()))
    other.commit([job("b")], other.campaign(Forgetful()))
    assert rows_of(one).keys() == {"job/a"}
    assert rows_of(other).keys() == {"job/b"}


# --- standbys -------------------------------------------------------------------------------


def history(chance: random.Random, commits: int) -> Iterator[list[Record]]:
    """Commits as a broker makes them: jobs come with their specs, end, and are forgotten."""
    live: list[Job] = []
    specs = [spec_of(f"s{number}") for number in range(5)]
    seq = 0
    yield [Put(spec) for spec in specs]
    for number in range(commits):
        records: list[Record] = []
        for row in range(chance.choice((1, 3, 40))):
            spec = chance.choice(specs)
            new = Job(f"j{number}-{row}", "lab", "", "li", "t", spec.sha256, float(number))
            live.append(new)
            records.append(Put(new))
            seq += 1
            records.append(Put(Audit(seq, float(number), "li", "submit", new.id, "", str(seq))))
        for _ in range(chance.choice((0, 2, 20))):
            index = chance.randrange(len(live))
            if live[index].terminal:
                records.append(Delete(live.pop(index).key))
                if not live:
                    break
            else:
                live[index] = replace(
                    live[index], state=JobState.SUCCEEDED, finished_at=float(number), revision=seq
                )
                records.append(Put(live[index]))
        if chance.random() < 0.3:
            data = chance.randbytes(chance.choice((10, 3_000, 9_000)))
            records.append(Put(Bundle(f"b{chance.randrange(4)}", data, "lab", 0.0)))
        yield records


@pytest.mark.parametrize("number", range(4))
def test_the_standbys_state_is_that_of_a_fresh_load(etcd: Etcd, opened: Open, number: int) -> None:
    """Small limits, so that commits go in pieces, rows in parts, and the watch breaks often."""
    settings = etcd.settings(operations_max=8, request_bytes_max=4_096 + 3_000)
    first, second, standby = opened(settings), opened(settings), StandbyState()
    term = first.campaign(Forgetful())
    campaign = Campaign(second, standby)
    chance = random.Random(number)
    for records in history(chance, 25):
        first.commit(records, term)
        if chance.random() < 0.3:
            break_watch(second)
    first.close()
    campaign.wait()
    assert tables_of(standby.state) == tables_of(replay(load_state(second)))
    assert len(standby.state.jobs) > 50


def test_a_standby_sees_a_commit_in_pieces_at_once(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    first, second, mirror = opened(settings), opened(settings), Mirror()
    term = first.campaign(Forgetful())
    campaign = Campaign(second, mirror)
    until(lambda: mirror.loads == 1)
    first.commit([job(str(n)) for n in range(10_000)], term)
    first.commit([job("last")], term)
    until(lambda: "job/last" in mirror.rows)
    assert mirror.batches == [10_000, 1]
    assert mirror.loads == 1
    first.close()
    campaign.wait()
    assert mirror.rows == rows_of(second)


def test_large_commits_reach_a_standby_that_fell_behind(etcd: Etcd, opened: Open) -> None:
    """etcd sends them in fragments, whose joints lie within commits."""
    settings = etcd.settings()
    first, second = opened(settings), opened(settings)
    term = first.campaign(Forgetful())
    sleeper = Sleeper()
    campaign = Campaign(second, sleeper)
    until(lambda: sleeper.loads == 1)
    first.commit([job("a")], term)
    assert sleeper.asleep.wait(20)
    break_watch(second)
    for number in range(6):
        rows = [Put(Bundle(f"b{number}-{row}", bytes(60_000), "lab", 0.0)) for row in range(16)]
        first.commit(rows, term)
    sleeper.awake.set()
    first.close()
    campaign.wait()
    assert sleeper.loads == 1, "it went on from where it was"
    assert sleeper.rows == rows_of(second)
    assert len(sleeper.rows) == 1 + 6 * 16


def test_a_commit_that_comes_in_fragments_is_handed_on_whole() -> None:
    settings = EtcdSettings(("127.0.0.1:1",), "f")
    connection, keys, mirror = Connection(settings, Cluster()), Keys(settings.prefix), Mirror()
    follower = Follower(connection, keys, parse_spec, mirror)
    wire = messages()

    def hear(fragment: bool, *events: tuple[int, str]) -> None:
        response = wire.WatchResponse(fragment=fragment)
        for revision, name in events:
            row = job(name)
            pair = wire.KeyValue(
                key=keys.row(row.key), value=codec.encode(row.row), mod_revision=revision
            )
            response.events.add(kv=pair)
        follower._hear(response)

    hear(True, (1, "a"), (2, "b"))
    assert (set(mirror.rows), follower.revision) == ({"job/a"}, 1)
    hear(True, (2, "c"))
    assert (set(mirror.rows), follower.revision) == ({"job/a"}, 1)
    hear(False, (2, "d"), (3, "e"))
    assert mirror.batches == [1, 4]
    assert follower.revision == 3
    connection.close()


def test_a_standby_that_slept_through_compaction_begins_anew(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    first, second = opened(settings), opened(settings)
    term = first.campaign(Forgetful())
    sleeper = Sleeper()
    campaign = Campaign(second, sleeper)
    until(lambda: sleeper.loads == 1)
    first.commit([job("a")], term)
    assert sleeper.asleep.wait(20)
    break_watch(second)
    for number in range(20):
        first.commit([job(f"b{number}")], term)
    first.commit([Delete("job/b0")], term)
    raw = etcd.raw()
    revision = first._lead.writer.revision  # type: ignore[union-attr]
    raw.kv.Compact(messages().CompactionRequest(revision=revision), timeout=5.0)
    raw.close()
    first.commit([job("c")], term)
    sleeper.awake.set()
    until(lambda: "job/c" in sleeper.rows)
    assert sleeper.loads == 2
    first.close()
    campaign.wait()
    assert sleeper.rows == rows_of(second)


class Sleeper(Mirror):
    """A standby that sleeps over the first records that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Event()
        self.awake = threading.Event()

    def apply(self, records: Sequence[Record]) -> None:
        self.asleep.set()
        assert self.awake.wait(20)
        super().apply(records)


# --- much at once -----------------------------------------------------------------------------


def test_a_commit_of_ten_thousand_rows(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    store = opened(settings)
    term = store.campaign(Forgetful())
    store.commit([job(f"{n:05}") for n in range(10_000)], term)
    store.commit(
        [
            *(job(f"{n:05}", priority=1) for n in range(5_000)),
            *(Delete(f"job/{n:05}") for n in range(5_000, 10_000)),
        ],
        term,
    )
    rows = list(opened(settings).load())
    assert rows == [job(f"{n:05}", priority=1) for n in range(5_000)]
    raw = etcd.raw()
    assert raw.pairs(settings.prefix + b"pending") == {}
    assert raw.pairs(settings.prefix + b"ready") == {}
    raw.close()


@pytest.mark.parametrize("size", [1_000_000, 1_200_000, 8 << 20])
def test_a_row_that_no_request_can_carry(etcd: Etcd, opened: Open, size: int) -> None:
    settings = etcd.settings()
    store = opened(settings)
    term = store.campaign(Forgetful())
    data = random.Random(size).randbytes(size)
    bundle = Put(Bundle("b", data, "lab", 0.0))
    store.commit([job("a"), bundle, job("c")], term)
    assert list(store.load("bundle/")) == [bundle]
    again = Put(Bundle("b", data[::-1], "lab", 1.0))
    store.commit([again], term)
    other, mirror = opened(settings), Mirror()
    store.close()
    term = other.campaign(mirror)
    assert mirror.rows["bundle/b"] == again.row
    other.commit([Delete("bundle/b")], term)
    assert rows_of(other).keys() == {"job/a", "job/c"}
    raw = etcd.raw()
    assert raw.pairs(settings.prefix + b"parts") == {}, "no part is left behind"
    raw.close()


def test_parts_that_no_row_names_are_swept_away(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    store = opened(settings)
    bundle = Put(Bundle("b", bytes(3 << 20), "lab", 0.0))
    store.commit([bundle], store.campaign(Forgetful()))
    raw = etcd.raw()
    raw.put(settings.prefix + b"parts/bundle/x/0123/000000", b"of a commit that never came")
    raw.put(settings.prefix + b"parts/bundle/b/0123/000000", b"of another")
    store.campaign(Forgetful())
    places = {key.rsplit(b"/", 2)[1] for key in raw.pairs(settings.prefix + b"parts/")}
    raw.close()
    assert len(places) == 1
    assert b"0123" not in places
    assert list(store.load()) == [bundle]


def test_damaged_parts_are_seen(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    store = opened(settings)
    store.commit([Put(Bundle("b", bytes(3 << 20), "lab", 0.0))], store.campaign(Forgetful()))
    raw = etcd.raw()
    raw.put(next(iter(raw.pairs(settings.prefix + b"parts/"))), b"not what was written")
    raw.close()
    with pytest.raises(StoreError, match="StoreDamaged"):
        list(store.load())


@pytest.mark.parametrize("last", [1, 9, 100, 999, 1_000, 2_500])
def test_the_tail_of_a_long_log(etcd: Etcd, opened: Open, last: int) -> None:
    store = opened(etcd.settings(federation="long"))
    if not any(True for _ in store.load("audit/", last=1)):
        term = store.campaign(Forgetful())
        entries = [Put(Audit(7 * n, 0.0, "", "", "", "", "")) for n in range(2_000)]
        store.commit([*entries, Put(Tenant("z")), job("a")], term)
    found = [put.key for put in store.load("audit/", last=last)]
    assert found == [f"audit/{7 * n:016d}" for n in range(2_000)][-last:]


@pytest.mark.parametrize(
    ("wrong", "rows"),
    [
        ({"operations_max": 500}, [job(str(n)) for n in range(400)]),
        ({"request_bytes_max": 8 << 20}, [Put(Bundle("b", random.randbytes(5 << 20), "", 0.0))]),
        ({"request_bytes_max": 64 << 20}, [Put(Bundle("b", random.randbytes(5 << 20), "", 0.0))]),
        (
            {"request_bytes_max": 8 << 20},
            [Put(Bundle(str(n), random.randbytes(300_000), "", 0.0)) for n in range(9)],
        ),
    ],
)
def test_what_etcd_does_not_take_at_once_is_written_in_smaller_requests(
    etcd: Etcd,
    opened: Open,
    caplog: pytest.LogCaptureFixture,
    wrong: dict[str, int],
    rows: list[Put],
) -> None:
    """Else such a commit would be tried for ever, and nothing after it would be stored."""
    store = opened(etcd.settings(**wrong))
    term = store.campaign(Forgetful())
    store.commit(rows, term)
    assert "operations_max" in caplog.text and "request_bytes_max" in caplog.text
    warnings = len(caplog.records)
    store.commit([job("last")], term)
    store.commit(rows, term)
    assert len(caplog.records) == warnings, "what was found out is kept"
    assert list(store.load()) == sorted([*rows, job("last")], key=lambda row: row.key)


# --- bad starts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"endpoints": ()}, "no endpoint"),
        ({"federation": ""}, "no federation"),
        ({"certificate_file": Path("cert.pem")}, "needs its key"),
        ({"certificate_file": Path("c"), "key_file": Path("k")}, "ca_file"),
        ({"endpoints": ("10.0.0.1:1",)}, "another machine needs ca_file, or insecure"),
        ({"endpoints": ("127.0.0.1:1", "h:1")}, "another machine needs ca_file"),
        ({"endpoints": ("https://127.0.0.1:1",)}, "https:// needs ca_file"),
        ({"insecure": True, "ca_file": Path("ca.pem")}, "contradict"),
        ({"user": "suan"}, "password_file"),
        ({"password_file": Path("p")}, "password_file"),
        ({"renew_seconds": 5.0}, "below half"),
        ({"operations_max": 3}, "operations_max"),
        ({"request_bytes_max": 100}, "request_bytes_max"),
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(StoreError, match=word):
        EtcdSettings(**({"endpoints": ("127.0.0.1:1",), "federation": "f"} | wrong))  # type: ignore[arg-type]


def test_plaintext_to_another_machine_must_be_asked_for() -> None:
    assert EtcdSettings(("[::1]:1", "localhost:1"), "f").ca_file is None
    assert EtcdSettings(("h:1",), "f", insecure=True).insecure


def test_nobody_answers(etcd: Etcd) -> None:
    settings = etcd.settings(endpoints=("127.0.0.1:1", "127.0.0.1:2"), connect_seconds=0.1)
    with pytest.raises(StoreError) as caught:
        EtcdStore(settings, parse_spec)
    assert code_of(caught.value) == "StoreUnavailable"
    assert "127.0.0.1:1" in caught.value.message
    assert "127.0.0.1:2" in caught.value.message
    assert "Check the addresses" in caught.value.message


def test_one_endpoint_of_several_is_enough(etcd: Etcd, opened: Open) -> None:
    endpoints = ("127.0.0.1:1", *etcd.endpoints, "127.0.0.1:2")
    store = opened(etcd.settings(endpoints=endpoints))
    term = store.campaign(Forgetful())
    for number in range(3):
        store.commit([job(str(number))], term)
    assert len(rows_of(store)) == 3
