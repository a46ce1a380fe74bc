from suan.v1 import file_pb2 as _file_pb2
from suan.v1 import job_pb2 as _job_pb2
from suan.v1 import site_pb2 as _site_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPORT_KIND_UNSPECIFIED: _ClassVar[ReportKind]
    REPORT_KIND_REJECTED: _ClassVar[ReportKind]
    REPORT_KIND_STARTED: _ClassVar[ReportKind]
    REPORT_KIND_ENDED: _ClassVar[ReportKind]
    REPORT_KIND_RELEASED: _ClassVar[ReportKind]
    REPORT_KIND_COMMITTED: _ClassVar[ReportKind]
REPORT_KIND_UNSPECIFIED: ReportKind
REPORT_KIND_REJECTED: ReportKind
REPORT_KIND_STARTED: ReportKind
REPORT_KIND_ENDED: ReportKind
REPORT_KIND_RELEASED: ReportKind
REPORT_KIND_COMMITTED: ReportKind

class AgentMessage(_message.Message):
    __slots__ = ("hello", "heartbeat", "capacity", "reports", "grant_results", "log_chunk", "reconcile", "cache_report", "staging_report", "log_tails", "file_chunk", "command_chunk")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    GRANT_RESULTS_FIELD_NUMBER: _ClassVar[int]
    LOG_CHUNK_FIELD_NUMBER: _ClassVar[int]
    RECONCILE_FIELD_NUMBER: _ClassVar[int]
    CACHE_REPORT_FIELD_NUMBER: _ClassVar[int]
    STAGING_REPORT_FIELD_NUMBER: _ClassVar[int]
    LOG_TAILS_FIELD_NUMBER: _ClassVar[int]
    FILE_CHUNK_FIELD_NUMBER: _ClassVar[int]
    COMMAND_CHUNK_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    heartbeat: Heartbeat
    capacity: Capacity
    reports: Reports
    grant_results: GrantResults
    log_chunk: LogChunk
    reconcile: Reconcile
    cache_report: CacheReport
    staging_report: StagingReport
    log_tails: LogTails
    file_chunk: FileChunk
    command_chunk: CommandChunk
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., capacity: _Optional[_Union[Capacity, _Mapping]] = ..., reports: _Optional[_Union[Reports, _Mapping]] = ..., grant_results: _Optional[_Union[GrantResults, _Mapping]] = ..., log_chunk: _Optional[_Union[LogChunk, _Mapping]] = ..., reconcile: _Optional[_Union[Reconcile, _Mapping]] = ..., cache_report: _Optional[_Union[CacheReport, _Mapping]] = ..., staging_report: _Optional[_Union[StagingReport, _Mapping]] = ..., log_tails: _Optional[_Union[LogTails, _Mapping]] = ..., file_chunk: _Optional[_Union[FileChunk, _Mapping]] = ..., command_chunk: _Optional[_Union[CommandChunk, _Mapping]] = ...) -> None: ...

class BrokerMessage(_message.Message):
    __slots__ = ("verdicts", "heartbeat_reply", "grants", "stops", "report_ack", "log_request", "goodbye", "prestages", "log_tails_ack", "file_request", "command_request")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_REPLY_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    REPORT_ACK_FIELD_NUMBER: _ClassVar[int]
    LOG_REQUEST_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    PRESTAGES_FIELD_NUMBER: _ClassVar[int]
    LOG_TAILS_ACK_FIELD_NUMBER: _ClassVar[int]
    FILE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    COMMAND_REQUEST_FIELD_NUMBER: _ClassVar[int]
    verdicts: Verdicts
    heartbeat_reply: HeartbeatReply
    grants: Grants
    stops: Stops
    report_ack: ReportAck
    log_request: LogRequest
    goodbye: Goodbye
    prestages: Prestages
    log_tails_ack: LogTailsAck
    file_request: FileRequest
    command_request: CommandRequest
    def __init__(self, verdicts: _Optional[_Union[Verdicts, _Mapping]] = ..., heartbeat_reply: _Optional[_Union[HeartbeatReply, _Mapping]] = ..., grants: _Optional[_Union[Grants, _Mapping]] = ..., stops: _Optional[_Union[Stops, _Mapping]] = ..., report_ack: _Optional[_Union[ReportAck, _Mapping]] = ..., log_request: _Optional[_Union[LogRequest, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., prestages: _Optional[_Union[Prestages, _Mapping]] = ..., log_tails_ack: _Optional[_Union[LogTailsAck, _Mapping]] = ..., file_request: _Optional[_Union[FileRequest, _Mapping]] = ..., command_request: _Optional[_Union[CommandRequest, _Mapping]] = ...) -> None: ...

class AttemptId(_message.Message):
    __slots__ = ("job_id", "epoch")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    epoch: int
    def __init__(self, job_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class HeldAttempt(_message.Message):
    __slots__ = ("id", "state", "remaining_seconds")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REMAINING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    id: AttemptId
    state: _job_pb2.AttemptState
    remaining_seconds: float
    def __init__(self, id: _Optional[_Union[AttemptId, _Mapping]] = ..., state: _Optional[_Union[_job_pb2.AttemptState, str]] = ..., remaining_seconds: _Optional[float] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("site", "session", "boot_id", "term_seen", "attempts", "capacity", "facts", "protocol", "report_seq_head", "agent_id", "protocol_min", "more")
    SITE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    TERM_SEEN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    REPORT_SEQ_HEAD_FIELD_NUMBER: _ClassVar[int]
    AGENT_ID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_MIN_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    site: str
    session: str
    boot_id: str
    term_seen: int
    attempts: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    capacity: Capacity
    facts: _site_pb2.SiteFacts
    protocol: int
    report_seq_head: int
    agent_id: str
    protocol_min: int
    more: bool
    def __init__(self, site: _Optional[str] = ..., session: _Optional[str] = ..., boot_id: _Optional[str] = ..., term_seen: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., capacity: _Optional[_Union[Capacity, _Mapping]] = ..., facts: _Optional[_Union[_site_pb2.SiteFacts, _Mapping]] = ..., protocol: _Optional[int] = ..., report_seq_head: _Optional[int] = ..., agent_id: _Optional[str] = ..., protocol_min: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class Reconcile(_message.Message):
    __slots__ = ("session", "attempts", "grant_seq_seen", "more")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    GRANT_SEQ_SEEN_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    session: str
    attempts: _containers.RepeatedCompositeFieldContainer[HeldAttempt]
    grant_seq_seen: int
    more: bool
    def __init__(self, session: _Optional[str] = ..., attempts: _Optional[_Iterable[_Union[HeldAttempt, _Mapping]]] = ..., grant_seq_seen: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...

class Verdicts(_message.Message):
    __slots__ = ("session", "term", "keep", "stop", "acknowledge", "expect", "heartbeat_seconds", "hello", "protocol")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    KEEP_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    EXPECT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    session: str
    term: int
    keep: _containers.RepeatedCompositeFieldContainer[AttemptId]
    stop: _containers.RepeatedCompositeFieldContainer[AttemptId]
    acknowledge: _containers.RepeatedCompositeFieldContainer[AttemptId]
    expect: _containers.RepeatedCompositeFieldContainer[AttemptId]
    heartbeat_seconds: float
    hello: bool
    protocol: int
    def __init__(self, session: _Optional[str] = ..., term: _Optional[int] = ..., keep: _Optional[_Iterable[_Union[AttemptId, _Mapping]]] = ..., stop: _Optional[_Iterable[_Union[AttemptId, _Mapping]]] = ..., acknowledge: _Optional[_Iterable[_Union[AttemptId, _Mapping]]] = ..., expect: _Optional[_Iterable[_Union[AttemptId, _Mapping]]] = ..., heartbeat_seconds: _Optional[float] = ..., hello: _Optional[bool] = ..., protocol: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("session", "seq", "digest", "grant_seq_seen", "report_seq_head", "extended_seq")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    GRANT_SEQ_SEEN_FIELD_NUMBER: _ClassVar[int]
    REPORT_SEQ_HEAD_FIELD_NUMBER: _ClassVar[int]
    EXTENDED_SEQ_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    digest: int
    grant_seq_seen: int
    report_seq_head: int
    extended_seq: int
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., digest: _Optional[int] = ..., grant_seq_seen: _Optional[int] = ..., report_seq_head: _Optional[int] = ..., extended_seq: _Optional[int] = ...) -> None: ...

class HeartbeatReply(_message.Message):
    __slots__ = ("session", "seq", "term", "reconcile", "stop", "heartbeat_seconds", "extension_seconds")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    RECONCILE_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXTENSION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    term: int
    reconcile: bool
    stop: _containers.RepeatedCompositeFieldContainer[AttemptId]
    heartbeat_seconds: float
    extension_seconds: float
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., term: _Optional[int] = ..., reconcile: _Optional[bool] = ..., stop: _Optional[_Iterable[_Union[AttemptId, _Mapping]]] = ..., heartbeat_seconds: _Optional[float] = ..., extension_seconds: _Optional[float] = ...) -> None: ...

class Capacity(_message.Message):
    __slots__ = ("session", "seq", "pools", "reflects_grant_seq", "full", "facts")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    REFLECTS_GRANT_SEQ_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    pools: _containers.RepeatedCompositeFieldContainer[_site_pb2.Pool]
    reflects_grant_seq: int
    full: bool
    facts: _site_pb2.SiteFacts
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., pools: _Optional[_Iterable[_Union[_site_pb2.Pool, _Mapping]]] = ..., reflects_grant_seq: _Optional[int] = ..., full: _Optional[bool] = ..., facts: _Optional[_Union[_site_pb2.SiteFacts, _Mapping]] = ...) -> None: ...

class Slice(_message.Message):
    __slots__ = ("supernode", "num_nodes", "cards")
    SUPERNODE_FIELD_NUMBER: _ClassVar[int]
    NUM_NODES_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    supernode: str
    num_nodes: int
    cards: int
    def __init__(self, supernode: _Optional[str] = ..., num_nodes: _Optional[int] = ..., cards: _Optional[int] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("id", "grant_seq", "anchor_seq", "pool", "slices", "variant", "tenant", "project", "user", "name", "spec_sha256", "lease_class", "lease_seconds", "array_index", "array_id", "preempted_count", "data", "signature", "restore")
    class DataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_SEQ_FIELD_NUMBER: _ClassVar[int]
    ANCHOR_SEQ_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    SLICES_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SPEC_SHA256_FIELD_NUMBER: _ClassVar[int]
    LEASE_CLASS_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ARRAY_INDEX_FIELD_NUMBER: _ClassVar[int]
    ARRAY_ID_FIELD_NUMBER: _ClassVar[int]
    PREEMPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    id: AttemptId
    grant_seq: int
    anchor_seq: int
    pool: str
    slices: _containers.RepeatedCompositeFieldContainer[Slice]
    variant: int
    tenant: str
    project: str
    user: str
    name: str
    spec_sha256: str
    lease_class: str
    lease_seconds: float
    array_index: int
    array_id: str
    preempted_count: int
    data: _containers.ScalarMap[str, str]
    signature: bytes
    restore: _job_pb2.Commit
    def __init__(self, id: _Optional[_Union[AttemptId, _Mapping]] = ..., grant_seq: _Optional[int] = ..., anchor_seq: _Optional[int] = ..., pool: _Optional[str] = ..., slices: _Optional[_Iterable[_Union[Slice, _Mapping]]] = ..., variant: _Optional[int] = ..., tenant: _Optional[str] = ..., project: _Optional[str] = ..., user: _Optional[str] = ..., name: _Optional[str] = ..., spec_sha256: _Optional[str] = ..., lease_class: _Optional[str] = ..., lease_seconds: _Optional[float] = ..., array_index: _Optional[int] = ..., array_id: _Optional[str] = ..., preempted_count: _Optional[int] = ..., data: _Optional[_Mapping[str, str]] = ..., signature: _Optional[bytes] = ..., restore: _Optional[_Union[_job_pb2.Commit, _Mapping]] = ...) -> None: ...

class Grants(_message.Message):
    __slots__ = ("session", "term", "grants", "specs")
    class SpecsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    SPECS_FIELD_NUMBER: _ClassVar[int]
    session: str
    term: int
    grants: _containers.RepeatedCompositeFieldContainer[Grant]
    specs: _containers.ScalarMap[str, bytes]
    def __init__(self, session: _Optional[str] = ..., term: _Optional[int] = ..., grants: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ..., specs: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class GrantResult(_message.Message):
    __slots__ = ("id", "accepted", "refusal")
    ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    id: AttemptId
    accepted: bool
    refusal: _job_pb2.Failure
    def __init__(self, id: _Optional[_Union[AttemptId, _Mapping]] = ..., accepted: _Optional[bool] = ..., refusal: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ...) -> None: ...

class GrantResults(_message.Message):
    __slots__ = ("session", "results")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    session: str
    results: _containers.RepeatedCompositeFieldContainer[GrantResult]
    def __init__(self, session: _Optional[str] = ..., results: _Optional[_Iterable[_Union[GrantResult, _Mapping]]] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: AttemptId
    reason: str
    def __init__(self, id: _Optional[_Union[AttemptId, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class Stops(_message.Message):
    __slots__ = ("session", "stops")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    session: str
    stops: _containers.RepeatedCompositeFieldContainer[Stop]
    def __init__(self, session: _Optional[str] = ..., stops: _Optional[_Iterable[_Union[Stop, _Mapping]]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("report_seq", "id", "kind", "at", "exit_code", "outcome", "failure", "receipt", "commit")
    REPORT_SEQ_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    report_seq: int
    id: AttemptId
    kind: ReportKind
    at: float
    exit_code: int
    outcome: str
    failure: _job_pb2.Failure
    receipt: bytes
    commit: _job_pb2.Commit
    def __init__(self, report_seq: _Optional[int] = ..., id: _Optional[_Union[AttemptId, _Mapping]] = ..., kind: _Optional[_Union[ReportKind, str]] = ..., at: _Optional[float] = ..., exit_code: _Optional[int] = ..., outcome: _Optional[str] = ..., failure: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ..., receipt: _Optional[bytes] = ..., commit: _Optional[_Union[_job_pb2.Commit, _Mapping]] = ...) -> None: ...

class Reports(_message.Message):
    __slots__ = ("session", "reports", "report_seq_tail")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REPORTS_FIELD_NUMBER: _ClassVar[int]
    REPORT_SEQ_TAIL_FIELD_NUMBER: _ClassVar[int]
    session: str
    reports: _containers.RepeatedCompositeFieldContainer[Report]
    report_seq_tail: int
    def __init__(self, session: _Optional[str] = ..., reports: _Optional[_Iterable[_Union[Report, _Mapping]]] = ..., report_seq_tail: _Optional[int] = ...) -> None: ...

class ReportAck(_message.Message):
    __slots__ = ("session", "report_seq")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REPORT_SEQ_FIELD_NUMBER: _ClassVar[int]
    session: str
    report_seq: int
    def __init__(self, session: _Optional[str] = ..., report_seq: _Optional[int] = ...) -> None: ...

class LogRequest(_message.Message):
    __slots__ = ("request_id", "id", "rank", "stream", "offset", "limit_bytes", "wait_seconds", "since")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: AttemptId
    rank: int
    stream: str
    offset: int
    limit_bytes: int
    wait_seconds: float
    since: float
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[_Union[AttemptId, _Mapping]] = ..., rank: _Optional[int] = ..., stream: _Optional[str] = ..., offset: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., since: _Optional[float] = ...) -> None: ...

class LogChunk(_message.Message):
    __slots__ = ("session", "request_id", "data", "next_offset", "at_end", "failure", "ranks")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    AT_END_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    data: bytes
    next_offset: int
    at_end: bool
    failure: _job_pb2.Failure
    ranks: int
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., data: _Optional[bytes] = ..., next_offset: _Optional[int] = ..., at_end: _Optional[bool] = ..., failure: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ..., ranks: _Optional[int] = ...) -> None: ...

class FileRequest(_message.Message):
    __slots__ = ("request_id", "id", "path", "list", "after", "offset", "limit_bytes")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: AttemptId
    path: str
    list: bool
    after: str
    offset: int
    limit_bytes: int
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[_Union[AttemptId, _Mapping]] = ..., path: _Optional[str] = ..., list: _Optional[bool] = ..., after: _Optional[str] = ..., offset: _Optional[int] = ..., limit_bytes: _Optional[int] = ...) -> None: ...

class FileChunk(_message.Message):
    __slots__ = ("session", "request_id", "failure", "entry", "entries", "more", "data")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    failure: _job_pb2.Failure
    entry: _file_pb2.FileEntry
    entries: _containers.RepeatedCompositeFieldContainer[_file_pb2.FileEntry]
    more: bool
    data: bytes
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., failure: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ..., entry: _Optional[_Union[_file_pb2.FileEntry, _Mapping]] = ..., entries: _Optional[_Iterable[_Union[_file_pb2.FileEntry, _Mapping]]] = ..., more: _Optional[bool] = ..., data: _Optional[bytes] = ...) -> None: ...

class LogPiece(_message.Message):
    __slots__ = ("rank", "stream", "offset", "data")
    RANK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    rank: int
    stream: str
    offset: int
    data: bytes
    def __init__(self, rank: _Optional[int] = ..., stream: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class LogTail(_message.Message):
    __slots__ = ("id", "ranks", "pieces", "at_end", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    RANKS_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    AT_END_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: AttemptId
    ranks: int
    pieces: _containers.RepeatedCompositeFieldContainer[LogPiece]
    at_end: bool
    at: float
    def __init__(self, id: _Optional[_Union[AttemptId, _Mapping]] = ..., ranks: _Optional[int] = ..., pieces: _Optional[_Iterable[_Union[LogPiece, _Mapping]]] = ..., at_end: _Optional[bool] = ..., at: _Optional[float] = ...) -> None: ...

class LogTails(_message.Message):
    __slots__ = ("session", "seq", "tails")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    TAILS_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    tails: _containers.RepeatedCompositeFieldContainer[LogTail]
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., tails: _Optional[_Iterable[_Union[LogTail, _Mapping]]] = ...) -> None: ...

class LogEnd(_message.Message):
    __slots__ = ("rank", "stream", "offset")
    RANK_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    rank: int
    stream: str
    offset: int
    def __init__(self, rank: _Optional[int] = ..., stream: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class LogTailAck(_message.Message):
    __slots__ = ("ends", "at_end", "unwanted")
    ENDS_FIELD_NUMBER: _ClassVar[int]
    AT_END_FIELD_NUMBER: _ClassVar[int]
    UNWANTED_FIELD_NUMBER: _ClassVar[int]
    ends: _containers.RepeatedCompositeFieldContainer[LogEnd]
    at_end: bool
    unwanted: bool
    def __init__(self, ends: _Optional[_Iterable[_Union[LogEnd, _Mapping]]] = ..., at_end: _Optional[bool] = ..., unwanted: _Optional[bool] = ...) -> None: ...

class LogTailsAck(_message.Message):
    __slots__ = ("session", "seq", "acks")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    ACKS_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    acks: _containers.RepeatedCompositeFieldContainer[LogTailAck]
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., acks: _Optional[_Iterable[_Union[LogTailAck, _Mapping]]] = ...) -> None: ...

class CommandRequest(_message.Message):
    __slots__ = ("request_id", "id", "command_id", "rank", "argv", "timeout_seconds", "takes_input", "stdout_offset", "stderr_offset", "limit_bytes", "wait_seconds", "end", "actor", "input_offset", "input", "input_end")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TAKES_INPUT_FIELD_NUMBER: _ClassVar[int]
    STDOUT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    STDERR_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAIT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    INPUT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    INPUT_END_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    id: AttemptId
    command_id: str
    rank: int
    argv: _containers.RepeatedScalarFieldContainer[str]
    timeout_seconds: float
    takes_input: bool
    stdout_offset: int
    stderr_offset: int
    limit_bytes: int
    wait_seconds: float
    end: bool
    actor: str
    input_offset: int
    input: bytes
    input_end: bool
    def __init__(self, request_id: _Optional[str] = ..., id: _Optional[_Union[AttemptId, _Mapping]] = ..., command_id: _Optional[str] = ..., rank: _Optional[int] = ..., argv: _Optional[_Iterable[str]] = ..., timeout_seconds: _Optional[float] = ..., takes_input: _Optional[bool] = ..., stdout_offset: _Optional[int] = ..., stderr_offset: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., wait_seconds: _Optional[float] = ..., end: _Optional[bool] = ..., actor: _Optional[str] = ..., input_offset: _Optional[int] = ..., input: _Optional[bytes] = ..., input_end: _Optional[bool] = ...) -> None: ...

class CommandChunk(_message.Message):
    __slots__ = ("session", "request_id", "failure", "stdout", "stderr", "ended", "exit_code", "input_taken")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TAKEN_FIELD_NUMBER: _ClassVar[int]
    session: str
    request_id: str
    failure: _job_pb2.Failure
    stdout: bytes
    stderr: bytes
    ended: bool
    exit_code: int
    input_taken: int
    def __init__(self, session: _Optional[str] = ..., request_id: _Optional[str] = ..., failure: _Optional[_Union[_job_pb2.Failure, _Mapping]] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., ended: _Optional[bool] = ..., exit_code: _Optional[int] = ..., input_taken: _Optional[int] = ...) -> None: ...

class Prestage(_message.Message):
    __slots__ = ("dataset", "location", "size_bytes", "bytes_per_second", "expires_seconds")
    DATASET_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_SECONDS_FIELD_NUMBER: _ClassVar[int]
    dataset: str
    location: str
    size_bytes: int
    bytes_per_second: float
    expires_seconds: float
    def __init__(self, dataset: _Optional[str] = ..., location: _Optional[str] = ..., size_bytes: _Optional[int] = ..., bytes_per_second: _Optional[float] = ..., expires_seconds: _Optional[float] = ...) -> None: ...

class Prestages(_message.Message):
    __slots__ = ("session", "term", "wanted")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    session: str
    term: int
    wanted: _containers.RepeatedCompositeFieldContainer[Prestage]
    def __init__(self, session: _Optional[str] = ..., term: _Optional[int] = ..., wanted: _Optional[_Iterable[_Union[Prestage, _Mapping]]] = ...) -> None: ...

class CacheReport(_message.Message):
    __slots__ = ("session", "seq", "keys", "bytes_max", "refused")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    keys: _containers.RepeatedScalarFieldContainer[str]
    bytes_max: int
    refused: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., keys: _Optional[_Iterable[str]] = ..., bytes_max: _Optional[int] = ..., refused: _Optional[_Iterable[str]] = ...) -> None: ...

class StagingProgress(_message.Message):
    __slots__ = ("id", "done_bytes", "total_bytes")
    ID_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    id: AttemptId
    done_bytes: int
    total_bytes: int
    def __init__(self, id: _Optional[_Union[AttemptId, _Mapping]] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class StagingReport(_message.Message):
    __slots__ = ("session", "seq", "progress")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    session: str
    seq: int
    progress: _containers.RepeatedCompositeFieldContainer[StagingProgress]
    def __init__(self, session: _Optional[str] = ..., seq: _Optional[int] = ..., progress: _Optional[_Iterable[_Union[StagingProgress, _Mapping]]] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
