"""etcd's nodes die, stop, fill up; brokers die half-way: nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_core import Forgetful, parse_spec
from support_etcd import Etcd, Open, running_etcd, start_writer, stopped_etcd
from support_etcd_writer import commit
from support_standby import Campaign, Mirror, break_watch, code_of, rows_of, until

from bench.etcd import make_keys
from broker.core.rows import Bundle, Delete, Job, Put
from broker.store import StoreError
from broker.store.etcd import EtcdSettings, EtcdStore
from broker.store.etcd.loader import alarm, messages

ROWS = 300  # of a commit that goes in two pieces and several transactions


def job(name: str, **more: object) -> Put:
    return Put(Job(name, "lab", "", "li", "train", "sha", 1.0, **more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Three nodes; each test leaves them as it found them."""
    with running_etcd(tmp_path_factory.mktemp("three"), nodes=3) as running:
        yield running


class Writing:
    """Commits on a thread: each has a row of its own and rewrites one that all share."""

    def __init__(self, store: EtcdStore, term: int) -> None:
        self.acknowledged = 0
        self.ended = threading.Event()
        self._store = store
        self._term = term
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.ended.is_set():
            number = self.acknowledged + 1
            rows = [job(f"j{number}"), job("shared", priority=number)]
            if number % 5 == 0:  # in pieces
                rows += [job(f"wide{row}", priority=number) for row in range(200)]
            assert commit(self._store, rows, self._term), "the lead was lost"
            self.acknowledged = number

    def go_on(self, commits: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = self.acknowledged + commits
        until(lambda: self.acknowledged >= wanted or not self._thread.is_alive(), 60.0)
        assert self._thread.is_alive()

    def end(self) -> int:
        self.ended.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.acknowledged


def check(writing: Writing, settings_store: EtcdStore, mirror: Mirror) -> None:
    """All that was acknowledged is there, the newest of each row, and the standby knows it."""
    last = writing.end()
    rows = rows_of(settings_store)
    assert {f"job/j{number}" for number in range(1, last + 1)} <= rows.keys()
    assert rows["job/shared"].priority == last  # type: ignore[union-attr]
    wide = {rows[f"job/wide{row}"].priority for row in range(200)}  # type: ignore[union-attr]
    assert wide == {last - last % 5}
    until(lambda: mirror.rows == rows)


# --- nodes ------------------------------------------------------------------------------


@pytest.mark.parametrize("round_", range(2))
def test_a_node_that_is_killed_under_commits(three: Etcd, opened: Open, round_: int) -> None:
    settings = three.settings(lease_seconds=30)
    store, mirror = opened(settings), Mirror()
    writing = Writing(store, store.campaign(Forgetful()))
    Campaign(opened(settings), mirror)
    until(lambda: mirror.loads == 1)
    for victim in (three.leader(), three.nodes[round_]):
        writing.go_on(10)
        victim.kill()
        writing.go_on(10)
        three.start()
        writing.go_on(5)
    check(writing, opened(settings), mirror)


def test_a_node_that_stops_for_a_while_delivers_nothing_late(three: Etcd, opened: Open) -> None:
    """What it took in before is refused after: it was since written again elsewhere."""
    settings = three.settings(lease_seconds=30, call_seconds=1.0)
    store, mirror = opened(settings), Mirror()
    writing = Writing(store, store.campaign(Forgetful()))
    Campaign(opened(settings), mirror)
    until(lambda: mirror.loads == 1)
    for victim in (*three.nodes, three.leader()):
        writing.go_on(10)
        victim.send(signal.SIGSTOP)
        try:
            writing.go_on(5)
        finally:
            victim.send(signal.SIGCONT)
        writing.go_on(5)
    check(writing, opened(settings), mirror)


def test_without_a_quorum_nothing_is_acknowledged(three: Etcd, opened: Open) -> None:
    settings = three.settings(lease_seconds=60, call_seconds=0.5)
    store = opened(settings)
    term = store.campaign(Forgetful())
    store.commit([job("before")], term)
    for node in three.nodes[:2]:
        node.kill()
    try:
        with pytest.raises(StoreError) as caught:
            store.commit([job("during")], term)
        assert code_of(caught.value) == "StoreUnavailable"
    finally:
        three.start()
    assert commit(store, [job("during")], term)
    assert rows_of(store).keys() == {"job/before", "job/during"}


def test_the_lead_outlasts_a_restart_of_the_only_node(tmp_path: Path, opened: Open) -> None:
    with running_etcd(tmp_path) as etcd:
        settings = etcd.settings(lease_seconds=30)
        store, mirror = opened(settings), Mirror()
        writing = Writing(store, store.campaign(Forgetful()))
        campaign = Campaign(opened(settings), mirror)
        until(lambda: mirror.loads == 1)
        for end in (etcd.nodes[0].stop, etcd.nodes[0].kill):
            writing.go_on(10)
            end()
            etcd.start()
            writing.go_on(10)
        check(writing, opened(settings), mirror)
        assert mirror.loads == 1, "the watch went on where it was"
        assert campaign.waits
        store.close()
        campaign.wait()
        campaign.store.close()


# --- brokers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crash", "whole"),
    [
        ("etcd.staged.before_ready:8", False),
        ("etcd.ready.before_apply:8", True),
        ("etcd.applied.before_clear:9", True),  # once before the first commit
    ],
)
def test_a_broker_that_dies_within_a_commit_in_pieces(
    etcd: Etcd, opened: Open, crash: str, whole: bool
) -> None:
    """The eighth commit is there whole or not at all, for every reader at every moment."""
    settings = etcd.settings()
    reader, mirror = opened(settings), Mirror()
    with start_writer(settings, ROWS, crash) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "0\n"
        campaign = Campaign(opened(settings), mirror)
        assert writer.stdout.read().split() == ["1", "2", "3", "4", "5", "6"]
    assert writer.returncode == 137
    expected = {f"job/j{number}-{row}" for number in range(7 + whole) for row in range(ROWS)}
    assert rows_of(reader).keys() == expected
    tail = [put.key for put in reader.load("job/j7", last=2)]
    assert tail == sorted(key for key in expected if key.startswith("job/j7"))[-2:]
    etcd.end_lead(settings)
    term = campaign.wait()
    assert mirror.rows == rows_of(campaign.store)
    assert mirror.rows.keys() == expected
    assert all(batch % ROWS == 0 for batch in mirror.batches), (
        "the standby too saw each commit whole"
    )
    require_nothing_pending(etcd, settings)
    campaign.store.commit([Delete("job/j0-0")], term)


def test_a_broker_that_dies_while_it_clears_up_after_another(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings()
    for crash in (
        "etcd.ready.before_apply:2",
        "etcd.applied.before_clear",
        "etcd.applied.before_clear",
    ):
        with start_writer(settings, ROWS, crash) as writer:
            writer.wait()
        assert writer.returncode == 137
        etcd.end_lead(settings)
    store = opened(settings)
    store.campaign(Forgetful())
    assert rows_of(store).keys() == {f"job/j{n}-{row}" for n in range(2) for row in range(ROWS)}
    require_nothing_pending(etcd, settings)


def require_nothing_pending(etcd: Etcd, settings: EtcdSettings) -> None:
    raw = etcd.raw()
    assert raw.pairs(settings.prefix + b"pending/") == {}
    assert raw.pairs(settings.prefix + b"ready") == {}
    raw.close()


# --- upkeep -----------------------------------------------------------------------------------


def test_the_leader_drops_old_history(etcd: Etcd, opened: Open) -> None:
    settings = etcd.settings(compact_seconds=0.2)
    store = opened(settings)
    term = store.campaign(Forgetful())
    raw = etcd.raw()
    first = store._lead.writer.revision  # type: ignore[union-attr]
    request = messages().RangeRequest(key=settings.prefix + b"step", revision=first)
    assert raw.kv.Range(request, timeout=5.0).kvs

    def is_gone() -> bool:
        store.commit([job("a")], term)
        try:
            raw.kv.Range(request, timeout=5.0)
        except Exception as error:
            return "compacted" in str(error)
        return False

    until(is_gone)
    raw.close()


def test_history_goes_earlier_when_much_is_written(etcd: Etcd, opened: Open) -> None:
    store = opened(etcd.settings(compact_seconds=3_600.0, compact_bytes=100_000))
    term = store.campaign(Forgetful())
    settings = store._settings
    first = store._lead.writer.revision  # type: ignore[union-attr]
    raw = etcd.raw()
    request = messages().RangeRequest(key=settings.prefix + b"step", revision=first)

    def is_gone() -> bool:
        store.commit([Put(Bundle("b", os.urandom(60_000), "lab", 0.0))], term)
        try:
            raw.kv.Range(request, timeout=5.0)
        except Exception as error:
            return "compacted" in str(error)
        return False

    until(is_gone)
    raw.close()


QUOTA = ("--quota-backend-bytes", str(8 << 20))


def big(number: int) -> Put:
    return Put(Bundle(f"b{number}", os.urandom(200_000), "lab", 0.0))


def test_a_full_etcd_refuses_and_heals(tmp_path: Path, opened: Open) -> None:
    quota = "--quota-backend-bytes", str(24 << 20)  # etcd notices some MiB too late
    with running_etcd(tmp_path, more=quota) as etcd:
        raw = etcd.raw()
        for number in range(12):
            raw.put(b"ballast/%d" % number, os.urandom(1_000_000))
        settings = etcd.settings(heal_seconds=0.5, lease_seconds=30)
        store = opened(settings)
        term = store.campaign(Forgetful())
        written, number = set(), 0
        refused: StoreError | None = None
        while refused is None:
            assert number < 1_000
            rows = [job(f"{number:04}"), big(number)]
            try:
                store.commit(rows, term)
            except StoreError as error:
                refused = error
            else:
                written |= {row.key for row in rows}
                number += 1
        assert code_of(refused) == "DiskFull"
        assert store.led_seconds() > 0, "the lead is kept"
        found = rows_of(store).keys()
        # Of the commit that was refused etcd may have kept all; nothing of it is half there.
        assert found - written in (set(), {row.key for row in rows})
        assert written <= found
        raw.delete(b"ballast/", b"ballast0")
        begun = time.monotonic()
        assert commit(store, rows, term)
        assert time.monotonic() - begun < 10
        store.commit([job("after")], term)
        assert rows_of(store).keys() == written | {row.key for row in rows} | {"job/after"}
        raw.close()
        store.close()


def test_history_alone_never_fills_etcd(tmp_path: Path, opened: Open) -> None:
    """Ten times the quota is written, over and over the same rows."""
    with running_etcd(tmp_path, more=QUOTA) as etcd:
        store = opened(etcd.settings(heal_seconds=0.0, lease_seconds=30))
        term = store.campaign(Forgetful())
        for number in range(300):
            store.commit([big(number % 5)], term)
        assert len(rows_of(store)) == 5
        store.close()


def test_the_lead_can_be_taken_in_a_full_etcd(tmp_path: Path, opened: Open) -> None:
    with running_etcd(tmp_path, more=QUOTA) as etcd:
        raw = etcd.raw()
        with pytest.raises(Exception, match="space exceeded"):
            for _ in range(100):
                raw.put(b"again", os.urandom(500_000))
        raw.close()
        store = opened(etcd.settings(heal_seconds=0.2))
        store.commit([job("a")], store.campaign(Forgetful()))
        store.close()


def test_a_damaged_etcd_is_not_used(tmp_path: Path, opened: Open) -> None:
    with running_etcd(tmp_path) as etcd:
        store = opened(etcd.settings())
        term = store.campaign(Forgetful())
        raw, wire = etcd.raw(), messages()
        status = raw.maintenance.Status(wire.StatusRequest(), timeout=5.0)
        raised = wire.AlarmRequest(
            action=wire.AlarmRequest.ACTIVATE,
            memberID=status.header.member_id,
            alarm=alarm("CORRUPT"),
        )
        raw.maintenance.Alarm(raised, timeout=5.0)
        raw.close()
        with pytest.raises(StoreError) as caught:
            store.commit([job("a")], term)
        assert code_of(caught.value) == "StoreDamaged"
        with pytest.raises(StoreError) as caught:
            EtcdStore(etcd.settings(), parse_spec)
        assert code_of(caught.value) == "StoreDamaged"
        store.close()


def test_endpoints_of_two_clusters_are_refused(etcd: Etcd, three: Etcd) -> None:
    settings = etcd.settings(endpoints=etcd.endpoints + three.endpoints)
    with pytest.raises(StoreError, match=r"StoreForeign: .* belongs to another etcd"):
        EtcdStore(settings, parse_spec)


def test_an_endpoint_that_becomes_another_etcd_is_passed_over(tmp_path: Path, opened: Open) -> None:
    """As when a node that was lost is set up anew by itself: leader and standby go on."""
    with running_etcd(tmp_path / "etcd") as etcd, stopped_etcd(tmp_path / "other") as other:
        endpoints = other.endpoints + etcd.endpoints
        settings = etcd.settings(endpoints=endpoints, renew_seconds=0.3)
        leader, standby, mirror = opened(settings), opened(settings), Mirror()
        term = leader.campaign(Forgetful())
        Campaign(standby, mirror)
        until(lambda: mirror.loads == 1)
        other.start()
        raw = other.raw()
        for _ in range(100):  # so that its history seems to be the longer one
            raw.put(b"x", b"y")
        for connection in (leader._rows, leader._leases, standby._rows):
            connection._current = 0
        break_watch(standby)  # the next one is at the next endpoint, which is the other
        assert commit(leader, [job("a")], term)
        until(lambda: mirror.rows.keys() == {"job/a"})
        until(lambda: leader._leases._current == 1)
        until(lambda: leader.led_seconds() > settings.lease_seconds - 0.3)
        assert raw.pairs(settings.prefix) == {}
        raw.close()


# --- TLS -----------------------------------------------------------------------------------------


def test_brokers_show_a_certificate(tmp_path: Path, opened: Open) -> None:
    own, other = make_keys(tmp_path / "own"), make_keys(tmp_path / "other").files
    with running_etcd(tmp_path, keys=own) as etcd:
        store = opened(etcd.settings())
        store.commit([job("a")], store.campaign(Forgetful()))
        assert rows_of(store).keys() == {"job/a"}
        store.close()
        refused = [
            etcd.settings(certificate_file=None, key_file=None, connect_seconds=0.1),
            etcd.settings(ca_file=other["ca_file"], connect_seconds=0.1),
            etcd.settings(**other | {"ca_file": own.files["ca_file"]}, connect_seconds=0.1),
        ]
        for settings in refused:
            with pytest.raises(StoreError, match="certificates") as caught:
                EtcdStore(settings, parse_spec)
            assert code_of(caught.value) == "StoreUnavailable"
        with pytest.raises(StoreError, match=r"no\.pem: No such file"):
            EtcdStore(etcd.settings(ca_file=tmp_path / "no.pem"), parse_spec)
