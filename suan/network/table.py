"""The network as rows of text and as tables for a terminal. Units stand in the titles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scheduler.model import Network
from suan.network.file import NetworkFile, as_file

NODE_COLUMNS = ("NODE", "名称", "KIND", "HUB", "LATITUDE", "LONGITUDE", "LINKS")
LINK_COLUMNS = ("A", "B", "Gb/s", "ms one way", "CNY/GB")
SOURCE_COLUMN = "SOURCE"
_NUMBERS = frozenset({"LATITUDE", "LONGITUDE", "LINKS", "Gb/s", "ms one way", "CNY/GB"})


def node_rows(network: Network | NetworkFile) -> Iterator[tuple[str, ...]]:
    """One row of NODE_COLUMNS per node, in the order of the file."""
    graph = as_file(network).network
    degree = Counter(end for link in graph.links for end in (link.a, link.b))
    for node in graph.nodes:
        place = f"{node.latitude:.2f}", f"{node.longitude:.2f}"
        yield (node.name, node.title, node.kind, node.hub, *place, str(degree[node.name]))


def link_rows(network: Network | NetworkFile) -> Iterator[tuple[str, ...]]:
    """One row of LINK_COLUMNS and SOURCE_COLUMN per link, in the order of the file."""
    file = as_file(network)
    sources = file.link_sources or ("",) * len(file.network.links)
    for link, source in zip(file.network.links, sources, strict=True):
        width = "down" if link.down else f"{link.bandwidth_gbps:g}"
        figures = width, f"{link.latency_ms:.2f}", f"{link.yuan_per_gb:.2f}"
        yield (link.a, link.b, *figures, source)


def table(network: Network | NetworkFile, *, sources: bool = False) -> Group:
    """Both tables for a terminal; with `sources`, a column that says where figures are from."""
    file = as_file(network)
    nodes = _table("Nodes", NODE_COLUMNS, node_rows(file))
    columns = (*LINK_COLUMNS, SOURCE_COLUMN) if sources else LINK_COLUMNS
    links = _table("Links", columns, (row[: len(columns)] for row in link_rows(file)))
    cited = [f"{each.name}: {each.title} {each.address}".rstrip() for each in file.sources]
    notes = [file.attribution, *(cited if sources else ())]
    return Group(nodes, links, *(Text(note) for note in notes if note))


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in _NUMBERS else "left")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
