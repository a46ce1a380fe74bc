"""From readings to what may be placed: which cards are faulty, which the site's people use.

Pure. A card counts as a whole: one faulty die takes it out. A card that a run of ours holds
is never taken for one that somebody else uses.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agent.inventory import DeclaredPool, NodeCondition
from agent.probes.reading import CardReading, Readings
from suan.catalogue import Catalogue

# An idle Ascend card shows up to a twentieth of its memory in use.
BUSY_MEMORY_FRACTION = 0.10


def assess(
    pool: DeclaredPool,
    node: str,
    readings: Readings,
    held: Collection[int] = (),
    faulty_before: Collection[int] = (),
) -> NodeCondition:
    """The condition of a node of `pool`; `held` are the cards that our runs hold on it.

    A card that the tool does not list is faulty: it has fallen off its bus. One of whose health
    nobody knows is as it was before: faulty if it is one of `faulty_before`.
    """
    devices = {card.index: card for card in readings.cards}
    faulty, kept_back = set(), set()
    for card in range(pool.cards_per_node):
        first = card * pool.dies_per_card
        dies = [devices.get(first + die) for die in range(pool.dies_per_card)]
        if any(_is_faulty(die, card in faulty_before) for die in dies):
            faulty.add(card)
        elif card not in held and any(_is_busy(die) for die in dies if die is not None):
            kept_back.add(card)
    seen = any(device.healthy is not None for device in devices.values())
    return NodeCondition(pool.name, node, frozenset(faulty), frozenset(kept_back), seen)


def model_of(
    reading: CardReading, tool: str, catalogue: Catalogue, names: Mapping[str, str]
) -> str:
    """The canonical model of a device; "" when neither the site's map nor the catalogue knows."""
    if reading.raw_name in names:
        return names[reading.raw_name]
    return catalogue.resolve_reported(tool, reading.raw_name) or ""


def _is_faulty(die: CardReading | None, before: bool) -> bool:
    if die is None:
        return True
    return before if die.healthy is None else not die.healthy


def _is_busy(reading: CardReading) -> bool:
    if reading.memory_used_mib is not None and reading.memory_total_mib:
        return reading.memory_used_mib > BUSY_MEMORY_FRACTION * reading.memory_total_mib
    return (reading.memory_used_percent or 0.0) > 100 * BUSY_MEMORY_FRACTION
