"""How often cards fail at this site: counted, and estimated from what was stated and counted. Pure.

A card failure is a card that was in order and is not any more, on a node whose cards somebody
looks at. Nodes that are drained, down or unread count neither failures nor card-days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agent.inventory import NodeCondition

PRIOR_CARD_DAYS = 10_000.0  # the weight of the stated rate: 1,000 cards outweigh it in ten days
GAP_SECONDS_MAX = 600.0  # between two looks; longer, and nobody looked in between
CURED_SECONDS = 3_600.0  # a card that fails again before it is well for so long has failed once
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class FailureCount:
    """What was seen of a site's cards, in all its agent's life."""

    failures: int = 0
    card_days: float = 0.0


def failures_per_card_day(stated: float, seen: FailureCount) -> float:
    """The mean of a Gamma–Poisson estimate, at most 1.

    The prior is a Gamma distribution with the stated rate as its mean and the weight of
    PRIOR_CARD_DAYS observed card-days; failures are a Poisson process, so that the posterior's
    mean is (prior failures + failures) / (prior card-days + card-days). Gelman et al.,
    Bayesian Data Analysis, 3rd edition, section 2.6.
    """
    failures = stated * PRIOR_CARD_DAYS + seen.failures
    return min(1.0, failures / (PRIOR_CARD_DAYS + seen.card_days))


@dataclass(slots=True)
class _Node:
    """What was counted of one node."""

    sick: int  # cards that have failed, and are not well for long enough
    fewer_seconds: float = 0.0  # since fewer than that are faulty


class FailureTally:
    """Counts over looks; a node's first look is where it begins."""

    def __init__(self, seen: FailureCount) -> None:
        self.seen = seen
        self._nodes: dict[tuple[str, str], _Node] = {}

    def look(
        self, conditions: Iterable[NodeCondition], cards_per_node: Mapping[str, int], seconds: float
    ) -> int:
        """How many failures are new. `seconds`: since the look before; `cards_per_node`: by pool.

        Cards are counted and not told apart, since a cluster manager often has no numbers.
        """
        seconds = min(max(0.0, seconds), GAP_SECONDS_MAX)
        before, self._nodes = self._nodes, {}
        failures, card_seconds = 0, 0.0
        for condition in conditions:
            place = condition.pool, condition.node
            node = before.get(place)
            if condition.cards_seen and node is not None:
                failures += _failures(node, len(condition.faulty), seconds)
                well = cards_per_node.get(condition.pool, 0) - len(condition.faulty)
                card_seconds += seconds * max(0, well)
            if node is not None:
                self._nodes[place] = node
            elif condition.cards_seen:
                self._nodes[place] = _Node(len(condition.faulty))
        self.seen = FailureCount(
            self.seen.failures + failures, self.seen.card_days + card_seconds / DAY_SECONDS
        )
        return failures


def _failures(node: _Node, faulty: int, seconds: float) -> int:
    """New failures of a node of which so many cards are faulty now."""
    new = max(0, faulty - node.sick)
    node.fewer_seconds = node.fewer_seconds + seconds if faulty < node.sick else 0.0
    if new or node.fewer_seconds >= CURED_SECONDS:
        node.sick, node.fewer_seconds = faulty, 0.0
    return new
