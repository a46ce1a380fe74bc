"""YAML text as values that remember where they stand, and the gathering of all their faults.

Knows nothing of networks. The text is bounded in size, depth and number of values before
a tree is built; aliases and tags are refused, so that a value costs no more than its text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

import yaml

from suan.errors import InvalidSpec, Problem

FILE_BYTES_MAX = 8 * 1024 * 1024
DEPTH_MAX = 8  # lists and maps within each other
VALUES_MAX = 1_000_000
TEXT_CHARACTERS_MAX = 1_000
PROBLEMS_MAX = 100  # reported at once

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{0,15})?([eE][+-]?[0-9]{1,3})?")


@dataclass(slots=True)
class Faults:
    """The problems and warnings found so far."""

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def report(self, at: Spot, code: str, message: str, hint: str = "") -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(code, at.line, at.column, at.path, message, hint))

    def warn(self, at: Spot, code: str, message: str, hint: str = "") -> None:
        self.warnings.append(Problem(code, at.line, at.column, at.path, message, hint))

    def raise_if_any(self) -> None:
        """Raises InvalidSpec with all problems in the order of the file."""
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: (problem.line, problem.column))
            raise InvalidSpec(problems=tuple(ordered))


@dataclass(frozen=True, slots=True)
class Spot:
    """A YAML node and its path, e.g. "links[3].a"."""

    node: yaml.Node
    path: str
    key: yaml.Node | None = None  # the key that it stands behind

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def column(self) -> int:
        return int(self.node.start_mark.column) + 1

    @property
    def is_map(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    def text(self, faults: Faults) -> str:
        """The scalar as written, or "" after a report."""
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value:
            faults.report(self, "WrongType", f"must be text, not {_described(self.node)}")
            return ""
        text = str(self.node.value)
        if len(text) > TEXT_CHARACTERS_MAX:
            faults.report(self, "TextTooLong", f"has over {TEXT_CHARACTERS_MAX:,} characters")
            return ""
        return text

    def number(self, faults: Faults, least: float, most: float, unit: str) -> float:
        """A number from `least` to `most`, or NaN after a report."""
        text = str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""
        if not _NUMBER.fullmatch(text):
            faults.report(self, "WrongType", f"must be a number, not {_described(self.node)}")
            return math.nan
        value = float(text)
        if not least <= value <= most:
            bounds = f"between {least:g} and {most:g} {unit}".rstrip()
            faults.report(self, "OutOfRange", f"must be {bounds}, not {text}")
            return math.nan
        return value

    def items(self, faults: Faults) -> list[Spot]:
        """The entries of a list; none after a report."""
        if not isinstance(self.node, yaml.SequenceNode):
            faults.report(self, "WrongType", f"must be a list, not {_described(self.node)}")
            return []
        return [Spot(node, f"{self.path}[{i}]") for i, node in enumerate(self.node.value)]

    def entries(self, faults: Faults) -> dict[str, Spot]:
        """The entries of a map by key; none after a report. A key that comes twice is reported."""
        if not isinstance(self.node, yaml.MappingNode):
            faults.report(self, "WrongType", f"must be a map, not {_described(self.node)}")
            return {}
        found: dict[str, Spot] = {}
        for key_node, value_node in self.node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                faults.report(Spot(key_node, self.path), "WrongType", "has a key that is no text")
                continue
            key = str(key_node.value)
            below = f"{self.path}.{key}" if self.path else key
            if key in found:
                faults.report(Spot(key_node, below), "DuplicateKey", "stands here twice")
                continue
            found[key] = Spot(value_node, below, key_node)
        return found

    def fields(
        self, faults: Faults, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> dict[str, Spot]:
        """The entries of a map whose keys are known; reports those unknown and those missing."""
        found = self.entries(faults)
        for key in found.keys() - {*required, *optional}:
            hint = nearest(key, (*required, *optional))
            spot = found.pop(key)
            at = Spot(spot.key or spot.node, spot.path)
            faults.report(at, "UnknownKey", "this key is unknown", hint)
        if self.is_map:
            for key in required:
                if key not in found:
                    faults.report(self, "MissingKey", f"{key!r} is missing")
        return found


def nearest(word: str, words: Iterable[str]) -> str:
    """A "did you mean" hint, or nothing when no word is near."""
    close = get_close_matches(word[:64].lower(), list(words), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def read(text: str | bytes) -> Spot:
    """The document's root. Raises InvalidSpec when the text is too large or no plain YAML."""
    if len(text) > FILE_BYTES_MAX:
        bound = f"{FILE_BYTES_MAX // 2**20} MiB"
        raise _refusal("FileTooLarge", 0, 0, f"the file is larger than {bound}")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        _measure(decoded)
        root = yaml.compose(decoded, Loader=_Loader)
    except UnicodeError:
        raise _refusal("NotUTF8", 0, 0, "the file is not UTF-8 text", "save it as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        reason = getattr(error, "problem", None) or "a character that YAML does not allow"
        hint = "check indentation and quotes"
        raise _refusal("BadYAML", line, column, f"not YAML: {reason}", hint) from None
    if root is None:
        raise _refusal("EmptyFile", 0, 0, "the file is empty")
    return Spot(root, "")


def _measure(text: str) -> None:
    """Refuses what must not become a tree, on a stream of events: cheap at any depth."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        values += isinstance(event, yaml.NodeEvent)
        where = _place(event)
        if getattr(event, "anchor", None) is not None:  # of an alias too
            raise _refusal("AliasRefused", *where, "anchors (&) and aliases (*) are not allowed")
        if getattr(event, "tag", None) is not None:
            raise _refusal("TagRefused", *where, "tags (!) are not allowed")
        if depth > DEPTH_MAX:
            raise _refusal("TooDeep", *where, f"more than {DEPTH_MAX} lists and maps deep")
        if values > VALUES_MAX:
            raise _refusal("FileTooLarge", *where, f"more than {VALUES_MAX:,} values")


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _refusal(code: str, line: int, column: int, message: str, hint: str = "") -> InvalidSpec:
    return InvalidSpec(problems=(Problem(code, line, column, "", message, hint),))


def _described(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return repr(str(node.value)[:60]) if node.value else "nothing"
