"""Style of the wire: the rules of buf's STANDARD set and a few of the house.

It reads descriptors with their comments and returns findings; it knows nothing of what was on
the wire before (breaking.py does). Exceptions to STANDARD are the two constants below and
stand, with their reasons, in docs/decisions/0001-wire-style.md.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from generate import PROTO, ProtocFailed, compile_image
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    SourceCodeInfo,
)

# RPC -> (request, response) where one stream carries more than one RPC's worth of messages.
SESSION_STREAMS = {"suan.v1.Agents.Session": ("AgentMessage", "BrokerMessage")}
# Service names carry no suffix: the file's name ends in _service instead, one service a file.
SERVICE_FILE_SUFFIX = "_service.proto"

PASCAL_CASE = re.compile(r"([A-Z][a-z0-9]+)+")
SNAKE_CASE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
PACKAGE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\.v[1-9][0-9]*")

# Positions of the things that rules point at, by field number in descriptor.proto.
FILE_MESSAGE, FILE_ENUM, FILE_SERVICE, FILE_DEPENDENCY = 4, 5, 6, 3
MESSAGE_FIELD, MESSAGE_NESTED, MESSAGE_ENUM, MESSAGE_ONEOF = 2, 3, 4, 8
ENUM_VALUE, SERVICE_METHOD = 2, 2

Position = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule; `line` counts from 1."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


class Source:
    """One file with its comments, its messages and its enums laid flat."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self.locations: dict[Position, SourceCodeInfo.Location] = {
            tuple(location.path): location for location in file.source_code_info.location
        }
        self.messages: list[tuple[Position, DescriptorProto]] = []
        self.enums: list[tuple[Position, EnumDescriptorProto]] = [
            ((FILE_ENUM, index), enum) for index, enum in enumerate(file.enum_type)
        ]
        for index, message in enumerate(file.message_type):
            self._lay_flat((FILE_MESSAGE, index), message)

    def _lay_flat(self, path: Position, message: DescriptorProto) -> None:
        if message.options.map_entry:
            return
        self.messages.append((path, message))
        for index, enum in enumerate(message.enum_type):
            self.enums.append(((*path, MESSAGE_ENUM, index), enum))
        for index, nested in enumerate(message.nested_type):
            self._lay_flat((*path, MESSAGE_NESTED, index), nested)

    def finding(self, path: Position, rule: str, message: str) -> Finding:
        location = self.locations.get(path)
        line = location.span[0] + 1 if location else 1
        return Finding(self.file.name, line, rule, message)

    def has_comment(self, path: Position) -> bool:
        location = self.locations.get(path)
        return location is not None and bool(
            location.leading_comments.strip() or location.trailing_comments.strip()
        )

    def opens_group(self, path: Position) -> bool:
        """Whether a heading, a comment with blank lines around it, stands before `path`."""
        location = self.locations.get(path)
        return location is not None and len(location.leading_detached_comments) > 0


def check_file(source: Source) -> Iterator[Finding]:
    file = source.file
    stem = Path(file.name).stem
    if file.syntax != "proto3":
        yield source.finding((), "SYNTAX", 'the file must say syntax = "proto3"')
    if not SNAKE_CASE.fullmatch(stem):
        yield source.finding((), "FILE_LOWER_SNAKE_CASE", f"{stem} is not lower_snake_case")
    if not PACKAGE_NAME.fullmatch(file.package):
        message = f"package {file.package!r} must be lower case and end in a version"
        yield source.finding((), "PACKAGE_VERSION_SUFFIX", message)
    elif Path(file.name).parent != Path(*file.package.split(".")):
        message = f"package {file.package} must lie in {file.package.replace('.', '/')}/"
        yield source.finding((), "PACKAGE_DIRECTORY_MATCH", message)
    if file.public_dependency or file.weak_dependency:
        yield source.finding((), "IMPORT_NO_PUBLIC", "imports are neither public nor weak")
    suffixed = file.name.endswith(SERVICE_FILE_SUFFIX)
    if suffixed != bool(file.service) or len(file.service) > 1:
        message = f"one service a file, and its name ends in {SERVICE_FILE_SUFFIX}"
        yield source.finding((), "SERVICE_FILE", message)


def types_used(file: FileDescriptorProto) -> Iterator[str]:
    def of_message(message: DescriptorProto) -> Iterator[str]:
        yield from (field.type_name for field in message.field)
        for nested in message.nested_type:
            yield from of_message(nested)

    for message in file.message_type:
        yield from of_message(message)
    for service in file.service:
        for method in service.method:
            yield from (method.input_type, method.output_type)


def check_imports(source: Source, home_of: dict[str, str]) -> Iterator[Finding]:
    used = {home_of.get(name.lstrip(".")) for name in types_used(source.file)}
    for index, dependency in enumerate(source.file.dependency):
        if dependency not in used:
            path = (FILE_DEPENDENCY, index)
            yield source.finding(path, "IMPORT_USED", f"{dependency} is imported and not used")


def check_messages(source: Source) -> Iterator[Finding]:
    for path, message in source.messages:
        if not PASCAL_CASE.fullmatch(message.name):
            text = f"message {message.name} is not PascalCase"
            yield source.finding(path, "MESSAGE_PASCAL_CASE", text)
        for index, field in enumerate(message.field):
            if not SNAKE_CASE.fullmatch(field.name):
                at = (*path, MESSAGE_FIELD, index)
                text = f"field {message.name}.{field.name} is not lower_snake_case"
                yield source.finding(at, "FIELD_LOWER_SNAKE_CASE", text)
        for index, oneof in enumerate(message.oneof_decl):
            if not SNAKE_CASE.fullmatch(oneof.name.removeprefix("_")):
                at = (*path, MESSAGE_ONEOF, index)
                text = f"oneof {message.name}.{oneof.name} is not lower_snake_case"
                yield source.finding(at, "ONEOF_LOWER_SNAKE_CASE", text)


def check_enums(source: Source) -> Iterator[Finding]:
    for path, enum in source.enums:
        if not PASCAL_CASE.fullmatch(enum.name):
            yield source.finding(path, "ENUM_PASCAL_CASE", f"enum {enum.name} is not PascalCase")
        if enum.options.allow_alias:
            yield source.finding(path, "ENUM_NO_ALLOW_ALIAS", f"enum {enum.name} allows aliases")
        prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
        for index, value in enumerate(enum.value):
            at = (*path, ENUM_VALUE, index)
            if value.number == 0 and value.name != f"{prefix}UNSPECIFIED":
                text = f"the zero value {value.name} must be {prefix}UNSPECIFIED"
                yield source.finding(at, "ENUM_ZERO_VALUE_SUFFIX", text)
            if not value.name.startswith(prefix):
                text = f"{value.name} must begin with {prefix}"
                yield source.finding(at, "ENUM_VALUE_PREFIX", text)
            if not SNAKE_CASE.fullmatch(value.name.lower()) or not value.name.isupper():
                text = f"{value.name} is not UPPER_SNAKE_CASE"
                yield source.finding(at, "ENUM_VALUE_UPPER_SNAKE_CASE", text)


def check_services(source: Source, times_used: dict[str, int]) -> Iterator[Finding]:
    for number, service in enumerate(source.file.service):
        path = (FILE_SERVICE, number)
        if not PASCAL_CASE.fullmatch(service.name):
            text = f"service {service.name} is not PascalCase"
            yield source.finding(path, "SERVICE_PASCAL_CASE", text)
        for index, method in enumerate(service.method):
            at = (*path, SERVICE_METHOD, index)
            full_name = f"{source.file.package}.{service.name}.{method.name}"
            if not PASCAL_CASE.fullmatch(method.name):
                yield source.finding(at, "RPC_PASCAL_CASE", f"rpc {method.name} is not PascalCase")
            standard = (f"{method.name}Request", f"{method.name}Response")
            wanted = SESSION_STREAMS.get(full_name, standard)
            for type_name, name in zip(
                (method.input_type, method.output_type), wanted, strict=True
            ):
                if type_name != f".{source.file.package}.{name}":
                    text = f"rpc {method.name} uses {type_name.lstrip('.')}, must use {name}"
                    yield source.finding(at, "RPC_STANDARD_NAME", text)
                if times_used[type_name] > 1:
                    text = f"{type_name.lstrip('.')} serves more than one rpc or direction"
                    yield source.finding(at, "RPC_REQUEST_RESPONSE_UNIQUE", text)


def check_comments(source: Source, times_used: dict[str, int]) -> Iterator[Finding]:
    """Services and messages say what they are.

    A message is documented by a comment of its own or on one of its fields, by the heading of
    the group it stands in, or as the request or response of an RPC, which names it.
    """
    for index, service in enumerate(source.file.service):
        if not source.has_comment((FILE_SERVICE, index)):
            text = f"service {service.name} has no comment"
            yield source.finding((FILE_SERVICE, index), "COMMENT_SERVICE", text)
    in_group = False
    for path, message in source.messages:
        in_group = in_group or source.opens_group(path)
        fields = ((*path, MESSAGE_FIELD, index) for index in range(len(message.field)))
        documented = in_group or any(map(source.has_comment, (path, *fields)))
        of_rpc = times_used.get(f".{source.file.package}.{message.name}", 0) > 0
        if not documented and not of_rpc:
            text = f"message {message.name} has no comment"
            yield source.finding(path, "COMMENT_MESSAGE", text)


def count_rpc_types(image: FileDescriptorSet) -> dict[str, int]:
    times: dict[str, int] = {}
    for file in image.file:
        for service in file.service:
            for method in service.method:
                for name in (method.input_type, method.output_type):
                    times[name] = times.get(name, 0) + 1
    return times


def find_homes(sources: list[Source]) -> dict[str, str]:
    """Full name of every top-level type and whatever nests in it -> its file."""
    homes: dict[str, str] = {}

    def enter(prefix: str, file: str, message: DescriptorProto) -> None:
        homes[f"{prefix}.{message.name}"] = file
        for enum in message.enum_type:
            homes[f"{prefix}.{message.name}.{enum.name}"] = file
        for nested in message.nested_type:
            enter(f"{prefix}.{message.name}", file, nested)

    for source in sources:
        for enum in source.file.enum_type:
            homes[f"{source.file.package}.{enum.name}"] = source.file.name
        for message in source.file.message_type:
            enter(source.file.package, source.file.name, message)
    return homes


def lint(image: FileDescriptorSet) -> list[Finding]:
    """All findings in an image compiled with comments, by file and line."""
    sources = [Source(file) for file in image.file]
    homes, times_used = find_homes(sources), count_rpc_types(image)
    rules: list[Callable[[Source], Iterator[Finding]]] = [
        check_file,
        lambda source: check_imports(source, homes),
        check_messages,
        check_enums,
        lambda source: check_services(source, times_used),
        lambda source: check_comments(source, times_used),
    ]
    found = [finding for source in sources for rule in rules for finding in rule(source)]
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.rule))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--proto", type=Path, default=PROTO, help="folder that holds suan/v1")
    options = parser.parse_args(arguments)
    try:
        findings = lint(compile_image(options.proto, comments=True))
    except ProtocFailed as failure:
        print(f"proto: {failure}", file=sys.stderr)
        return 1
    for finding in findings:
        print(f"proto/{finding}", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
