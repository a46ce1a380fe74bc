"""The list of what one attempt has committed: its names, bytes and checksums, as JSON.

Written by `agent.publishing`, read here: as a checkpoint to go on from, and as an input.

The same files give the same bytes, so that a commit which is made again after a crash is the
same commit. Places are relative to the attempt's own prefix, `<store>/<job>/<epoch>/`, and a
manifest lies in `<kind>-<number>/` of it. What another site reads is believed in nothing: names
and places that would lead elsewhere make a manifest unreadable.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

MANIFEST_FILE = "manifest.json"
FILES_MAX = 100_000
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
PATH_BYTES_MAX = 4096
FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ManifestUnreadable(Exception):
    """It is damaged, of another format, or leads elsewhere."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    path: str  # in the directory that was published, or is to be restored
    size_bytes: int
    sha256: str
    at: str  # in the attempt's prefix


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to something in the same directory."""

    path: str
    target: str  # relative to where the link is


@dataclass(frozen=True, slots=True)
class Manifest:
    job_id: str
    epoch: int
    kind: str  # "outputs" | "checkpoint"
    number: int  # of its kind within the attempt, ascending
    files: tuple[Entry, ...]  # by path
    links: tuple[Link, ...] = ()
    by_job: bool = False  # of a checkpoint: the job said that it is whole

    @property
    def size_bytes(self) -> int:
        return sum(entry.size_bytes for entry in self.files)

    @property
    def prefix(self) -> str:
        """Of all that the attempt publishes."""
        return f"{self.job_id}/{self.epoch}"

    @property
    def key(self) -> str:
        """Where it lies itself."""
        return f"{self.prefix}/{self.kind}-{self.number}/{MANIFEST_FILE}"


def quoted_key(key: str) -> str:
    """A key of a store as part of a URL."""
    return quote(key, safe="/~")


def encode(manifest: Manifest) -> bytes:
    document = {"format": FORMAT, **asdict(manifest)}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Manifest:
    """Raises ManifestUnreadable."""
    try:
        document = json.loads(data)
        if document.pop("format") != FORMAT:
            raise ManifestUnreadable("it is of a newer format than this agent knows")
        files = tuple(Entry(**item) for item in document.pop("files"))
        links = tuple(Link(**item) for item in document.pop("links"))
        manifest = Manifest(**document, files=files, links=links)
        _check(manifest)
        return manifest
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ManifestUnreadable(f"it is damaged: {error}") from error


def leads_inside(path: str, target: str) -> bool:
    """Whether a link at `path` that says `target` stays within their common directory."""
    depth = len(PurePosixPath(path).parts) - 1
    if not target or target.startswith("/") or _CONTROL.search(target):
        return False
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def _check(manifest: Manifest) -> None:
    if len(manifest.files) + len(manifest.links) > FILES_MAX:
        raise ValueError("it lists too many files")
    paths = [entry.path for entry in manifest.files] + [link.path for link in manifest.links]
    places = [entry.at for entry in manifest.files]
    if not all(map(is_plain, (*paths, *places))) or len(set(paths)) < len(paths):
        raise ValueError("it names what no directory can hold")
    if not all(leads_inside(link.path, link.target) for link in manifest.links):
        raise ValueError("a link leads out of it")
    links = {link.path for link in manifest.links}
    if any(str(parent) in links for path in paths for parent in PurePosixPath(path).parents):
        raise ValueError("something lies below a link")
    for entry in manifest.files:
        if not (isinstance(entry.size_bytes, int) and entry.size_bytes >= 0):
            raise ValueError(f"{entry.path} has no length")
        if not _DIGEST.fullmatch(entry.sha256):
            raise ValueError(f"{entry.path} has no checksum")


def is_plain(path: str) -> bool:
    """Whether it is a relative path that stays below where it starts, spelt in one way."""
    return (
        0 < len(path.encode(errors="replace")) <= PATH_BYTES_MAX
        and not path.startswith("/")
        and not _CONTROL.search(path)
        and not any(part in ("", ".", "..") for part in path.split("/"))
    )
