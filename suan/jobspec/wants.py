"""The parts of a job file that speak of accelerators: what is wanted, and texts per model.

`resources.accelerators` is a want or several of them; `image`, `run` and `setup` are one
text or a text per model, vendor or kind. Names are resolved by the catalogue as they are
read, so that an unknown one is reported where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import yaml

from suan.jobspec.catalogue import Catalogue
from suan.jobspec.limits import VARIANTS_MAX, Fault, Range, TextRule, quoted
from suan.jobspec.reader import Reader, nearest
from suan.jobspec.shapes import Json, ListOf, Record, entries, join, scalar_text, text
from suan.jobspec.units import TYPE_COUNT, type_quantity
from suan.models import AcceleratorClass


@dataclass(frozen=True, slots=True)
class Want:
    """`cards` physical cards per node of a model, or of any model of a class."""

    accelerator: str | AcceleratorClass
    cards: int
    num_nodes: int = 0  # 0: as many as the job says


@dataclass(frozen=True, slots=True)
class TypeCount:
    """'ascend-910b:8': a name of the catalogue and a number of cards, or of dies."""

    rule: Range

    def read(self, node: yaml.Node, path: str, reader: Reader) -> Want | None:
        reader.visit(path, node)
        try:
            name, count, in_dies = type_quantity(scalar_text(node, "TYPE:COUNT"))
            model = _resolved(name, reader.catalogue)
            cards = _cards_of(count, model, reader.catalogue) if in_dies else count
            self.rule.verify(cards)
        except Fault as fault:
            reader.report(path, fault)
            return None
        return Want(model, cards)

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^(?:{TYPE_COUNT})$"}


@dataclass(frozen=True, slots=True)
class OneWant:
    """'TYPE:COUNT', {type: TYPE:COUNT, num_nodes: …} or {any: {precision: …}}."""

    type_count: TypeCount
    any_class: Record[Want]
    sized: Record[Want]

    def read(self, node: yaml.Node, path: str, reader: Reader) -> Want | None:
        if isinstance(node, yaml.ScalarNode):
            return self.type_count.read(node, path, reader)
        if isinstance(node, yaml.MappingNode) and _only_key(node) == "any":
            return self.any_class.read(node.value[0][1], join(path, "any"), reader)
        if isinstance(node, yaml.MappingNode) and _has_key(node, "type"):
            return self.sized.read(node, path, reader)
        reader.visit(path, node)
        message = "must be TYPE:COUNT, {any_of: [TYPE:COUNT, …]} or {any: {precision: …}}"
        reader.report(path, Fault("BadAccelerator", message, "e.g. ascend-910b:8"))
        return None

    def schema(self) -> Json:
        any_class = _wrapped("any", self.any_class.schema())
        return {"anyOf": [self.type_count.schema(), self.sized.schema(), any_class]}


@dataclass(frozen=True, slots=True)
class Accelerators:
    """One want, or {any_of: [...]}: all acceptable wants, most wanted first."""

    item: OneWant

    def read(self, node: yaml.Node, path: str, reader: Reader) -> tuple[Want, ...] | None:
        if isinstance(node, yaml.MappingNode) and _only_key(node) == "any_of":
            child = node.value[0][1]
            listed = self._several.read(child, join(path, "any_of"), reader)
            return listed and tuple(dict.fromkeys(listed))
        want = self.item.read(node, path, reader)
        return None if want is None else (want,)

    def schema(self) -> Json:
        return {"anyOf": [self.item.schema(), _wrapped("any_of", self._several.schema())]}

    @property
    def _several(self) -> ListOf[Want]:
        return ListOf(self.item, 1, VARIANTS_MAX)


@dataclass(frozen=True, slots=True)
class PerAccelerator:
    """One text for all accelerators (`cases` empty), or a text per model, family or kind."""

    default: str = ""
    cases: tuple[tuple[str, str], ...] = ()

    def pick(self, model: str, catalogue: Catalogue) -> str | None:
        """The text for `model`: the most exact case wins; None when no case fits."""
        if not self.cases:
            return self.default
        cases = dict(self.cases)
        return next((cases[word] for word in words_of(model, catalogue) if word in cases), None)


@dataclass(frozen=True, slots=True)
class TextPerAccelerator:
    """The shape of `image`, `run` and `setup`."""

    rule: TextRule

    def read(self, node: yaml.Node, path: str, reader: Reader) -> PerAccelerator | None:
        item = text(self.rule)
        if isinstance(node, yaml.ScalarNode):
            value = item.read(node, path, reader)
            return None if value is None else PerAccelerator(value)
        reader.visit(path, node)
        cases: dict[str, str] = {}
        for key, child in entries(node, path, reader) or ():
            value = item.read(child, join(path, key), reader)
            try:
                word = _case(key, reader.catalogue)
            except Fault as fault:
                reader.report(join(path, key), fault)
                continue
            if word in cases:
                message = f"{quoted(key)} and another key mean {word}"
                reader.report(join(path, key), Fault("DuplicateKey", message))
            elif value is not None:
                cases[word] = value
        if not cases and reader.sound(path):
            reader.report(path, Fault("EmptyValue", "is a map without entries"))
        return PerAccelerator(cases=tuple(cases.items())) if reader.sound(path) else None

    def schema(self) -> Json:
        item = text(self.rule).schema()
        several: Json = {"type": "object", "additionalProperties": item, "minProperties": 1}
        return {"anyOf": [item, several]}


def words_of(model: str, catalogue: Catalogue) -> tuple[str, ...]:
    """The words that stand for `model`, most exact first: itself, family, vendor, kind."""
    family = model.partition("-")[0]
    return model, family, catalogue.vendor(model).lower(), catalogue.kind(model)


def _case(key: str, catalogue: Catalogue) -> str:
    groups = {word for model in catalogue.models() for word in words_of(model, catalogue)[1:]}
    return key.lower() if key.lower() in groups else _resolved(key, catalogue, groups)


def _cards_of(dies: int, model: str, catalogue: Catalogue) -> int:
    """The cards that have so many dies. Raises Fault when some card would be split."""
    per_card = catalogue.get(model).dies_per_card
    cards, rest = divmod(dies, per_card)
    if rest:
        message = f"{dies} dies of {model} are no whole cards: a card has {per_card}"
        raise Fault("OutOfRange", message, f"write {per_card * (cards + 1)} dies")
    return cards


def _resolved(name: str, catalogue: Catalogue, groups: set[str] | None = None) -> str:
    model = catalogue.resolve(name)
    if model is None:
        near = nearest(name, groups) if groups else ""
        if not near and (models := catalogue.suggest(name)):
            near = f"did you mean {' or '.join(models)}?"
        hint = near or "`suan accelerators` lists them"
        raise Fault("UnknownAccelerator", f"no accelerator is called {quoted(name)}", hint)
    return model


def _wrapped(key: str, schema: Json) -> Json:
    return {
        "type": "object",
        "properties": {key: schema},
        "required": [key],
        "additionalProperties": False,
    }


def _only_key(node: yaml.MappingNode) -> str:
    """The key of a map with one entry, else nothing."""
    if len(node.value) != 1 or not isinstance(node.value[0][0], yaml.ScalarNode):
        return ""
    return str(node.value[0][0].value)


def _has_key(node: yaml.MappingNode, key: str) -> bool:
    return any(isinstance(name, yaml.ScalarNode) and name.value == key for name, _ in node.value)
