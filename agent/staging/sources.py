"""From what a job wants to where it is read: text in, values out.

Opens nothing and looks at no file. Whatever is not understood is refused here, before
anything is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from agent.staging import sftp
from agent.staging.refusals import StagingRefused
from agent.staging.s3 import SCHEME
from agent.staging.values import ManifestSource, PathSource, Source, UrlSource
from suan.models import Input

DATASET = "ds://"
NAME_BYTES_MAX = 255
_CHECKSUM = re.compile(r"sha256=([0-9A-Fa-f]{64})")
_MANIFEST = re.compile(r"manifest=([0-9a-f]{64})")
_PRINTABLE = re.compile(r"[!-~]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def plan(inputs: Sequence[Input], locations: Mapping[str, str]) -> tuple[Source, ...]:
    """Where each input is read, each name once. `locations`: dataset -> path or URL.

    Raises StagingRefused: "SourceUnsupported", "DataUnknown".
    """
    wanted: dict[str, str] = {}  # name -> the source as the job states it
    sources: list[Source] = []
    for item in inputs:
        if item.writable:
            raise _unsupported(
                item.source,
                "inputs are read-only",
                "drop `mode: rw`, and copy what you change into $SUAN_SCRATCH",
            )
        source = _source(item.source, locations)
        known = wanted.setdefault(source.name, item.source)
        if known != item.source:
            message = f"{known} and {item.source} would both be called {source.name!r}"
            hint = "drop one of them, or register it as a dataset of another name"
            raise StagingRefused("SourceUnsupported", message, hint)
        if source not in sources:
            sources.append(source)
    return tuple(sources)


def _source(wish: str, locations: Mapping[str, str]) -> Source:
    if wish.startswith(DATASET):
        dataset = wish.removeprefix(DATASET)  # its tenant and its version are part of its name
        name = _name(dataset.rpartition("/")[2].partition("@")[0], wish)
        location = locations.get(dataset, "")
        if not location:
            raise StagingRefused(
                "DataUnknown",
                f"nobody said where dataset {dataset!r} can be read",
                "`suan dataset list` shows the datasets; `suan dataset put` registers one",
            )
        return located(name, location)
    parts = _split(wish)
    if parts.scheme not in ("http", "https"):
        hint = "name a dataset (ds://…), or an http or https URL"
        raise _unsupported(wish, f"{parts.scheme or 'this'} is not a source of this site", hint)
    return _url(_name(unquote(parts.path.rpartition("/")[2]), wish), parts)


def located(name: str, location: str) -> Source:
    """Where a dataset of that name is read. Raises StagingRefused("SourceUnsupported")."""
    if location.startswith("/"):
        return PathSource(name, _path(location))
    parts = _split(location)
    listed = _MANIFEST.fullmatch(parts.fragment)
    bare = parts._replace(fragment="") if listed else parts
    plain = bare.netloc in ("", "localhost") and not bare.query and not bare.fragment
    here = bare.scheme == "file" and plain and bare.path.startswith("/")
    if listed and here:
        return ManifestSource(name, f"file://{bare.path}", listed[1])
    if here:
        return PathSource(name, _path(unquote(bare.path)))
    if bare.scheme in ("http", "https") or _is_object(bare):
        found = _url(name, bare)
        return ManifestSource(name, found.url, listed[1]) if listed else found
    hint = "register a path that begins with '/', or an http, https, s3, sftp or file URL"
    raise _unsupported(location, f"dataset {name!r} cannot be read from there", hint)


def _url(name: str, parts: SplitResult) -> UrlSource:
    checksum = _CHECKSUM.fullmatch(parts.fragment)
    shown = f"{parts.scheme}://{parts.hostname}{parts.path}"
    if parts.fragment and not checksum:
        hint = "after '#' stands sha256= and 64 hexadecimal digits, or nothing"
        raise _unsupported(shown, f"#{parts.fragment[:80]} is no checksum", hint)
    if "@" in parts.netloc:
        raise _unsupported(shown, "it carries a password", "use a signed URL, or none")
    if not parts.hostname:
        raise _unsupported(shown, "it names no server", "write https://server/path")
    url = parts._replace(fragment="", path=parts.path or "/").geturl()
    return UrlSource(name, url, checksum[1].lower() if checksum else "")


def _is_object(parts: SplitResult) -> bool:
    """Whether it is s3://bucket/key or sftp://host/path. Through the catalogue alone, for the
    site reads it with an account of its own: what that sees is not for users to choose from."""
    return parts.scheme in (SCHEME, sftp.SCHEME) and len(parts.path) > 1 and not parts.query


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _unsupported(text, f"it is no URL: {error}", "correct it") from error
    if not _PRINTABLE.fullmatch(text):
        hint = "write other characters as %XX"
        raise _unsupported(text, "a URL has no spaces and only ASCII characters", hint)
    return parts


def _path(path: str) -> str:
    if "\0" in path:
        raise _unsupported(path, "a path has no zero bytes", "correct it")
    return path


def _name(name: str, wish: str) -> str:
    """`name` if it can be an entry of a directory, and of that directory only."""
    if (
        name in ("", ".", "..")
        or "/" in name
        or _CONTROL.search(name)
        or len(name.encode(errors="replace")) > NAME_BYTES_MAX
    ):
        hint = "a dataset, or the last part of a URL, names the file that the job will find"
        raise _unsupported(wish, f"{name[:80]!r} cannot name a file", hint)
    return name


def _unsupported(what: str, why: str, hint: str) -> StagingRefused:
    shown = what.partition("?")[0][:200]
    return StagingRefused("SourceUnsupported", f"{shown!r} cannot be staged: {why}", hint)
