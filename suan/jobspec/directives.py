"""The options of one sbatch script while they are being translated.

Each is taken at most once; what cannot be read, and what nobody took, becomes a note,
so that nothing is lost silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from suan.jobspec.limits import Fault
from suan.jobspec.sbatch import Option

T = TypeVar("T")

# Why an option is not translated, where there is more to say than "no counterpart".
_REASONS = {
    "constraint": "the site's own word; say what you need under resources or placement",
    "dependency": "submit the next job after `suan submit --wait` has returned",
    "exclude": "a site chooses its nodes itself; placement.not_sites leaves out whole sites",
    "exclusive": "ask for all cards of a node instead",
    "mail-type": "no mail is sent; `suan get -w` follows a job",
    "nodelist": "a site chooses its nodes itself; placement.sites names whole sites",
    "partition": "the broker chooses site and partition; placement.sites narrows the choice",
    "qos": "the site's own word; priority and account are Suan's",
    "requeue": "say retry: {max: 3} to try again after a fault of the site",
    "signal": "SIGTERM comes first, SIGKILL after `grace`",
}
_FILE_NAME_WORDS = {
    "A": "${SUAN_ARRAY_ID}",
    "a": "${SUAN_ARRAY_INDEX}",
    "j": "${SUAN_JOB_ID}",
    "N": "${HOSTNAME}",
    "u": "${USER}",
    "x": "${SUAN_JOB_NAME}",
}


class Directives:
    """Options not yet translated, and the notes so far."""

    def __init__(self, options: tuple[Option, ...]) -> None:
        self.notes: list[str] = []
        # As in sbatch, the last of several counts.
        self._left = {option.name: option for option in options}

    def take(self, name: str, parse: Callable[[str], T]) -> T | None:
        """The value of an option, once; None when it is absent or, noted, unreadable."""
        option = self._left.pop(name, None)
        if option is None:
            return None
        try:
            return parse(option.value)
        except Fault as fault:
            self.notes.append(f"{option}: {fault.message}")
            return None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def note_rest(self) -> None:
        """Notes every option that nobody took."""
        for option in sorted(self._left.values(), key=lambda option: option.line):
            self.notes.append(f"{option}: {_reason(option)}")
        self._left.clear()


def _reason(option: Option) -> str:
    if option.name in ("output", "error"):
        name = re.sub(r"%[0-9]*([AajNux])", lambda found: _FILE_NAME_WORDS[found[1]], option.value)
        return f"Suan keeps the logs (`suan logs`); redirect to {name} for a file besides"
    return _REASONS.get(option.name, "has no counterpart")
