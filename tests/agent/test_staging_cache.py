"""The cache of downloads: one download for all who wait, bounded, never under a live run."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from file_server import FileServer, serving
from staging_site import BODY, HALF, MIB, Site, quiet, site_in, wait

from agent.staging import StagingRefused
from agent.staging.cache import ENTRY_BYTES, Cache
from suan.models import Input


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(FileServer()) as running:
        yield running


def put(server: FileServer, *names: str) -> dict[str, str]:
    """Files of one MiB each: name -> URL with checksum."""
    urls = {}
    for count, name in enumerate(names):
        served = server.put(f"/{name}", bytes([count]) * MIB)
        urls[name] = f"{server.url(f'/{name}')}#sha256={served.sha256}"
    return urls


def kept(site: Site, urls: dict[str, str]) -> str:
    """Names of the whole files in the cache."""
    return "".join(
        sorted(name for name, url in urls.items() if f"sha256-{url[-64:]}" in site.cached())
    )


# --- shared -----------------------------------------------------------------------


async def test_one_download_for_all_who_wait(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, hold_at=HALF)
    async with site_in(tmp_path) as site:
        joined: set[int] = set()
        tasks = [
            asyncio.create_task(
                site.stage(
                    str(job), server.url("/a"), progress=lambda done, _, job=job: joined.add(job)
                )
            )
            for job in range(5)
        ]
        await wait(lambda: len(joined) == 5)
        tasks[0].cancel()  # one job is stopped meanwhile
        served.go.set()
        places = await asyncio.gather(*tasks[1:])
        assert [place.read_bytes() for place in places] == [BODY] * 4
        assert tasks[0].cancelled() and server.statuses == [200]


async def test_all_who_wait_hear_of_a_failure(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, hold_at=HALF)
    url = f"{server.url('/a')}#sha256={'0' * 64}"
    async with site_in(tmp_path) as site:
        joined: set[int] = set()
        tasks = [
            asyncio.create_task(
                site.stage(str(job), url, progress=lambda done, _, job=job: joined.add(job))
            )
            for job in range(3)
        ]
        await wait(lambda: len(joined) == 3)
        served.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [getattr(result, "code", "") for result in results] == ["DataCorrupt"] * 3


async def test_a_download_that_nobody_waits_for_ends(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, hold_at=HALF)
    async with site_in(tmp_path) as site:
        told: list[int] = []
        task = asyncio.create_task(
            site.stage("1", server.url("/a"), progress=lambda done, total: told.append(total))
        )
        await wait(lambda: MIB in told)
        task.cancel()
        await wait(served.gone.is_set)  # although the server said nothing more
        served.hold_at = None
        assert await site.read("2", server.url("/a")) == BODY
        await site.staging.release(site.directory("1"))


async def test_the_end_of_the_agent_ends_downloads(server: FileServer, tmp_path: Path) -> None:
    served = server.put("/a", BODY, hold_at=HALF)
    async with site_in(tmp_path) as site:
        told: list[int] = []
        task = asyncio.create_task(
            site.stage("1", server.url("/a"), progress=lambda done, total: told.append(total))
        )
        await wait(lambda: MIB in told)
        await site.staging.close()
        with pytest.raises(StagingRefused, match="the agent ends"):
            await task
        await wait(served.gone.is_set)


# --- bounded ----------------------------------------------------------------------


async def test_the_least_recently_used_goes_first(server: FileServer, tmp_path: Path) -> None:
    urls = put(server, *"abcd")
    async with site_in(tmp_path, cache_bytes_max=3 * MIB + 100_000) as site:
        for name in "abcac":  # b was used longest ago
            await site.stage("job", urls[name])
            await site.staging.release(site.directory("job"))
        await site.stage("job", urls["d"])
        assert kept(site, urls) == "acd"
        assert len(server.seen) == 4


async def test_what_a_live_run_uses_stays(server: FileServer, tmp_path: Path) -> None:
    urls = put(server, *"abc")
    async with site_in(tmp_path, cache_bytes_max=2 * MIB + 100_000) as first:
        place = await first.stage("live", urls["a"])
        await first.stage("over", urls["b"])
        await first.staging.release(first.directory("over"))
    async with site_in(tmp_path, cache_bytes_max=2 * MIB + 100_000) as site:  # a new agent
        await site.stage("second", urls["c"])
        assert kept(site, urls) == "ac"
        refused = await site.refused(urls["b"], "third")
        assert (refused.code, refused.category) == ("DiskFull", "site")
        assert kept(site, urls) == "ac" and place.read_bytes() == bytes(MIB)
        await site.staging.release(site.directory("live"))
        assert (await site.stage("third", urls["b"])).stat().st_size == MIB
        assert kept(site, urls) == "bc"


async def test_nothing_is_dropped_for_what_can_never_fit(
    server: FileServer, tmp_path: Path
) -> None:
    urls = put(server, "a")
    server.put("/big", BODY * 3)
    async with site_in(tmp_path, cache_bytes_max=2 * MIB) as site:
        await site.stage("1", urls["a"])
        await site.staging.release(site.directory("1"))
        assert (await site.refused(server.url("/big"))).code == "DiskFull"
        assert kept(site, urls) == "a"


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_file_that_is_too_large(server: FileServer, tmp_path: Path, framing: str) -> None:
    server.put("/a", BODY, framing=framing)
    server.put("/b", BODY[:HALF], framing=framing)
    async with site_in(tmp_path, file_bytes_max=HALF) as site:
        assert (await site.refused(server.url("/a"))).code == "DataRefused"
        assert await site.read("1", server.url("/b")) == BODY[:HALF]


async def test_other_users_of_the_disk_keep_their_room(server: FileServer, tmp_path: Path) -> None:
    server.put("/a", BODY)
    async with site_in(tmp_path, free_bytes_min=1 << 60) as site:
        assert (await site.refused(server.url("/a"))).code == "DiskFull"


def test_room_is_promised_once(tmp_path: Path) -> None:
    """Two downloads at a time may not both count on the same room."""
    cache = Cache(tmp_path, 10 * MIB, 0)
    with cache.hold("a"), cache.hold("b"):
        for key in "ab":
            cache.open_entry(key)
        cache.promise("a", 6 * MIB)
        with pytest.raises(StagingRefused):
            cache.promise("b", 6 * MIB)
        cache.promise("a", 7 * MIB)  # grows in place
        cache.withdraw("a")
        cache.promise("b", 6 * MIB)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk can only be filled where file systems may be mounted (root)")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_a_disk_that_fills_up_on_the_way(server: FileServer, small_disk: Path) -> None:
    served = server.put("/a", BODY * 3, hold_at=MIB)
    async with site_in(small_disk) as site:
        task = asyncio.create_task(site.refused(server.url("/a")))
        await wait(lambda: any((small_disk / "cache").glob("*/partial")))
        hog = small_disk / "hog"
        with pytest.raises(OSError, match="No space"), hog.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        served.go.set()
        assert (await task).code == "DiskFull"
        assert not any((small_disk / "cache").glob("*/partial"))  # its room is given back
        hog.unlink()
        served.hold_at = None
        assert await site.read("job", server.url("/a")) == BODY * 3


async def test_a_disk_that_is_too_small_is_seen_before(
    server: FileServer, small_disk: Path
) -> None:
    urls = put(server, "a")
    server.put("/big", BODY * 5)
    async with site_in(small_disk) as site:
        assert (await site.refused(server.url("/big"))).code == "DiskFull"
        await site.stage("1", urls["a"])


async def test_a_data_directory_on_another_disk(
    server: FileServer, tmp_path: Path, small_disk: Path
) -> None:
    async with site_in(tmp_path) as site:
        with pytest.raises(StagingRefused) as caught:
            await site.staging.stage(
                (Input("/d", server.url("/a")),), {}, small_disk / "inputs", quiet
            )
    assert caught.value.code == "Unavailable" and server.seen == []


# --- safe connections -------------------------------------------------------------


def write_certificate(directory: Path) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that signs itself, and its key: two paths."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])


async def test_safe_connections(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = write_certificate(tmp_path)
    server.put("/open", BODY)
    safe = FileServer()
    safe.secure(certificate, key)
    safe.put("/a", BODY, cuts=[HALF])
    safe.put("/down", redirect=server.url("/open"))
    with serving(safe):
        async with site_in(tmp_path) as site:
            refused = await site.refused(safe.url("/a"))
            assert refused.code == "DataUnreachable" and "SSL_CERT_FILE" in refused.hint
        monkeypatch.setenv("SSL_CERT_FILE", certificate)
        async with site_in(tmp_path) as site:
            assert await site.read("1", safe.url("/a")) == BODY
            assert (await site.refused(safe.url("/down"))).code == "DataRefused"
    assert safe.statuses == [200, 206, 302] and server.seen == []


async def test_a_safe_connection_can_be_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = write_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    safe = FileServer()
    safe.secure(certificate, key)
    served = safe.put("/a", BODY, hold_at=HALF)
    with serving(safe):
        async with site_in(tmp_path) as site:
            told: list[int] = []
            task = asyncio.create_task(
                site.stage("1", safe.url("/a"), progress=lambda done, total: told.append(total))
            )
            await wait(lambda: MIB in told)
            task.cancel()
            await wait(served.gone.is_set)


def test_many_small_files_are_not_all_looked_at_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is room; the bound is kept all the same, to the byte of a fresh count."""
    looks: list[int] = []
    look = Cache._rooms

    def counted(cache: Cache) -> object:
        looks.append(1)
        return look(cache)

    monkeypatch.setattr(Cache, "_rooms", counted)
    room = 50 * (ENTRY_BYTES + 100)
    cache = Cache(tmp_path / "cache", room, 0)
    cache._directory.mkdir()
    for number in range(120):
        key = f"sha256-{number}"
        with cache.hold(key):
            entry = cache.open_entry(key)
            for size in (50, 100):  # it is asked for twice, as its length becomes known
                cache.promise(key, size)
            entry.data.write_bytes(b"x" * 100)
            cache.withdraw(key)
        files = [path.stat().st_size + ENTRY_BYTES for path in cache._directory.glob("*/data")]
        assert sum(files) <= room
        if number == 20:
            assert len(looks) == 1
    assert len(files) == 50 and cache.dropped == 70
