from suan.v1 import accelerator_pb2 as _accelerator_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Launch(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAUNCH_UNSPECIFIED: _ClassVar[Launch]
    LAUNCH_PER_NODE: _ClassVar[Launch]
    LAUNCH_PER_CARD: _ClassVar[Launch]

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_QUEUED: _ClassVar[JobState]
    JOB_STATE_PLACED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_CANCELLING: _ClassVar[JobState]
    JOB_STATE_SUCCEEDED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
    JOB_STATE_CANCELLED: _ClassVar[JobState]

class AttemptState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_STATE_UNSPECIFIED: _ClassVar[AttemptState]
    ATTEMPT_STATE_OFFERED: _ClassVar[AttemptState]
    ATTEMPT_STATE_STAGING: _ClassVar[AttemptState]
    ATTEMPT_STATE_RUNNING: _ClassVar[AttemptState]
    ATTEMPT_STATE_ORPHANED: _ClassVar[AttemptState]
    ATTEMPT_STATE_ENDED: _ClassVar[AttemptState]
LAUNCH_UNSPECIFIED: Launch
LAUNCH_PER_NODE: Launch
LAUNCH_PER_CARD: Launch
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_QUEUED: JobState
JOB_STATE_PLACED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_CANCELLING: JobState
JOB_STATE_SUCCEEDED: JobState
JOB_STATE_FAILED: JobState
JOB_STATE_CANCELLED: JobState
ATTEMPT_STATE_UNSPECIFIED: AttemptState
ATTEMPT_STATE_OFFERED: AttemptState
ATTEMPT_STATE_STAGING: AttemptState
ATTEMPT_STATE_RUNNING: AttemptState
ATTEMPT_STATE_ORPHANED: AttemptState
ATTEMPT_STATE_ENDED: AttemptState

class JobSpec(_message.Message):
    __slots__ = ("name", "variants", "environment", "secrets", "working_directory", "inputs", "outputs", "work", "time_limit_seconds", "grace_seconds", "retry", "lease", "where", "priority", "account", "funding", "array", "launch", "bundle", "checkpoint", "deadline_at", "preemptible", "service")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    ARRAY_FIELD_NUMBER: _ClassVar[int]
    LAUNCH_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_AT_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIBLE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    environment: _containers.ScalarMap[str, str]
    secrets: _containers.RepeatedScalarFieldContainer[str]
    working_directory: str
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    outputs: _containers.RepeatedCompositeFieldContainer[Output]
    work: Work
    time_limit_seconds: float
    grace_seconds: float
    retry: Retry
    lease: Lease
    where: Where
    priority: int
    account: str
    funding: _containers.RepeatedScalarFieldContainer[str]
    array: ArrayRange
    launch: Launch
    bundle: Bundle
    checkpoint: Checkpoint
    deadline_at: float
    preemptible: bool
    service: Service
    def __init__(self, name: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., environment: _Optional[_Mapping[str, str]] = ..., secrets: _Optional[_Iterable[str]] = ..., working_directory: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Output, _Mapping]]] = ..., work: _Optional[_Union[Work, _Mapping]] = ..., time_limit_seconds: _Optional[float] = ..., grace_seconds: _Optional[float] = ..., retry: _Optional[_Union[Retry, _Mapping]] = ..., lease: _Optional[_Union[Lease, _Mapping]] = ..., where: _Optional[_Union[Where, _Mapping]] = ..., priority: _Optional[int] = ..., account: _Optional[str] = ..., funding: _Optional[_Iterable[str]] = ..., array: _Optional[_Union[ArrayRange, _Mapping]] = ..., launch: _Optional[_Union[Launch, str]] = ..., bundle: _Optional[_Union[Bundle, _Mapping]] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., deadline_at: _Optional[float] = ..., preemptible: _Optional[bool] = ..., service: _Optional[_Union[Service, _Mapping]] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("accelerator", "accelerator_class", "num_nodes", "accelerators_per_node", "cpus_per_node", "memory_gib_per_node", "topology", "image", "setup", "run", "software")
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_CLASS_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_FIELD_NUMBER: _ClassVar[int]
    ACCELERATORS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    CPUS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_GIB_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SETUP_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    accelerator: str
    accelerator_class: _accelerator_pb2.AcceleratorClass
    num_nodes: int
    accelerators_per_node: int
    cpus_per_node: int
    memory_gib_per_node: float
    topology: Topology
    image: str
    setup: str
    run: str
    software: str
    def __init__(self, accelerator: _Optional[str] = ..., accelerator_class: _Optional[_Union[_accelerator_pb2.AcceleratorClass, _Mapping]] = ..., num_nodes: _Optional[int] = ..., accelerators_per_node: _Optional[int] = ..., cpus_per_node: _Optional[int] = ..., memory_gib_per_node: _Optional[float] = ..., topology: _Optional[_Union[Topology, _Mapping]] = ..., image: _Optional[str] = ..., setup: _Optional[str] = ..., run: _Optional[str] = ..., software: _Optional[str] = ...) -> None: ...

class Topology(_message.Message):
    __slots__ = ("scope", "num_nodes", "required")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    scope: str
    num_nodes: int
    required: bool
    def __init__(self, scope: _Optional[str] = ..., num_nodes: _Optional[int] = ..., required: _Optional[bool] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("path", "source", "writable")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    WRITABLE_FIELD_NUMBER: _ClassVar[int]
    path: str
    source: str
    writable: bool
    def __init__(self, path: _Optional[str] = ..., source: _Optional[str] = ..., writable: _Optional[bool] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("path", "destination", "when", "size_bytes")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    path: str
    destination: str
    when: str
    size_bytes: int
    def __init__(self, path: _Optional[str] = ..., destination: _Optional[str] = ..., when: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Work(_message.Message):
    __slots__ = ("seconds", "accelerator", "cards", "flops", "precision", "fallbacks", "tokens", "parameters", "family")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    FLOPS_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    accelerator: str
    cards: int
    flops: float
    precision: str
    fallbacks: _containers.RepeatedScalarFieldContainer[str]
    tokens: float
    parameters: float
    family: str
    def __init__(self, seconds: _Optional[float] = ..., accelerator: _Optional[str] = ..., cards: _Optional[int] = ..., flops: _Optional[float] = ..., precision: _Optional[str] = ..., fallbacks: _Optional[_Iterable[str]] = ..., tokens: _Optional[float] = ..., parameters: _Optional[float] = ..., family: _Optional[str] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("size_bytes", "every_seconds")
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EVERY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    size_bytes: int
    every_seconds: float
    def __init__(self, size_bytes: _Optional[int] = ..., every_seconds: _Optional[float] = ...) -> None: ...

class Retry(_message.Message):
    __slots__ = ("max", "on")
    MAX_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    max: int
    on: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max: _Optional[int] = ..., on: _Optional[_Iterable[str]] = ...) -> None: ...

class Lease(_message.Message):
    __slots__ = ("seconds",)
    CLASS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    def __init__(self, seconds: _Optional[float] = ..., **kwargs) -> None: ...

class Where(_message.Message):
    __slots__ = ("sites_allowed", "sites_denied", "span", "yuan_max", "prefer", "users_at", "latency_ms_max")
    SITES_ALLOWED_FIELD_NUMBER: _ClassVar[int]
    SITES_DENIED_FIELD_NUMBER: _ClassVar[int]
    SPAN_FIELD_NUMBER: _ClassVar[int]
    YUAN_MAX_FIELD_NUMBER: _ClassVar[int]
    PREFER_FIELD_NUMBER: _ClassVar[int]
    USERS_AT_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_MAX_FIELD_NUMBER: _ClassVar[int]
    sites_allowed: _containers.RepeatedScalarFieldContainer[str]
    sites_denied: _containers.RepeatedScalarFieldContainer[str]
    span: str
    yuan_max: float
    prefer: _containers.RepeatedScalarFieldContainer[str]
    users_at: str
    latency_ms_max: float
    def __init__(self, sites_allowed: _Optional[_Iterable[str]] = ..., sites_denied: _Optional[_Iterable[str]] = ..., span: _Optional[str] = ..., yuan_max: _Optional[float] = ..., prefer: _Optional[_Iterable[str]] = ..., users_at: _Optional[str] = ..., latency_ms_max: _Optional[float] = ...) -> None: ...

class ArrayRange(_message.Message):
    __slots__ = ("first", "last", "step", "parallel_max")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    PARALLEL_MAX_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    step: int
    parallel_max: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ..., step: _Optional[int] = ..., parallel_max: _Optional[int] = ...) -> None: ...

class Bundle(_message.Message):
    __slots__ = ("sha256", "size_bytes")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size_bytes: int
    def __init__(self, sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("replicas", "port")
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    replicas: int
    port: int
    def __init__(self, replicas: _Optional[int] = ..., port: _Optional[int] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("category", "code", "message")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    category: str
    code: str
    message: str
    def __init__(self, category: _Optional[str] = ..., code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("epoch", "state", "site", "pool", "accelerator", "cards", "num_nodes", "placed_at", "started_at", "ended_at", "outcome", "exit_code", "failure", "staged_bytes", "staging_bytes", "released_at")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_FIELD_NUMBER: _ClassVar[int]
    PLACED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    STAGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STAGING_BYTES_FIELD_NUMBER: _ClassVar[int]
    RELEASED_AT_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    state: AttemptState
    site: str
    pool: str
    accelerator: str
    cards: int
    num_nodes: int
    placed_at: float
    started_at: float
    ended_at: float
    outcome: str
    exit_code: int
    failure: Failure
    staged_bytes: int
    staging_bytes: int
    released_at: float
    def __init__(self, epoch: _Optional[int] = ..., state: _Optional[_Union[AttemptState, str]] = ..., site: _Optional[str] = ..., pool: _Optional[str] = ..., accelerator: _Optional[str] = ..., cards: _Optional[int] = ..., num_nodes: _Optional[int] = ..., placed_at: _Optional[float] = ..., started_at: _Optional[float] = ..., ended_at: _Optional[float] = ..., outcome: _Optional[str] = ..., exit_code: _Optional[int] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., staged_bytes: _Optional[int] = ..., staging_bytes: _Optional[int] = ..., released_at: _Optional[float] = ...) -> None: ...

class Commit(_message.Message):
    __slots__ = ("kind", "number", "path", "url", "sha256", "size_bytes", "files", "epoch", "site", "at", "dataset")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    kind: str
    number: int
    path: str
    url: str
    sha256: str
    size_bytes: int
    files: int
    epoch: int
    site: str
    at: float
    dataset: str
    def __init__(self, kind: _Optional[str] = ..., number: _Optional[int] = ..., path: _Optional[str] = ..., url: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., files: _Optional[int] = ..., epoch: _Optional[int] = ..., site: _Optional[str] = ..., at: _Optional[float] = ..., dataset: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "name", "tenant", "project", "user", "state", "submitted_at", "finished_at", "attempts", "failure", "array_id", "array_index", "revision", "priority", "spec_sha256", "exit_code", "condition", "checkpoint", "outputs")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUBMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    ARRAY_INDEX_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SPEC_SHA256_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    tenant: str
    project: str
    user: str
    state: JobState
    submitted_at: float
    finished_at: float
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    failure: Failure
    array_id: str
    array_index: int
    revision: int
    priority: int
    spec_sha256: str
    exit_code: int
    condition: str
    checkpoint: Commit
    outputs: _containers.RepeatedCompositeFieldContainer[Commit]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., tenant: _Optional[str] = ..., project: _Optional[str] = ..., user: _Optional[str] = ..., state: _Optional[_Union[JobState, str]] = ..., submitted_at: _Optional[float] = ..., finished_at: _Optional[float] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., array_id: _Optional[str] = ..., array_index: _Optional[int] = ..., revision: _Optional[int] = ..., priority: _Optional[int] = ..., spec_sha256: _Optional[str] = ..., exit_code: _Optional[int] = ..., condition: _Optional[str] = ..., checkpoint: _Optional[_Union[Commit, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[Commit, _Mapping]]] = ...) -> None: ...
