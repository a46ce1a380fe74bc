"""What all tests share: `async def` tests, one Slurm and one Ray for the whole run, and who runs
beside whom where several processes share the tests (`make test`).

Whoever changes a site leaves it as it was found; names of runs are used once in a run of tests.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from bench.ray_site import RaySite, missing_packages, running_ray
from bench.slurm_site import SlurmSite, missing_tools, running_slurm

hypothesis.settings.register_profile("suan", deadline=None)  # no timing decides a test
hypothesis.settings.load_profile("suan")

# What many tests share, by the name that they bear; "local" is the federation of tests/e2e.
SHARED = ("slurm", "ray", "local")
# What waits for most of its time, the longest first; the other rooms compute.
ROOMS = ("chaos", "e2e", "conformance", "agent", "broker", "suan")
FIRST = (*SHARED, *(f"tests/{room}/" for room in ROOMS))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """An `async def` test has an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What waits comes first, side by side: nothing that computes disturbs it, or ends last."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: turn_of(item.nodeid))  # stable


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Companies of tests go to the workers whole, in the order in which they are collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Companies(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return company_of(nodeid)

    config.option.loadscopereorder = False
    return Companies(config, log)


def company_of(nodeid: str) -> str:
    """Which tests have one worker: those that bear the name of what they share, else of a file."""
    path, _, test = nodeid.partition("::")
    if not path.startswith(FIRST):
        return path
    variant = test.partition("[")[2]
    named = (name for name in SHARED if f"/test_{name}_" in path or variant.startswith(name))
    return next(named, path)


def turn_of(nodeid: str) -> int:
    company = company_of(nodeid)
    turns = (turn for turn, begin in enumerate(FIRST) if company.startswith(begin))
    return next(turns, len(FIRST))


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
