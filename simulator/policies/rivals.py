"""The rivals by name: what each does, where it comes from, and how it is made.

Sources are what was modelled, not what was run: a real system has more knobs, and the
docstrings of the modules say what was left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.policies.central import (
    LateBinding,
    StrictOrder,
    at_random,
    cheapest,
    earliest_finish,
    race,
    shortest_run,
)
from simulator.policies.early import (
    EarliestCompletion,
    EarlyBinding,
    NearestData,
    RandomChoice,
    ShortestQueue,
)
from simulator.policies.easy import CentralEasy
from simulator.policies.queues import Skipping
from simulator.policies.siblings import SlurmSiblings
from simulator.replay.instance import Instance, Known
from simulator.replay.view import Policy


@dataclass(frozen=True, slots=True)
class Rival:
    """One policy: `make` gives it fresh for what is known and a seed."""

    name: str
    about: str
    source: str
    make: Callable[[Known, int], Policy]


def _random(known: Known, seed: int) -> Policy:
    return EarlyBinding(known, RandomChoice(known, seed), Skipping)


def _nearest(known: Known, seed: int) -> Policy:
    return EarlyBinding(known, NearestData(known, seed), Skipping)


def _shortest_queue(known: Known, seed: int) -> Policy:
    return EarlyBinding(known, ShortestQueue(known), Skipping)


def _ect_fifo(known: Known, seed: int) -> Policy:
    return EarlyBinding(known, EarliestCompletion(known, shortest_first=False), Skipping)


def _ect_sjf(known: Known, seed: int) -> Policy:
    estimate, kind = known.estimate_seconds, known.pools.kind
    choice = EarliestCompletion(known, shortest_first=True)
    return EarlyBinding(known, choice, Skipping, lambda job, pool: float(estimate[job, kind[pool]]))


def _fifo(known: Known, seed: int) -> Policy:
    return StrictOrder(known, earliest_finish(known))


def _easy(known: Known, seed: int) -> Policy:
    return CentralEasy(known, earliest_finish(known))


def _sjf(known: Known, seed: int) -> Policy:
    return LateBinding(known, shortest_run(known), earliest_finish(known))


def _multikueue(known: Known, seed: int) -> Policy:
    return LateBinding(known, float, race(known, seed))


def _skypilot(known: Known, seed: int) -> Policy:
    return LateBinding(known, at_random(known, seed), cheapest(known))


def _slurm(known: Known, seed: int) -> Policy:
    return SlurmSiblings(known, race(known, seed))


RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        Rival(
            "random",
            "at arrival to any site that could hold it; first come first served with skipping",
            "the floor of every comparison",
            _random,
        ),
        Rival(
            "nearest-data",
            "at arrival to the site where its data are there first; skipping",
            "data-aware brokers: Ranganathan and Foster, HPDC'02 (JobDataPresent)",
            _nearest,
        ),
        Rival(
            "shortest-queue",
            "at arrival to the site with least cards asked for per card; skipping",
            "join the shortest queue: Winston 1977; JobLeastLoaded of Ranganathan and Foster",
            _shortest_queue,
        ),
        Rival(
            "ect-fifo",
            "at arrival to the site of least expected completion; skipping",
            "minimum completion time: Maheswaran et al. 1999; EGEE's WMS ranks sites so",
            _ect_fifo,
        ),
        Rival(
            "ect-sjf",
            "as ect-fifo, each site starts its shortest job first",
            "minimum completion time over sites that run shortest job first",
            _ect_sjf,
        ),
        Rival(
            "fifo",
            "one queue in the order of arrival; its head blocks everybody behind it",
            "strict first come first served, e.g. Kueue's StrictFIFO over one quota",
            _fifo,
        ),
        Rival(
            "easy",
            "one queue, a reservation for its head, backfill behind it by estimates",
            "Lifka, JSSPP'95; Mu'alem and Feitelson, TPDS 2001",
            _easy,
        ),
        Rival(
            "sjf",
            "one queue, the shortest expected run that fits first, where it ends first",
            "shortest job first with estimates, as in the schedulers that predict run times",
            _sjf,
        ),
        Rival(
            "multikueue",
            "offered to all sites at once, the first that admits it has it; oldest that fits first",
            "MultiKueue, kueue.sigs.k8s.io/docs/concepts/multikueue; queues of BestEffortFIFO",
            _multikueue,
        ),
        Rival(
            "skypilot",
            "each job for itself: the cheapest site with room, else it tries again; no queue order",
            "SkyPilot, NSDI'23: optimizer by price, failover, retry until up",
            _skypilot,
        ),
        Rival(
            "slurm-federation",
            "a sibling in every cluster, each backfills alone, the first start revokes the rest",
            "Slurm's Federated Scheduling Guide, slurm.schedmd.com/federation.html",
            _slurm,
        ),
    )
}


def make(name: str, known: Known, seed: int = 0) -> Policy:
    """A fresh policy of this name. Raises KeyError for an unknown one."""
    return RIVALS[name].make(known, seed)


def reference(instance: Instance) -> Policy:
    """What a tenant would run on its own share: first come first served with skipping."""
    return LateBinding(instance.known, float, earliest_finish(instance.known))
