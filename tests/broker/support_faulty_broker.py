"""The broker on a disk that fails while a file says so: `FAULT_FILE run --config …`.

The file holds SQLite's code of the fault, such as 1034 for a sync that fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

from support_power import OK, Disk

from broker.__main__ import main

if __name__ == "__main__":
    told = Path(sys.argv.pop(1))

    def fault() -> int:
        try:
            return int(told.read_text())
        except FileNotFoundError:
            return OK

    with Disk(fault=fault).mounted():
        main()
