"""What a cluster manager's word about a job means for the run, beside what the fences wrote. Pure.

The manager is asked where a fence cannot know: it was told to end and not by us, a process
was killed, or a record is missing. What each state of its jobs means is its own room's to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from agent.backends import Exit, Reason
from agent.backends.layout import TOLD_TO_END

# The codes under which people are told why the site itself ended a run.
SITE_STOPPED, SITE_PREEMPTED, NOT_STARTED = "SitePaused", "SitePreempted", "NotEnoughCards"
SIGNALLED = (128 + 9, 128 + 15)  # exit codes: a manager's SIGTERM may reach a rank first

Meaning = tuple[Reason, str]  # why a run ended, and what to tell people


class Word(Protocol):
    """What a manager says of one job."""

    @property
    def state(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def may_wait(self) -> bool:
        """Whether it may still wait for its nodes."""

    @property
    def is_over(self) -> bool: ...

    @property
    def is_proof(self) -> bool:
        """Whether it is over and the manager has seen every process of it end."""

    @property
    def meaning(self) -> Meaning | None:
        """Of an end that the fences cannot explain; None: the manager cannot either."""


W = TypeVar("W", bound=Word)


class Manager(Protocol[W]):
    """A cluster manager, for those who watch runs on it."""

    @property
    def name(self) -> str:
        """For people."""

    async def words(self, after: float) -> tuple[float, Mapping[str, W]]:
        """The jobs that are runs of ours, by name, as asked later than `after`, and when.

        Raises ProbeFailed.
        """

    async def cancel(self, words: Sequence[W]) -> None:
        """End these jobs, whatever they do. Raises ProbeFailed."""


def says(manager: str) -> str:
    """How the detail of an end begins of which the manager alone knows."""
    return f"{manager} says "


def is_open_to_doubt(ended: Exit, manager: str) -> bool:
    """Whether the manager may know better than the fences why it ended."""
    if ended.reason is Reason.STOPPED:
        return ended.detail == TOLD_TO_END or ended.detail.startswith(says(manager))
    return ended.reason is Reason.UNKNOWN or ended.exit_code in SIGNALLED


def judged(ended: Exit, manager: str, word: Word | None, wish: str) -> Exit:
    """The end with the manager's word taken in; `wish` is why we asked it to end, or ""."""
    if wish and ended.reason in (Reason.STOPPED, Reason.LAUNCH_FAILED, Reason.UNKNOWN):
        return replace(ended, reason=Reason.STOPPED, detail=wish)
    if not is_open_to_doubt(ended, manager):
        return ended
    if word is not None and (meaning := word.meaning) is not None:
        reason, detail = meaning
        return replace(ended, reason=reason, detail=detail)
    if ended.reason is Reason.STOPPED:
        return replace(ended, detail=SITE_STOPPED)
    return ended
