from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Tenant(_message.Message):
    __slots__ = ("name", "queued_jobs_max", "weight", "suspended")
    NAME_FIELD_NUMBER: _ClassVar[int]
    QUEUED_JOBS_MAX_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_FIELD_NUMBER: _ClassVar[int]
    name: str
    queued_jobs_max: int
    weight: float
    suspended: bool
    def __init__(self, name: _Optional[str] = ..., queued_jobs_max: _Optional[int] = ..., weight: _Optional[float] = ..., suspended: _Optional[bool] = ...) -> None: ...
