"""Fixtures of the agent's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import FenceRun


@pytest.fixture
def fence(tmp_path: Path) -> Iterator[FenceRun]:
    run = FenceRun(tmp_path / "läuft hier 在此")
    yield run
    run.end()
