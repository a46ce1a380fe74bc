"""An sbatch script, read: its #SBATCH options, its interpreter and its body.

Knows Slurm's own rules (where directives end, short and long forms, its times and sizes)
and nothing of job files.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from suan.jobspec.limits import Fault, quoted

_SHORT = {
    "A": "account",
    "a": "array",
    "b": "begin",
    "C": "constraint",
    "c": "cpus-per-task",
    "D": "chdir",
    "d": "dependency",
    "e": "error",
    "G": "gpus",
    "H": "hold",
    "i": "input",
    "J": "job-name",
    "L": "licenses",
    "M": "clusters",
    "m": "distribution",
    "N": "nodes",
    "n": "ntasks",
    "O": "overcommit",
    "o": "output",
    "p": "partition",
    "Q": "quiet",
    "q": "qos",
    "s": "oversubscribe",
    "t": "time",
    "v": "verbose",
    "W": "wait",
    "w": "nodelist",
    "x": "exclude",
}
# Options that never take the next word as their value.
_FLAGS = frozenset(
    (
        "contiguous",
        "exclusive",
        "get-user-env",
        "hold",
        "ignore-pbs",
        "no-kill",
        "no-requeue",
        "overcommit",
        "oversubscribe",
        "parsable",
        "quiet",
        "reboot",
        "requeue",
        "spread-job",
        "test-only",
        "use-min-nodes",
        "verbose",
        "wait",
    )
)
_TIME = re.compile(
    r"(?:(?P<days>[0-9]{1,6})-(?P<day_hours>[0-9]{1,6})(?::(?P<rest>[0-9]{1,6}(?::[0-9]{1,6})?))?"
    r"|(?P<clock>[0-9]{1,9}(?::[0-9]{1,6}){0,2}))"
)


@dataclass(frozen=True, slots=True)
class Option:
    """`name` in its long form; `value` empty for a flag; `line` counts from 1."""

    name: str
    value: str
    line: int

    def __str__(self) -> str:
        return f"line {self.line}: --{self.name}" + (f"={self.value}" if self.value else "")


@dataclass(frozen=True, slots=True)
class Gres:
    """'dcu:K100-PCIE-64GB-LS:8' as kind, type and count; an absent type is empty."""

    name: str
    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Script:
    interpreter: str  # without "#!"; empty: none stated
    options: tuple[Option, ...]
    faults: tuple[str, ...]  # directives that could not be read
    body: str  # without shebang and directives


def read_script(text: str) -> Script:
    """Splits a script as sbatch does: directives end at the first command."""
    lines = text.replace("\r\n", "\n").split("\n")
    interpreter = lines[0][2:].strip() if lines[0].startswith("#!") else ""
    options: list[Option] = []
    faults: list[str] = []
    body: list[str] = []
    directives = first_part = True
    for number, line in enumerate(lines[1:] if interpreter else lines, 2 if interpreter else 1):
        directive = re.match(r"#SBATCH(?=\s)", line)
        if not (directives and directive):
            directives = directives and (not line.strip() or line.lstrip().startswith("#"))
            body.append(line)
            continue
        if not first_part:
            continue
        try:
            options += _options(_words(line[directive.end() :]), number)
        except Fault as fault:
            faults.append(f"line {number}: {fault.message}")
            first_part = fault.code != "HeterogeneousJob"
    return Script(interpreter, tuple(options), tuple(faults), _trimmed("\n".join(body)))


def time_seconds(text: str) -> float:
    """Slurm's times: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; 0.0 for UNLIMITED and 0."""
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return 0.0
    match = _TIME.fullmatch(text)
    if match is None:
        raise Fault("BadDuration", f"{quoted(text)} is not a time of Slurm's")
    if match["days"]:
        parts = [match["day_hours"], *(match["rest"] or "").split(":"), "0", "0"]
        hours, minutes, seconds = (int(part or 0) for part in parts[:3])
        return int(match["days"]) * 86_400 + hours * 3600 + minutes * 60 + float(seconds)
    parts = match["clock"].split(":")
    padded = ["0", *parts, "0"] if len(parts) == 1 else ["0", *parts]
    hours, minutes, seconds = (int(part) for part in padded[-3:])
    return hours * 3600 + minutes * 60 + float(seconds)


def count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Fault("BadNumber", f"{quoted(text)} is not a count")
    return int(text)


def gres_list(text: str) -> list[Gres]:
    """'gpu:a100:4(S:0-1),lscratch:100' and the like, also with 'gres/' in front."""
    bare = re.sub(r"\([^)]*\)", "", text)
    return [gres(part) for part in bare.split(",") if part.strip()]


def gres(text: str) -> Gres:
    name, *parts = re.sub(r"^gres[/:]", "", text.strip()).replace("=", ":").split(":")
    number = count(parts.pop()) if parts and parts[-1].isdigit() else 1
    return Gres(name.lower(), ":".join(parts), number)


def _words(text: str) -> list[str]:
    """The words of a directive up to a comment. Raises Fault when a quote does not close."""
    try:
        words = shlex.split(text)
    except ValueError:
        try:
            words = shlex.split(re.split(r"\s#", text)[0])  # the quote stands in the comment
        except ValueError:
            raise Fault("BadQuote", f"a quote does not close: {text.strip()}") from None
    comment = next((index for index, word in enumerate(words) if word.startswith("#")), None)
    return words[:comment]


def _options(words: list[str], line: int) -> list[Option]:
    found: list[Option] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
        elif word.startswith("-") and word[1:2] in _SHORT:
            name, value = _SHORT[word[1]], word[2:].removeprefix("=")
            equals = value
        elif word in ("hetjob", "packjob"):
            raise Fault("HeterogeneousJob", "only the first part of a heterogeneous job is taken")
        else:
            raise Fault("BadOption", f"{quoted(word)} is not an option of sbatch")
        if not equals and name not in _FLAGS and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        found.append(Option(name.lower().replace("_", "-"), value, line))
    return found


def _trimmed(body: str) -> str:
    """Without blank lines around, ending in one line break; empty when nothing is left."""
    text = re.sub(r"\A(?:[ \t]*\n)+", "", body).rstrip()
    return text and f"{text}\n"
