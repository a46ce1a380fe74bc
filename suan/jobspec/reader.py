"""What one reading of a job file gathers: problems, notes, and where each value stands.

Shapes read nodes through a `Reader`; what is decided later, without a node, reports by
path. Knows nothing of the fields of a job.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import yaml

from suan.errors import Problem
from suan.jobspec.catalogue import Catalogue
from suan.jobspec.limits import PROBLEMS_MAX, Fault


class Reader:
    """The state of one reading: `given` are values for the variables left open in the file."""

    def __init__(self, catalogue: Catalogue, given: Mapping[str, str]) -> None:
        self.catalogue = catalogue
        self.given = given
        self.notes: list[Problem] = []
        self._problems: list[Problem] = []
        self._unreported = 0
        self._positions: dict[str, tuple[int, int]] = {}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """In the order of the file; the last one says how many more there were."""
        found = sorted(self._problems, key=lambda problem: (problem.line, problem.column))
        if self._unreported:
            message = f"{self._unreported:,} more problems are not shown"
            found.append(Problem("TooManyProblems", 0, 0, "", message))
        return tuple(found)

    def visit(self, path: str, node: yaml.Node) -> None:
        """Remembers where `path` stands."""
        self._positions[path] = (node.start_mark.line + 1, node.start_mark.column + 1)

    def report(self, path: str, fault: Fault) -> None:
        """Adds a problem at `path`, or at the nearest of its parents that the file names."""
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(self._problem(path, fault))
        else:
            self._unreported += 1

    def note(self, path: str, fault: Fault) -> None:
        """Adds something that the user should know and that stops nothing."""
        self.notes.append(self._problem(path, fault))

    def sound(self, *paths: str) -> bool:
        """True when no problem was reported at or below any of `paths`."""
        return not any(
            problem.path == path or problem.path.startswith((f"{path}.", f"{path}["))
            for problem in self._problems
            for path in paths
        )

    def _problem(self, path: str, fault: Fault) -> Problem:
        line, column = self._position(path)
        return Problem(fault.code, line, column, path, fault.message, fault.hint)

    def _position(self, path: str) -> tuple[int, int]:
        while path and path not in self._positions:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._positions.get(path, (0, 0))


def nearest(word: str, words: Iterable[str]) -> str:
    """A "did you mean" hint, or nothing when no word is near."""
    if len(word) > 64:  # comparing costs the product of the lengths
        return ""
    found = difflib.get_close_matches(word.lower(), list(words), n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else ""
