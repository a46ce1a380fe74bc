"""The catalogue as rows of text, for tables: what each model can do, or where each figure is from.

Units stand in the column titles, all per physical card and dense. An unverified figure
ends in "?", an unknown one is "–".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from suan.catalogue.catalogue import Catalogue
from suan.catalogue.entry import FIGURES, Entry

COLUMNS = (
    "MODEL",
    "VENDOR",
    "KIND",
    "DIES",
    "MEMORY GiB",
    "TB/s",
    "FP64 TF",
    "FP32 TF",
    "BF16 TF",
    "FP8 TF",
    "INT8 TOP",
    "FP4 TF",
    "SUPERNODE cards",
    "POWER W",
    "ALIASES",
)
SOURCE_COLUMNS = ("MODEL", "FIGURE", "VALUE", "STATUS", "SOURCE", "NOTE")

_SHOWN = tuple(name for name in FIGURES if name != "supernode_gb_per_second")


def rows(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    """One row of COLUMNS per model."""
    for entry in entries:
        figures = (figure_text(entry, name) for name in _SHOWN)
        yield (entry.model, entry.vendor, entry.kind, *figures, ", ".join(entry.aliases))


def source_rows(catalogue: Catalogue, entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    """One row of SOURCE_COLUMNS per figure that is known."""
    for entry in entries:
        for name, figure in entry.figures.items():
            source = catalogue.sources[figure.source]
            yield (entry.model, name, f"{figure.value:g}", figure.status, source, figure.note)


def figure_text(entry: Entry, name: str) -> str:
    """The figure of `entry` called `name`, e.g. "320", "7.7?" or "–"."""
    figure = entry.figures.get(name)
    if figure is None:
        # Only dies have a default that people rely on: a card is one device.
        return "1" if name == "dies_per_card" else "–"
    return f"{figure.value:g}" + ("" if figure.usable else "?")
