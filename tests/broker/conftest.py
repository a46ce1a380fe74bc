"""Fixtures of the broker's tests."""

from __future__ import annotations

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
