"""Fixtures of the agent's tests; `async def` tests run in an event loop of their own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import FenceRun

from bench.ray_site import RaySite, missing_packages, running_ray


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(scope="session")
def ray_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaySite]:
    """One Ray for all tests: it takes half a minute to start."""
    if missing := missing_packages():
        pytest.skip(f"needs Ray's job server; missing: {', '.join(missing)}")
    with running_ray(tmp_path_factory.mktemp("ray") / "site") as site:
        yield site


@pytest.fixture
def fence(tmp_path: Path) -> Iterator[FenceRun]:
    run = FenceRun(tmp_path / "läuft hier 在此")
    yield run
    run.end()
