from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Accelerator(_message.Message):
    __slots__ = ("model", "vendor", "kind", "aliases", "dies_per_card", "memory_gib", "memory_tb_per_second", "peak_tflops", "supernode_cards", "power_watts")
    class PeakTflopsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    VENDOR_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    DIES_PER_CARD_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GIB_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TB_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    PEAK_TFLOPS_FIELD_NUMBER: _ClassVar[int]
    SUPERNODE_CARDS_FIELD_NUMBER: _ClassVar[int]
    POWER_WATTS_FIELD_NUMBER: _ClassVar[int]
    model: str
    vendor: str
    kind: str
    aliases: _containers.RepeatedScalarFieldContainer[str]
    dies_per_card: int
    memory_gib: float
    memory_tb_per_second: float
    peak_tflops: _containers.ScalarMap[str, float]
    supernode_cards: int
    power_watts: float
    def __init__(self, model: _Optional[str] = ..., vendor: _Optional[str] = ..., kind: _Optional[str] = ..., aliases: _Optional[_Iterable[str]] = ..., dies_per_card: _Optional[int] = ..., memory_gib: _Optional[float] = ..., memory_tb_per_second: _Optional[float] = ..., peak_tflops: _Optional[_Mapping[str, float]] = ..., supernode_cards: _Optional[int] = ..., power_watts: _Optional[float] = ...) -> None: ...

class AcceleratorClass(_message.Message):
    __slots__ = ("precision", "tflops_min", "memory_gib_min")
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    TFLOPS_MIN_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GIB_MIN_FIELD_NUMBER: _ClassVar[int]
    precision: str
    tflops_min: float
    memory_gib_min: float
    def __init__(self, precision: _Optional[str] = ..., tflops_min: _Optional[float] = ..., memory_gib_min: _Optional[float] = ...) -> None: ...
