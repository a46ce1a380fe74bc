"""Inputs become readable, or are refused with a reason: what is asked, and what lies here."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from agent.staging import Limits, Staging, StagingRefused, stage
from agent.staging.refusals import CATEGORIES
from agent.staging.sources import plan
from agent.staging.values import ManifestSource, PathSource, UrlSource
from suan.models import Input

DIGEST = "ab" * 32


def inputs(*sources: str) -> tuple[Input, ...]:
    return tuple(Input(f"/data/{index}", source) for index, source in enumerate(sources))


def refusal(sources: tuple[Input, ...], locations: dict[str, str] | None = None) -> StagingRefused:
    with pytest.raises(StagingRefused) as caught:
        plan(sources, locations or {})
    assert caught.value.hint
    return caught.value


class Site:
    """A site with one allowed root and a dataset in it."""

    def __init__(self, base: Path) -> None:
        self.root = base / "datasets"
        self.dataset = self.root / "protein"
        self.dataset.mkdir(parents=True)
        (self.dataset / "part.txt").write_text("MQIFVKTL")
        self.directory = base / "inputs" / "suan-1-1"
        self.staging = Staging(base / "cache", (self.root,), Limits())

    async def stage(self, location: Path | str) -> Path:
        await self.staging.stage(inputs("ds://protein"), {"protein": str(location)}, self.directory)
        return self.directory / "protein"

    async def refused(self, location: Path | str) -> StagingRefused:
        with pytest.raises(StagingRefused) as caught:
            await self.stage(location)
        assert not (self.directory / "protein").is_symlink()
        return caught.value


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# --- what is asked --------------------------------------------------------------


def test_a_plan_names_each_source_once() -> None:
    locations = {
        "a": "/data/a",
        "b@v3": f"https://h/x/b.bin?sign=1#sha256={DIGEST.upper()}",
        "t/m@2": f"s3://b/j/1/outputs-1/manifest.json#manifest={DIGEST}",
    }
    wanted = inputs("ds://a", "ds://b@v3", "https://h/dir/c%20d.txt", "ds://a", "http://h:81/e")
    assert plan((*wanted, *inputs("ds://t/m@2")), locations) == (
        PathSource("a", "/data/a"),
        UrlSource("b", "https://h/x/b.bin?sign=1", DIGEST),
        UrlSource("c d.txt", "https://h/dir/c%20d.txt"),
        UrlSource("e", "http://h:81/e"),
        ManifestSource("m", "s3://b/j/1/outputs-1/manifest.json", DIGEST),
    )


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///data/%E6%95%B0", "/data/数"),
        ("file://localhost/data", "/data"),
        ("/data#1", "/data#1"),
        ("/数 据", "/数 据"),
    ],
)
def test_paths_of_a_site(location: str, path: str) -> None:
    assert plan(inputs("ds://a"), {"a": location}) == (PathSource("a", path),)


def test_an_address_is_cached_by_its_whole_text_and_shown_without_its_query() -> None:
    first, second = plan(inputs("https://h/a?k=1", "https://h/b?k=2"), {})
    assert isinstance(first, UrlSource) and isinstance(second, UrlSource)
    assert first.key != second.key
    assert first.shown == "https://h/a"


@pytest.mark.parametrize("locations", [{}, {"a@v2": ""}, {"a@v1": "/data/b"}])
def test_an_unknown_dataset(locations: dict[str, str]) -> None:
    """A version is a part of the name, as a tenant is."""
    for wish in ("ds://a@v2", "ds://t/a"):
        assert refusal(inputs(wish), {"a": "/data/a", **locations}).code == "DataUnknown"


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/key",
        "sftp://h/a",
        "file:///etc/passwd",  # a site's paths are reached through the catalogue alone
        "https://h/",
        "https://h",
        "https:///a",
        "https://h/..",
        "https://h/%2e%2e",
        "https://h/a%2Fb",
        "https://h/a%00b",
        "https://h/" + "a" * 256,
        "https://user:secret@h/a",
        "https://h:port/a",
        "https://[h/a",
        "https://h/a#sha256=abc",
        "https://h/a#md5=d41d8cd98f00b204e9800998ecf8427e",
        "https://h/a b",
        "ds://",
        "ds://..",
        "ds://a/..",
        "ds://a/",
    ],
)
def test_a_source_that_is_not_understood(source: str) -> None:
    refused = refusal(inputs(source), {"": "/", "..": "/", "a/..": "/", "a/": "/"})
    assert refused.code == "SourceUnsupported"
    assert "secret" not in refused.message


@pytest.mark.parametrize(
    "location",
    [
        "data/a",
        "s3://b",
        "s3://b/",
        "s3://b/a?versionId=1",
        "s3://user:secret@b/a",
        "sftp://b",
        "file://elsewhere/a",
        "file:///a?b",
        "file:///a%00",
        "/a\0b",
        "ftp://h/a",
        f"s3://b#manifest={DIGEST}",
        f"s3://b/a#manifest={DIGEST.upper()}",
        f"ftp://h/a#manifest={DIGEST}",
        f"file://elsewhere/a#manifest={DIGEST}",
        f"https://user:secret@h/a#manifest={DIGEST}",
        "s3://b/a#manifest=abc",
    ],
)
def test_a_location_that_is_not_understood(location: str) -> None:
    assert refusal(inputs("ds://a"), {"a": location}).code == "SourceUnsupported"


@pytest.mark.parametrize(
    "pair",
    [("https://h/a", "https://i/a"), ("ds://a", "https://h/a"), ("ds://a@v1", "ds://t/a")],
)
def test_two_inputs_of_one_name(pair: tuple[str, str]) -> None:
    refused = refusal(inputs(*pair), dict.fromkeys(("a", "a@v1", "t/a"), "/data/a"))
    assert refused.code == "SourceUnsupported"
    assert pair[0] in refused.message and pair[1] in refused.message


def test_a_writable_input() -> None:
    refused = refusal((Input("/d", "ds://a", writable=True),), {"a": "/data/a"})
    assert refused.code == "SourceUnsupported"
    assert "SUAN_SCRATCH" in refused.hint


def test_every_code_says_who_can_mend_it() -> None:
    for code, category in CATEGORIES.items():
        assert StagingRefused(code, "x").category is category


# --- what lies at the site ------------------------------------------------------


async def test_a_dataset_of_the_site_is_linked_not_copied(site: Site) -> None:
    place = await site.stage(site.dataset)
    assert place.readlink() == site.dataset
    assert (place / "part.txt").read_text() == "MQIFVKTL"
    await site.stage(site.dataset)
    assert [path.name for path in site.directory.iterdir()] == ["protein"]


async def test_a_file_url_and_a_whole_root(site: Site) -> None:
    assert (await site.stage(f"file://{site.dataset}/part.txt")).read_text() == "MQIFVKTL"
    assert (await site.stage(site.root)).readlink() == site.root  # takes the other's place


async def test_without_inputs_there_is_an_empty_directory(site: Site) -> None:
    await site.staging.stage((), {}, site.directory)
    assert list(site.directory.iterdir()) == []


async def test_release_removes_links_and_never_data(site: Site) -> None:
    place = await site.stage(site.dataset)
    (site.directory / "left by the job").mkdir()
    await site.staging.release(site.directory)
    assert not site.directory.exists() and not place.exists()
    assert (site.dataset / "part.txt").exists()
    await site.staging.release(site.directory)


async def test_outside_the_roots(site: Site, tmp_path: Path) -> None:
    (tmp_path / "datasets-2").mkdir()  # begins like the root's name
    for location in ("/etc", "/", tmp_path, tmp_path / "datasets-2", tmp_path / "nowhere"):
        refused = await site.refused(location)
        assert refused.code == "DataRefused"
        assert "data_roots" in refused.hint


async def test_a_path_that_climbs_out(site: Site) -> None:
    assert (await site.refused(f"{site.root}/../cache")).code == "DataRefused"
    assert (await site.refused(f"file://{site.root}/%2e%2e/cache")).code == "DataRefused"


async def test_a_link_that_leads_out(site: Site, tmp_path: Path) -> None:
    (site.root / "escape").symlink_to("/etc")
    (site.root / "relative").symlink_to("../cache")
    (site.root / "first").symlink_to("second")
    (site.root / "second").symlink_to(tmp_path)
    for name in ("escape", "escape/passwd", "relative", "first", "first/cache"):
        assert (await site.refused(site.root / name)).code == "DataRefused", name


async def test_a_link_within_the_roots_and_a_root_that_is_a_link(
    site: Site, tmp_path: Path
) -> None:
    (site.root / "alias").symlink_to("protein")
    assert (await site.stage(site.root / "alias")).readlink() == site.dataset
    (tmp_path / "mount").symlink_to(site.root)
    staging = Staging(tmp_path / "cache", (tmp_path / "mount",), Limits())
    other = tmp_path / "inputs" / "suan-2-1"
    await staging.stage(inputs("ds://p"), {"p": str(tmp_path / "mount" / "protein")}, other)
    assert (other / "p").readlink() == site.dataset


async def test_missing_data(site: Site) -> None:
    (site.root / "loop").symlink_to("loop")
    for name in ("nowhere", "protein/nowhere", "protein/part.txt/x", "loop"):
        refused = await site.refused(site.root / name)
        assert (refused.code, refused.category) == ("DataMissing", "site"), name


async def test_neither_file_nor_directory(site: Site) -> None:
    os.mkfifo(site.root / "pipe")
    assert (await site.refused(site.root / "pipe")).code == "DataRefused"


async def test_without_roots_no_path_is_open(site: Site, tmp_path: Path) -> None:
    staging = Staging(tmp_path / "cache", (), Limits())
    with pytest.raises(StagingRefused, match="does not open"):
        await staging.stage(inputs("ds://p"), {"p": str(site.dataset)}, tmp_path / "d")


async def test_a_state_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    staging = Staging(tmp_path / "cache", (), Limits())
    with pytest.raises(StagingRefused) as caught:
        await staging.stage((), {}, tmp_path / "d")
    assert caught.value.code == "Unavailable"


async def test_a_file_system_that_hangs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(stage, "link_path", lambda *_: answers.wait())
    monkeypatch.setattr(stage, "FILE_SECONDS", 0.05)
    try:
        assert (await site.refused(site.dataset)).code == "DataUnreachable"
    finally:
        answers.set()
