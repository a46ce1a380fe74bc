"""Compatibility of the wire with the image of it that was last committed, proto/suan.v1.binpb.

A site runs an older agent than its broker for months, and stored jobs outlive both, so what was
once on the wire keeps its number, its type and (for JSON) its name; what is removed stays
reserved. `python proto/breaking.py` checks; `--record` also commits additions to the image;
`--accept` commits whatever is there, and is for breaks that were decided.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from generate import PROTO, ProtocFailed, compile_image
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

IMAGE = PROTO / "suan.v1.binpb"


@dataclass(frozen=True, slots=True)
class Schema:
    """An image laid flat: every name in full, as it is known on the wire."""

    messages: dict[str, DescriptorProto] = field(default_factory=dict)
    enums: dict[str, EnumDescriptorProto] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    methods: dict[str, MethodDescriptorProto] = field(default_factory=dict)

    @staticmethod
    def of(image: FileDescriptorSet) -> "Schema":
        schema = Schema()
        for file in image.file:
            schema._enter(file.package, file.message_type, file.enum_type)
            for service in file.service:
                full_name = f"{file.package}.{service.name}"
                schema.services.add(full_name)
                schema.methods.update({f"{full_name}.{m.name}": m for m in service.method})
        return schema

    def _enter(
        self,
        prefix: str,
        messages: Iterable[DescriptorProto],
        enums: Iterable[EnumDescriptorProto],
    ) -> None:
        self.enums.update({f"{prefix}.{enum.name}": enum for enum in enums})
        for message in messages:
            full_name = f"{prefix}.{message.name}"
            self.messages[full_name] = message
            self._enter(full_name, message.nested_type, message.enum_type)


def breaks(before: FileDescriptorSet, after: FileDescriptorSet) -> list[str]:
    """Everything that a peer of `before` would read wrongly from `after`, one line each."""
    old, new = Schema.of(before), Schema.of(after)
    found = [f"message {name} was removed" for name in old.messages.keys() - new.messages.keys()]
    found += [f"enum {name} was removed" for name in old.enums.keys() - new.enums.keys()]
    found += [f"service {name} was removed" for name in old.services - new.services]
    found += [f"rpc {name} was removed" for name in old.methods.keys() - new.methods.keys()]
    for name in old.messages.keys() & new.messages.keys():
        found += [
            f"{name}{text}" for text in message_breaks(old.messages[name], new.messages[name])
        ]
    for name in old.enums.keys() & new.enums.keys():
        found += [f"{name}{text}" for text in enum_breaks(old.enums[name], new.enums[name])]
    for name in old.methods.keys() & new.methods.keys():
        found += [f"{name}{text}" for text in method_breaks(old.methods[name], new.methods[name])]
    return sorted(found)


def message_breaks(old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    fields = {field.number: field for field in new.field}
    numbers, names = reserved_numbers(new), set(new.reserved_name)
    for was in old.field:
        if was.number in fields:
            for text in field_breaks(old, was, new, fields[was.number]):
                yield f".{was.name}: {text}"
        elif was.number not in numbers or was.name not in names:
            yield f'.{was.name} was removed without `reserved {was.number}; reserved "{was.name}";`'
    for number in sorted(reserved_numbers(old) - numbers):
        yield f": number {number} is no longer reserved"
    for name in sorted(set(old.reserved_name) - names):
        yield f': name "{name}" is no longer reserved'


def field_breaks(
    old: DescriptorProto, was: FieldDescriptorProto, new: DescriptorProto, now: FieldDescriptorProto
) -> Iterator[str]:
    if was.name != now.name:
        yield f"number {was.number} is now called {now.name}"
    elif was.json_name != now.json_name:
        yield f"its JSON name changed from {was.json_name} to {now.json_name}"
    if (was.type, was.type_name) != (now.type, now.type_name):
        yield f"its type changed from {type_of(was)} to {type_of(now)}"
    if was.label != now.label:
        yield "it changed between singular and repeated"
    if was.proto3_optional != now.proto3_optional:
        yield "it changed whether its presence is tracked"
    elif oneof_of(old, was) != oneof_of(new, now):
        yield f"it moved from {oneof_of(old, was) or 'no oneof'} to {oneof_of(new, now) or 'none'}"


def type_of(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return field.type_name.lstrip(".")
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def oneof_of(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    """Name of the oneof that holds `field`, or empty."""
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""


def reserved_numbers(message: DescriptorProto) -> set[int]:
    # A range that runs to "max" would be half a billion numbers: fields stay far below this.
    ceiling = 100_000
    return {
        number
        for spread in message.reserved_range
        for number in range(spread.start, min(spread.end, ceiling))
    }


def enum_breaks(old: EnumDescriptorProto, new: EnumDescriptorProto) -> Iterator[str]:
    values = {value.number: value.name for value in new.value}
    reserved = [(spread.start, spread.end) for spread in new.reserved_range]
    for was in old.value:
        if was.number in values:
            if values[was.number] != was.name:
                yield f".{was.name}: number {was.number} is now called {values[was.number]}"
        elif (
            not any(start <= was.number <= end for start, end in reserved)
            or was.name not in new.reserved_name
        ):
            yield f'.{was.name} was removed without `reserved {was.number}; reserved "{was.name}";`'


def method_breaks(old: MethodDescriptorProto, new: MethodDescriptorProto) -> Iterator[str]:
    if old.input_type != new.input_type:
        yield f": its request changed from {old.input_type[1:]} to {new.input_type[1:]}"
    if old.output_type != new.output_type:
        yield f": its response changed from {old.output_type[1:]} to {new.output_type[1:]}"
    if old.client_streaming != new.client_streaming:
        yield ": it changed whether the client streams"
    if old.server_streaming != new.server_streaming:
        yield ": it changed whether the server streams"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--proto", type=Path, default=PROTO, help="folder that holds suan/v1")
    parser.add_argument("--image", type=Path, default=IMAGE, help="the committed image")
    parser.add_argument("--record", action="store_true", help="commit compatible changes")
    parser.add_argument("--accept", action="store_true", help="commit breaking changes too")
    options = parser.parse_args(arguments)
    image: Path = options.image
    try:
        after = compile_image(options.proto)
    except ProtocFailed as failure:
        print(f"proto: {failure}", file=sys.stderr)
        return 1
    content = after.SerializeToString(deterministic=True)
    committed = image.read_bytes() if image.exists() else b""
    found = breaks(FileDescriptorSet.FromString(committed), after)
    for line in found:
        print(f"proto: {line}", file=sys.stderr)
    if options.accept or (options.record and not found):
        image.write_bytes(content)
        return 0
    if found:
        print(
            "proto: the wire is broken for peers of the committed image; keep what was there, "
            "or decide the break and run `python proto/breaking.py --accept`",
            file=sys.stderr,
        )
    elif content != committed:
        print(f"proto: {image.name} is stale; run `make proto`", file=sys.stderr)
    return 1 if found or content != committed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
