"""What the job file needs to know of accelerators, as a protocol.

`suan.catalogue` provides it; tests may bring their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from scheduler.model import Accelerator


class Catalogue(Protocol):
    def resolve(self, name: str) -> str | None:
        """The canonical model that a name, alias or raw site name stands for."""

    def models(self) -> Iterable[str]:
        """All canonical models, e.g. "ascend-910b"."""

    def kind(self, model: str) -> str:
        """ "npu", "dcu" or "gpu"."""

    def vendor(self, model: str) -> str:
        """The maker, e.g. "Huawei"."""

    def get(self, model: str) -> Accelerator:
        """The figures of a canonical model; one that is unknown is 0."""

    def suggest(self, name: str) -> list[str]:
        """Canonical models that `name` may have meant, the likeliest first."""
