"""The small languages of Slurm's words: lists of hosts, generic resources, times, states. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

HOSTS_MAX = 100_000  # of one list
SHAPES_MAX = 4096  # different words that are remembered: thousands of nodes are alike
NOTHING = frozenset({"", "(null)", "N/A", "NONE", "None"})
_MARKS = {"*": "NOT_RESPONDING", "-": "PLANNED"}  # stuck to a state's word; others mean no good
_GRES = re.compile(
    r"(?:gres[:/])?([^:(=,]+)(?::([^:(=,]*[^:(=,\d][^:(=,]*|\d+(?=[:=])))?[:=]?(\d+)?"
)
_IDX = re.compile(r"IDX:([\d,-]+)")
_BRACKET = re.compile(r"\[([^\]]*)\]")


class SlurmUnreadable(Exception):
    """What a command of Slurm printed is not what it should print; the text's beginning."""


@dataclass(frozen=True, slots=True)
class Gres:
    """Generic resources of one name and type on one node."""

    name: str  # "npu", "dcu", "gpu", …
    model: str  # the site's type; "": none
    count: int
    indices: frozenset[int] = frozenset()  # which of them, where Slurm tells


@lru_cache(maxsize=SHAPES_MAX)
def parse_gres(text: str) -> tuple[Gres, ...]:
    """`gpu:h100:4(S:0-1),npu:8`, `gres/npu:910b:3`, `gpu:a100:1(IDX:0)`; N/A is nothing."""
    if text.strip() in NOTHING:
        return ()
    found = []
    for part in re.split(r",(?![^(]*\))", text.strip()):
        match = _GRES.match(part)
        if match is None:
            continue
        name, model, count = match[1], match[2] or "", match[3]
        indices = _IDX.search(part)
        numbers = frozenset(_numbers(indices[1])) if indices else frozenset()
        found.append(Gres(name, model, int(count) if count else 1, numbers))
    return tuple(found)


@lru_cache(maxsize=SHAPES_MAX)
def parse_states(text: str) -> frozenset[str]:
    """`IDLE+DRAIN`, `DOWN*`, `MIXED-`: the words, marks spelt out."""
    words = set()
    for part in filter(None, text.upper().split("+")):
        word = part.rstrip("*~#!%$@^-")
        words.add(word)
        words.update(_MARKS.get(mark, "MARKED " + mark) for mark in part[len(word) :])
    return frozenset(words)


def parse_duration(text: str) -> float | None:
    """`3-00:00:00`, `12:00:00`, `30:00`, `45`, in seconds; None for UNLIMITED and the like."""
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdecimal() for part in parts) or (dash and not days.isdecimal()):
        return None
    numbers = [int(part) for part in parts]
    if dash:  # days-hours[:minutes[:seconds]]
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
    elif len(numbers) == 1:
        hours, minutes, seconds = 0, numbers[0], 0
    else:
        hours, minutes, seconds = (0, *numbers)[-3:]
    return float(int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds)


def hosts(text: str) -> list[str]:
    """The names of `n[1-3,07],gpu2,r[1-2]n[1-2]`. Raises SlurmUnreadable for too many."""
    names: list[str] = []
    if text.strip() in NOTHING:
        return names
    for part in re.split(r",(?![^\[]*\])", text.strip()):
        names += _expanded(part)
        if len(names) > HOSTS_MAX:
            raise SlurmUnreadable(f"more than {HOSTS_MAX} hosts: {text[:100]}")
    return names


def _expanded(text: str) -> list[str]:
    match = _BRACKET.search(text)
    if match is None:
        return [text]
    head, tails = text[: match.start()], _expanded(text[match.end() :])
    numbers: list[str] = []
    for piece in match[1].split(","):
        first, _, last = piece.partition("-")
        last = last or first
        if not (first.isdecimal() and last.isdecimal()) or int(last) - int(first) > HOSTS_MAX:
            raise SlurmUnreadable(f"no list of hosts: {text[:100]}")
        numbers += [str(n).zfill(len(first)) for n in range(int(first), int(last) + 1)]
    return [f"{head}{number}{tail}" for number in numbers for tail in tails]


def _numbers(text: str) -> Iterator[int]:
    for piece in filter(None, text.split(",")):
        first, _, last = piece.partition("-")
        yield from range(int(first), int(last or first) + 1)
