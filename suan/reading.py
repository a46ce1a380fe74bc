"""From a message of the wire to a frozen dataclass with the same fields, and back.

The classes of `suan.views` mirror their messages, so one pair of functions serves them
all: fields go by name, repeated fields become tuples, maps become tuples of pairs in
ascending order. A field that the message lacks is our own mistake and raises
AttributeError.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def read(kind: type[T], message: Message) -> T:
    """`message` as a `kind`."""
    hints = _hints(cast(Hashable, kind))
    return kind(**{name: _value(hint, getattr(message, name)) for name, hint in hints.items()})


def read_all(kind: type[T], messages: Iterable[Message]) -> tuple[T, ...]:
    return tuple(read(kind, message) for message in messages)


def write(kind: type[M], value: Any) -> M:
    """A dataclass as a message of `kind`."""
    return kind(**_plain(value))


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _value(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value)
    if get_origin(hint) is tuple:
        if isinstance(value, Mapping):
            return tuple(sorted(value.items()))
        element = get_args(hint)[0]
        return tuple(_value(element, item) for item in value)
    return hint(value)


def _plain(value: Any) -> dict[str, Any]:
    return {field.name: _unwrapped(getattr(value, field.name)) for field in fields(value)}


def _unwrapped(value: Any) -> Any:
    if is_dataclass(value):
        return _plain(value)
    if isinstance(value, tuple):
        return [_unwrapped(item) for item in value]
    return value
