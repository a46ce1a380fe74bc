"""One contract for every store: atomic, durable, in order, fenced by the leader's term."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_core import Forgetful, parse_spec, spec_of
from support_store_writer import ROWS, rows_of

from broker.core.rows import Bundle, Delete, Job, Put, Site, Tenant
from broker.store import KINDS, StaleTerm, Store, StoreError, codec, sqlite
from broker.store.codec import UnreadableRow
from broker.store.etcd import EtcdStore
from broker.store.etcd.loader import messages
from broker.store.memory import MemoryStore
from broker.store.sqlite import SqliteStore

HERE = Path(__file__).resolve().parent
Open = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite", "etcd"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again, as one broker after the other does."""
    opened: list[Store] = []
    memory = MemoryStore(parse_spec)
    settings = request.getfixturevalue("etcd").settings() if request.param == "etcd" else None

    def open_again() -> Store:
        if request.param == "memory":
            return memory
        for store in opened:
            store.close()
        if settings is not None:
            opened[:] = [EtcdStore(settings, parse_spec)]
        else:
            opened[:] = [SqliteStore(tmp_path / "broker.sqlite", parse_spec)]
        return opened[0]

    yield open_again
    for store in opened:
        store.close()


def job(name: str, **more: object) -> Put:
    return Put(Job(name, "lab", "", "li", "train", "sha", 1.0, **more))  # type: ignore[arg-type]


def keys(store: Store, prefix: str = "") -> list[str]:
    return [put.key for put in store.load(prefix)]


def damage(store: Store, key: str, value: bytes) -> None:
    """Put bytes under a key behind the store's back."""
    if isinstance(store, MemoryStore):
        store.rows[key] = value
    elif isinstance(store, EtcdStore):
        request = messages().PutRequest(key=store._keys.row(key), value=value)
        store._rows.call("KV.Put", request)
    else:
        assert isinstance(store, SqliteStore)
        store._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (key, value))


# --- rows -----------------------------------------------------------------------------


def test_what_was_committed_is_there_for_the_next_broker(open_store: Open) -> None:
    store = open_store()
    rows = (job("a"), Put(Tenant("lab", weight=2.0)), Put(spec_of("träning 训练")))
    store.commit(rows, store.campaign(Forgetful()))
    assert sorted(open_store().load(), key=lambda put: put.key) == sorted(
        rows, key=lambda put: put.key
    )


def test_rows_come_in_the_order_of_their_keys(open_store: Open) -> None:
    names = ("b", "a", "B", "é", "中", "a0", "~", "😀", "z")
    store = open_store()
    store.commit([Put(Tenant(name)) for name in names], store.campaign(Forgetful()))
    assert keys(store) == sorted(f"tenant/{name}" for name in names)


def test_the_last_rows_alone_can_be_loaded(open_store: Open) -> None:
    store = open_store()
    term = store.campaign(Forgetful())
    store.commit([job(name) for name in "abcde"], term)
    assert [put.key for put in store.load("job/", last=2)] == ["job/d", "job/e"]
    assert len(list(store.load("job/", last=9))) == 5


def test_every_kind_of_row_is_loaded() -> None:
    assert {f"{kind}/" for kind in codec.KINDS} | {"spec/"} == {*KINDS, "audit/"}


def test_a_prefix_loads_one_kind(open_store: Open) -> None:
    store = open_store()
    store.commit(
        [job("a"), job("b"), Put(Tenant("job")), Put(Site("x", 1.0))], store.campaign(Forgetful())
    )
    assert keys(store, "job/") == ["job/a", "job/b"]
    assert keys(store, "job/b") == ["job/b"]
    assert keys(store, "none/") == []


def test_a_later_row_replaces_an_earlier_one(open_store: Open) -> None:
    store = open_store()
    term = store.campaign(Forgetful())
    store.commit([job("a", priority=1)], term)
    store.commit([job("a", priority=2), job("b")], term)
    assert list(store.load("job/a")) == [job("a", priority=2)]


def test_deleted_rows_are_gone(open_store: Open) -> None:
    store = open_store()
    term = store.campaign(Forgetful())
    store.commit([job("a"), job("b")], term)
    store.commit([Delete("job/a"), Delete("job/never")], term)
    assert keys(open_store()) == ["job/b"]


def test_the_last_record_of_a_key_counts(open_store: Open) -> None:
    store = open_store()
    term = store.campaign(Forgetful())
    store.commit([job("a")], term)
    store.commit([Delete("job/a"), job("a", priority=5), job("b"), Delete("job/b")], term)
    assert list(store.load()) == [job("a", priority=5)]


def test_an_empty_commit_is_one(open_store: Open) -> None:
    store = open_store()
    store.commit([], store.campaign(Forgetful()))
    assert keys(store) == []


# --- terms ----------------------------------------------------------------------------


def test_terms_rise_from_broker_to_broker(open_store: Open) -> None:
    terms = [open_store().campaign(Forgetful()) for _ in range(4)]
    assert terms == sorted(set(terms))


def test_a_leader_whose_term_has_passed_changes_nothing(open_store: Open) -> None:
    store = open_store()
    old = store.campaign(Forgetful())
    store.commit([job("a")], old)
    new = store.campaign(Forgetful())
    with pytest.raises(StaleTerm, match=f"term {old} has passed, {new} leads"):
        store.commit([job("b"), Delete("job/a")], old)
    assert keys(store) == ["job/a"]
    store.commit([job("b")], new)
    assert keys(store) == ["job/a", "job/b"]


def test_a_term_that_nobody_has_won_is_refused_too(open_store: Open) -> None:
    store = open_store()
    term = store.campaign(Forgetful())
    with pytest.raises(StaleTerm):
        store.commit([job("a")], term + 1)


# --- damage ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("job/a", b"not json"),
        ("job/a", b'{"id": "a"}'),
        ("job/a", b'{"state": "no such state"}'),
        ("job/a", b"\xff\xfe"),
        ("site/east", b"[]"),
        ("site/east", b"{}"),
        ("spec/s", b"{"),
        ("bundle/b", b'{"sha256": "b", "data": "?", "tenant": "t", "put_at": 1}'),
        ("ledger/1", b"{}"),  # of a version to come
        ("nonsense", b"{}"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(open_store: Open, key: str, value: bytes) -> None:
    store = open_store()
    store.commit([Put(Tenant("zzz"))], store.campaign(Forgetful()))
    damage(store, key, value)
    with pytest.raises(UnreadableRow, match=f"row {key} cannot be read"):
        list(open_store().load())
    assert keys(open_store(), "tenant/") == ["tenant/zzz"], "the others can be"


def test_what_cannot_be_encoded_leaves_nothing_behind(open_store: Open) -> None:
    store = open_store()
    term = store.campaign(Forgetful())
    with pytest.raises(TypeError):
        store.commit([job("a"), Put(Tenant("\ud800")), job("b")], term)
    store.commit([job("c")], term)
    assert keys(store) == ["job/c"]


# --- SQLite alone -----------------------------------------------------------------------


def opened(path: Path) -> SqliteStore:
    return SqliteStore(path, parse_spec)


def code_of(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        act()
    return caught.value.code


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "broker.sqlite"
    store = opened(path)
    assert code_of(lambda: opened(path)) == "StoreLocked"
    second = [sys.executable, HERE / "support_store_writer.py", path, "0"]
    done = subprocess.run(second, capture_output=True, text=True, check=False)
    assert "StoreLocked: another broker process uses" in done.stderr
    store.close()
    opened(path).close()


def test_every_commit_is_synced(tmp_path: Path) -> None:
    """With NORMAL a power cut loses what was acknowledged."""
    store = opened(tmp_path / "broker.sqlite")
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "broker.sqlite"
    path.write_bytes(b"this is not a database at all, but long enough to look at" * 40)
    assert code_of(lambda: opened(path)) == "StoreDamaged"
    path.unlink()
    opened(path).close()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert code_of(lambda: opened(tmp_path / "nowhere" / "broker.sqlite")) == "StoreFailed"


def test_a_disk_of_several_machines_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "file_system", lambda _: "nfs4")
    assert code_of(lambda: opened(tmp_path / "broker.sqlite")) == "NetworkDisk"
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_says_so_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "broker.sqlite"
    store = opened(path)
    term = store.campaign(Forgetful())
    for number in range(50):
        store.commit(rows_of(number), term)
    store.close()
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half:] = b"\xaa" * (len(content) - half)
    path.write_bytes(content)
    store = opened(path)
    assert code_of(lambda: list(store.load())) == "StoreDamaged"
    store.close()


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "broker.sqlite"
    acknowledged: set[int] = set()
    for acks in (1, 2, 13, 40, 90):
        first = max(acknowledged, default=-1) + 2  # a number may be durable and not yet told
        command = [sys.executable, HERE / "support_store_writer.py", path, str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(acks):
                acknowledged.add(int(writer.stdout.readline()))
            writer.kill()
            acknowledged |= {int(line) for line in writer.stdout if line.endswith("\n")}
        store = opened(path)
        found: dict[int, int] = {}
        for put in store.load("job/"):
            number = int(put.key.removeprefix("job/j").split("-")[0])
            found[number] = found.get(number, 0) + 1
        store.close()
        assert acknowledged <= found.keys()
        assert set(found.values()) == {ROWS}, "a commit is there whole or not at all"


# --- a full disk --------------------------------------------------------------------------


def big(number: int, size: int = 200_000) -> Put:
    return Put(Bundle(f"b{number}", bytes(size), "lab", 0.0))


def check_full(store: SqliteStore, make_room: Callable[[], None]) -> None:
    """Refuses, leaves nothing half done, and works again when there is room."""
    term = store.campaign(Forgetful())
    store.commit([job("before")], term)
    written = ["job/before"]
    with pytest.raises(StoreError) as caught:
        for number in range(1_000):
            store.commit([job(f"{number:04}"), big(number)], term)
            written += [f"job/{number:04}", f"bundle/b{number}"]
    assert caught.value.code == "DiskFull"
    assert keys(store) == sorted(written)
    assert code_of(lambda: store.commit([job("no"), big(2_000, 2_000_000)], term)) == "DiskFull"
    assert keys(store) == sorted(written)
    make_room()
    store.commit([job("after"), big(3_000)], term)
    assert keys(store) == sorted([*written, "job/after", "bundle/b3000"])
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        store = opened(disk / "broker.sqlite")
        check_full(store, ballast.unlink)
        store.close()
        opened(disk / "broker.sqlite").close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_store_at_its_limit_of_pages(tmp_path: Path) -> None:
    """The same where no disk can be mounted."""
    store = opened(tmp_path / "broker.sqlite")
    store._db.execute("PRAGMA max_page_count = 400")

    def make_room() -> None:
        store._db.execute("PRAGMA max_page_count = 4000")

    check_full(store, make_room)
    store.close()
