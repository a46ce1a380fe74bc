"""Federations to replay traces on: read from a file, or made at random from a seed.

Both give the scheduler's own values. `synthesise` makes up what a trace lacks and says
so; `instance` turns all of it into the arrays of the replay.
"""

from simulator.federation.generator import random_federation
from simulator.federation.instance import instance, pools_of
from simulator.federation.load import load_federation
from simulator.federation.model import Cut, Federation, Outage
from simulator.federation.synthesis import Habits, Workload, synthesise

__all__ = [
    "Cut",
    "Federation",
    "Habits",
    "Outage",
    "Workload",
    "instance",
    "load_federation",
    "pools_of",
    "random_federation",
    "synthesise",
]
