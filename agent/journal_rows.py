"""Rows of the journal and the values they stand for. Knows columns; speaks no SQL."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from agent.backends import LeaseClass, NodeShare
from agent.supervisor.values import (
    LONG_AGO,
    NEVER,
    Attempt,
    Commit,
    Failure,
    Phase,
    Report,
    ReportKind,
    TaskOutput,
)


def attempt_row(attempt: Attempt) -> tuple[object, ...]:
    nodes = [(node.name, node.address, node.devices) for node in attempt.nodes]
    return (
        attempt.name,
        attempt.job_id,
        attempt.epoch,
        attempt.phase.value,
        attempt.pool,
        json.dumps(nodes),
        attempt.ranks,
        attempt.lease_class.value,
        attempt.lease_seconds,
        attempt.accepted_at,
        attempt.deadline,
        attempt.stop_reason,
        attempt.priority,
        attempt.preemptible,
        json.dumps([asdict(output) for output in attempt.outputs]),
        attempt.retried,
    )


def attempt_of(row: tuple[Any, ...]) -> Attempt:
    name, job_id, epoch, phase, pool, nodes, ranks, lease_class, *rest = row
    *rest, preemptible, outputs, retried = rest
    lease_seconds, accepted_at, deadline, stop_reason, priority = rest
    wanted = tuple(TaskOutput(**output) for output in json.loads(outputs))
    shares = tuple(NodeShare(node, host, tuple(cards)) for node, host, cards in json.loads(nodes))
    return Attempt(
        name,
        job_id,
        epoch,
        Phase(phase),
        pool,
        shares,
        ranks,
        LeaseClass(lease_class),
        lease_seconds,
        accepted_at,
        deadline,
        stop_reason,
        priority,
        bool(preemptible),
        wanted,
        bool(retried),
    )


def moved(attempt: Attempt, shift: float | None) -> Attempt:
    """The attempt on this process's clock; `shift` None: after a reboot."""
    if shift is None:
        ended = NEVER if attempt.deadline == NEVER else LONG_AGO
        return replace(attempt, accepted_at=LONG_AGO, deadline=ended)
    accepted_at, deadline = attempt.accepted_at + shift, attempt.deadline + shift
    return replace(attempt, accepted_at=accepted_at, deadline=deadline)


def report_row(report: Report) -> tuple[object, ...]:
    failure = json.dumps(asdict(report.failure)) if report.failure else ""
    return (
        report.report_seq,
        report.name,
        report.job_id,
        report.epoch,
        report.kind.value,
        report.at,
        report.exit_code,
        report.outcome,
        failure,
        json.dumps(asdict(report.commit)) if report.commit else "",
    )


def report_of(row: tuple[Any, ...]) -> Report:
    number, name, job_id, epoch, kind, at, exit_code, outcome, failure, stored = row
    why = Failure(**json.loads(failure)) if failure else None
    commit = Commit(**json.loads(stored)) if stored else None
    return Report(
        number, name, job_id, epoch, ReportKind(kind), at, exit_code, outcome, why, commit
    )
