"""Real etcd nodes on loopback for tests of the store, and etcd's own interface beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support_core import parse_spec

from bench import etcd as machines
from bench.etcd import Keys, etcd_is_installed
from bench.federation import Daemon
from broker.store.etcd import EtcdSettings, EtcdStore
from broker.store.etcd.channels import open_channel
from broker.store.etcd.loader import messages, stub

QUICK = ("--heartbeat-interval=50", "--election-timeout=500")  # ms
ANSWER_BYTES_MAX = 64 << 20
Open = Callable[[EtcdSettings], EtcdStore]


class Etcd(machines.Etcd):
    """A cluster whose every test has a federation of its own."""

    federations = 0

    def settings(self, federation: str = "", **more: Any) -> EtcdSettings:
        """Settings of a federation that nobody has used before, unless it is named."""
        if not federation:
            self.federations += 1
        return super().settings(federation or f"f{self.federations}", **more)

    def raw(self) -> Raw:
        return Raw(self)

    def end_lead(self, settings: EtcdSettings) -> None:
        """End the lease of whoever leads, as when it was silent for too long."""
        raw = self.raw()
        key = settings.prefix + b"leader"
        (leader,) = raw.kv.Range(messages().RangeRequest(key=key), timeout=5.0).kvs
        raw.lease.LeaseRevoke(messages().LeaseRevokeRequest(ID=leader.lease), timeout=5.0)
        raw.close()

    def leader(self) -> Daemon:
        """The node that leads among the nodes."""
        raw = self.raw()
        try:
            for node, channel in zip(self.nodes, raw.channels, strict=True):
                if not node.running():
                    continue
                status = stub(channel, "Maintenance").Status(
                    messages().StatusRequest(), timeout=5.0
                )
                if status.leader == status.header.member_id:
                    return node
        finally:
            raw.close()
        raise AssertionError("no node leads")


class Raw:
    """etcd's own interface, for looking and for doing harm behind the store's back."""

    def __init__(self, etcd: Etcd) -> None:
        settings = etcd.settings("raw", request_bytes_max=ANSWER_BYTES_MAX)
        self.channels = [open_channel(endpoint, settings) for endpoint in etcd.endpoints]
        self.kv = stub(self.channels[0], "KV")
        self.lease = stub(self.channels[0], "Lease")
        self.maintenance = stub(self.channels[0], "Maintenance")

    def put(self, key: bytes, value: bytes) -> None:
        self.kv.Put(messages().PutRequest(key=key, value=value), timeout=5.0)

    def delete(self, key: bytes, end: bytes = b"") -> None:
        request = messages().DeleteRangeRequest(key=key, range_end=end)
        self.kv.DeleteRange(request, timeout=5.0)

    def pairs(self, prefix: bytes) -> dict[bytes, bytes]:
        end = prefix[:-1] + bytes((prefix[-1] + 1,))
        request = messages().RangeRequest(key=prefix, range_end=end)
        return {pair.key: pair.value for pair in self.kv.Range(request, timeout=5.0).kvs}

    def close(self) -> None:
        for channel in self.channels:
            channel.close()


@contextmanager
def open_stores() -> Iterator[Open]:
    """Opens stores, and closes them at the end."""
    with ExitStack() as stack:

        def open_one(settings: EtcdSettings) -> EtcdStore:
            store = EtcdStore(settings, parse_spec)
            stack.callback(store.close)
            return store

        yield open_one


def start_writer(settings: EtcdSettings, rows: int, crash: str = "") -> subprocess.Popen[str]:
    """A broker in a process of its own that leads and commits; see support_etcd_writer."""
    script = Path(__file__).with_name("support_etcd_writer.py")
    words = [",".join(settings.endpoints), settings.federation, rows]
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"SUAN_CRASH_POINT": crash},
    )


def require_etcd() -> None:
    """Skip the test, with a clear word, where etcd is not installed."""
    if not etcd_is_installed():
        pytest.skip("needs etcd: deploy/servers.sh installs it")


@contextmanager
def running_etcd(
    directory: Path, nodes: int = 1, keys: Keys | None = None, more: tuple[str, ...] = ()
) -> Iterator[Etcd]:
    """A cluster that serves, ended by pid afterwards."""
    with stopped_etcd(directory, nodes, keys, more) as etcd:
        etcd.start()
        yield etcd


@contextmanager
def stopped_etcd(
    directory: Path, nodes: int = 1, keys: Keys | None = None, more: tuple[str, ...] = ()
) -> Iterator[Etcd]:
    """As `running_etcd`, not started yet."""
    require_etcd()
    etcd = Etcd(directory, nodes, keys, (*QUICK, *more))
    try:
        yield etcd
    finally:
        etcd.stop()
