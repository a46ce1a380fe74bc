"""A commit: what one attempt has left whole at a store, as its site tells of it.

The manifest at `url` lists the files and was written last. Attempts write below prefixes of
their own, `<store>/<job>/<epoch>/`, so none can overwrite what another has committed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEMES = ("file", "s3", "sftp")
URL_CHARACTERS_MAX = 2_000
PATH_CHARACTERS_MAX = 1_000
SIZE_BYTES_MAX = 2**60
_PRINTABLE = re.compile(r"[!-~]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Commit:
    """Outputs or a checkpoint of one attempt that are whole at a store, with their manifest."""

    kind: str  # outputs | checkpoint
    epoch: int
    number: int  # of its kind within the attempt, ascending
    url: str  # of the manifest
    sha256: str  # of the manifest
    size_bytes: int  # of all files together
    files: int
    site: str
    at: float  # wall seconds
    path: str = ""  # of outputs: as the job names it
    dataset: str = ""  # which an output has become; "": none

    @property
    def order(self) -> tuple[int, int]:
        """Of two checkpoints the one with the higher order is the later one."""
        return self.epoch, self.number


def makes_sense(commit: Commit, job_id: str) -> bool:
    """Whether a site can mean this of that job.

    The next site reads what the URL names with an account of its own, so it must lie where
    only this attempt's commits lie: a site cannot have another one read what is not the job's.
    """
    place = f"/{job_id}/{commit.epoch}/{commit.kind}-{commit.number}/manifest.json"
    return (
        commit.kind in ("outputs", "checkpoint")
        and commit.url.partition("://")[0] in SCHEMES
        and len(commit.url) <= URL_CHARACTERS_MAX
        and _PRINTABLE.fullmatch(commit.url) is not None
        and commit.url.endswith(place)
        and "/../" not in commit.url
        and "?" not in commit.url
        and "#" not in commit.url
        and _DIGEST.fullmatch(commit.sha256) is not None
        and 0 <= commit.size_bytes <= SIZE_BYTES_MAX
        and commit.number > 0
        and len(commit.path) <= PATH_CHARACTERS_MAX
    )
