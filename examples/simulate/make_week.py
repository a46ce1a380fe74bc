"""Writes week.swf: a week of an invented cluster, the same for the same seed.

    python examples/simulate/make_week.py > examples/simulate/week.swf

Jobs come by day and by night, more by day (Poisson, thinned); widths are powers of two, run
times log-normal; five groups with two to four users each, of whom some submit in bursts.
"""

from __future__ import annotations

import math
import random

SEED = 7
DAYS = 7
JOBS_PER_HOUR = 4.0
DAY_SECONDS = 86_400
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)  # cards
WIDTH_WEIGHTS = (30, 14, 14, 22, 10, 6, 3, 1)
RUN_MEDIAN_SECONDS, RUN_SIGMA, RUN_MAX_SECONDS = 2_400.0, 1.6, 2 * DAY_SECONDS
GROUPS = ((1, 4), (2, 4), (3, 3), (4, 2), (5, 2))  # (group, users)
BURST_SHARE, BURST_MAX = 0.08, 24


def main() -> None:
    """Print the trace."""
    dice = random.Random(SEED)
    print("; Computer: an invented cluster\n; Version: 2.2")
    print(f"; Note: written by examples/simulate/make_week.py, seed {SEED}\n; UnixStartTime: 0")
    number, now = 0, 0.0
    while True:
        now += dice.expovariate(JOBS_PER_HOUR / 3_600.0 * 1.6)
        if now >= DAYS * DAY_SECONDS:
            return
        if dice.random() * 1.6 > 1.0 + 0.6 * math.sin(2 * math.pi * (now / DAY_SECONDS - 0.375)):
            continue  # fewer by night
        group, users = dice.choice(GROUPS)
        user = 10 * group + dice.randrange(users)
        width = dice.choices(WIDTHS, WIDTH_WEIGHTS)[0]
        burst = dice.randrange(2, BURST_MAX) if dice.random() < BURST_SHARE else 1
        for _ in range(burst):
            number += 1
            run = dice.lognormvariate(math.log(RUN_MEDIAN_SECONDS), RUN_SIGMA)
            print(
                _row(number, int(now), min(RUN_MAX_SECONDS, max(5, int(run))), width, user, group)
            )


def _row(number: int, submit: int, run: int, width: int, user: int, group: int) -> str:
    """The 18 columns of the Standard Workload Format; -1: not known."""
    limit = -(-run * 3 // 2 // 900) * 900
    fields = (number, submit, -1, run, width, -1, -1, width, limit, -1, 1, user, group)
    return " ".join(map(str, (*fields, -1, -1, -1, -1, -1)))


if __name__ == "__main__":
    main()
