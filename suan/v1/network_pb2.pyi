from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NetworkNode(_message.Message):
    __slots__ = ("name", "kind", "latitude", "longitude", "hub", "title")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    HUB_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    latitude: float
    longitude: float
    hub: str
    title: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., latitude: _Optional[float] = ..., longitude: _Optional[float] = ..., hub: _Optional[str] = ..., title: _Optional[str] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("a", "b", "bandwidth_gbps", "latency_ms", "yuan_per_gb", "source", "down", "carried_gbps")
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_GBPS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    YUAN_PER_GB_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    CARRIED_GBPS_FIELD_NUMBER: _ClassVar[int]
    a: str
    b: str
    bandwidth_gbps: float
    latency_ms: float
    yuan_per_gb: float
    source: str
    down: bool
    carried_gbps: float
    def __init__(self, a: _Optional[str] = ..., b: _Optional[str] = ..., bandwidth_gbps: _Optional[float] = ..., latency_ms: _Optional[float] = ..., yuan_per_gb: _Optional[float] = ..., source: _Optional[str] = ..., down: _Optional[bool] = ..., carried_gbps: _Optional[float] = ...) -> None: ...

class Network(_message.Message):
    __slots__ = ("nodes", "links")
    NODES_FIELD_NUMBER: _ClassVar[int]
    LINKS_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[NetworkNode]
    links: _containers.RepeatedCompositeFieldContainer[Link]
    def __init__(self, nodes: _Optional[_Iterable[_Union[NetworkNode, _Mapping]]] = ..., links: _Optional[_Iterable[_Union[Link, _Mapping]]] = ...) -> None: ...
