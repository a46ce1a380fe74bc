"""The first look at etcd: who answers, and if nobody does, why not."""

from __future__ import annotations

import time

from broker.store import StoreError
from broker.store.etcd.connection import Connection
from broker.store.etcd.loader import alarm, messages
from broker.store.etcd.settings import EtcdSettings

PAUSE_SECONDS = 0.2  # between two looks at all endpoints


def probe(connection: Connection, settings: EtcdSettings) -> None:
    """Wait until one endpoint answers. Raises StoreError that names what each one said."""
    end = time.monotonic() + settings.connect_seconds
    while True:
        said = _ask_all(connection)
        if len(said) < len(settings.endpoints):
            break
        if time.monotonic() > end:
            raise StoreError("StoreUnavailable", _nobody("; ".join(said)))
        time.sleep(PAUSE_SECONDS)
    _refuse_damaged(connection)


def _ask_all(connection: Connection) -> list[str]:
    """What those said that did not answer."""
    said = []
    for index, _ in connection.endpoints():
        try:
            connection.call("Maintenance.Status", messages().StatusRequest(), at=index)
        except StoreError as error:
            if error.code != "StoreUnavailable":
                raise
            said.append(error.message)
    return said


def _nobody(said: str) -> str:
    return (
        f"no endpoint of etcd answers: {said}. Check the addresses, that etcd runs, and that "
        "both sides' certificates are of the authorities that the other side trusts"
    )


def _refuse_damaged(connection: Connection) -> None:
    wire = messages()
    asked = wire.AlarmRequest(action=wire.AlarmRequest.GET, alarm=alarm("CORRUPT"))
    raised = connection.read("Maintenance.Alarm", asked).alarms
    if raised:
        members = ", ".join(f"{each.memberID:x}" for each in raised)
        raise StoreError("StoreDamaged", f"etcd says that its members differ: {members}")
