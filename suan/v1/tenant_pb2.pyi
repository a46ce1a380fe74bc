from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tenant(_message.Message):
    __slots__ = ("name", "queued_jobs_max", "weight", "suspended", "quotas", "projects")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_MAX_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    PROJECTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    queued_jobs_max: int
    weight: float
    suspended: bool
    quotas: _containers.RepeatedCompositeFieldContainer[Quota]
    projects: _containers.RepeatedCompositeFieldContainer[Project]
    def __init__(self, name: _Optional[str] = ..., queued_jobs_max: _Optional[int] = ..., weight: _Optional[float] = ..., suspended: _Optional[bool] = ..., quotas: _Optional[_Iterable[_Union[Quota, _Mapping]]] = ..., projects: _Optional[_Iterable[_Union[Project, _Mapping]]] = ...) -> None: ...

class Project(_message.Message):
    __slots__ = ("name", "weight", "quotas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    QUOTAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    quotas: _containers.RepeatedCompositeFieldContainer[Quota]
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ..., quotas: _Optional[_Iterable[_Union[Quota, _Mapping]]] = ...) -> None: ...

class Quota(_message.Message):
    __slots__ = ("kind", "guaranteed", "borrow_max", "unit")
    KIND_FIELD_NUMBER: _ClassVar[int]
    GUARANTEED_FIELD_NUMBER: _ClassVar[int]
    BORROW_MAX_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    guaranteed: float
    borrow_max: float
    unit: str
    def __init__(self, kind: _Optional[str] = ..., guaranteed: _Optional[float] = ..., borrow_max: _Optional[float] = ..., unit: _Optional[str] = ...) -> None: ...
