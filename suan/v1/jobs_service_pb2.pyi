from suan.v1 import accelerator_pb2 as _accelerator_pb2
from suan.v1 import file_pb2 as _file_pb2
from suan.v1 import job_pb2 as _job_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobSubmission(_message.Message):
    __slots__ = ("id", "spec", "tenant_signature", "array_id", "array_index")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    TENANT_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    ARRAY_INDEX_FIELD_NUMBER: _ClassVar[int]
    id: str
    spec: bytes
    tenant_signature: bytes
    array_id: str
    array_index: int
    def __init__(self, id: _Optional[str] = ..., spec: _Optional[bytes] = ..., tenant_signature: _Optional[bytes] = ..., array_id: _Optional[str] = ..., array_index: _Optional[int] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("jobs", "project")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[JobSubmission]
    project: str
    def __init__(self, jobs: _Optional[_Iterable[_Union[JobSubmission, _Mapping]]] = ..., project: _Optional[str] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SubmitResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SubmitResult, _Mapping]]] = ...) -> None: ...

class SubmitResult(_message.Message):
    __slots__ = ("id", "accepted", "existed", "refusal", "hint")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    id: str
    accepted: bool
    existed: bool
    refusal: _job_pb2.Failure
    hint: str
    def __init__(self, id: _Optional[str] = ..., accepted: _Optional[bool] = ..., existed: _Optional[bool] = ..., refusal: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ..., hint: _Optional[str] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("job", "spec")
    JOB_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    spec: bytes
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., spec: _Optional[bytes] = ...) -> None: ...

class ListRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "states", "site", "array_id", "name_prefix", "all_tenants", "ids")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ALL_TENANTS_FIELD_NUMBER: _ClassVar[int]
    IDS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    states: _containers.RepeatedScalarFieldContainer[_job_pb2.JobState]
    site: str
    array_id: str
    name_prefix: str
    all_tenants: bool
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., states: _Optional[_Iterable[_Union[_job_pb2.JobState, str]]] = ..., site: _Optional[str] = ..., array_id: _Optional[str] = ..., name_prefix: _Optional[str] = ..., all_tenants: _Optional[bool] = ..., ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListResponse(_message.Message):
    __slots__ = ("jobs", "next_page_token", "revision")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    next_page_token: str
    revision: int
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("ids", "resume_token")
    IDS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    resume_token: str
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("jobs", "resume_token", "reset")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[_job_pb2.Job]
    resume_token: str
    reset: bool
    def __init__(self, jobs: _Optional[_Iterable[_Union[_job_pb2.Job, _Mapping]]] = ..., resume_token: _Optional[str] = ..., reset: _Optional[bool] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("ids", "reason")
    IDS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    def __init__(self, ids: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SubmitResult]
    def __init__(self, results: _Optional[_Iterable[_Union[SubmitResult, _Mapping]]] = ...) -> None: ...

class LogsRequest(_message.Message):
    __slots__ = ("id", "follow", "tail_lines", "rank", "epoch", "stream", "since", "after", "site_only")
    ID_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    TAIL_LINES_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    SITE_ONLY_FIELD_NUMBER: _ClassVar[int]
    id: str
    follow: bool
    tail_lines: int
    rank: int
    epoch: int
    stream: str
    since: float
    after: _containers.RepeatedCompositeFieldContainer[LogCursor]
    site_only: bool
    def __init__(self, id: _Optional[str] = ..., follow: _Optional[bool] = ..., tail_lines: _Optional[int] = ..., rank: _Optional[int] = ..., epoch: _Optional[int] = ..., stream: _Optional[str] = ..., since: _Optional[float] = ..., after: _Optional[_Iterable[_Union[LogCursor, _Mapping]]] = ..., site_only: _Optional[bool] = ...) -> None: ...

class LogCursor(_message.Message):
    __slots__ = ("rank", "stream", "offset")
    RANK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    rank: int
    stream: str
    offset: int
    def __init__(self, rank: _Optional[int] = ..., stream: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class LogsResponse(_message.Message):
    __slots__ = ("rank", "stream", "data", "epoch", "offset", "kept")
    RANK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    rank: int
    stream: str
    data: bytes
    epoch: int
    offset: int
    kept: KeptLog
    def __init__(self, rank: _Optional[int] = ..., stream: _Optional[str] = ..., data: _Optional[bytes] = ..., epoch: _Optional[int] = ..., offset: _Optional[int] = ..., kept: _Optional[_Union[KeptLog, _Mapping]] = ...) -> None: ...

class KeptLog(_message.Message):
    __slots__ = ("code", "site", "at", "at_end")
    CODE_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    AT_END_FIELD_NUMBER: _ClassVar[int]
    code: str
    site: str
    at: float
    at_end: bool
    def __init__(self, code: _Optional[str] = ..., site: _Optional[str] = ..., at: _Optional[float] = ..., at_end: _Optional[bool] = ...) -> None: ...

class ListFilesRequest(_message.Message):
    __slots__ = ("id", "path", "epoch", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: str
    path: str
    epoch: int
    after: str
    def __init__(self, id: _Optional[str] = ..., path: _Optional[str] = ..., epoch: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class ListFilesResponse(_message.Message):
    __slots__ = ("entry", "entries", "more", "epoch")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    entry: _file_pb2.FileEntry
    entries: _containers.RepeatedCompositeFieldContainer[_file_pb2.FileEntry]
    more: bool
    epoch: int
    def __init__(self, entry: _Optional[_Union[_file_pb2.FileEntry, _Mapping]] = ..., entries: _Optional[_Iterable[_Union[_file_pb2.FileEntry, _Mapping]]] = ..., more: _Optional[bool] = ..., epoch: _Optional[int] = ...) -> None: ...

class ReadFileRequest(_message.Message):
    __slots__ = ("id", "path", "epoch", "offset", "end")
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    id: str
    path: str
    epoch: int
    offset: int
    end: int
    def __init__(self, id: _Optional[str] = ..., path: _Optional[str] = ..., epoch: _Optional[int] = ..., offset: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class ReadFileResponse(_message.Message):
    __slots__ = ("entry", "offset", "data", "epoch")
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    entry: _file_pb2.FileEntry
    offset: int
    data: bytes
    epoch: int
    def __init__(self, entry: _Optional[_Union[_file_pb2.FileEntry, _Mapping]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., epoch: _Optional[int] = ...) -> None: ...

class ExecRequest(_message.Message):
    __slots__ = ("id", "command_id", "argv", "rank", "timeout_seconds", "epoch", "stdout_offset", "stderr_offset", "takes_input")
    ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STDOUT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    STDERR_OFFSET_FIELD_NUMBER: _ClassVar[int]
    TAKES_INPUT_FIELD_NUMBER: _ClassVar[int]
    id: str
    command_id: str
    argv: _containers.RepeatedScalarFieldContainer[str]
    rank: int
    timeout_seconds: float
    epoch: int
    stdout_offset: int
    stderr_offset: int
    takes_input: bool
    def __init__(self, id: _Optional[str] = ..., command_id: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., rank: _Optional[int] = ..., timeout_seconds: _Optional[float] = ..., epoch: _Optional[int] = ..., stdout_offset: _Optional[int] = ..., stderr_offset: _Optional[int] = ..., takes_input: _Optional[bool] = ...) -> None: ...

class ExecResponse(_message.Message):
    __slots__ = ("epoch", "stdout", "stdout_offset", "stderr", "stderr_offset", "ended", "exit_code")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDOUT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    STDERR_OFFSET_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    stdout: bytes
    stdout_offset: int
    stderr: bytes
    stderr_offset: int
    ended: bool
    exit_code: int
    def __init__(self, epoch: _Optional[int] = ..., stdout: _Optional[bytes] = ..., stdout_offset: _Optional[int] = ..., stderr: _Optional[bytes] = ..., stderr_offset: _Optional[int] = ..., ended: _Optional[bool] = ..., exit_code: _Optional[int] = ...) -> None: ...

class SendInputRequest(_message.Message):
    __slots__ = ("id", "command_id", "epoch", "rank", "offset", "data", "end")
    ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    id: str
    command_id: str
    epoch: int
    rank: int
    offset: int
    data: bytes
    end: bool
    def __init__(self, id: _Optional[str] = ..., command_id: _Optional[str] = ..., epoch: _Optional[int] = ..., rank: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., end: _Optional[bool] = ...) -> None: ...

class SendInputResponse(_message.Message):
    __slots__ = ("taken", "ended")
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    taken: int
    ended: bool
    def __init__(self, taken: _Optional[int] = ..., ended: _Optional[bool] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("wait_seconds", "stage_seconds", "run_seconds", "yuan", "kwh", "fragmentation_seconds", "basis", "scarcity_seconds")
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STAGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RUN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    YUAN_FIELD_NUMBER: _ClassVar[int]
    KWH_FIELD_NUMBER: _ClassVar[int]
    FRAGMENTATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    SCARCITY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    wait_seconds: float
    stage_seconds: float
    run_seconds: float
    yuan: float
    kwh: float
    fragmentation_seconds: float
    basis: Basis
    scarcity_seconds: float
    def __init__(self, wait_seconds: _Optional[float] = ..., stage_seconds: _Optional[float] = ..., run_seconds: _Optional[float] = ..., yuan: _Optional[float] = ..., kwh: _Optional[float] = ..., fragmentation_seconds: _Optional[float] = ..., basis: _Optional[_Union[Basis, _Mapping]] = ..., scarcity_seconds: _Optional[float] = ...) -> None: ...

class Basis(_message.Message):
    __slots__ = ("source", "precision", "work_seconds", "learned_factor", "learned_runs", "availability", "checkpoint_every_seconds", "p90_seconds")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    WORK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LEARNED_FACTOR_FIELD_NUMBER: _ClassVar[int]
    LEARNED_RUNS_FIELD_NUMBER: _ClassVar[int]
    AVAILABILITY_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    P90_SECONDS_FIELD_NUMBER: _ClassVar[int]
    source: str
    precision: str
    work_seconds: float
    learned_factor: float
    learned_runs: float
    availability: float
    checkpoint_every_seconds: float
    p90_seconds: float
    def __init__(self, source: _Optional[str] = ..., precision: _Optional[str] = ..., work_seconds: _Optional[float] = ..., learned_factor: _Optional[float] = ..., learned_runs: _Optional[float] = ..., availability: _Optional[float] = ..., checkpoint_every_seconds: _Optional[float] = ..., p90_seconds: _Optional[float] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("code", "cards", "pools", "fix_by", "detail")
    CODE_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    FIX_BY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    code: str
    cards: int
    pools: _containers.RepeatedScalarFieldContainer[str]
    fix_by: str
    detail: str
    def __init__(self, code: _Optional[str] = ..., cards: _Optional[int] = ..., pools: _Optional[_Iterable[str]] = ..., fix_by: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("pool", "variant", "score", "chosen", "lost_because", "cached")
    POOL_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    LOST_BECAUSE_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    pool: str
    variant: int
    score: Score
    chosen: bool
    lost_because: str
    cached: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pool: _Optional[str] = ..., variant: _Optional[int] = ..., score: _Optional[_Union[Score, _Mapping]] = ..., chosen: _Optional[bool] = ..., lost_because: _Optional[str] = ..., cached: _Optional[_Iterable[str]] = ...) -> None: ...

class Suggestion(_message.Message):
    __slots__ = ("change", "pool", "starts")
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    change: str
    pool: str
    starts: str
    def __init__(self, change: _Optional[str] = ..., pool: _Optional[str] = ..., starts: _Optional[str] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("verdict", "examined_pools", "examined_cards", "rejections", "candidates", "suggestions", "position", "decided_at")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EXAMINED_POOLS_FIELD_NUMBER: _ClassVar[int]
    EXAMINED_CARDS_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    verdict: str
    examined_pools: int
    examined_cards: int
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    suggestions: _containers.RepeatedCompositeFieldContainer[Suggestion]
    position: int
    decided_at: float
    def __init__(self, verdict: _Optional[str] = ..., examined_pools: _Optional[int] = ..., examined_cards: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., suggestions: _Optional[_Iterable[_Union[Suggestion, _Mapping]]] = ..., position: _Optional[int] = ..., decided_at: _Optional[float] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("job", "explanation", "condition")
    JOB_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CONDITION_FIELD_NUMBER: _ClassVar[int]
    job: _job_pb2.Job
    explanation: Explanation
    condition: Condition
    def __init__(self, job: _Optional[_Union[_job_pb2.Job, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., condition: _Optional[_Union[Condition, _Mapping]] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("code", "message", "hint")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    hint: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ...) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: bytes
    def __init__(self, spec: _Optional[bytes] = ...) -> None: ...

class PlanResponse(_message.Message):
    __slots__ = ("explanation",)
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    explanation: Explanation
    def __init__(self, explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class OffersRequest(_message.Message):
    __slots__ = ("accelerator", "num_nodes", "accelerators_per_node")
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_FIELD_NUMBER: _ClassVar[int]
    ACCELERATORS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    accelerator: str
    num_nodes: int
    accelerators_per_node: int
    def __init__(self, accelerator: _Optional[str] = ..., num_nodes: _Optional[int] = ..., accelerators_per_node: _Optional[int] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("site", "pool", "accelerator", "cards_free", "cards_usable", "cards_total", "cards_per_node", "yuan_per_card_hour", "site_state", "reported_at", "fits_now", "city", "supernodes")
    SITE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    ACCELERATOR_FIELD_NUMBER: _ClassVar[int]
    CARDS_FREE_FIELD_NUMBER: _ClassVar[int]
    CARDS_USABLE_FIELD_NUMBER: _ClassVar[int]
    CARDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    CARDS_PER_NODE_FIELD_NUMBER: _ClassVar[int]
    YUAN_PER_CARD_HOUR_FIELD_NUMBER: _ClassVar[int]
    SITE_STATE_FIELD_NUMBER: _ClassVar[int]
    REPORTED_AT_FIELD_NUMBER: _ClassVar[int]
    FITS_NOW_FIELD_NUMBER: _ClassVar[int]
    CITY_FIELD_NUMBER: _ClassVar[int]
    SUPERNODES_FIELD_NUMBER: _ClassVar[int]
    site: str
    pool: str
    accelerator: str
    cards_free: int
    cards_usable: int
    cards_total: int
    cards_per_node: int
    yuan_per_card_hour: float
    site_state: str
    reported_at: float
    fits_now: bool
    city: str
    supernodes: int
    def __init__(self, site: _Optional[str] = ..., pool: _Optional[str] = ..., accelerator: _Optional[str] = ..., cards_free: _Optional[int] = ..., cards_usable: _Optional[int] = ..., cards_total: _Optional[int] = ..., cards_per_node: _Optional[int] = ..., yuan_per_card_hour: _Optional[float] = ..., site_state: _Optional[str] = ..., reported_at: _Optional[float] = ..., fits_now: _Optional[bool] = ..., city: _Optional[str] = ..., supernodes: _Optional[int] = ...) -> None: ...

class OffersResponse(_message.Message):
    __slots__ = ("offers",)
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    def __init__(self, offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ...) -> None: ...

class AcceleratorsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AcceleratorsResponse(_message.Message):
    __slots__ = ("accelerators",)
    ACCELERATORS_FIELD_NUMBER: _ClassVar[int]
    accelerators: _containers.RepeatedCompositeFieldContainer[_accelerator_pb2.Accelerator]
    def __init__(self, accelerators: _Optional[_Iterable[_Union[_accelerator_pb2.Accelerator, _Mapping]]] = ...) -> None: ...

class PutBundleRequest(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class PutBundleResponse(_message.Message):
    __slots__ = ("bundle",)
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    bundle: _job_pb2.Bundle
    def __init__(self, bundle: _Optional[_Union[_job_pb2.Bundle, _Mapping]] = ...) -> None: ...
