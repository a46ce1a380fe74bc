"""What a job's priority means: classes with names, age, and the nearness of a deadline.

A class decides who may stop whom; the number within it only orders the queue. Age and a
deadline move a job forward on the same scale, in whole steps, so that fair shares still
decide among equals: no stream of urgent work keeps an old job waiting for ever. They never
make a job one that may stop others. Knows numbers only.
"""

from __future__ import annotations

from enum import IntEnum

STEP = 100  # points; from one class to the next it takes one step or a few
AGEING_SECONDS = 86_400.0  # of waiting for one step, and …
AGEING_RUNS = 20.0  # … so many times the job's own run: short jobs overtake long ones till then
DEADLINE_RUNS = 2.0  # a job is hurried when less time is left than so many of its runs …
DEADLINE_SECONDS_MIN = 3_600.0  # … or than this


class PriorityClass(IntEnum):
    """The classes by the least number in each: a job file may say the name or a number."""

    LOW = -1_000
    NORMAL = 0
    HIGH = 100
    URGENT = 500

    @classmethod
    def of(cls, priority: int) -> PriorityClass:
        """The class of a number."""
        if priority < cls.HIGH:
            return cls.LOW if priority < cls.NORMAL else cls.NORMAL
        return cls.HIGH if priority < cls.URGENT else cls.URGENT


def steps_aged(waited_seconds: float, run_seconds: float) -> int:
    """How many steps a job has moved forward by waiting."""
    step_seconds = AGEING_SECONDS + AGEING_RUNS * max(0.0, run_seconds)
    return int(max(0.0, waited_seconds) // step_seconds)


def points(
    priority: int,
    waited_seconds: float,
    deadline_at: float = 0.0,
    now: float = 0.0,
    run_seconds: float = 0.0,
) -> int:
    """The effective priority of a waiting job: higher goes first. Times are wall seconds.

    priority + 100 · ⌊waited ÷ (1 d + 20 runs)⌋, and 99 more once its latest start,
    deadline − run, is near: so a hurried job leads its own class. One that is late already is
    hurried no more.
    """
    aged = priority + STEP * steps_aged(waited_seconds, run_seconds)
    slack = deadline_at - run_seconds - now
    horizon = max(DEADLINE_SECONDS_MIN, DEADLINE_RUNS * run_seconds)
    hurried = deadline_at > 0 and 0 <= slack < horizon
    return aged + (STEP - 1 if hurried else 0)
