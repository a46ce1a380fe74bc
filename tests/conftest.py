"""What all tests share: `async def` tests, and one Slurm and one Ray for the whole run.

Whoever changes a site leaves it as it was found; names of runs are used once in a run of tests.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest

from bench.ray_site import RaySite, missing_packages, running_ray
from bench.slurm_site import SlurmSite, missing_tools, running_slurm


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An `async def` test has an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


@pytest.fixture(scope="session")
def slurm_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmSite]:
    """Two nodes with Ascend cards, one with DCUs."""
    if missing := missing_tools():
        pytest.skip(f"needs Slurm (deploy/servers.sh installs it); missing: {', '.join(missing)}")
    with running_slurm(tmp_path_factory.mktemp("slurm") / "site") as site:
        yield site


@pytest.fixture(scope="session")
def ray_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RaySite]:
    """Nodes of the same shapes; it takes half a minute to start."""
    if missing := missing_packages():
        pytest.skip(f"needs Ray's job server; missing: {', '.join(missing)}")
    with running_ray(tmp_path_factory.mktemp("ray") / "site") as site:
        yield site
