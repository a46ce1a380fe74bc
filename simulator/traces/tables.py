"""The CSV formats: each known by the columns that its header names.

A format is a name, the columns it needs and how one row becomes a job. Tables that are no
job lists are known as well, so that the refusal can say what they lack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from simulator.traces import values
from simulator.traces.job import TraceJob
from simulator.traces.report import BadRow, Reason

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """One CSV format."""

    name: str
    columns: frozenset[str]
    parse: Callable[[Row, int], TraceJob]


def _philly(row: Row, line: int) -> TraceJob:
    """Microsoft Philly as in the artefacts of Sia: a virtual cluster is a tenant."""
    cluster = values.field(row, "cluster")
    return TraceJob(
        name=f"philly-{line}",
        submit_seconds=_date_seconds(values.field(row, "timestamp")),
        run_seconds=values.seconds(values.field(row, "duration")),
        cards=values.cards(values.field(row, "num_gpus")),
        line=line,
        tenant=cluster,
    )


def _openb(row: Row, line: int) -> TraceJob:
    """A pod of Alibaba's openb (2023): its length is from being scheduled to being deleted.

    A pod that was never scheduled has none; one without a card is not ours to place.
    """
    width = values.cards(values.field(row, "num_gpu"))
    submitted = values.seconds(values.field(row, "creation_time"))
    if not row["scheduled_time"].strip() or not row["deletion_time"].strip():
        raise BadRow(Reason.NO_RUN_TIME)
    started, ended = (values.seconds(row[key]) for key in ("scheduled_time", "deletion_time"))
    if ended < started or started < submitted:
        raise BadRow(Reason.NEGATIVE_TIME)
    share = values.number(values.field(row, "gpu_milli")) / 1000.0
    if not 0 < share <= 1:
        raise BadRow(Reason.OUT_OF_RANGE)
    return TraceJob(
        name=values.field(row, "name"),
        submit_seconds=submitted,
        run_seconds=ended - started,
        cards=width,
        line=line,
        nodes=1,
        tenant=row["qos"].strip(),
        accelerators=tuple(name for name in row["gpu_spec"].strip().split("|") if name),
        card_share=share,
    )


def _alibaba_spot(row: Row, line: int) -> TraceJob:
    """A job of Alibaba's cluster of 2026: `worker_num` workers with `gpu_request` cards each."""
    workers = values.cards(values.field(row, "worker_num"))
    each = values.number(values.field(row, "gpu_request"))
    share = each if 0 < each < 1 else 1.0
    return TraceJob(
        name=values.field(row, "job_name"),
        submit_seconds=values.seconds(values.field(row, "submit_time")),
        run_seconds=values.seconds(values.field(row, "duration")),
        cards=workers if share < 1 else workers * values.cards(str(each)),
        line=line,
        nodes=workers,
        tenant=f"organisation-{values.field(row, 'organization')}",
        card_share=share,
    )


def _date_seconds(text: str) -> float:
    """A date of the trace's own clock, without a zone, as seconds."""
    try:
        return (datetime.fromisoformat(text) - datetime(2000, 1, 1)).total_seconds()  # noqa: DTZ001
    except (ValueError, TypeError):
        raise BadRow(Reason.NOT_A_NUMBER) from None


TABLES = (
    Table(
        "Philly (CSV of Sia)",
        frozenset({"timestamp", "duration", "num_gpus", "cluster"}),
        _philly,
    ),
    Table(
        "openb pods",
        frozenset(
            {"name", "num_gpu", "gpu_milli", "gpu_spec", "qos", "creation_time"}
            | {"deletion_time", "scheduled_time"}
        ),
        _openb,
    ),
    Table(
        "Alibaba 2026 jobs",
        frozenset(
            {"job_name", "organization", "duration", "gpu_request", "worker_num", "submit_time"}
        ),
        _alibaba_spot,
    ),
)

# Tables that lie beside traces and hold no jobs that could be replayed: columns, and what lacks.
NO_TRACES: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"name", "num_gpu", "gpu_milli"}), "pods without times: use it for packing only"),
    (frozenset({"time", "application", "num_replicas"}), "jobs of Sia without run times"),
    (frozenset({"runtime"}), "run times without submissions and cards"),
    (frozenset({"time", "submit_job_all"}), "counts per interval, no jobs"),
    (frozenset({"sn", "gpu", "model"}), "a list of nodes, no jobs: `simulator.traces.fleet`"),
    (frozenset({"node_name", "gpu_model"}), "a list of nodes, no jobs: `simulator.traces.fleet`"),
)
