"""An agent that dies by SIGKILL with a run of its own.

    python -m tests.conformance.dying KIND HANDLE STATE_DIRECTORY before|after|running

Before or after the run is accepted it kills itself; while it runs it waits for the killer.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.conformance.kinds import KINDS
from tests.conformance.runs import lease, opened, order, reached, seat, written

# Leaves a line for each time that it ran, and waits for leave to end.
RUN = """
echo $$ >> "$SUAN_OUTPUT_DIR/pids"
echo running
until [ -e "$SUAN_OUTPUT_DIR/go" ]; do sleep 0.02; done
echo done; exit 6
"""
READY = "running\n"


async def main(kind: str, handle: str, state: Path, phase: str) -> None:
    site = KINDS[kind].at(handle)
    wish = order(site, state, RUN)
    backend = site.backend(state) if phase == "running" else site.dying(state, phase == "after")
    async with opened(backend):
        await backend.submit(wish, lease())
        await reached(backend, wish.name)
        await written(seat(state) / "pids")
        print(READY, end="", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]))
