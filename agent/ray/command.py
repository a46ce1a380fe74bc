"""How a run is put to Ray: the request to the job server, and the plan that its driver reads. Pure.

One node: the submission itself holds the cards, on the node that is named. Several: the
submission runs a driver that asks for a placement group, which is there whole or not at all.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.backends import BackendRefused, RunOrder
from agent.ray.usage import HOLDS, holds_text

STATE = "suan_state"  # in a submission's metadata: the directory of the backend that made it
NODE_LABEL = "ray.io/node-id"
PINNED_SINCE = (2, 56)  # of Ray: a submission can name its node
PLAN_FILE = "ray.json"
WAIT_MARGIN_SECONDS = 60.0  # a driver waits so much longer for its nodes than the agent


@dataclass(frozen=True, slots=True)
class RayPlace:
    """How to ask Ray for cards of one node."""

    node_id: str
    resource: str  # "NPU"
    cpus_per_card: int = 1


@dataclass(frozen=True, slots=True)
class RaySettings:
    """The site's rules for runs of ours."""

    places: Mapping[str, RayPlace] = field(default_factory=dict)  # by node
    python: str = "python3"  # of the cluster, with ray; 3.8 or later
    version: tuple[int, int] = PINNED_SINCE  # of the Ray


@dataclass(frozen=True, slots=True)
class Submission:
    request: Mapping[str, Any]  # to the job server
    plan: Mapping[str, Any]  # for the driver, beside the run


def submission(
    order: RunOrder, state: Path, tools: Path, settings: RaySettings, wait_seconds_max: float
) -> Submission:
    """What is put to Ray for a run. Raises BackendRefused (BadShape)."""
    places = [_place(node.name, settings) for node in order.nodes]
    bundles = [_bundle(order, place) for place in places]
    alone = len(places) == 1 and settings.version >= PINNED_SINCE
    driver = [str(tools / "driver.py"), str(state), order.name]
    # A driver that imports ray looks for it wherever this Python does.
    command = [settings.python, *(("-I", "-S") if alone else ()), *driver]
    holds = ((p.node_id, order.cards_per_node, _cpus(order, p)) for p in places)
    request: dict[str, Any] = {
        "submission_id": order.name,
        "entrypoint": f"exec {shlex.join(command)}",
        "metadata": {STATE: str(state), HOLDS: holds_text(holds)},
    }
    if alone:
        request |= _pinned(places[0], bundles[0])
    plan = {
        "alone": alone,
        "nodes": [place.node_id for place in places],
        "bundles": bundles,
        "wait_seconds_max": wait_seconds_max + WAIT_MARGIN_SECONDS,
    }
    return Submission(request, plan)


def _pinned(place: RayPlace, bundle: Mapping[str, float]) -> dict[str, Any]:
    """The bundle, as the submission of one node asks for it."""
    names = {"CPU": "entrypoint_num_cpus", "GPU": "entrypoint_num_gpus"}
    asked: dict[str, Any] = {names[name]: bundle[name] for name in names if name in bundle}
    if "memory" in bundle:
        asked["entrypoint_memory"] = int(bundle["memory"])
    others = {k: v for k, v in bundle.items() if k not in names and k != "memory"}
    if others:
        asked["entrypoint_resources"] = others
    asked["entrypoint_label_selector"] = {NODE_LABEL: place.node_id}
    return asked


def _bundle(order: RunOrder, place: RayPlace) -> dict[str, float]:
    """What a node gives; never nothing, for Ray takes no empty bundle."""
    bundle: dict[str, float] = {}
    if cpus := _cpus(order, place):
        bundle["CPU"] = cpus
    if order.cards_per_node:
        bundle[place.resource] = order.cards_per_node
    if order.memory_gib_per_node:
        bundle["memory"] = math.ceil(order.memory_gib_per_node * 2**30)
    return bundle or {"CPU": 0.001}


def _cpus(order: RunOrder, place: RayPlace) -> int:
    """Of a node: what goes with the cards, or more if the job wants more."""
    return max(place.cpus_per_card * max(order.cards_per_node, 1), order.cpus_per_node)


def _place(node: str, settings: RaySettings) -> RayPlace:
    place = settings.places.get(node)
    if place is None:
        raise BackendRefused(
            "BadShape",
            f"Ray has no node {node} any more",
            "it has died, or the agent has not yet read the cluster again",
        )
    return place
