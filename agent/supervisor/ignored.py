"""What the supervisor heard and gave no effect: replayed, foreign, reordered, senseless.

A closed set of names, so that counting them is bounded however much is sent. Each is a
stable code; `suan-agent status` shows how often it happened since this agent started.
"""

from __future__ import annotations

from enum import StrEnum

from agent.supervisor.values import AttemptId, Grant

NUMBER_MAX = 2**63 - 1  # of sequence numbers, epochs and terms: what the journal can hold
JOB_ID_MAX = 128  # characters
LEASE_SECONDS_MAX = 86_400.0  # of a granted lease, and of its extension for maintenance


class Ignored(StrEnum):
    """Why a message, or one entry of it, had no effect."""

    OTHER_SESSION = "OtherSession"  # not of the session that stands
    TERM_PASSED = "TermPassed"  # of a leader before one that was seen
    PROTOCOL_UNKNOWN = "ProtocolUnknown"  # the broker chose a version that is not spoken here
    SEQ_NEVER_SENT = "SeqNeverSent"  # answers a heartbeat that did not leave here
    REPLY_TOO_LATE = "ReplyTooLate"  # answers one that was forgotten since
    REPORT_NEVER_SENT = "ReportNeverSent"  # acknowledges what was not told in this session
    GRANT_REPEATED = "GrantRepeated"  # this attempt is known
    GRANT_SUPERSEDED = "GrantSuperseded"  # a later epoch was here, or a promise was made
    ATTEMPT_UNKNOWN = "AttemptUnknown"  # not held; it never will be
    NUMBER_OUT_OF_RANGE = "NumberOutOfRange"


def senseless(id: AttemptId | Grant) -> bool:
    """Whether this can name no attempt."""
    return not (0 < len(id.job_id) <= JOB_ID_MAX and 0 < id.epoch <= NUMBER_MAX)
