"""A broker process that leads and commits without pause, for tests that stop or kill it.

`ENDPOINTS FEDERATION ROWS`: each commit holds so many jobs of one number; the
number is printed once they are durable. It ends with the word "ended" when the store says
that its term has passed, or its lease.
"""

from __future__ import annotations

import sys
import time
from itertools import count

from support_core import Forgetful, parse_spec

from broker.core.rows import Job, Put
from broker.store import StaleTerm, StoreError
from broker.store.etcd import EtcdSettings, EtcdStore

PATIENCE_SECONDS = 60.0


def rows_of(number: int, rows: int) -> list[Put]:
    return [
        Put(Job(f"j{number}-{row}", "lab", "", "li", "train", "sha", float(number)))
        for row in range(rows)
    ]


def main(endpoints: str, federation: str, rows: str) -> None:
    settings = EtcdSettings(
        tuple(endpoints.split(",")), federation, lease_seconds=60, request_bytes_max=65_536
    )
    store = EtcdStore(settings, parse_spec)
    term = store.campaign(Forgetful())
    for number in count():
        if store.led_seconds() <= 0 or not commit(store, rows_of(number, int(rows)), term):
            print("ended", flush=True)
            return
        print(number, flush=True)


def commit(store: EtcdStore, rows: list[Put], term: int) -> bool:
    """Until it is durable, as the loop does; False when another leads."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            store.commit(rows, term)
        except StaleTerm:
            return False
        except StoreError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return True


if __name__ == "__main__":
    main(*sys.argv[1:])
