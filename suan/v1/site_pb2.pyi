from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Supernode(_message.Message):
    __slots__ = ("name", "nodes_by_free")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODES_BY_FREE_FIELD_NUMBER: _ClassVar[int]
    name: str
    nodes_by_free: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., nodes_by_free: _Optional[_Iterable[int]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("cards", "ends_at")
    CARDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_AT_FIELD_NUMBER: _ClassVar[int]
    cards: int
    ends_at: float
    def __init__(self, cards: _Optional[int] = ..., ends_at: _Optional[float] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("name", "accelerator", "cards_per_node", "cards_total", "cards_usable", "supernodes", "cpus_per_node", "memory_gib_per_node", "yuan_per_card_hour", "utilisation", "linearity", "raw_name", "time_limit_seconds_max", "releases", "software")
    class LinearityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    CARDS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    CARDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CARDS_USABLE_FIELD_NUMBER: _ClassVar[int]
    SUPERNODES_FIELD_NUMBER: _ClassVar[int]
    CPUS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GIB_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    UTILISATION_FIELD_NUMBER: _ClassVar[int]
    LINEARITY_FIELD_NUMBER: _ClassVar[int]
    RAW_NAME_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_SECONDS_MAX_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    accelerator: str
    cards_per_node: int
    cards_total: int
    cards_usable: int
    supernodes: _containers.RepeatedCompositeFieldContainer[Supernode]
    cpus_per_node: int
    memory_gib_per_node: float
    yuan_per_card_hour: float
    utilisation: float
    linearity: _containers.ScalarMap[int, float]
    raw_name: str
    time_limit_seconds_max: float
    releases: _containers.RepeatedCompositeFieldContainer[Release]
    software: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., accelerator: _Optional[str] = ..., cards_per_node: _Optional[int] = ..., cards_total: _Optional[int] = ..., cards_usable: _Optional[int] = ..., supernodes: _Optional[_Iterable[_Union[Supernode, _Mapping]]] = ..., cpus_per_node: _Optional[int] = ..., memory_gib_per_node: _Optional[float] = ..., yuan_per_card_hour: _Optional[float] = ..., utilisation: _Optional[float] = ..., linearity: _Optional[_Mapping[int, float]] = ..., raw_name: _Optional[str] = ..., time_limit_seconds_max: _Optional[float] = ..., releases: _Optional[_Iterable[_Union[Release, _Mapping]]] = ..., software: _Optional[_Iterable[str]] = ...) -> None: ...

class SiteFacts(_message.Message):
    __slots__ = ("city", "region", "pue", "grid_kg_per_kwh", "failures_per_card_day", "restart_seconds", "tenants_allowed", "tenants_denied", "time_limit_seconds_max", "agent_version", "backend", "paused", "rules", "checkpoint_gb_per_second", "egress_yuan_per_gb", "runs_images", "has_store")
    CITY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PUE_FIELD_NUMBER: _ClassVar[int]
    GRID_KG_PER_KWH_FIELD_NUMBER: _ClassVar[int]
    FAILURES_PER_CARD_DAY_FIELD_NUMBER: _ClassVar[int]
    RESTART_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TENANTS_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    TENANTS_DENIED_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_SECONDS_MAX_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_GB_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    EGRESS_YUAN_PER_GB_FIELD_NUMBER: _ClassVar[int]
    RUNS_IMAGES_FIELD_NUMBER: _ClassVar[int]
    HAS_STORE_FIELD_NUMBER: _ClassVar[int]
    city: str
    region: str
    pue: float
    grid_kg_per_kwh: float
    failures_per_card_day: float
    restart_seconds: float
    tenants_allowed: _containers.RepeatedScalarFieldContainer[str]
    tenants_denied: _containers.RepeatedScalarFieldContainer[str]
    time_limit_seconds_max: float
    agent_version: str
    backend: str
    paused: bool
    rules: _containers.RepeatedScalarFieldContainer[str]
    checkpoint_gb_per_second: float
    egress_yuan_per_gb: float
    runs_images: bool
    has_store: bool
    def __init__(self, city: _Optional[str] = ..., region: _Optional[str] = ..., pue: _Optional[float] = ..., grid_kg_per_kwh: _Optional[float] = ..., failures_per_card_day: _Optional[float] = ..., restart_seconds: _Optional[float] = ..., tenants_allowed: _Optional[_Iterable[str]] = ..., tenants_denied: _Optional[_Iterable[str]] = ..., time_limit_seconds_max: _Optional[float] = ..., agent_version: _Optional[str] = ..., backend: _Optional[str] = ..., paused: _Optional[bool] = ..., rules: _Optional[_Iterable[str]] = ..., checkpoint_gb_per_second: _Optional[float] = ..., egress_yuan_per_gb: _Optional[float] = ..., runs_images: _Optional[bool] = ..., has_store: _Optional[bool] = ...) -> None: ...

class Site(_message.Message):
    __slots__ = ("name", "state", "facts", "pools", "last_heard_at", "cards_leased", "attempts", "reason", "registered_at", "certificate_fingerprint", "drain_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    LAST_HEARD_AT_FIELD_NUMBER: _ClassVar[int]
    CARDS_LEASED_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DRAIN_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    facts: SiteFacts
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    last_heard_at: float
    cards_leased: int
    attempts: int
    reason: str
    registered_at: float
    certificate_fingerprint: str
    drain_by: float
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., facts: _Optional[_Union[SiteFacts, _Mapping]] = ..., pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ..., last_heard_at: _Optional[float] = ..., cards_leased: _Optional[int] = ..., attempts: _Optional[int] = ..., reason: _Optional[str] = ..., registered_at: _Optional[float] = ..., certificate_fingerprint: _Optional[str] = ..., drain_by: _Optional[float] = ...) -> None: ...
