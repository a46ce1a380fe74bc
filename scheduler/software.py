"""Software stacks: whether a pool's nodes have the stack that a variant needs.

A stack is a name and a version ("cann-8.1"), a need is a name with or without the least
version ("cann>=8.0"). Versions compare number by number. What cannot be read matches nothing.
"""

from __future__ import annotations

import re

_STACK = re.compile(r"(.+)-([0-9]+(?:\.[0-9]+)*)")
_PARTS_MAX = 8  # of a version


def has_software(stacks: tuple[str, ...], need: str) -> bool:
    """Whether some of `stacks` meets `need`; a pool that states none is believed to."""
    name, bounded, least = need.partition(">=")
    if not need or not stacks:
        return True
    matches = (_STACK.fullmatch(stack) for stack in stacks)
    found = [match[2] for match in matches if match and match[1] == name]
    if not bounded:
        return bool(found) or name in stacks
    return any(_version(version) >= _version(least) for version in found)


def _version(text: str) -> tuple[int, ...]:
    """8.1 and 8.1.0 are the same."""
    numbers = [int(part[:9]) for part in text.split(".")[:_PARTS_MAX] if part.isdecimal()]
    return tuple(numbers + [0] * (_PARTS_MAX - len(numbers)))
