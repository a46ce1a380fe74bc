"""Downloads from a real server: whole or not at all, once, resumed, and never out of bounds."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, Served, serving
from staging_site import BODY, HALF, LIMITS, MIB, site_in, wait

from suan.models import Input


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


# --- whole ------------------------------------------------------------------------


async def test_a_dataset_behind_an_address(server: FileServer, tmp_path: Path) -> None:
    server.put("/a.bin", BODY)
    async with site_in(tmp_path) as site:
        directory = site.directory("1")
        directory.mkdir(parents=True)
        (directory / "protein").symlink_to("/etc")  # of another wish; must not stay
        locations = {"protein@v2": server.url("/a.bin")}
        await site.staging.stage((Input("/d", "ds://protein@v2"),), locations, directory)
        assert (directory / "protein").read_bytes() == BODY
        assert not (directory / "protein").is_symlink()


async def test_a_file_is_downloaded_and_shared(server: FileServer, tmp_path: Path) -> None:
    server.put("/a.bin", BODY)
    async with site_in(tmp_path) as site:
        first = await site.stage("1", server.url("/a.bin"))
        second = await site.stage("2", server.url("/a.bin"))
        assert first.read_bytes() == second.read_bytes() == BODY
        assert first.samefile(second) and first.stat().st_mode & 0o777 == 0o444
        assert server.statuses == [200, 304]
        await site.stage("2", server.url("/a.bin"))  # again, as after a crash: nothing to do
        assert len(server.seen) == 2


async def test_what_changed_at_the_server_is_brought_again(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.put("/a", b"old")
    async with site_in(tmp_path) as site:
        old = await site.stage("1", server.url("/a"))
        served.body, served.etag = b"newer", '"2"'
        assert await site.read("2", server.url("/a")) == b"newer"
        assert old.read_bytes() == b"old"  # under a job that runs nothing changes


async def test_a_checksum_is_enough_to_know_a_file(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY)
    async with site_in(tmp_path) as site:
        sum = f"#sha256={served.sha256.upper()}"
        await site.stage("1", server.url("/a") + sum)
        assert await site.read("2", server.url("/mirror") + sum) == BODY
        assert server.statuses == [200]


async def test_what_a_job_spoilt_is_brought_again(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", b"true")
    async with site_in(tmp_path) as site:
        url = f"{server.url('/a')}#sha256={served.sha256}"
        place = await site.stage("1", url)
        place.chmod(0o600)
        place.write_bytes(b"false")
        assert await site.read("2", url) == b"true"


async def test_an_empty_file_and_a_length_that_is_not_said(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/empty")
    server.put("/chunked", BODY, framing="chunked")
    closing = server.put("/closing", BODY, framing="close")
    async with site_in(tmp_path) as site:
        assert await site.read("1", server.url("/empty")) == b""
        assert await site.read("1", server.url("/chunked")) == BODY
        assert (await site.refused(server.url("/closing"))).code == "SourceUnsupported"
        assert await site.read("2", f"{server.url('/closing')}#sha256={closing.sha256}") == BODY


async def test_progress_is_told(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY * 10)
    told: list[tuple[int, int]] = []
    async with site_in(tmp_path) as site:
        await site.stage("1", server.url("/a"), progress=lambda *bytes: told.append(bytes))
    assert told == sorted(told) and len(told) > 3
    assert told[-1] == (10 * MIB, 10 * MIB)


# --- cut --------------------------------------------------------------------------


async def test_a_cut_download_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY, cuts=[HALF, HALF // 2])
    async with site_in(tmp_path) as site:
        assert await site.read("1", server.url("/a")) == BODY
    assert server.statuses == [200, 206, 206]
    ranges = [seen.headers.get("Range") for seen in server.seen]
    assert ranges == [None, f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]


@pytest.mark.parametrize("how", [{"ranges": False}, {"etag": ""}, {"framing": "chunked"}])
async def test_a_cut_download_of_another_server(
    server: FileServer, tmp_path: Path, how: dict[str, object]
) -> None:
    """No ranges; nothing that tells whether the file is still the same; no length."""
    server.put("/a", BODY, cuts=[HALF], **how)
    async with site_in(tmp_path) as site:
        assert await site.read("1", server.url("/a")) == BODY
    assert len(server.seen) == 2
    assert ("Range" in server.seen[1].headers) == ("etag" not in how)


async def test_a_file_that_changes_after_the_cut(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, cuts=[HALF])

    def change() -> None:
        served.body, served.etag = BODY[::-1], '"2"'

    served.on_cut = change
    async with site_in(tmp_path) as site:
        assert await site.read("1", server.url("/a")) == BODY[::-1]
    assert server.statuses == [200, 200] and "Range" in server.seen[1].headers


async def test_parts_that_do_not_belong_together(server: FileServer, tmp_path: Path) -> None:
    """Where no validator tells, the checksum does, and one more try mends it."""
    served = server.put("/a", BODY[::-1], etag="", cuts=[HALF])

    def change() -> None:
        served.body = BODY

    served.on_cut = change
    async with site_in(tmp_path) as site:
        url = f"{server.url('/a')}#sha256={Served(BODY).sha256}"
        assert await site.read("1", url) == BODY
    assert server.statuses == [200, 206, 200]


async def test_a_server_that_always_breaks_off(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY, ranges=False, cut_always=HALF)
    async with site_in(tmp_path) as site:
        refused = await site.refused(server.url("/a"))
    assert (refused.code, refused.category) == ("DataUnreachable", "network")
    # The first brought something new, the others did not.
    assert len(server.seen) == 1 + (LIMITS["tries_max"] - 1)  # type: ignore[operator]


async def test_another_job_goes_on_from_what_was_brought(
    server: FileServer, tmp_path: Path
) -> None:
    served = server.put("/a", BODY, cut_always=0, cuts=[HALF])
    async with site_in(tmp_path) as site:
        await site.refused(server.url("/a"))
        served.cut_always = None
        assert await site.read("2", server.url("/a")) == BODY
    assert server.seen[-1].headers["Range"] == f"bytes={HALF}-"


CHILD = """
import asyncio, sys
from pathlib import Path
from agent.staging import Limits, Staging
from suan.models import Input

base, url = Path(sys.argv[1]), sys.argv[2]
limits = Limits(private_hosts=frozenset({"127.0.0.1"}), free_bytes_min=0)

async def main():
    staging = Staging(base / "cache", (), limits)
    await staging.stage((Input("/d", url),), {}, base / "inputs" / "job")

asyncio.run(main())
"""


@pytest.mark.parametrize("at", [HALF, MIB])
async def test_an_agent_killed_in_the_middle(server: FileServer, tmp_path: Path, at: int) -> None:
    """At MIB all bytes are there and the agent has not seen the end of the answer."""
    framing = "chunked" if at == MIB else "length"
    served = server.put("/a", BODY, hold_at=at, framing=framing)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path), server.url("/a")
    )
    try:
        partials = tmp_path / "cache"
        await wait(lambda: sum(f.stat().st_size for f in partials.glob("*/partial")) > 0)
    finally:
        child.kill()
        await child.wait()
    kept = next(partials.glob("*/partial")).stat().st_size
    served.hold_at = None
    async with site_in(tmp_path) as site:
        assert await site.read("job", server.url("/a")) == BODY
    assert server.seen[1].headers["Range"] == f"bytes={kept}-"


async def test_after_a_power_cut_bytes_are_not_trusted(server: FileServer, tmp_path: Path) -> None:
    """A file may have its length and not its bytes then; a checksum would tell."""
    server.put("/a", BODY, cuts=[HALF, 0, 0])
    async with site_in(tmp_path) as site:
        await site.refused(server.url("/a"))
        (origin,) = (tmp_path / "cache").glob("*/origin.json")
        told = json.loads(origin.read_text())
        origin.write_text(json.dumps({**told, "boot_id": "another"}))
        assert await site.read("2", server.url("/a")) == BODY
    assert "Range" not in server.seen[-1].headers


async def test_a_download_that_was_complete_when_the_agent_died(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/a", BODY, cuts=[HALF], cut_always=0)
    async with site_in(tmp_path) as site:
        await site.refused(server.url("/a"))
        (partial,) = (tmp_path / "cache").glob("*/partial")
        partial.write_bytes(BODY)
        assert await site.read("2", server.url("/a")) == BODY
    assert server.statuses[-1] == 416


# --- wrong ------------------------------------------------------------------------


async def test_a_wrong_checksum(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY)
    async with site_in(tmp_path) as site:
        refused = await site.refused(f"{server.url('/a')}#sha256={'0' * 64}")
        assert refused.code == "DataCorrupt"
        assert Served(BODY).sha256 in refused.message
        assert site.cached() == [] and len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "DataMissing"), (410, "DataMissing"), (401, "DataRefused"), (403, "DataRefused")],
)
async def test_a_server_that_says_no(
    server: FileServer, tmp_path: Path, status: int, code: str
) -> None:
    server.put("/a", statuses=[status])
    async with site_in(tmp_path) as site:
        assert (await site.refused(server.url("/a"))).code == code
    assert len(server.seen) == 1


async def test_a_server_that_says_later(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY, statuses=[503, 429])
    server.put("/never", BODY, statuses=[500] * 10)
    async with site_in(tmp_path) as site:
        assert await site.read("1", server.url("/a")) == BODY
        refused = await site.refused(server.url("/never"))
    assert refused.code == "DataUnreachable" and "500" in refused.message


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with site_in(tmp_path) as site:
            refused = await site.refused(f"http://127.0.0.1:{free.getsockname()[1]}/a")
    assert refused.code == "DataUnreachable"


@pytest.mark.parametrize("at", [0, HALF])
async def test_a_server_that_falls_silent(server: FileServer, tmp_path: Path, at: int) -> None:
    server.put("/a", BODY, hold_at=at)
    async with site_in(tmp_path, idle_seconds=0.1, tries_max=1) as site:
        refused = await site.refused(server.url("/a"))
    assert refused.code == "DataUnreachable" and "timed out" in refused.message


async def test_a_transfer_that_takes_too_long(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, hold_at=HALF)
    async with site_in(tmp_path, transfer_seconds_max=0.2) as site:
        refused = await site.refused(server.url("/a"))
        assert refused.code == "DataUnreachable" and "longer than 0.2 s" in refused.message
        await wait(served.gone.is_set)


async def test_redirects(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", redirect="/b")
    server.put("/b", redirect=server.url("/c"))
    server.put("/c", BODY)
    server.put("/loop", redirect="/loop")
    async with site_in(tmp_path) as site:
        assert await site.read("1", server.url("/a")) == BODY
        server.seen.clear()
        assert (await site.refused(server.url("/loop"))).code == "DataUnreachable"
        assert len(server.seen) == 4


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://h/a", "http://[h/", ""])
async def test_a_redirect_that_is_not_followed(
    server: FileServer, tmp_path: Path, target: str
) -> None:
    server.put("/a", redirect=target or "\t")
    async with site_in(tmp_path) as site:
        assert (await site.refused(server.url("/a"))).code == "DataRefused"


async def test_a_private_address_is_asked_only_by_the_operators_leave(
    server: FileServer, tmp_path: Path
) -> None:
    server.put("/a", BODY)
    async with site_in(tmp_path, private_hosts=frozenset({"elsewhere"})) as site:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            refused = await site.refused(server.url("/a").replace("127.0.0.1", host))
            assert (refused.code, refused.category) == ("DataRefused", "policy")
            assert "data_hosts" in refused.hint
    assert server.seen == []


async def test_a_proxy_is_used_but_not_for_this_machine(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put("/a", BODY)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url(""))
    async with site_in(tmp_path) as site:
        await site.stage("1", server.url("/a"))
        await site.stage("2", "http://data.invalid/a")
        assert (await site.refused("http://169.254.169.254/a", "3")).code == "DataRefused"
    assert [seen.target for seen in server.seen] == ["/a", "http://data.invalid/a"]
