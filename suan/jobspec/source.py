"""From the bytes of a job file to a bounded tree of YAML nodes with positions.

Only the safe grammar is accepted: one document, no anchors, aliases, tags or merge
keys, bounded in size, depth and length before any tree is built. JSON is read as the
subset of YAML that it is. Nothing is constructed from the nodes here, and nothing in
this module knows what a job is.
"""

from __future__ import annotations

import re
from typing import NoReturn

import yaml

from suan.errors import InvalidSpec, Problem
from suan.jobspec.limits import DEPTH_MAX, ENTRIES_MAX, FILE_BYTES_MAX, NODES_MAX, quoted

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LEADING_TABS = re.compile(r"^[ \t]*\t[ \t]*", re.MULTILINE)


def parse(source: str | bytes) -> yaml.MappingNode:
    """The top-level map of a job file. Raises InvalidSpec with the first fault found."""
    text = decode(source)
    if text.lstrip().startswith("{"):  # JSON may be indented by tabs, YAML may not
        text = _LEADING_TABS.sub(lambda blanks: " " * len(blanks[0]), text)
    try:
        _measure(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        _refuse_syntax(error, text)
    if root is None:
        hint = "`suan schema job` says what it may hold"
        _refuse("EmptyFile", 0, 0, "the job file is empty", hint)
    if not isinstance(root, yaml.MappingNode):
        mark = root.start_mark
        message = f"the job file must be a map of keys to values, not {described(root)}"
        _refuse("WrongType", mark.line + 1, mark.column + 1, message)
    return root


def described(node: yaml.Node) -> str:
    """What a node is, for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "nothing" if is_null(node) else quoted(str(node.value))


def is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def decode(source: str | bytes) -> str:
    """UTF-8 text within the size limit and printable. Raises InvalidSpec."""
    if len(source) > FILE_BYTES_MAX:
        _refuse_size(len(source))
    try:
        data = source.encode() if isinstance(source, str) else source
        text = data.decode("utf-8-sig")
    except UnicodeError as error:
        line = _bytes(source)[: getattr(error, "start", 0)].count(b"\n") + 1
        _refuse("NotUTF8", line, 0, "the job file is not UTF-8 text", "save it as UTF-8")
    if len(data) > FILE_BYTES_MAX:
        _refuse_size(len(data))
    if found := _UNPRINTABLE.search(text):
        line, column = _position(text, found.start())
        message = f"the character {found[0]!r} is not allowed in a job file"
        _refuse("BadCharacter", line, column, message)
    return text


def _measure(text: str) -> None:
    """Refuses what must not become a tree. A stream of events: flat and cheap at any depth."""
    room: list[int] = []  # nodes that each open list or map may still hold
    documents = nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse_event(event, "SeveralDocuments", "a job file holds one job", "split it")
        _refuse_references(event)
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            room.pop()
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            if nodes > NODES_MAX:
                _refuse_event(event, "TooLarge", f"more than {NODES_MAX:,} keys and values")
            if room and room[-1] == 0:
                message = f"more than {ENTRIES_MAX:,} entries in one list or map"
                _refuse_event(event, "ListTooLong", message)
            if room:
                room[-1] -= 1
            if isinstance(event, yaml.CollectionStartEvent):
                # An entry of a map is two nodes: key and value.
                keyed = isinstance(event, yaml.MappingStartEvent)
                room.append(ENTRIES_MAX * (2 if keyed else 1))
                if len(room) > DEPTH_MAX:
                    message = f"lists and maps go deeper than {DEPTH_MAX} levels"
                    _refuse_event(event, "TooDeep", message)


def _refuse_references(event: yaml.Event) -> None:
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        message = "anchors (&) and aliases (*) are not allowed"
        _refuse_event(event, "AliasRefused", message, "write the value out, or quote the text")
    if (tag := getattr(event, "tag", None)) is not None:
        message = f"the tag {quoted(str(tag))} is not allowed"
        _refuse_event(event, "TagRefused", message, "quote the text if it starts with !")


def _refuse_syntax(error: yaml.YAMLError, text: str) -> NoReturn:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        _refuse("BadYAML", 0, 0, f"the job file is not YAML: {error}")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or line[mark.column :].startswith("\t"):
        message = "a tab stands where only blanks may indent"
        _refuse("TabIndent", mark.line + 1, mark.column + 1, message, "replace tabs by blanks")
    reasons = (getattr(error, "context", None), getattr(error, "problem", None))
    message = "the job file is not YAML: " + ", ".join(reason for reason in reasons if reason)
    _refuse("BadYAML", mark.line + 1, mark.column + 1, message, "check indentation and quotes")


def _refuse_event(event: yaml.Event, code: str, message: str, hint: str = "") -> NoReturn:
    mark = event.start_mark
    _refuse(code, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0, message, hint)


def _refuse_size(size_bytes: int) -> NoReturn:
    message = f"the job file has {size_bytes:,} bytes, at most {FILE_BYTES_MAX:,} are allowed"
    _refuse("FileTooLarge", 0, 0, message, "put data and programs into `workdir` or `inputs`")


def _refuse(code: str, line: int, column: int, message: str, hint: str = "") -> NoReturn:
    raise InvalidSpec(problems=(Problem(code, line, column, "", message, hint),))


def _bytes(source: str | bytes) -> bytes:
    return source.encode(errors="replace") if isinstance(source, str) else source


def _position(text: str, index: int) -> tuple[int, int]:
    line = text.count("\n", 0, index) + 1
    return line, index - text.rfind("\n", 0, index)
