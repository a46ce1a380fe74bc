"""A federation of three sites for each runtime, shared by the tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from witness import Witness

from bench.federation import THREE_SITES, Federation


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because Unix sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        yield Path(name)


@pytest.fixture(scope="session", params=["local", "ray"])
def federation(request: pytest.FixtureRequest) -> Iterator[Federation]:
    """Broker, three agents, one user; the same for both runtimes."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        made = Federation(Path(name), request.param)
        try:
            made.start_broker()
            made.join(*THREE_SITES)
            yield made
        finally:
            made.stop()


@pytest.fixture
def witness(federation: Federation, request: pytest.FixtureRequest) -> Witness:
    """Of this test alone, in the federation of its file."""
    return Witness(federation.folder / request.node.name)
