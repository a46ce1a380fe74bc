"""What the core heard and gave no effect: replayed, foreign, reordered, senseless.

A closed set of names, so that counting them is bounded however much is sent. Each is a
stable code; `suan admin counters` shows how often it happened since this leader began.
"""

from __future__ import annotations

from enum import StrEnum

NUMBER_MAX = 2**63 - 1  # of sequence numbers, epochs and terms: what stores can hold
WALL_MAX = 253_402_300_799.0  # wall seconds: the end of the year 9999


class Ignored(StrEnum):
    """Why a message, or one entry of it, had no effect."""

    SITE_UNKNOWN = "SiteUnknown"  # its site is not registered
    OTHER_SESSION = "OtherSession"  # not of the site's present session
    HELLO_REPEATED = "HelloRepeated"  # a session that was opened before
    TERM_PASSED = "TermPassed"  # the agent has seen a later leader than this one
    PROTOCOL_UNKNOWN = "ProtocolUnknown"  # no version that both sides speak
    OTHER_AGENT = "OtherAgent"  # a second agent under one site's name
    HEARTBEAT_REPEATED = "HeartbeatRepeated"  # no newer than the last one
    CAPACITY_REPEATED = "CapacityRepeated"  # no newer than the last one
    DIGEST_DIFFERS = "DigestDiffers"  # the attempts at the site are not those believed there
    ATTEMPT_UNKNOWN = "AttemptUnknown"  # no such job, or no such epoch of it
    ATTEMPT_FOREIGN = "AttemptForeign"  # it was granted to another site
    ATTEMPT_SUPERSEDED = "AttemptSuperseded"  # a later epoch exists
    REPORT_REPEATED = "ReportRepeated"  # the attempt's end is known
    REPORT_UNREADABLE = "ReportUnreadable"  # of a kind or an outcome that is not known here
    NUMBER_OUT_OF_RANGE = "NumberOutOfRange"


def out_of_range(*numbers: int) -> bool:
    """Whether one of them is no number that this protocol gives out."""
    return not all(0 <= number <= NUMBER_MAX for number in numbers)
