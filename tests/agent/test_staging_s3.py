"""Objects of an S3-compatible store, read with the site's own account.

The signature is checked against the worked examples of the S3 API reference; the road against
`moto_server`, which speaks S3 over HTTP and checks who asks, where that is installed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from file_server import FileServer, serving
from moto_site import moto_serving, needs_server, put_object
from site_agent import config
from staging_site import BODY, site_in

from agent.assembly import staging_of
from agent.staging import StagingRefused
from agent.staging.s3 import S3Store, store_of
from suan.errors import InvalidRequest
from suan.models import Input

# Of the reference's examples: published, and no secret.
KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
READS = (Input("/d", "ds://protein"),)


def store(endpoint: str = "https://examplebucket.s3.amazonaws.com") -> S3Store:
    return S3Store(endpoint, KEY_ID, SECRET)


# --- the signature ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "signature"),
    [
        ("?lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        (
            "?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_the_examples_of_the_reference(asked: str, signature: str) -> None:
    made = store()
    headers = made.signed(f"{made.endpoint}/{asked}", datetime(2013, 5, 24, tzinfo=UTC))
    assert headers["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
    )
    assert headers["X-Amz-Date"] == "20130524T000000Z"


def test_addresses_name_the_bucket_in_the_path() -> None:
    made = store("http://127.0.0.1:9000/")
    assert made.address("s3://bucket/a/b.bin") == "http://127.0.0.1:9000/bucket/a/b.bin"
    assert made.address("s3://bucket/a%20b+c%E7%AE%97") == (
        "http://127.0.0.1:9000/bucket/a%20b%2Bc%E7%AE%97"
    )


def test_the_secret_is_not_shown() -> None:
    assert SECRET not in repr(store())


# --- the account ------------------------------------------------------------------


def test_an_account_as_of_the_usual_tools(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key={SECRET}\n")
    assert store_of("https://h", file, "cn-north-1") == S3Store(
        "https://h", KEY_ID, SECRET, "cn-north-1"
    )
    assert store_of("https://h", file).region == "us-east-1"


@pytest.mark.parametrize("text", [None, "", "nonsense", "[default]\naws_access_key_id = a\n"])
def test_an_account_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "credentials"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        store_of("https://h", file)
    assert caught.value.code == "ConfigUnreadable" and caught.value.hint


def test_half_an_account_is_refused(tmp_path: Path) -> None:
    half = replace(config(tmp_path), data_s3_endpoint="https://h")
    with pytest.raises(InvalidRequest, match="both"):
        staging_of(half)


# --- the road ---------------------------------------------------------------------


async def test_without_an_account_the_site_says_so(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        with pytest.raises(StagingRefused) as caught:
            await site.staging.stage(READS, {"protein": "s3://b/a"}, site.directory("1"))
        assert (caught.value.code, caught.value.category) == ("SourceUnsupported", "site")
        with pytest.raises(StagingRefused, match="not a source"):
            await site.stage("2", "s3://b/a")  # of a user's own choice: never


async def test_the_account_is_told_to_no_other_server(tmp_path: Path) -> None:
    with serving(FileServer()) as other, serving(FileServer()) as server:
        other.put("/b/a", BODY)
        server.put("/b/a", redirect=other.url("/b/a"))
        async with site_in(tmp_path, s3=store(server.url(""))) as site:
            with pytest.raises(StagingRefused, match="another server"):
                await site.staging.stage(READS, {"protein": "s3://b/a"}, site.directory("1"))
        assert "Authorization" in server.seen[0].headers
        assert other.seen == []


async def test_a_cut_download_goes_on_where_it_was(tmp_path: Path) -> None:
    with serving(FileServer()) as server:
        served = server.put("/b/a", BODY, cuts=[1000])
        async with site_in(tmp_path, s3=store(server.url(""))) as site:
            where = {"protein": f"s3://b/a#sha256={served.sha256}"}
            await site.staging.stage(READS, where, site.directory("1"))
            assert (site.directory("1") / "protein").read_bytes() == BODY
        assert server.statuses == [200, 206]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A server that speaks S3, with one object in one bucket; its endpoint."""
    with moto_serving("data") as endpoint:
        put_object(endpoint, "/data/a%20b/protein.bin", BODY)
        yield endpoint


@needs_server
async def test_an_object_of_a_real_store(moto: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    async with site_in(tmp_path, s3=store(moto)) as site:
        for job, where in enumerate(
            ("s3://data/a%20b/protein.bin", f"s3://data/a%20b/protein.bin#sha256={digest}")
        ):
            await site.staging.stage(READS, {"protein": where}, site.directory(str(job)))
            assert (site.directory(str(job)) / "protein").read_bytes() == BODY
        await site.staging.bring("s3://data/a%20b/protein.bin", 0.0)
        assert len(await site.staging.cached(10)) == 2
        with pytest.raises(StagingRefused) as caught:
            await site.staging.stage(READS, {"protein": "s3://data/none"}, site.directory("9"))
        assert caught.value.code == "DataMissing"
