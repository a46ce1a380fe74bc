"""Why inputs cannot be made readable: the one error of staging, its codes and whose fault."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType

from suan.errors import Category

CATEGORIES: Mapping[str, Category] = MappingProxyType(
    {
        "DataUnknown": Category.USER,  # nobody said where the dataset lies
        "DataMissing": Category.USER,  # it is not where it should be
        "DataRefused": Category.POLICY,  # the site, or the server, does not give it
        "DataUnreachable": Category.NETWORK,  # the server does not answer, or not for long enough
        "DataCorrupt": Category.USER,  # it is not what its checksum says
        "DiskFull": Category.SITE,
        "SourceUnsupported": Category.USER,  # a wish that this agent cannot read
        "Unavailable": Category.SITE,  # the agent's own disk fails
    }
)


class StagingRefused(Exception):
    """An input cannot be made readable here. `code` is a key of CATEGORIES; `hint` says what
    to do; `category` says who can mend it."""

    def __init__(
        self, code: str, message: str, hint: str = "", category: Category | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.category = category or CATEGORIES[code]


def unreachable(shown: str, why: str) -> StagingRefused:
    """`shown`: the address, without what may be secret in it."""
    return StagingRefused(
        "DataUnreachable",
        f"{shown} could not be read: {why}",
        "check the server, and whether this site may reach it",
    )


def disk_refusal(error: OSError) -> StagingRefused:
    """What an error of the agent's own disk means for the job."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(error.strerror or "no space left")
    return StagingRefused(
        "Unavailable",
        f"the site's agent cannot keep the data: {error}",
        "check state_dir of agent.yaml on the agent's machine",
    )


def disk_full(why: str) -> StagingRefused:
    return StagingRefused(
        "DiskFull",
        f"no room for the data at this site: {why}",
        "try again when other jobs have ended; the site's operator can raise data_gib_max",
    )
