"""What happened, line by line: the chronicle of a run and the story of one job in it.

Knows times and text. A line that names no job (a fault, an election) is part of every story.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Line:
    """At `at` true seconds `who` did `what` to `job_id`; "": to all."""

    at: float
    job_id: str
    who: str
    what: str

    def __str__(self) -> str:
        return f"{self.at:10.3f}  {self.who:<8}  {self.what}"


class Chronicle:
    """All lines of one run, in order."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def tell(self, at: float, job_id: str, who: str, what: str) -> None:
        self.lines.append(Line(at, job_id, who, what))

    def story(self, job_id: str) -> list[str]:
        """A table of what concerns one job and everybody."""
        table = [f"{'seconds':>10}  {'who':<8}  what"]
        table += [str(line) for line in self.lines if line.job_id in ("", job_id)]
        return table

    def table(self) -> list[str]:
        """Everything, with the job that each line is of."""
        return [f"{line!s}  {line.job_id and f'[{line.job_id}]'}".rstrip() for line in self.lines]

    def fingerprint(self, salt: int) -> str:
        """The same for the same run: a hash over every line, and over `salt`."""
        told = blake2b(str(salt).encode(), digest_size=16)
        for line in self.lines:
            told.update(f"{line.at!r}\t{line.job_id}\t{line.who}\t{line.what}\n".encode())
        return told.hexdigest()
