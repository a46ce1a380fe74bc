"""What the stable codes mean and what to do: `suan explain --code`.

One sentence each. The conditions of the scheduler are complete (a test compares them);
of the errors, those whose message alone may not be enough. Text only; imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from suan.codes.conditions import CONDITIONS
from suan.codes.connections import CONNECTION, SESSIONS
from suan.codes.counters import COUNTERS
from suan.codes.failures import FAILURES, PROTOCOL, STAGING
from suan.codes.refusals import ADMINISTRATION, REFUSALS
from suan.codes.runs import COMMANDS, FILES
from suan.codes.simulation import SIMULATION
from suan.codes.starts import STARTS

__all__ = ["COUNTERS", "MEANINGS", "Meaning"]


class Meaning(NamedTuple):
    text: str
    advice: str


_TABLES = (
    SIMULATION,
    SESSIONS,
    CONDITIONS,
    FAILURES,
    STAGING,
    REFUSALS,
    ADMINISTRATION,
    PROTOCOL,
    CONNECTION,
    STARTS,
    FILES,
    COMMANDS,
)

MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {code: Meaning(*words) for table in _TABLES for code, words in table.items()}
)
