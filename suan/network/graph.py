"""The graph of a network file: its links by their ends, and which nodes hang together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scheduler.model import Link


def ends(link: Link) -> tuple[str, str]:
    """Both ends in one order, whichever way the link is written."""
    return (link.a, link.b) if link.a <= link.b else (link.b, link.a)


def unreachable(nodes: Sequence[str], links: Iterable[tuple[str, str]]) -> list[str]:
    """The nodes that no path of links joins to the first one, in order."""
    neighbours: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in links:
        if a in neighbours and b in neighbours:
            neighbours[a].append(b)
            neighbours[b].append(a)
    reached = set(nodes[:1])
    front = list(reached)
    while front:
        new = [name for name in neighbours[front.pop()] if name not in reached]
        reached.update(new)
        front.extend(new)
    return [name for name in nodes if name not in reached]
