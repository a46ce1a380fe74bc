"""Suan: submit a job once, and it runs at the site of the federation where it finishes best.

The names of `__all__` are the public ones; each is imported when it is first used, so
that `import suan` costs nothing. `AsyncClient` is for programs with an event loop,
`Client` for all others, `context()` for the program that runs as a job.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from suan.client import Client as AsyncClient
    from suan.errors import SuanError
    from suan.job_context import context
    from suan.jobfile import load_job
    from suan.models import Job, JobSpec, JobState
    from suan.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "Job",
    "JobSpec",
    "JobState",
    "SuanError",
    "context",
    "load_job",
]

_PLACES = {
    "AsyncClient": ("suan.client", "Client"),
    "Client": ("suan.sync", "Client"),
    "Job": ("suan.models", "Job"),
    "JobSpec": ("suan.models", "JobSpec"),
    "JobState": ("suan.models", "JobState"),
    "SuanError": ("suan.errors", "SuanError"),
    "context": ("suan.job_context", "context"),
    "load_job": ("suan.jobfile", "load_job"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'suan' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
