"""Several downloads at once, and what is brought before any job waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from file_server import FileServer, serving
from staging_site import BODY, HALF, MIB, Site, site_in, wait

from agent.staging import StagingRefused
from agent.staging.pace import Pace


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


def held(server: FileServer, *names: str) -> list[str]:
    """URLs of files that stop half-way until they may go on."""
    for name in names:
        server.put(f"/{name}", BODY, hold_at=HALF)
    return [server.url(f"/{name}") for name in names]


def let_go(server: FileServer, *names: str) -> None:
    for name in names:
        server.files[f"/{name}"].go.set()


def started(server: FileServer) -> int:
    return len(server.seen)


# --- several at once --------------------------------------------------------------


async def test_the_inputs_of_a_job_come_at_once_but_not_all(
    server: FileServer, tmp_path: Path
) -> None:
    urls = held(server, *"abcdef")
    async with site_in(tmp_path, downloads_per_job_max=4) as site:
        told: list[tuple[int, int]] = []
        task = asyncio.create_task(
            site.stage("1", *urls, progress=lambda done, total: told.append((done, total)))
        )
        await wait(lambda: started(server) == 4)
        await wait(lambda: (4 * MIB) in {total for _, total in told})
        assert started(server) == 4  # two wait for a turn
        let_go(server, "a")
        await wait(lambda: started(server) == 5)
        let_go(server, *"bcdef")
        await task
        assert {path.name for path in site.directory("1").iterdir()} == set("abcdef")
        assert told[-1] == (6 * MIB, 6 * MIB)
        assert all(done <= total for done, total in told if total)
        assert all(before[0] <= after[0] for before, after in pairwise(told))


async def test_one_input_that_fails_ends_the_others(server: FileServer, tmp_path: Path) -> None:
    urls = held(server, "a", "b")
    async with site_in(tmp_path) as site:
        task = asyncio.create_task(site.stage("1", *urls, server.url("/none")))
        with pytest.raises(StagingRefused) as caught:
            await task
        assert caught.value.code == "DataMissing"
        for path in [seen.target for seen in server.seen if seen.status == 200]:
            await wait(server.files[path].gone.is_set)


async def test_jobs_do_not_share_their_turns(server: FileServer, tmp_path: Path) -> None:
    urls = held(server, *"abcd")
    server.put("/e", BODY)
    async with site_in(tmp_path, downloads_per_job_max=2) as site:
        task = asyncio.create_task(site.stage("1", *urls))
        await wait(lambda: started(server) == 2)
        assert await site.read("2", server.url("/e")) == BODY
        let_go(server, *"abcd")
        await task


# --- ahead of need ----------------------------------------------------------------


def signed(server: FileServer, name: str) -> str:
    return f"{server.url(f'/{name}')}#sha256={server.files[f'/{name}'].sha256}"


async def brought(site: Site, url: str, rate: float = 0.0) -> None:
    await site.staging.bring(url, rate)


async def test_what_was_brought_ahead_is_not_brought_again(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/a", BODY)
    url = signed(server, "a")
    async with site_in(tmp_path) as site:
        before = site.staging.changes
        assert await site.staging.cached(10) == ()
        await brought(site, url)
        assert site.staging.changes > before
        assert await site.staging.cached(10) == (f"sha256-{url[-64:]}",)
        await brought(site, url)
        assert await site.read("1", url) == BODY
        assert server.statuses == [200]


async def test_the_list_of_what_is_there_is_bounded_and_newest_first(
    server: FileServer, tmp_path: Path
) -> None:
    for name in "abc":
        server.put(f"/{name}", name.encode())
    async with site_in(tmp_path) as site:
        for job, name in enumerate("abcb"):
            await site.stage(str(job), signed(server, name))
        keys = {name: f"sha256-{signed(server, name)[-64:]}" for name in "abc"}
        assert await site.staging.cached(2) == (keys["b"], keys["c"])


async def test_a_path_of_the_site_needs_nothing(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        await brought(site, "/somewhere")
        assert not (tmp_path / "cache").exists()


async def test_a_job_that_needs_it_hurries_a_download_under_way(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/a", BODY)
    url = signed(server, "a")
    async with site_in(tmp_path) as site:
        ahead = asyncio.create_task(brought(site, url, rate=1.0))  # for twelve days
        await wait(lambda: started(server) == 1)
        assert await site.read("1", url) == BODY
        await ahead
        assert server.statuses == [200]


async def test_it_goes_on_for_the_job_when_it_is_wanted_ahead_no_more(
    server: FileServer, tmp_path: Path
) -> None:
    (url,) = held(server, "a")
    async with site_in(tmp_path) as site:
        ahead = asyncio.create_task(brought(site, url))
        await wait(lambda: started(server) == 1)
        joined: list[int] = []
        job = asyncio.create_task(
            site.stage("1", url, progress=lambda done, _: joined.append(done))
        )
        await wait(lambda: joined)
        ahead.cancel()
        await asyncio.wait({ahead})
        let_go(server, "a")
        assert (await job).read_bytes() == BODY
        assert server.statuses == [200]


async def test_a_full_lane_ahead_holds_up_no_job(server: FileServer, tmp_path: Path) -> None:
    urls = held(server, *"abc")
    async with site_in(tmp_path, downloads_ahead_max=2) as site:
        waiting = [asyncio.create_task(brought(site, url)) for url in urls]
        await wait(lambda: started(server) == 2)
        let_go(server, "c")
        assert await site.read("1", urls[2]) == BODY  # though both turns ahead are taken
        assert not waiting[0].done() and not waiting[1].done()
        let_go(server, *"ab")
        await asyncio.gather(*waiting)


async def test_one_that_waits_for_its_turn_ahead_can_be_given_up_and_wanted_again(
    server: FileServer, tmp_path: Path
) -> None:
    urls = held(server, *"ab")
    async with site_in(tmp_path, downloads_ahead_max=1) as site:
        first = asyncio.create_task(brought(site, urls[0]))
        await wait(lambda: started(server) == 1)
        second = asyncio.create_task(brought(site, urls[1]))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        let_go(server, "b")
        assert await site.read("1", urls[1]) == BODY
        let_go(server, "a")
        await first


async def test_a_pause_for_the_rate_ends_with_the_wish(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY * 40)  # more than the sockets' buffers hold
    async with site_in(tmp_path) as site:
        ahead = asyncio.create_task(brought(site, server.url("/a"), rate=1.0))
        await wait(lambda: started(server) == 1)
        ahead.cancel()
        await asyncio.wait({ahead})
        assert await site.read("1", server.url("/a")) == served.body


async def test_a_job_takes_the_room_of_what_nobody_waits_for(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/ahead", BODY * 2, hold_at=HALF)
    server.put("/job", BODY * 2)
    async with site_in(tmp_path, cache_bytes_max=3 * MIB, ahead_spare=0.0) as site:
        ahead = asyncio.create_task(brought(site, server.url("/ahead")))
        await wait(lambda: started(server) == 1)
        await wait(lambda: list((tmp_path / "cache").glob("*/partial")))
        assert await site.read("1", server.url("/job")) == BODY * 2
        with pytest.raises(StagingRefused, match="a job needs the room"):
            await ahead


async def test_ahead_of_need_the_cache_is_not_filled_to_its_end(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/a", BODY)
    async with site_in(tmp_path, cache_bytes_max=2 * MIB, ahead_spare=0.6) as site:
        with pytest.raises(StagingRefused) as caught:
            await brought(site, server.url("/a"))
        assert caught.value.code == "DiskFull"
        assert await site.read("1", server.url("/a")) == BODY


# --- the rate ---------------------------------------------------------------------


def test_a_rate_is_kept_and_idle_time_is_not_saved_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("agent.staging.pace.time.monotonic", lambda: now[0])
    pace = Pace()
    paused: list[float] = []

    def sleep(seconds: float) -> None:
        paused.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(pace._changed, "wait", sleep)
    pace.take(10**9)  # in a hurry
    assert paused == [] and not pace.eased
    pace.ease(1000.0)
    now[0] += 60.0
    pace.take(500)
    pace.take(2000)
    assert paused == pytest.approx([0.5, 2.0]) and pace.eased
    pace.ease(0.0)
    pace.take(10**9)
    assert len(paused) == 2
