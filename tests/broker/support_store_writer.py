"""A process that commits without pause, for tests that kill it: `PATH FIRST`.

Each commit holds `ROWS` jobs of one number; the number is printed once they are durable.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from support_core import Forgetful, parse_spec

from broker.core.rows import Job, Put
from broker.store.sqlite import SqliteStore

ROWS = 20


def rows_of(number: int) -> list[Put]:
    return [
        Put(Job(f"j{number}-{row}", "lab", "", "li", "train", "sha", float(number)))
        for row in range(ROWS)
    ]


if __name__ == "__main__":
    store = SqliteStore(Path(sys.argv[1]), parse_spec)
    term = store.campaign(Forgetful())
    for number in count(int(sys.argv[2])):
        store.commit(rows_of(number), term)
        print(number, flush=True)
