"""Every bound of a job file and of a spec, with its unit, and the rules that apply them.

Used by the reader of files, by the JSON Schema and by the check of specs from the wire,
so that the three cannot disagree. Knows neither YAML nor the models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

T_contra = TypeVar("T_contra", contravariant=True)


class Fault(ValueError):
    """A value breaks a rule. Whoever knows its place turns this into a `Problem`."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Rule(Protocol[T_contra]):
    def verify(self, value: T_contra, /) -> None:
        """Raises Fault when `value` breaks the rule."""


@dataclass(frozen=True, slots=True)
class Range:
    """A number between `least` and `most`, both included; `unit` is for the message."""

    least: float
    most: float
    unit: str = ""

    def verify(self, value: float, /) -> None:
        if self.least <= value <= self.most:  # false for NaN
            return
        code = "NegativeTime" if value < 0 and self.unit == "seconds" else "OutOfRange"
        bounds = f"{shown(self.least)} and {shown(self.most)} {self.unit}".rstrip()
        raise Fault(code, f"must be between {bounds}, not {shown(value)}")


@dataclass(frozen=True, slots=True)
class TextRule:
    """Text of at most `characters_max` characters that matches `pattern` as a whole."""

    characters_max: int
    pattern: str = ""
    meaning: str = ""  # what the pattern asks for, in words
    _matches: Callable[[str], object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_matches", re.compile(self.pattern or r"(?s:.*)").fullmatch)

    def verify(self, value: str, /) -> None:
        if len(value) > self.characters_max:
            raise Fault(
                "TextTooLong",
                f"has {len(value):,} characters, at most {self.characters_max:,} are allowed",
            )
        if "\x00" in value or not (value.isascii() or _is_unicode(value)):
            raise Fault("BadCharacter", "contains a NUL or half a surrogate pair")
        if not self._matches(value):
            raise Fault("BadText", f"{quoted(value)} is not {self.meaning}")


@dataclass(frozen=True, slots=True)
class OneOf:
    """One word of a closed set."""

    words: tuple[str, ...]

    def verify(self, value: str, /) -> None:
        if value not in self.words:
            raise Fault("UnknownWord", f"{quoted(value)} is not one of {', '.join(self.words)}")


def quoted(text: str, characters_max: int = 60) -> str:
    """`text` for a message: quoted, printable, cut to `characters_max` characters."""
    return repr(text if len(text) <= characters_max else text[: characters_max - 1] + "…")


def shown(value: float) -> str:
    if math.isfinite(value) and value == int(value):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.0e}"
    return f"{value:g}"


def _is_unicode(text: str) -> bool:
    """Whether `text` can be sent: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- the file ---------------------------------------------------------------

FILE_BYTES_MAX = 256 * 1024
DEPTH_MAX = 16  # lists and maps within each other
ENTRIES_MAX = 1_000  # of one list or map
NODES_MAX = 20_000  # keys and values in all
PROBLEMS_MAX = 100  # reported at once
SPEC_BYTES_MAX = 512 * 1024  # on the wire: text is copied into each variant

# --- counts -----------------------------------------------------------------

VARIANTS_MAX = 64
NODES = Range(1, 65_536, "nodes")
CARDS_PER_NODE = Range(1, 1_024, "cards per node")
CARDS = Range(1, 1_000_000, "cards")
CPUS = Range(1, 4_096, "CPUs per node")
MEMORY_GIB = Range(2**-10, 65_536, "GiB")
SIZE_BYTES = Range(1, 2**60, "bytes")
BUNDLE_BYTES = Range(1, 2 * 1024 * 1024, "bytes")
TFLOPS = Range(0, 1e6, "TFLOP/s")
FLOPS = Range(1, 1e30, "operations")
TOKENS = Range(1, 1e18, "tokens")
PARAMETERS = Range(1, 1e18, "parameters")
YUAN = Range(0.01, 1e9, "CNY")
LATENCY = Range(0.01, 1_000, "ms")
RETRIES = Range(0, 100, "retries")
PRIORITY = Range(-1_000, 1_000)
PRIORITY_NAMES = {"low": -100, "normal": 0, "high": 100, "urgent": 500}
ARRAY_INDEX = Range(0, 10_000_000)
ARRAY_TASKS = Range(1, 100_000, "tasks")
ARRAY_STEP = Range(1, 10_000_000)
ARRAY_PARALLEL = Range(1, 100_000, "tasks at a time")

# --- times ------------------------------------------------------------------

TIME_LIMIT_SECONDS = Range(1, 366 * 86_400, "seconds")
DEADLINE_AT = Range(1, 253_402_300_799, "seconds since 1970")  # to the end of the year 9999
GRACE_SECONDS = Range(1, 3_600, "seconds")
CHECKPOINT_SECONDS = Range(1, 30 * 86_400, "seconds")
WORK_SECONDS = Range(1, 10 * 366 * 86_400, "seconds")
# By lease class: a lease of class "proof" is never ended by time, so it has no length.
# What a federation accepts begins higher: `limits.lease_seconds_min` of broker.yaml.
LEASE_SECONDS = {
    "restart": Range(1, 86_400, "seconds"),
    "overlap": Range(30, 86_400, "seconds"),
}

# --- names and texts --------------------------------------------------------

NAME = TextRule(128, r"[^\x00-\x1f\x7f]+", "a name on one line")
SITE = TextRule(63, r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "a site name (a-z, 0-9 and -)")
PLACE = TextRule(63, r"[A-Za-z0-9][A-Za-z0-9-]*", "a city of the network, or a region")
ACCOUNT = TextRule(128, r"[A-Za-z0-9][A-Za-z0-9._/-]*", "an account name")
FUNDING = TextRule(128, r"balance|voucher:[A-Za-z0-9._-]+", "'balance' or 'voucher:<id>'")
MODEL = TextRule(64, r"[a-z0-9][a-z0-9._-]*", "a canonical accelerator model")
SOFTWARE = TextRule(
    128,
    r"[a-z][a-z0-9_]*(-[a-z][a-z0-9_]*)*(>=[0-9]+(\.[0-9]+)*)?",
    "the name of a software stack such as cann or cann>=8.0",
)
STACK = TextRule(
    128,
    r"[a-z][a-z0-9_]*(-[a-z][a-z0-9_]*)*-[0-9]+(\.[0-9]+)*",
    "a software stack and its version such as cann-8.1",
)
FAMILY = TextRule(128, r"[^\x00-\x1f\x7f]+", "a name on one line")
IMAGE = TextRule(512, r"[!-~]+", "an image reference (no spaces)")
SCRIPT = TextRule(128 * 1024, r"[\s\S]*\S[\s\S]*", "shell text")
DIRECTORY = TextRule(4_096, r"[^\x00-\x1f\x7f]+", "a path on one line")
PATH = TextRule(
    4_096,
    r"(?!(.*/)?\.\.(/|$))[^\x00-\x1f\x7f]+",
    "a path on one line, without '..'",
)
SOURCE = TextRule(2_048, r"[a-z][a-z0-9+.-]*://[!-~]+", "'ds://<dataset>' or a URL")
_LABEL = r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?"
DESTINATION = TextRule(
    2_048,
    rf"(?!ds:)[a-z][a-z0-9+.-]*://[!-~]+|ds://{_LABEL}/{_LABEL}(@{_LABEL})?",
    "'ds://<your organisation>/<dataset>' or a URL",
)
VARIABLE = TextRule(256, r"(?!SUAN_)[A-Za-z_][A-Za-z0-9_]*", "a variable name outside SUAN_*")
VARIABLE_VALUE = TextRule(32 * 1024)
FAILURE = TextRule(
    64,
    r"[A-Za-z][A-Za-z0-9_]*",
    "a failure code such as NodeFault or a category such as site",
)
SHA256 = TextRule(64, r"[0-9a-f]{64}", "a SHA-256 in hexadecimal")

# --- closed sets ------------------------------------------------------------

PRECISIONS = OneOf(("fp64", "fp32", "bf16", "fp8", "int8", "fp4"))
SCOPES = OneOf(("node", "supernode", "site"))
WHENS = OneOf(("success", "always"))
SPANS = OneOf(("single-site", "multi-site"))
PREFERENCES = OneOf(("finish", "cost", "energy"))
LEASE_CLASSES = OneOf(("restart", "proof", "overlap"))
FAILURE_CATEGORIES = ("user", "site", "broker", "network", "policy", "money")
