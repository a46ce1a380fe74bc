"""The catalogue: looking a model up by any of its names.

Names compare without case and separators, so 910B3, `Ascend910B3` and `ascend-910B3` are
one. A Slurm GRES type may carry its kind in front (`npu:910B3`). Where a tool prints a
word that is ambiguous elsewhere, `resolve_reported` knows the tool as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from scheduler.model import Accelerator
from suan.catalogue.entry import Entry, parse_entry
from suan.errors import NotFound

Key = TypeVar("Key")
KINDS = ("npu", "dcu", "gpu")
SUGGESTIONS_MAX = 3
NAME_CHARACTERS_MAX = 256  # a longer name is nobody's
# What npu-smi calls each die of a 910C; Kubernetes and people call the whole family so.
_AMBIGUOUS = frozenset({"ascend910"})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All models, in the order of the file. Immutable; `load` returns the shipped one."""

    sources: Mapping[str, str]  # key to what and where
    raw_sources: Mapping[str, str]  # tool to where its names were read
    _entries: Mapping[str, Entry]
    _models: Mapping[str, str]  # normalised name to canonical model
    _reported: Mapping[tuple[str, str], str]  # (tool, normalised name) to canonical model

    def resolve(self, name: str) -> str | None:
        """The canonical model that `name` (canonical, alias or raw site name) means, if any."""
        if len(name) > NAME_CHARACTERS_MAX:
            return None
        if (model := self._models.get(normalise(name))) is not None:
            return model
        kind, colon, bare = name.partition(":")
        model = self._models.get(normalise(bare)) if colon else None
        return model if model and self._entries[model].kind == kind.strip().lower() else None

    def resolve_reported(self, tool: str, name: str) -> str | None:
        """The canonical model that `name` means when `tool` ("npu-smi", "kubernetes") prints it."""
        return self._reported.get((tool, normalise(name))) or self.resolve(name)

    def suggest(self, name: str) -> list[str]:
        """Canonical models that `name` may have meant, the likeliest first, at most three."""
        wanted = normalise(name[:NAME_CHARACTERS_MAX])
        if not wanted:
            return []
        close = get_close_matches(wanted, self._models, n=12, cutoff=0.6)
        within = [known for known in self._models if len(wanted) > 2 and wanted in known]
        models = dict.fromkeys(self._models[known] for known in (*within, *close))
        return list(models)[:SUGGESTIONS_MAX]

    def get(self, model: str) -> Accelerator:
        """What the scheduler may know of `model`. Raises NotFound."""
        return self.entry(model).accelerator()

    def entry(self, model: str) -> Entry:
        """All that is known of `model`, with sources. Raises NotFound."""
        canonical = self.resolve(model)
        if canonical is None:
            near = self.suggest(model)
            hint = f"did you mean {' or '.join(near)}?" if near else "see `suan accelerators`"
            raise NotFound(
                f"no accelerator is called {model[:64]!r}", hint, code="UnknownAccelerator"
            )
        return self._entries[canonical]

    def kind(self, model: str) -> str:
        """ "npu", "dcu" or "gpu". Raises NotFound."""
        return self.entry(model).kind

    def vendor(self, model: str) -> str:
        """The maker, e.g. "Huawei". Raises NotFound."""
        return self.entry(model).vendor

    def models(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self._entries.values())

    def accelerators(self) -> tuple[Accelerator, ...]:
        """What the scheduler may know of every model."""
        return tuple(entry.accelerator() for entry in self.entries())


def normalise(name: str) -> str:
    """`name` as it is compared: letters and digits only, without case."""
    return "".join(character for character in name.casefold() if character.isalnum())


@cache
def load() -> Catalogue:
    """The catalogue that ships with this package; read once per process."""
    return parse(Path(__file__).with_name("accelerators.json").read_text("utf-8"))


def parse(text: str) -> Catalogue:
    """A catalogue from its JSON. Raises ValueError when a name means two models."""
    document = json.loads(text)
    entries = [parse_entry(row) for row in document["accelerators"]]
    models: dict[str, str] = {}
    reported: dict[tuple[str, str], str] = {}
    for entry in entries:
        for tool, names in entry.raw.items():
            for name in names:
                _claim(reported, (tool, normalise(name)), entry.model)
        for name in _names(entry):
            _claim(models, name, entry.model)
    return Catalogue(
        sources=MappingProxyType(document["sources"]),
        raw_sources=MappingProxyType(document["raw_sources"]),
        _entries=MappingProxyType({entry.model: entry for entry in entries}),
        _models=MappingProxyType(models),
        _reported=MappingProxyType(reported),
    )


def _names(entry: Entry) -> set[str]:
    """Every normalised name that means `entry` whoever says it."""
    raw = [name for names in entry.raw.values() for name in names]
    bare = [name.partition(":")[2] for name in raw if name.partition(":")[0] in KINDS]
    spoken = (entry.model, entry.title, *entry.aliases, *raw, *bare)
    return {normalise(name) for name in spoken} - _AMBIGUOUS - {""}


def _claim(owners: dict[Key, str], name: Key, model: str) -> None:
    owner = owners.setdefault(name, model)
    if owner != model:
        raise ValueError(f"{name!r} means both {owner} and {model}")
