"""The closed set of reasons why a pool cannot take a job, and who can mend each.

Codes are stable: people, scripts and message catalogues refer to them.
"""

from __future__ import annotations

from enum import StrEnum

from scheduler.model import SiteState


class Code(StrEnum):
    """In the order in which cards are counted out; the permanent ones come first."""

    UNKNOWN_ACCELERATOR = "UnknownAccelerator"
    WRONG_ACCELERATOR = "WrongAccelerator"
    SITE_NOT_ALLOWED = "SiteNotAllowed"
    TENANT_NOT_ALLOWED = "TenantNotAllowed"
    DATA_RESIDENCY = "DataResidency"
    TIME_LIMIT_TOO_LONG = "TimeLimitTooLong"
    CPUS_TOO_FEW = "CpusTooFew"
    MEMORY_TOO_SMALL = "MemoryTooSmall"
    SOFTWARE_MISSING = "SoftwareMissing"
    IMAGES_UNSUPPORTED = "ImagesUnsupported"
    STORE_MISSING = "StoreMissing"
    TOO_FEW_CARDS = "TooFewCards"
    SHAPE_UNFIT = "ShapeUnfit"
    COST_TOO_HIGH = "CostTooHigh"
    LATENCY_TOO_HIGH = "LatencyTooHigh"
    QUOTA_TOO_SMALL = "QuotaTooSmall"
    # from here on waiting may help
    DATASET_UNKNOWN = "DatasetUnknown"
    DATA_UNREACHABLE = "DataUnreachable"
    SITE_PAUSED = "SitePaused"
    SITE_DRAINING = "SiteDraining"
    SITE_SUSPECT = "SiteSuspect"
    SITE_LOST = "SiteLost"
    SITE_UNSEEN = "SiteUnseen"
    UNHEALTHY = "Unhealthy"
    QUOTA_EXHAUSTED = "QuotaExhausted"
    HELD_OFF = "HeldOff"
    RESERVED = "Reserved"
    NOT_FREE_NOW = "NotFreeNow"
    NO_POOLS = "NoPools"  # no site has offered anything: counts no cards


CODES: tuple[Code, ...] = tuple(Code)
ROW: dict[Code, int] = {code: row for row, code in enumerate(CODES)}
PERMANENT_COUNT = ROW[Code.DATASET_UNKNOWN]  # rows below: no waiting helps

STATE_CODES: dict[SiteState, Code] = {
    SiteState.PAUSED: Code.SITE_PAUSED,
    SiteState.DRAINING: Code.SITE_DRAINING,
    SiteState.SUSPECT: Code.SITE_SUSPECT,
    SiteState.LOST: Code.SITE_LOST,
    SiteState.UNSEEN: Code.SITE_UNSEEN,
}

# "you" | "site" | "federation" | "wait"
FIX_BY: dict[Code, str] = {
    **dict.fromkeys(CODES, "you"),
    **dict.fromkeys((Code.TENANT_NOT_ALLOWED, Code.SITE_PAUSED, Code.UNHEALTHY), "site"),
    **dict.fromkeys((Code.SITE_SUSPECT, Code.SITE_LOST, Code.SITE_UNSEEN), "site"),
    **dict.fromkeys((Code.SITE_DRAINING, Code.DATA_UNREACHABLE, Code.NO_POOLS), "federation"),
    **dict.fromkeys((Code.HELD_OFF, Code.RESERVED, Code.NOT_FREE_NOW), "wait"),
    Code.QUOTA_TOO_SMALL: "federation",
    Code.QUOTA_EXHAUSTED: "wait",
}
