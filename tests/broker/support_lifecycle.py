"""docs/lifecycles.md, drawn from the tables of `broker.core.lifecycle`.

Write it anew: `python tests/broker/support_lifecycle.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from broker.core.lifecycle import ATTEMPT_TABLE, JOB_TABLE, AttemptState, JobState

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lifecycles.md"
COMMAND = "python tests/broker/support_lifecycle.py"

_HEAD = f"""# Life cycles

Drawn from the tables in `broker/core/lifecycle.py` by `{COMMAND}`; do not edit.

A **job** is the wish; an **attempt** is one try of it at one site. Whether a job is queued
again or fails is decided by policy before the event, so the tables hold no conditions.
A pair of state and event that has no arrow here is an error of ours, and raises.
"""


def page() -> str:
    """The whole page."""
    return "\n".join(
        (
            _HEAD,
            "## Jobs\n",
            _diagram(JOB_TABLE, JobState.QUEUED, "submit"),
            "## Attempts\n",
            _diagram(ATTEMPT_TABLE, AttemptState.OFFERED, "grant"),
        )
    )


def _diagram(table: Mapping[tuple[Any, Any], StrEnum], first: StrEnum, birth: str) -> str:
    """One Mermaid state diagram: parallel arrows are one arrow with several events."""
    arrows: dict[tuple[Any, StrEnum], list[str]] = {}
    for (state, event), target in table.items():
        arrows.setdefault((state, target), []).append(event.value)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.value}: {birth}"]
    lines += [
        f"    {state.value} --> {target.value}: {', '.join(events)}"
        for (state, target), events in arrows.items()
    ]
    leaving = {state for state, _ in table}
    lines += [f"    {state.value} --> [*]" for state in type(first) if state not in leaving]
    return "\n".join((*lines, "```", ""))


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
