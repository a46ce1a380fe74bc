"""Inputs from a real sshd: resumed after a cut, and from no server that the site does not know."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto_site import road_to
from site_agent import config
from ssh_site import SshServer, needs_sshd, new_key, ssh_serving
from staging_site import BODY, HALF, Site, site_in

from agent.assembly import staging_of
from agent.staging import StagingRefused
from suan.errors import InvalidRequest
from suan.models import Input

READS = (Input("/d", "ds://protein"),)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_serving(tmp_path_factory.mktemp("ssh") / "d") as server:
        yield server


async def read(site: Site, job: str, where: str) -> bytes:
    await site.staging.stage(READS, {"protein": where}, site.directory(job))
    return (site.directory(job) / "protein").read_bytes()


async def refused(site: Site, where: str) -> StagingRefused:
    with pytest.raises(StagingRefused) as caught:
        await read(site, "refused", where)
    return caught.value


@needs_sshd
async def test_a_file_is_read_once_and_again_when_it_changed(
    sshd: SshServer, tmp_path: Path
) -> None:
    (tmp_path / "a b").mkdir()
    data = tmp_path / "a b" / "protein.bin"
    data.write_bytes(BODY)
    where = sshd.url(str(data).replace(" ", "%20"))
    async with site_in(tmp_path / "site", sftp=sshd.account) as site:
        assert await read(site, "1", where) == BODY
        assert await read(site, "2", where) == BODY
        assert await read(site, "3", f"{where}#sha256={hashlib.sha256(BODY).hexdigest()}") == BODY
        data.write_bytes(b"another")
        assert await read(site, "4", where) == b"another"
        data.write_bytes(b"")
        assert await read(site, "5", where) == b""
        assert (await refused(site, sshd.url("/none"))).code == "DataMissing"
        assert (await refused(site, sshd.url(tmp_path))).code == "DataRefused"
        with pytest.raises(StagingRefused, match="not a source"):
            await site.stage("2", where)  # of a user's own choice: never


@needs_sshd
async def test_a_cut_download_goes_on_where_it_was(sshd: SshServer, tmp_path: Path) -> None:
    data, known = tmp_path / "data", tmp_path / "known_hosts"
    data.write_bytes(BODY * 8)
    with road_to(f"http://127.0.0.1:{sshd.port}") as road:
        known.write_text(sshd.known_as(road.port))
        account = replace(sshd.account, known_hosts=known)
        road.cut_back_at = 4 * len(BODY) + HALF
        async with site_in(tmp_path / "site", sftp=account) as site:
            assert await read(site, "1", f"sftp://127.0.0.1:{road.port}{data}") == BODY * 8
        assert road.carried_back < 10 * len(BODY), "what had come did not come again"


@needs_sshd
async def test_no_server_is_believed_that_the_site_does_not_know(
    sshd: SshServer, tmp_path: Path
) -> None:
    known, wrong = tmp_path / "known_hosts", new_key(tmp_path / "wrong")
    known.write_text("")
    async with site_in(tmp_path / "1", sftp=replace(sshd.account, known_hosts=known)) as site:
        found = await refused(site, sshd.url("/etc/hostname"))
        assert (found.code, found.category) == ("DataRefused", "site")
        public = wrong.with_suffix(".pub").read_text()
        known.write_text(f"[127.0.0.1]:{sshd.port} {public}")
        assert "another host key" in (await refused(site, sshd.url("/etc/hostname"))).message
    async with site_in(tmp_path / "2", sftp=replace(sshd.account, key=wrong)) as site:
        found = await refused(site, sshd.url("/etc/hostname"))
        assert (found.code, found.category) == ("DataRefused", "site") and found.hint
    async with site_in(tmp_path / "3") as site:
        assert (await refused(site, sshd.url("/a"))).code == "SourceUnsupported"


def test_half_an_account_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="needs"):
        staging_of(replace(config(tmp_path), data_sftp_user="suan"))
    gone = {"data_sftp_user": "suan", "data_sftp_key": tmp_path / "a"}
    with pytest.raises(InvalidRequest, match="cannot be read"):
        staging_of(replace(config(tmp_path), **gone, data_sftp_known_hosts=tmp_path / "b"))
