"""A network with the names, sources and warnings that its file carries.

Knows the scheduler's values, neither YAML nor how a network is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.model import Network, NetworkNode
from suan.errors import Problem


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from; `name` is what the file refers to it by."""

    name: str
    title: str
    address: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """What a network file says, or a network without one (then only `network` is set)."""

    network: Network
    name: str = ""
    english: tuple[tuple[str, str], ...] = ()  # (node, its name in English) where stated
    node_sources: tuple[str, ...] = ()  # one per node of `network`, in words
    link_sources: tuple[str, ...] = ()  # one per link of `network`, in words
    sources: tuple[Source, ...] = ()
    attribution: str = ""
    warnings: tuple[Problem, ...] = ()

    def label(self, node: NetworkNode) -> str:
        """The node's name in English: as the file states it, else made of its `name`."""
        return dict(self.english).get(node.name) or node.name.replace("-", " ").title()


def as_file(network: Network | NetworkFile) -> NetworkFile:
    """`network` as a file's content, whether it came from one or from a broker."""
    return network if isinstance(network, NetworkFile) else NetworkFile(network)
