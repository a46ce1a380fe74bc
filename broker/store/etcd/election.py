"""Taking the lead: one transaction that creates the leader's key and raises the term."""

from __future__ import annotations

import os
import socket
from typing import Any

from broker.store import StoreError
from broker.store.etcd.connection import Connection
from broker.store.etcd.keys import Keys, get, put
from broker.store.etcd.lease import Lease
from broker.store.etcd.loader import messages
from broker.store.etcd.settings import EtcdSettings
from broker.store.etcd.sizes import Sizes
from broker.store.etcd.writer import Writer


class Lead:
    """The lead of one term: a lease that keeps it, and the only writer that it allows."""

    def __init__(self, lease: Lease, writer: Writer) -> None:
        self.lease = lease
        self.writer = writer
        self.lost = False

    def seconds(self) -> float:
        return 0.0 if self.lost else self.lease.seconds()


class Election:
    """Where brokers of one federation stand for the lead."""

    def __init__(
        self,
        connection: Connection,
        leases: Connection,
        keys: Keys,
        settings: EtcdSettings,
        sizes: Sizes,
    ) -> None:
        self._connection = connection
        self._leases = leases
        self._keys = keys
        self._settings = settings
        self._sizes = sizes

    def stand(self) -> Lead | None:
        """Lead from now on, if nobody does. Raises StoreError."""
        lease = Lease(self._leases, self._settings)
        try:
            won = self._take(lease.id)
        except BaseException:
            lease.end()
            raise
        if won is None:
            lease.end()
            return None
        revision, term = won
        writer = Writer(self._connection, self._keys, self._sizes, revision, term)
        return Lead(lease, writer)

    def _take(self, lease: int) -> tuple[int, int] | None:
        """The leader key's create_revision and the term, if it is ours."""
        leader, term = self._look()
        if leader is None:
            try:
                self._connection.call("KV.Txn", self._claim(term, lease))
            except StoreError as error:
                if error.code != "StoreUnavailable":
                    raise
            leader, term = self._look()  # whatever the answer was, or if there was none
        if leader is None or leader.lease != lease:
            return None
        return int(leader.create_revision), int(term.value)

    def _claim(self, term: Any, lease: int) -> Any:
        keys, wire = self._keys, messages()
        compare = wire.Compare
        nobody = compare(target=compare.CREATE, key=keys.leader, create_revision=0)
        same = compare(
            target=compare.MOD, key=keys.term, mod_revision=term.mod_revision if term else 0
        )
        number = int(term.value) + 1 if term else 1
        name = f"{socket.gethostname()}:{os.getpid()}".encode()
        return wire.TxnRequest(
            compare=[nobody, same],
            success=[
                put(keys.leader, name, lease),
                put(keys.term, b"%d" % number),
                put(keys.step, b"%d.0" % number),
            ],
        )

    def _look(self) -> tuple[Any, Any]:
        """The leader's key and the term's as they are now, None where there is none."""
        keys = self._keys
        asked = messages().TxnRequest(success=[get(keys.leader), get(keys.term)])
        response = self._connection.read("KV.Txn", asked)
        found = [each.response_range.kvs for each in response.responses]
        leader, term = (pairs[0] if pairs else None for pairs in found)
        return leader, term
