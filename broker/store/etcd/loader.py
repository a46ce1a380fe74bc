"""etcd's wire from the installed `etcd3` package, whose own modules today's protobuf refuses.

The package embeds the serialized descriptors of etcd's three proto files. They are read
from its files as text, which stay as they are, and go into a descriptor pool of our own:
classes at upb speed that no other library in this process can collide with.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from broker.store import StoreError

_FILES = ("kv", "auth", "rpc")  # each after those that it imports
_EMBEDDED = re.compile(r"serialized_pb=_b\(('(?:[^'\\]|\\.)*')\)")
_Field = FieldDescriptorProto
# What etcd 3.4 says and the package, which is older, does not know: message, field, number.
_LATER = (
    ("WatchCreateRequest", "fragment", 8, _Field.TYPE_BOOL),
    ("WatchResponse", "fragment", 7, _Field.TYPE_BOOL),
    ("StatusResponse", "dbSizeInUse", 9, _Field.TYPE_INT64),
)


@cache
def messages() -> SimpleNamespace:
    """etcd's message classes by name. Raises StoreError ("StoreNotInstalled")."""
    pool = _pool()
    found = SimpleNamespace()
    for name in _FILES:
        for message in pool.FindFileByName(f"{name}.proto").message_types_by_name.values():
            setattr(found, message.name, GetMessageClass(message))
    return found


def alarm(name: str) -> int:
    """The number of an alarm: NOSPACE or CORRUPT."""
    values = _pool().FindEnumTypeByName("etcdserverpb.AlarmType").values_by_name
    return int(values[name].number)


def stub(channel: grpc.Channel, service: str) -> SimpleNamespace:
    """The methods of an etcd service (KV, Watch, Lease, Maintenance, …) on `channel`."""
    methods = SimpleNamespace()
    for method in _pool().FindServiceByName(f"etcdserverpb.{service}").methods:
        streaming = method.client_streaming, method.server_streaming
        make: Any = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, True): channel.stream_stream,
        }[streaming]
        call = make(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=GetMessageClass(method.input_type).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        setattr(methods, method.name, call)
    return methods


@cache
def _pool() -> Any:
    pool = DescriptorPool()
    for name in _FILES:
        file = FileDescriptorProto.FromString(_embedded(name))
        _add_later_fields(file)
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def _embedded(name: str) -> bytes:
    """The descriptor inside one generated module, which is read and not run."""
    spec = find_spec("etcd3")
    if spec is None or spec.origin is None:
        raise StoreError("StoreNotInstalled", "the Python package etcd3 is not installed")
    module = Path(spec.origin).parent / "etcdrpc" / f"{name}_pb2.py"
    found = _EMBEDDED.search(module.read_text()) if module.exists() else None
    if found is None:
        raise StoreError("StoreNotInstalled", f"{module} is not that of etcd3 0.12.0")
    text: str = ast.literal_eval(found[1])
    return text.encode("latin-1")


def _add_later_fields(file: FileDescriptorProto) -> None:
    known = {message.name: message for message in file.message_type}
    for name, field, number, kind in _LATER:
        message = known.get(name)
        if message is not None and number not in {each.number for each in message.field}:
            message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
