"""From a message of the wire to a frozen dataclass with the same fields, and back.

The classes of `suan.views` mirror their messages, so one pair of functions serves them
all: fields go by name, repeated fields become tuples, maps become tuples of pairs in
ascending order. What only one side has is left out, and has its default.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def read(kind: type[T], message: Message) -> T:
    """`message` as a `kind`."""
    hints = _hints(cast(Hashable, kind)).items()
    return kind(
        **{name: _value(h, getattr(message, name)) for name, h in hints if _has(message, name)}
    )


def _has(message: Message, name: str) -> bool:
    """Whether it has such a field, and if that is an optional one, says something in it."""
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        return False
    oneof = field.containing_oneof
    is_optional = oneof is not None and field.message_type is None
    return message.HasField(name) if is_optional else True


def read_all(kind: type[T], messages: Iterable[Message]) -> tuple[T, ...]:
    return tuple(read(kind, message) for message in messages)


def write(kind: type[M], value: Any) -> M:
    """A dataclass as a message of `kind`."""
    message = kind()
    _fill(message, value)
    return message


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
    if isinstance(hint, UnionType):  # "float | None": whoever says nothing is not read
        return get_args(hint)[0](value)
    return hint(value)


def _fill(message: Message, value: Any) -> None:
    for name, field in message.DESCRIPTOR.fields_by_name.items():
        item = getattr(value, name, None)
        target = getattr(message, name)
        if isinstance(item, tuple) and field.message_type:
            for element in item:
                _fill(target.add(), element)
        elif isinstance(item, tuple):
            target.extend(item)
        elif is_dataclass(item):
            _fill(target, item)
        elif item is not None:
            setattr(message, name, item)
