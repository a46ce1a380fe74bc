"""Every error that Suan shows to people, its exit code and its gRPC status.

An error says what is wrong (`message`), what to do (`hint`), whose fault it is
(`category`) and carries a stable CamelCase `code`. The broker turns errors into gRPC
statuses by `GRPC_STATUS`; the SDK turns them back with `from_status`. Statuses stand
here as names, so that this module knows neither gRPC nor anything else of Suan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType


class ExitCode(IntEnum):
    """The exit codes of every command: documented and stable."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_AUTHORISED = 4
    UNREACHABLE = 5
    WOULD_CHANGE = 10
    CANNOT_PLACE_NOW = 20
    CANNOT_PLACE_EVER = 21
    JOB_FAILED = 100
    JOB_NOT_FINISHED = 101
    JOB_NOT_FOUND = 102
    JOB_CANCELLED = 103
    DETACHED = 130


class Category(StrEnum):
    """Who can mend an error."""

    USER = "user"
    SITE = "site"
    BROKER = "broker"
    NETWORK = "network"
    POLICY = "policy"
    MONEY = "money"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a job file or spec. Lines and columns count from 1; 0: no position."""

    code: str
    line: int
    column: int
    path: str  # e.g. "resources.accelerators.any_of[1]"
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        subject = f"{self.path}: " if self.path else ""
        advice = f" ({self.hint})" if self.hint else ""
        return f"{where}{subject}{self.message}{advice}"


class SuanError(Exception):
    """The root of all errors; the class gives defaults, an instance may name a finer code."""

    category: Category = Category.BROKER
    exit_code: ExitCode = ExitCode.ERROR

    def __init__(self, message: str, hint: str = "", code: str = "") -> None:
        # All three are positional so that the error survives pickling.
        super().__init__(message, hint, code)
        self.message = message
        self.hint = hint
        self.code = code or type(self).__name__

    def __str__(self) -> str:
        return self.message

    @property
    def grpc_status(self) -> str:
        """The name of the gRPC status that carries this error, e.g. "NOT_FOUND"."""
        kinds = type(self).__mro__
        return next(GRPC_STATUS[kind.__name__] for kind in kinds if kind.__name__ in GRPC_STATUS)


class InvalidRequest(SuanError):
    """The request makes no sense as it stands."""

    category = Category.USER
    exit_code = ExitCode.USAGE


class InvalidSpec(InvalidRequest):
    """A job file or spec has faults: `problems` holds all of them."""

    def __init__(
        self,
        message: str = "",
        hint: str = "",
        code: str = "",
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message or _summary(problems), hint, code)
        self.problems = problems

    def __reduce__(self) -> tuple[type[InvalidSpec], tuple[object, ...]]:
        return type(self), (self.message, self.hint, self.code, self.problems)


class NotFound(SuanError):
    category = Category.USER
    exit_code = ExitCode.NOT_FOUND


class Unauthenticated(SuanError):
    category = Category.USER
    exit_code = ExitCode.NOT_AUTHORISED


class PermissionDenied(SuanError):
    category = Category.POLICY
    exit_code = ExitCode.NOT_AUTHORISED


class Conflict(SuanError):
    """The state of things does not allow it: already there, already ended, changed meanwhile."""

    category = Category.USER


class ResourceExhausted(SuanError):
    """A limit is reached: a full queue, a quota, a message that is too large.

    `retry_after_seconds`: when it is of use to try again; 0.0: not said.
    """

    category = Category.POLICY

    def __init__(
        self, message: str, hint: str = "", code: str = "", retry_after_seconds: float = 0.0
    ) -> None:
        super().__init__(message, hint, code)
        self.args = (message, hint, code, retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(SuanError):
    category = Category.NETWORK
    exit_code = ExitCode.UNREACHABLE


class DeadlineExceeded(Unavailable):
    """No answer within the time given; whether it was done is not known."""


class CannotPlaceNow(SuanError):
    """Some site could run it, none can now."""

    category = Category.SITE
    exit_code = ExitCode.CANNOT_PLACE_NOW


class CannotPlaceEver(SuanError):
    """No site of the federation could ever run it."""

    category = Category.USER
    exit_code = ExitCode.CANNOT_PLACE_EVER


class Unsupported(SuanError):
    """The other side is older than this request."""


class InternalError(SuanError):
    """A fault of Suan itself."""


# Class name to gRPC status: how the broker raises.
GRPC_STATUS: Mapping[str, str] = MappingProxyType(
    {
        "InvalidRequest": "INVALID_ARGUMENT",
        "InvalidSpec": "INVALID_ARGUMENT",
        "NotFound": "NOT_FOUND",
        "Unauthenticated": "UNAUTHENTICATED",
        "PermissionDenied": "PERMISSION_DENIED",
        "Conflict": "ALREADY_EXISTS",
        "ResourceExhausted": "RESOURCE_EXHAUSTED",
        "Unavailable": "UNAVAILABLE",
        "DeadlineExceeded": "DEADLINE_EXCEEDED",
        "CannotPlaceNow": "FAILED_PRECONDITION",
        "CannotPlaceEver": "FAILED_PRECONDITION",
        "Unsupported": "UNIMPLEMENTED",
        "InternalError": "INTERNAL",
        "SuanError": "UNKNOWN",
    }
)

# gRPC status to class, where the code that came with it names no class of its own.
ERROR_BY_STATUS: Mapping[str, type[SuanError]] = MappingProxyType(
    {
        "INVALID_ARGUMENT": InvalidRequest,
        "OUT_OF_RANGE": InvalidRequest,
        "NOT_FOUND": NotFound,
        "UNAUTHENTICATED": Unauthenticated,
        "PERMISSION_DENIED": PermissionDenied,
        "ALREADY_EXISTS": Conflict,
        "ABORTED": Conflict,
        "FAILED_PRECONDITION": Conflict,
        "RESOURCE_EXHAUSTED": ResourceExhausted,
        "UNAVAILABLE": Unavailable,
        "CANCELLED": Unavailable,
        "DEADLINE_EXCEEDED": DeadlineExceeded,
        "UNIMPLEMENTED": Unsupported,
        "INTERNAL": InternalError,
        "DATA_LOSS": InternalError,
        "UNKNOWN": InternalError,
    }
)

# Errors whose status alone does not tell them apart.
_ERROR_BY_CODE: Mapping[str, type[SuanError]] = MappingProxyType(
    {kind.__name__: kind for kind in (InvalidSpec, CannotPlaceNow, CannotPlaceEver)}
)


def from_status(status: str, message: str, hint: str = "", code: str = "") -> SuanError:
    """The error that a gRPC status name and the code sent with it stand for."""
    kind = _ERROR_BY_CODE.get(code) or ERROR_BY_STATUS.get(status, InternalError)
    return kind(message, hint, code)


def _summary(problems: tuple[Problem, ...]) -> str:
    if len(problems) == 1:
        return str(problems[0])
    return "\n".join([f"{len(problems)} problems:", *(f"  {problem}" for problem in problems)])
