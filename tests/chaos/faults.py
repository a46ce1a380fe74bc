"""Schedules of faults: which, at what, when and for how long, all from one seed.

Pure: nothing is killed here. A schedule keeps to the assumptions under which the promise is
made, and each bound below says which. All times are seconds from the schedule's beginning.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

BROKER = "broker"
SITES = ("shenzhen", "zhengzhou", "guiyang")

SCHEDULE_SECONDS = 16.0  # then every fault has ended
LEASE_SECONDS = 7.0  # 5 s of it must be left at a start
KILL_SECONDS = 4.0  # from a lease's end to verified death: a keeper needs up to two of them
TAKEBACK_SECONDS = (LEASE_SECONDS + KILL_SECONDS) * 1.003  # the broker gives up a silent site
# Long faults end around the moments at which a lease ends and a site is given up.
LONG_SECONDS_MIN, LONG_SECONDS_MAX = LEASE_SECONDS - 1.0, TAKEBACK_SECONDS + 2.0
LONG_FAULTS = (0, 1, 1, 2)  # each at another site; how often, by how often it stands here
FAULTS_MIN, FAULTS_MAX = 6, 12  # in all
CONTROL_SECONDS = TAKEBACK_SECONDS + 5.0  # without a guard, until its job runs elsewhere too
TRIES_MAX = 1_000  # to find room for a fault beside the others


class Kind(StrEnum):
    """What is done. All but the kills of fences and jobs last, and are undone at their end."""

    KILL = "kill"  # SIGKILL of a daemon, which is started again
    STOP = "stop"  # SIGSTOP of a daemon, then SIGCONT
    CUT_BOTH = "cut both ways"
    CUT_IN = "cut broker to site"
    CUT_OUT = "cut site to broker"
    DISK_FULL = "disk full"
    KILL_FENCE = "kill fence"  # or its keeper, or both
    STOP_FENCE = "stop fence"  # for any time, but never its keeper
    STOP_ALL_FENCES = "stop all fences"  # and keepers: beyond the promise, in the control only
    KILL_JOB = "kill job"

    @property
    def part(self) -> str:
        """What of its target is hit: one fault at a time for each part."""
        return _PARTS.get(self, "network" if self in CUTS else "fence")


CUTS = frozenset({Kind.CUT_BOTH, Kind.CUT_IN, Kind.CUT_OUT})
_PARTS = {Kind.KILL: "daemon", Kind.STOP: "daemon", Kind.DISK_FULL: "disk", Kind.KILL_JOB: "job"}
_INSTANT = frozenset({Kind.KILL_FENCE, Kind.KILL_JOB})
_OF_A_SITE = tuple(kind for kind in Kind if kind is not Kind.STOP_ALL_FENCES)
_OF_A_DAEMON = (Kind.KILL, Kind.STOP)
_LONG = (Kind.KILL, Kind.STOP, Kind.STOP_FENCE, *sorted(CUTS))


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; `for_seconds` 0: it has no end of its own."""

    kind: Kind
    target: str  # BROKER or a site
    at_seconds: float
    for_seconds: float = 0.0

    @property
    def lasts(self) -> bool:
        """Whether it has an end that must be brought about."""
        return self.kind not in _INSTANT

    @property
    def end_seconds(self) -> float:
        return self.at_seconds + self.for_seconds

    def __str__(self) -> str:
        span = f" for {self.for_seconds:.1f} s" if self.for_seconds else ""
        return f"{self.at_seconds:4.1f} s: {self.kind}, {self.target}{span}"


def control(site: str) -> tuple[Fault, ...]:
    """A site without its guard: while its agent is stopped nobody ends what runs there."""
    kinds = (Kind.STOP, Kind.STOP_ALL_FENCES)
    return tuple(Fault(kind, site, 0.5, CONTROL_SECONDS) for kind in kinds)


def schedule(seed: int, without: frozenset[Kind] = frozenset()) -> tuple[Fault, ...]:
    """The faults of a seed in order of their beginning; the same ones each time.

    `without`: kinds that this machine does not allow. Most schedules hold long faults, so
    that leases end and jobs are started elsewhere.
    """
    chance = random.Random(f"chaos {seed}")
    count = chance.randint(FAULTS_MIN, FAULTS_MAX)
    faults = [_long(chance, site) for site in chance.sample(SITES, chance.choice(LONG_FAULTS))]
    for _ in range(TRIES_MAX):
        if len(faults) == count:
            break
        fault = _short(chance)
        if fault.kind not in without and _may(fault, faults):
            faults.append(fault)
    return tuple(sorted(faults, key=lambda fault: fault.at_seconds))


def _long(chance: random.Random, site: str) -> Fault:
    length = chance.uniform(LONG_SECONDS_MIN, LONG_SECONDS_MAX)
    at = chance.uniform(1.0, SCHEDULE_SECONDS - length)
    return Fault(chance.choice(_LONG), site, at, length)


def _short(chance: random.Random) -> Fault:
    target = chance.choice([BROKER, *SITES, *SITES])
    kind = chance.choice(_OF_A_DAEMON if target == BROKER else _OF_A_SITE)
    length = chance.choice([chance.uniform(0.0, 1.0), chance.uniform(1.0, 5.0)])
    if kind in _INSTANT:
        length = 0.0
    return Fault(kind, target, chance.uniform(1.0, SCHEDULE_SECONDS - length), length)


def _may(fault: Fault, others: Iterable[Fault]) -> bool:
    """Whether it leaves each other fault its part of the target, and the site its guard."""
    near = [other for other in others if other.target == fault.target]
    return not any(_collide(fault, other) or _unguard(fault, other) for other in near)


def _collide(one: Fault, other: Fault) -> bool:
    return one.kind.part == other.kind.part and _overlap(one, other, 0.5)


def _unguard(one: Fault, other: Fault) -> bool:
    """Whether a fence is killed while its agent is away for long.

    A killed fence takes its ranks along. What they had started, its keeper kills, or the agent.
    Without all three for as long as a lease such a process lives on: this is not promised.
    """
    first, second = sorted((one, other), key=lambda fault: fault.kind is Kind.KILL_FENCE)
    if second.kind is not Kind.KILL_FENCE or first.kind not in _OF_A_DAEMON:
        return False
    return first.for_seconds > LEASE_SECONDS / 2 and _overlap(first, second, 1.0)


def _overlap(one: Fault, other: Fault, margin_seconds: float) -> bool:
    first, second = sorted((one, other), key=lambda fault: fault.at_seconds)
    return second.at_seconds < first.end_seconds + margin_seconds
