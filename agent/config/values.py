"""The small shapes that more than one table of agent.yaml is made of: names, numbers, models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from scheduler.model import Accelerator
from suan.jobspec import limits, units
from suan.jobspec.limits import Fault, Range, TextRule, quoted
from suan.jobspec.reader import Reader
from suan.jobspec.shapes import Integer, Json, Scalar, text, text_schema

NODE_NAME = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._-]*", "a node name")
ENDPOINT = TextRule(255, r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", "https:// and a host name")
ADDRESS = TextRule(255, r"[A-Za-z0-9.:_-]+", "a host name or an address")
BROKER = TextRule(261, r"[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}", "host:port, e.g. broker.example.cn:443")
PLACE = TextRule(63, r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a name (a-z, 0-9 and -)")
TENANT = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._/-]*", "a tenant")
CARD_COUNT = TextRule(7, r"[1-9][0-9]*", "a number of cards")
RAW_NAME = TextRule(128, r"[^\x00-\x1f\x7f]+", "a name on one line")


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue, by any of its names."""

    def read(self, node: yaml.Node, path: str, reader: Reader) -> Accelerator | None:
        name = text(limits.NAME).read(node, path, reader)
        if name is None:
            return None
        canonical = reader.catalogue.resolve(name)
        if canonical is not None:
            return reader.catalogue.get(canonical)
        near = reader.catalogue.suggest(name)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `suan accelerators`"
        message = f"no accelerator is called {quoted(name)}"
        reader.report(path, Fault("UnknownAccelerator", message, hint))
        return None

    def schema(self) -> Json:
        return text_schema(limits.MODEL)


def number(least: float, most: float, unit: str = "") -> Scalar[float]:
    rule = Range(least, most, unit)
    json: dict[str, object] = {"type": "number", "minimum": least, "maximum": most}
    return Scalar(units.number, rule, json, "a number")


def count(least: int, most: int, unit: str) -> Integer:
    return Integer(Range(least, most, unit), least, most)


def pair(key: str, value: Any) -> tuple[str, Any]:
    return key, value


def measured(cards: str, fraction: float) -> tuple[int, float]:
    return int(cards), fraction
