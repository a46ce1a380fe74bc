"""A site of each kind, started once; and the small jobs, run on it all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.conformance.jobs import JOBS, Ended, run_all
from tests.conformance.kinds import KINDS, Site
from tests.conformance.runs import seat


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "always: in the default suite also where jobs are dear")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where jobs are dear the default suite has the most telling ones; `make conformance` all."""
    for item in of_a_kind(items):
        given = item.callspec.params
        is_job = "ended" in item.fixturenames
        always = JOBS[given["name"]].always if is_job else item.get_closest_marker("always")
        if KINDS[given["kind"]].dear and not always:
            item.add_marker(pytest.mark.slow)


def of_a_kind(items: Iterable[pytest.Item]) -> Iterator[pytest.Function]:
    """The tests of this folder that run on a site; the hooks see those of all folders."""
    here = Path(__file__).parent
    for item in items:
        if isinstance(item, pytest.Function) and here in item.path.parents:
            given = getattr(item, "callspec", None)
            if given is not None and "kind" in given.params:
                yield item


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, kind: str) -> Site:
    fixture = KINDS[kind].fixture
    return KINDS[kind].on(request.getfixturevalue(fixture) if fixture else None)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Of one agent; not made yet."""
    place = tmp_path / "état 站点"
    seat(place).mkdir()
    return place


@pytest.fixture(scope="session")
def ended(
    request: pytest.FixtureRequest,
    kind: str,
    site: Site,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Ended]:
    """How the small jobs that are asked for ended on this kind of site."""
    place = tmp_path_factory.mktemp("jobs") / "état 站点"
    wanted = [
        item.callspec.params["name"]
        for item in of_a_kind(request.session.items)
        if "ended" in item.fixturenames and item.callspec.params["kind"] == kind
    ]
    return asyncio.run(run_all(site, place, wanted))
