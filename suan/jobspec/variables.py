"""`envs` and `secrets`: maps whose nulls are filled at submission, not in the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from suan.jobspec.limits import ENTRIES_MAX, VARIABLE, VARIABLE_VALUE, Fault
from suan.jobspec.reader import Reader
from suan.jobspec.shapes import Json, entries, join, text_schema
from suan.jobspec.source import described, is_null


@dataclass(frozen=True, slots=True)
class Environment:
    """Names to values; null must be given at submission. Read as (name, value), by name."""

    def read(
        self, node: yaml.Node, path: str, reader: Reader
    ) -> tuple[tuple[str, str], ...] | None:
        values: dict[str, str] = {}
        for name, below, child in _variables(node, path, reader):
            if not isinstance(child, yaml.ScalarNode):
                fault = Fault("WrongType", f"must be text, not {described(child)}", "quote it")
                reader.report(below, fault)
                continue
            value = reader.given.get(name) if is_null(child) else str(child.value)
            if value is None:
                hint = f"submit with --env {name}=… or export {name}"
                reader.report(below, Fault("MissingEnvironment", "must be given at submit", hint))
                continue
            try:
                VARIABLE_VALUE.verify(value)
            except Fault as fault:
                reader.report(below, fault)
            values[name] = value
        return tuple(sorted(values.items())) if reader.sound(path) else None

    def schema(self) -> Json:
        value: Json = {
            "type": ["string", "number", "boolean", "null"],
            "maxLength": VARIABLE_VALUE.characters_max,
        }
        return _schema(value)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Names whose values are given at submission and never stand in a file or a spec."""

    def read(self, node: yaml.Node, path: str, reader: Reader) -> tuple[str, ...] | None:
        names: list[str] = []
        for name, below, child in _variables(node, path, reader):
            if not is_null(child):
                message = "a secret's value must not stand in a job file"
                hint = f"write `{name}: null` and give the value at submit"
                reader.report(below, Fault("SecretInFile", message, hint))
            elif name not in reader.given:
                hint = f"export {name}"
                reader.report(below, Fault("MissingSecret", "must be given at submit", hint))
            names.append(name)
        return tuple(sorted(names)) if reader.sound(path) else None

    def schema(self) -> Json:
        return _schema({"type": "null"})


def _variables(node: yaml.Node, path: str, reader: Reader) -> Iterator[tuple[str, str, yaml.Node]]:
    """Each entry with a proper name, as (name, path, node)."""
    reader.visit(path, node)
    for name, child in entries(node, path, reader) or ():
        below = join(path, name)
        reader.visit(below, child)
        try:
            VARIABLE.verify(name)
        except Fault as fault:
            reader.report(below, fault)
            continue
        yield name, below, child


def _schema(value: Json) -> Json:
    return {
        "type": "object",
        "propertyNames": text_schema(VARIABLE),
        "additionalProperties": value,
        "maxProperties": ENTRIES_MAX,
    }
