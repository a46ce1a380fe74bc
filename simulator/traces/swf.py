"""The Standard Workload Format: 18 columns, `;` before comments, -1 for what is unknown.

Feitelson's definition: cs.huji.ac.il/labs/parallel/workload/swf.html, version 2.2.
"""

from __future__ import annotations

from simulator.traces import values
from simulator.traces.job import TraceJob
from simulator.traces.report import BadRow, Reason

NAME = "SWF"
COLUMNS = 18
_JOB, _SUBMIT, _RUN, _ALLOCATED, _REQUESTED, _LIMIT = 0, 1, 3, 4, 7, 8
_USER, _GROUP, _PARTITION = 11, 12, 15


def is_comment(text: str) -> bool:
    return not text or text.isspace() or text.lstrip().startswith(";")


def parse(text: str, line: int) -> TraceJob:
    """The job of one row. Raises BadRow.

    Its width is what it was given, else what it asked for; its tenant is its group.
    """
    fields = text.split()
    if len(fields) != COLUMNS:
        raise BadRow(Reason.MISSING_FIELD if len(fields) < COLUMNS else Reason.BAD_ROW)
    run = values.number(fields[_RUN])
    if run == -1:
        raise BadRow(Reason.NO_RUN_TIME)
    allocated = values.number(fields[_ALLOCATED])
    limit = values.number(fields[_LIMIT])
    user, group = _known(fields[_USER]), _known(fields[_GROUP])
    return TraceJob(
        name=fields[_JOB],
        submit_seconds=values.seconds(fields[_SUBMIT]),
        run_seconds=values.seconds(fields[_RUN]),
        cards=values.cards(fields[_ALLOCATED if allocated > 0 else _REQUESTED]),
        line=line,
        time_limit_seconds=max(0.0, limit),
        tenant=f"group-{group}" if group else "",
        user=f"user-{user}" if user else "",
        site=_known(fields[_PARTITION]),
    )


def _known(text: str) -> str:
    """The text, or nothing where it says unknown."""
    return "" if text.startswith("-") else text
