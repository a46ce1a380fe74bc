"""Errors: one table to gRPC, one back, and nothing lost on the way."""

from __future__ import annotations

import pickle

import grpc
import pytest

from suan import errors
from suan.errors import (
    ERROR_BY_STATUS,
    GRPC_STATUS,
    ExitCode,
    InvalidSpec,
    Problem,
    SuanError,
    from_status,
)

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SuanError)
]


def test_every_error_has_a_status_and_every_status_an_error() -> None:
    assert {kind.__name__ for kind in KINDS} == set(GRPC_STATUS)
    statuses = {status.name for status in grpc.StatusCode} - {"OK"}
    assert set(GRPC_STATUS.values()) <= statuses
    assert set(ERROR_BY_STATUS) == statuses


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not SuanError])
def test_there_and_back(kind: type[SuanError]) -> None:
    sent = kind("what", "do this")
    assert sent.code == kind.__name__
    back = from_status(sent.grpc_status, sent.message, sent.hint, sent.code)
    assert type(back) is kind
    assert (back.message, back.hint, back.code) == ("what", "do this", kind.__name__)


def test_a_finer_code_keeps_its_class() -> None:
    sent = errors.NotFound("no job 7f", code="JobNotFound")
    back = from_status(sent.grpc_status, sent.message, code=sent.code)
    assert type(back) is errors.NotFound
    assert back.code == "JobNotFound"


def test_unknown_status_is_an_internal_error() -> None:
    assert type(from_status("SOMETHING_NEW", "what")) is errors.InternalError


def test_errors_survive_pickling() -> None:
    problem = Problem("BadText", 3, 1, "name", "is wrong", "mend it")
    sent = InvalidSpec(problems=(problem,))
    back = pickle.loads(pickle.dumps(sent))
    assert (back.problems, back.message, back.code) == ((problem,), sent.message, "InvalidSpec")
    finer = pickle.loads(pickle.dumps(errors.Conflict("m", "h", "JobEnded")))
    assert (finer.message, finer.hint, finer.code) == ("m", "h", "JobEnded")


def test_every_problem_stands_in_the_message() -> None:
    problems = (Problem("A", 3, 1, "name", "is wrong", "mend it"), Problem("B", 0, 0, "", "bad"))
    assert str(InvalidSpec(problems=problems)) == (
        "2 problems:\n  line 3: name: is wrong (mend it)\n  bad"
    )
    assert str(InvalidSpec(problems=problems[1:])) == "bad"


def test_exit_codes_are_those_of_the_contract() -> None:
    assert sorted(ExitCode) == [0, 1, 2, 3, 4, 5, 10, 20, 21, 100, 101, 102, 103, 130]
    expected: dict[type[SuanError], int] = {
        errors.InvalidSpec: 2,
        errors.NotFound: 3,
        errors.Unauthenticated: 4,
        errors.PermissionDenied: 4,
        errors.Unavailable: 5,
        errors.DeadlineExceeded: 5,
        errors.CannotPlaceNow: 20,
        errors.CannotPlaceEver: 21,
        errors.InternalError: 1,
        errors.Conflict: 1,
        errors.ResourceExhausted: 1,
    }
    assert {kind: int(kind.exit_code) for kind in expected} == expected
