"""A study as the record that `-o json` prints: keys are a contract, unknown numbers null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from simulator.study.study import Result, Study


def record(study: Study) -> dict[str, Any]:
    """The whole study; seconds, CNY, kWh, bytes and shares of 1."""
    world, question = study.world, study.world.question
    decisions = sum(result.outcome.decisions for result in study.results)
    spent = sum(result.cpu_seconds for result in study.results)
    return {
        "trace": question.trace.name,
        "federation": world.federation.name or question.federation.name,
        "seed": question.seed,
        "load": _number(world.load),
        "jobs": len(world.instance),
        "rows": {
            "read": world.report.rows,
            "dropped": {str(each.reason): each.rows for each in world.report.dropped},
            "unsorted": world.report.unsorted_rows,
            "fit_nowhere": int((~world.instance.feasible).sum()),
        },
        "synthesised": list(world.workload.said),
        "bounds": {
            "mean_jct_seconds": study.bounds.mean_jct_seconds,
            "makespan_seconds": study.bounds.makespan_seconds,
        },
        "policies": {result.name: _policy(result, study) for result in study.results},
        "decisions_per_second": decisions / spent if spent > 0 else 0.0,
    }


def _policy(result: Result, study: Study) -> dict[str, Any]:
    its, accounts = result.metrics, result.accounts
    return {
        **its.as_json(),
        "mean_jct_over_bound": _ratio(its.mean_jct_seconds, study.bounds.mean_jct_seconds),
        "makespan_over_bound": _ratio(its.makespan_seconds, study.bounds.makespan_seconds),
        "preemptions": result.outcome.preemptions,
        "lost_runs": result.outcome.lost_runs,
        "bytes_moved": accounts.bytes_moved,
        "kwh": accounts.kwh,
        "yuan": accounts.yuan,
        "sites": {name: asdict(use) for name, use in accounts.sites.items()},
        "links": _links(accounts.bytes_by_link),
        "decisions_per_second": result.decisions_per_second,
        "jobs_per_second": its.finished / result.cpu_seconds if result.cpu_seconds > 0 else 0.0,
    }


def _links(bytes_by_link: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    ordered = sorted(bytes_by_link.items(), key=lambda item: (-item[1], item[0]))
    return [{"a": a, "b": b, "bytes": moved} for (a, b), moved in ordered]


def _ratio(value: float, bound: float) -> float | None:
    return _number(value / bound) if bound > 0 else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
