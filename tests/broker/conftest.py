"""Options and hooks of the broker's tests; `async def` tests run in an event loop of their own."""

from __future__ import annotations

import asyncio
import inspect
import os

import pytest

SEEDS = "0:40"  # of the default suite


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", metavar="FIRST:END", help="histories that test_core_random plays")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--seeds", None) or os.environ.get("SUAN_SEEDS", SEEDS)
        first, _, end = wanted.partition(":")
        metafunc.parametrize("seed", range(int(first), int(end)))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
