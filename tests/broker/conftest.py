"""Fixtures of the broker's tests; `async def` tests run in an event loop of their own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator

import pytest
from support_etcd import Etcd, Open, open_stores, running_etcd


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One node for all tests that do it no harm; each takes a federation of its own."""
    with running_etcd(tmp_path_factory.mktemp("etcd")) as running:
        yield running


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens stores in etcd that are closed at the end."""
    with open_stores() as open_one:
        yield open_one


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
