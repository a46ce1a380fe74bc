"""The forms that values take in a job file: each reads a node and states its JSON Schema.

A shape's `read` returns the value, or None after it reported what is wrong, so that one
reading finds every problem. The shapes know nothing of jobs; `fields` composes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import yaml

from suan.jobspec.limits import ENTRIES_MAX, Fault, Rule, TextRule, quoted
from suan.jobspec.reader import Reader, nearest
from suan.jobspec.source import described, is_null

T = TypeVar("T")
K = TypeVar("K")
T_co = TypeVar("T_co", covariant=True)
Json: TypeAlias = dict[str, object]

_INTEGER_TAG = "tag:yaml.org,2002:int"
_INTEGER = "[+-]?(0|[1-9][0-9]*)"  # no leading zero: YAML 1.1 would read 010 as eight
_DIGITS_MAX = 18  # what is longer is out of every range, and must not be costly to read


class Shape(Protocol[T_co]):
    def read(self, node: yaml.Node, path: str, reader: Reader) -> T_co | None:
        """The value of `node`, or None after its problems were reported."""

    def schema(self) -> Json:
        """The JSON Schema of the shape."""


@dataclass(frozen=True, slots=True)
class Scalar(Generic[T]):
    """One scalar: its text as written goes through `parse`, the result through `rule`.

    YAML's own reading of plain words (`yes`, `1:30`, `1e5`) never matters.
    """

    parse: Callable[[str], T]
    rule: Rule[Any] | None  # Any: the type is that of `parse`, and narrower than a field's
    json: Json
    wanted: str = "text"  # for the message when a list or map stands here

    def read(self, node: yaml.Node, path: str, reader: Reader) -> T | None:
        reader.visit(path, node)
        try:
            value = self.parse(scalar_text(node, self.wanted))
            if self.rule is not None:
                self.rule.verify(value)
        except Fault as fault:
            reader.report(path, fault)
            return None
        return value

    def schema(self) -> Json:
        return dict(self.json)


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, written without quotes."""

    rule: Rule[float]
    least: int
    most: int

    def read(self, node: yaml.Node, path: str, reader: Reader) -> int | None:
        reader.visit(path, node)
        try:
            text = scalar_text(node, "a whole number")
            if node.tag != _INTEGER_TAG or not re.fullmatch(_INTEGER, text):
                raise Fault("WrongType", f"must be a whole number, not {quoted(text)}")
            value = int(text[:_DIGITS_MAX])
            self.rule.verify(value)
        except Fault as fault:
            reader.report(path, fault)
            return None
        return value

    def schema(self) -> Json:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class IntegerOrWord:
    """A whole number, or one of a few names for numbers."""

    number: Integer
    words: Mapping[str, int]

    def read(self, node: yaml.Node, path: str, reader: Reader) -> int | None:
        if isinstance(node, yaml.ScalarNode) and node.value in self.words:
            reader.visit(path, node)
            return self.words[node.value]
        return self.number.read(node, path, reader)

    def schema(self) -> Json:
        return {"anyOf": [self.number.schema(), {"enum": list(self.words)}]}


@dataclass(frozen=True, slots=True)
class Truth:
    """true or false, and no other word for them."""

    def read(self, node: yaml.Node, path: str, reader: Reader) -> bool | None:
        reader.visit(path, node)
        try:
            text = scalar_text(node, "true or false")
            if text not in ("true", "false"):
                raise Fault("WrongType", f"must be true or false, not {quoted(text)}")
        except Fault as fault:
            reader.report(path, fault)
            return None
        return text == "true"

    def schema(self) -> Json:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One word of a closed set; `words` maps what is written to what is meant."""

    words: Mapping[str, str]

    def read(self, node: yaml.Node, path: str, reader: Reader) -> str | None:
        reader.visit(path, node)
        try:
            text = scalar_text(node, "a word")
        except Fault as fault:
            reader.report(path, fault)
            return None
        if text not in self.words:
            message = f"{quoted(text)} is not one of {', '.join(self.words)}"
            reader.report(path, Fault("UnknownWord", message, nearest(text, self.words)))
            return None
        return self.words[text]

    def schema(self) -> Json:
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    item: Shape[T]
    entries_min: int = 0
    entries_max: int = ENTRIES_MAX

    def read(self, node: yaml.Node, path: str, reader: Reader) -> tuple[T, ...] | None:
        reader.visit(path, node)
        if not isinstance(node, yaml.SequenceNode):
            reader.report(path, Fault("WrongType", f"must be a list, not {described(node)}"))
            return None
        if not self.entries_min <= len(node.value) <= self.entries_max:
            bounds = f"{self.entries_min} to {self.entries_max:,}"
            message = f"has {len(node.value)} entries, {bounds} are allowed"
            reader.report(path, Fault("OutOfRange", message))
            return None
        values = [
            self.item.read(child, f"{path}[{index}]", reader)
            for index, child in enumerate(node.value)
        ]
        kept = tuple(value for value in values if value is not None)
        return kept if len(kept) == len(values) else None

    def schema(self) -> Json:
        return {
            "type": "array",
            "items": self.item.schema(),
            "minItems": self.entries_min,
            "maxItems": self.entries_max,
        }


@dataclass(frozen=True, slots=True)
class AsTuple(Generic[T]):
    """One value where several may stand."""

    item: Shape[T]

    def read(self, node: yaml.Node, path: str, reader: Reader) -> tuple[T, ...] | None:
        value = self.item.read(node, path, reader)
        return None if value is None else (value,)

    def schema(self) -> Json:
        return self.item.schema()


@dataclass(frozen=True, slots=True)
class MapOf(Generic[K, T]):
    """A map with free keys that follow `key`; `make` gets each key with its value."""

    key: TextRule
    item: Shape[T]
    make: Callable[[str, T], K]

    def read(self, node: yaml.Node, path: str, reader: Reader) -> tuple[K, ...] | None:
        reader.visit(path, node)
        children = entries(node, path, reader)
        if children is None:
            return None
        made: list[K] = []
        for key, child in children:
            below = f"{path}.{key}"
            try:
                self.key.verify(key)
            except Fault as fault:
                reader.visit(below, child)
                reader.report(below, fault)
                continue
            value = self.item.read(child, below, reader)
            if value is not None:
                made.append(self.make(key, value))
        return tuple(made) if reader.sound(path) else None

    def schema(self) -> Json:
        return {
            "type": "object",
            "propertyNames": text_schema(self.key),
            "additionalProperties": self.item.schema(),
            "maxProperties": ENTRIES_MAX,
        }


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record.

    `attribute`: the argument of `make`, when its name differs. `foreign`: what other tools
    call it, for hints only.
    """

    name: str
    shape: Shape[object]
    doc: str
    required: bool = False
    attribute: str = ""
    foreign: tuple[str, ...] = ()

    def means(self, key: str) -> bool:
        return key == self.name or key in self.foreign


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """A map with known keys. `make` gets those present and may raise Fault.

    With `partial`, `make` is called although some value was faulty (that one is left
    out), so that what depends on several values can still be checked.
    """

    make: Callable[..., T]
    fields: tuple[Field, ...]
    partial: bool = False

    def read(self, node: yaml.Node, path: str, reader: Reader) -> T | None:
        reader.visit(path, node)
        children = entries(node, path, reader)
        if children is None:
            return None
        values = dict(self._values(children, path, reader))
        missing = [field for field in self.fields if self._lacks(field, children)]
        for field in missing:
            reader.report(join(path, field.name), Fault("MissingKey", "is required", field.doc))
        if missing or not (self.partial or reader.sound(path)):
            return None
        try:
            return self.make(**values)
        except Fault as fault:
            reader.report(path, fault)
            return None

    def schema(self) -> Json:
        properties = {
            field.name: {**field.shape.schema(), "description": field.doc} for field in self.fields
        }
        required = [field.name for field in self.fields if field.required]
        schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def _values(
        self, children: list[tuple[str, yaml.Node]], path: str, reader: Reader
    ) -> Iterator[tuple[str, object]]:
        known = {field.name: field for field in self.fields}
        for key, child in children:
            below = join(path, key)
            if key not in known:
                reader.visit(below, child)
                message = f"the key {quoted(key)} is unknown"
                reader.report(below, Fault("UnknownKey", message, self._advice(key, known)))
                continue
            value = known[key].shape.read(child, below, reader)
            if value is not None:
                yield known[key].attribute or key, value

    def _advice(self, key: str, known: Mapping[str, Field]) -> str:
        for field in self.fields:
            if field.means(key):
                return f"did you mean {field.name}?"
            for inner in field.shape.fields if isinstance(field.shape, Record) else ():
                if inner.means(key):
                    return f"did you mean {field.name}.{inner.name}?"
        return nearest(key, known) or f"known here: {', '.join(known)}"

    def _lacks(self, field: Field, children: list[tuple[str, yaml.Node]]) -> bool:
        return field.required and all(key != field.name for key, _ in children)


@dataclass(frozen=True, slots=True)
class Either(Generic[T]):
    """One shape for a scalar, another for a map."""

    scalar: Shape[T]
    mapping: Shape[T]

    def read(self, node: yaml.Node, path: str, reader: Reader) -> T | None:
        chosen = self.scalar if isinstance(node, yaml.ScalarNode) else self.mapping
        return chosen.read(node, path, reader)

    def schema(self) -> Json:
        return {"anyOf": [self.scalar.schema(), self.mapping.schema()]}


def entries(node: yaml.Node, path: str, reader: Reader) -> list[tuple[str, yaml.Node]] | None:
    """The entries of a map in order, the first of each key; None when it is no map."""
    if not isinstance(node, yaml.MappingNode):
        reader.report(path, Fault("WrongType", f"must be a map, not {described(node)}"))
        return None
    found: dict[str, yaml.Node] = {}
    lines: dict[str, int] = {}
    for key_node, child in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            reader.report(path, Fault("WrongType", "has a key that is a list or a map"))
            continue
        key = str(key_node.value)
        if key in found:
            below = join(path, key)
            reader.visit(below, key_node)
            message = f"the key {quoted(key)} stands here twice, first on line {lines[key]}"
            reader.report(below, Fault("DuplicateKey", message))
            continue
        found[key], lines[key] = child, key_node.start_mark.line + 1
    return list(found.items())


def scalar_text(node: yaml.Node, wanted: str) -> str:
    """The text of a scalar as written. Raises Fault for lists, maps and nothing."""
    if not isinstance(node, yaml.ScalarNode):
        raise Fault("WrongType", f"must be {wanted}, not {described(node)}")
    if is_null(node):
        raise Fault("EmptyValue", f"is empty, but must be {wanted}", "give a value or drop the key")
    return str(node.value)


def text(rule: TextRule) -> Scalar[str]:
    """Any scalar, taken as text: `name: 2024` is as good as `name: "2024"`."""
    return Scalar(str, rule, {**text_schema(rule), "type": ["string", "number", "boolean"]})


def text_schema(rule: TextRule) -> Json:
    schema: Json = {"type": "string", "maxLength": rule.characters_max}
    return {**schema, "pattern": f"^(?:{rule.pattern})$"} if rule.pattern else schema


def quantity(
    parse: Callable[[str], T], rule: Rule[Any] | None, pattern: str, wanted: str
) -> Scalar[T]:
    """A text with a unit, or a bare number."""
    forms: list[Json] = [{"type": "string", "pattern": f"^(?:{pattern})$"}]
    forms.append({"type": "number", "minimum": 0})
    return Scalar(parse, rule, {"anyOf": forms}, wanted)


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
