"""What the jobs of a schedule run: each writes down its own life, and nothing else counts.

Every process of a job appends lines to one file per site, outside of the agent's state:

    EVENT SECONDS JOB EPOCH RANK SITE PID BOOT

SECONDS is the machine's CLOCK_BOOTTIME, to a hundredth. `start` comes first; `waiting` while
the other ranks of the gang have not begun; `alive` at work, `child` from a process that a
rank has started and that never ends by itself; `stop` at its own end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from suan.models import ArrayRange, JobSpec, Lease, Retry, Variant
from tests.chaos.faults import CONTROL_SECONDS, LEASE_SECONDS, SITES

TICK_SECONDS = 0.15
NODES, CARDS_PER_NODE = 2, 4
CARDS = NODES * CARDS_PER_NODE  # of each site
MODELS = dict(zip(SITES, ("ascend-910b", "hygon-bw1000", "nvidia-h20"), strict=True))
RETRIES = 100  # a killed job is its user's failure: he tries again
GRACE_SECONDS = 1.0
ARRAY_JOBS = 3

SIGN = """
read -r boot < /proc/sys/kernel/random/boot_id
exec {never}<> <(:)  # nothing comes from here: to wait without another process
log="$WITNESS/$SUAN_SITE.log"
sign() {
    read -r clock _ < /proc/uptime
    echo "$1 $clock $SUAN_JOB_ID $SUAN_ATTEMPT $SUAN_NODE_RANK $SUAN_SITE $BASHPID $boot" >> "$log"
}
rest() { read -rt 0.15 -u "$never"; }
sign start
"""
# A rank of a gang goes to work only when all have begun.
GANG = """
ranks="$WITNESS/gangs/$SUAN_JOB_ID.$SUAN_ATTEMPT"
mkdir -p "$ranks" && : > "$ranks/$SUAN_NODE_RANK"
while set -- "$ranks"/*; [ $# -lt "$SUAN_NUM_NODES" ]; do sign waiting; rest; done
"""
CHILD = """
( while :; do sign child; rest; done ) &
"""
STUBBORN = """
trap '' TERM
"""
WORK = """
for (( tick = 0; tick < TICKS; tick++ )); do sign alive; rest; done
sign stop
"""


def witness_job(
    witness: Path,
    *models: str,
    seconds: float,
    nodes: int = 1,
    cards: int = 1,
    extras: str = "",
    lease: Lease | None = None,
    array: ArrayRange | None = None,
) -> JobSpec:
    """A job that works `seconds` on any of the `models` and says so in `witness`."""
    run = SIGN + extras + (GANG if nodes > 1 else "") + WORK
    ticks = str(max(1, round(seconds / TICK_SECONDS)))
    return JobSpec(
        tuple(Variant(m, num_nodes=nodes, accelerators_per_node=cards, run=run) for m in models),
        name="witness",
        environment=(("TICKS", ticks), ("WITNESS", str(witness))),
        grace_seconds=GRACE_SECONDS,
        retry=Retry(RETRIES),
        lease=lease or Lease("restart", LEASE_SECONDS),
        array=array,
    )


def wishes(witness: Path, chance: random.Random) -> Iterator[list[JobSpec]]:
    """Batches of jobs without end: short and long, gangs, arrays, children, deaf to SIGTERM."""
    while True:
        yield [_wish(witness, chance) for _ in range(chance.choice([1, 1, 2]))]


def control_wishes(witness: Path) -> Iterator[list[JobSpec]]:
    """One job, for any site, that outlasts the control's faults."""
    yield [witness_job(witness, *MODELS.values(), seconds=CONTROL_SECONDS + 4.0)]


def _wish(witness: Path, chance: random.Random) -> JobSpec:
    everywhere = list(MODELS.values())
    length = chance.choice([(0.2, 1.5), (2.0, 5.0), (4.0, 8.0), (8.0, 12.0)])
    is_array = chance.random() < 0.1
    return witness_job(
        witness,
        *chance.choice([everywhere, [chance.choice(everywhere)], [chance.choice(everywhere)]]),
        seconds=0.5 if is_array else chance.uniform(*length),
        nodes=1 if is_array else chance.choice([1, 1, 1, 2]),
        cards=chance.choice([1, 1, 1, 2]),
        extras=chance.choice(["", "", CHILD, STUBBORN]),
        lease=Lease("proof") if chance.random() < 0.1 else None,
        array=ArrayRange(0, ARRAY_JOBS - 1) if is_array else None,
    )
