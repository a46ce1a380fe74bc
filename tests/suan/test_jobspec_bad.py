"""Job files that are wrong: for each kind, its code, its line, its place and a way out."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import yaml

from suan import catalogue
from suan.errors import InvalidSpec, Problem
from suan.jobspec import limits, source
from suan.jobspec.load import load

CATALOGUE = catalogue.load()
HEAD = "resources: {accelerators: 'ascend-910b:8'}\nrun: x\n"  # what follows is on line 3


def problems(text: str | bytes, given: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(InvalidSpec) as caught:
        load(text, given=given or {}, catalogue=CATALOGUE)
    return caught.value.problems


def only(text: str | bytes) -> Problem:
    (problem,) = problems(text)
    return problem


# (what stands on line 3, code, path, a word of message or hint)
LINES = [
    # keys
    ("nmae: x", "UnknownKey", "nmae", "did you mean name?"),
    ("cpus: 3", "UnknownKey", "cpus", "did you mean resources.cpus?"),
    ("gpus: 3", "UnknownKey", "gpus", "did you mean resources.accelerators?"),
    ("env: {}", "UnknownKey", "env", "did you mean envs?"),
    ("max_cost: 1", "UnknownKey", "max_cost", "did you mean placement.max_cost?"),
    ("zzzzzzzz: 1", "UnknownKey", "zzzzzzzz", "known here: apiVersion, name"),
    ("run: y", "DuplicateKey", "run", "first on line 2"),
    ("<<: {name: x}", "UnknownKey", "<<", ""),
    ("[a]: x", "WrongType", "", "a key that is a list"),
    ("retry: {on: [site]}", "MissingKey", "retry.max", "is required"),
    ("placement: {site: [a]}", "UnknownKey", "placement.site", "did you mean sites?"),
    # types
    ("num_nodes: '4'", "WrongType", "num_nodes", "must be a whole number"),
    ("num_nodes: 4.0", "WrongType", "num_nodes", "must be a whole number"),
    ("num_nodes: 010", "WrongType", "num_nodes", "must be a whole number"),
    ("num_nodes: 1:30", "WrongType", "num_nodes", "must be a whole number"),
    ("num_nodes: [4]", "WrongType", "num_nodes", "not a list"),
    ("num_nodes:", "EmptyValue", "num_nodes", "drop the key"),
    ("name: {a: b}", "WrongType", "name", "must be text, not a map"),
    ("inputs: [a]", "WrongType", "inputs", "must be a map, not a list"),
    ("funding: balance", "WrongType", "funding", "must be a list"),
    ("envs: {A: [1]}", "WrongType", "envs.A", "not a list"),
    ("placement: here", "WrongType", "placement", "must be a map"),
    # counts
    ("num_nodes: 0", "OutOfRange", "num_nodes", "between 1 and 65,536 nodes"),
    ("num_nodes: -4", "OutOfRange", "num_nodes", "not -4"),
    ("num_nodes: 65537", "OutOfRange", "num_nodes", "65,537"),
    (f"num_nodes: {'9' * 5000}", "OutOfRange", "num_nodes", "between"),
    ("num_nodes: 65536\nresources2: 1", "UnknownKey", "resources2", "resources"),
    ("priority: 1001", "OutOfRange", "priority", "-1,000 and 1,000"),
    ("retry: {max: -1}", "OutOfRange", "retry.max", "retries"),
    ("retry: {max: 101}", "OutOfRange", "retry.max", "retries"),
    # times
    ("time_limit: -5h", "NegativeTime", "time_limit", "must not be negative"),
    ("time_limit: -5", "NegativeTime", "time_limit", "must not be negative"),
    ("time_limit: 0", "OutOfRange", "time_limit", "between 1"),
    ("time_limit: 400d", "OutOfRange", "time_limit", "seconds"),
    ("time_limit: 12 hours", "BadDuration", "time_limit", "write 12h"),
    ("time_limit: 12:00", "BadDuration", "time_limit", "01:30:00"),
    ("time_limit: .inf", "BadDuration", "time_limit", "not a time"),
    ("time_limit: 1e999", "OutOfRange", "time_limit", "inf"),
    ("grace: 2h", "OutOfRange", "grace", "3,600 seconds"),
    # sizes, money, arrays
    ("placement: {max_cost: 3000 USD}", "BadMoney", "placement.max_cost", "3000 CNY"),
    ("placement: {max_cost: -3}", "BadMoney", "placement.max_cost", "CNY"),
    ("placement: {max_cost: 0}", "OutOfRange", "placement.max_cost", "CNY"),
    ("array: 9-0", "OutOfRange", "array", "runs backwards"),
    ("array: 1,3", "BadArray", "array", "FIRST-LAST:STEP"),
    ("array: 0-9:0", "OutOfRange", "array", "between 1"),
    ("array: 0-9%0", "OutOfRange", "array", "tasks at a time"),
    ("array: 0-100000", "OutOfRange", "array", "100,000 tasks"),
    ("array: 0-99999999", "OutOfRange", "array", "99,999,999"),
    ("array: -1", "BadArray", "array", "range of indexes"),
    # words and names
    ("apiVersion: suan/v2", "UnknownWord", "apiVersion", "suan/v1"),
    ("launch: per_card", "UnknownWord", "launch", "did you mean per-card?"),
    ("placement: {span: both}", "UnknownWord", "placement.span", "multi-site"),
    ("placement: {prefer: [speed]}", "UnknownWord", "placement.prefer[0]", "cost"),
    ("placement: {sites: []}", "OutOfRange", "placement.sites", "0 entries"),
    ("placement: {sites: [Shen Zhen]}", "BadText", "placement.sites[0]", "a site name"),
    ("lease: {class: forever}", "UnknownWord", "lease.class", "restart"),
    ("name: ''", "BadText", "name", "a name on one line"),
    ('name: "a\\nb"', "BadText", "name", "a name on one line"),
    ('name: "a\\0b"', "BadCharacter", "name", "NUL"),
    (f"name: {'n' * 129}", "TextTooLong", "name", "at most 128"),
    ("account: team a", "BadText", "account", "an account name"),
    ("funding: [cash]", "BadText", "funding[0]", "voucher:<id>"),
    ("image: a b", "BadText", "image", "an image reference"),
    ("retry: {max: 1, on: ['a b']}", "BadText", "retry.on[0]", "NodeFault"),
    # accelerators
    ("image: {ascent: a}", "UnknownAccelerator", "image.ascent", "did you mean ascend?"),
    ("image: {ascend: a, 910B: b, 910B3: c}", "DuplicateKey", "image.910B3", "ascend-910b"),
    ("image: {}", "EmptyValue", "image", "without entries"),
    ("setup: {ascend: }", "EmptyValue", "setup.ascend", "give a value"),
    ("work: {duration: 1h}", "MissingKey", "work", "on which accelerators"),
    ("work: {}", "Contradiction", "work", "either duration or flops"),
    ("work: {flops: 1e18, duration: 1h}", "Contradiction", "work", "either"),
    ("work: {flops: 1, accelerators: 'a100:8'}", "Contradiction", "work", "belong to a duration"),
    ("work: {flops: -1}", "OutOfRange", "work.flops", "operations"),
    ("work: {flops: many}", "WrongType", "work.flops", "must be a number"),
    (
        "work: {flops: 1, tokens: 1e9, parameters: 1e9}",
        "Contradiction",
        "work",
        "either",
    ),
    ("work: {tokens: 1e9}", "MissingKey", "work", "parameters too"),
    ("work: {flops: 1, precision: [fp8, fp9]}", "UnknownWord", "work.precision[1]", "fp64"),
    ("work: {flops: 1, precision: [fp8, fp8]}", "Contradiction", "work", "twice"),
    ("work: {flops: 1, precision: []}", "OutOfRange", "work.precision", "entries"),
    ("checkpoint: {}", "MissingKey", "checkpoint", "size or every"),
    ("checkpoint: {size: 0}", "OutOfRange", "checkpoint.size", "bytes"),
    ("checkpoint: {every: 0s}", "OutOfRange", "checkpoint.every", "seconds"),
    # data
    ("inputs: {/d: data}", "BadText", "inputs./d", "ds://<dataset>"),
    ("inputs: {/d: {mode: ro}}", "MissingKey", "inputs./d.source", "is required"),
    ("inputs: {/d: {source: 'ds://a', mode: w}}", "UnknownWord", "inputs./d.mode", "rw"),
    ("inputs: {/a/../b: 'ds://a'}", "BadText", "inputs./a/../b", "without '..'"),
    ("outputs: {/o: {dest: here}}", "BadText", "outputs./o.dest", "URL"),
    ("outputs: {/o: {dest: 'ds://a'}}", "BadText", "outputs./o.dest", "your organisation"),
    ("outputs: {/o: {dest: 'ds://t/a/b'}}", "BadText", "outputs./o.dest", "your organisation"),
    ("outputs: {/o: {dest: 'ds://t/a@'}}", "BadText", "outputs./o.dest", "your organisation"),
    (
        "outputs: {/o: {dest: 'ds://t/a'}, /p: {dest: 'ds://t/a'}}",
        "Contradiction",
        "outputs",
        "once",
    ),
    ("outputs: {/o: {dest: 'ds://t/a', when: now}}", "UnknownWord", "outputs./o.when", "always"),
    ("outputs: {/o: {dest: 'ds://t/a', size: -1}}", "OutOfRange", "outputs./o.size", "bytes"),
    ("outputs: {/o: {dest: 'ds://t/a', size: big}}", "BadSize", "outputs./o.size", "10GiB"),
    # variables and secrets
    ("envs: {A: null}", "MissingEnvironment", "envs.A", "--env A="),
    ("envs: {9A: x}", "BadText", "envs.9A", "a variable name"),
    ("envs: {SUAN_SITE: x}", "BadText", "envs.SUAN_SITE", "outside SUAN_*"),
    ('envs: {A: "a\\0b"}', "BadCharacter", "envs.A", "NUL"),
    ("secrets: {T: null}", "MissingSecret", "secrets.T", "export T"),
    ("secrets: {T: abc}", "SecretInFile", "secrets.T", "write `T: null`"),
    # rules between values
    ("placement: {sites: [a], not_sites: [a]}", "Contradiction", "placement", "same site: a"),
    ("lease: {class: proof, seconds: 600}", "Contradiction", "lease", "drop seconds"),
    ("lease: {class: overlap, seconds: 10}", "OutOfRange", "lease", "between 30"),
    (
        "outputs: {/d/: {dest: 'ds://t/b'}}\ninputs: {/d: 'ds://a'}",
        "Contradiction",
        "outputs",
        "mode: rw",
    ),
]


@pytest.mark.parametrize(
    ("line", "code", "path", "word"), LINES, ids=[row[0][:40] for row in LINES]
)
def test_one_fault_on_line_three(line: str, code: str, path: str, word: str) -> None:
    problem = only(f"{HEAD}{line}\n")
    assert (problem.code, problem.path) == (code, path)
    assert word in problem.message + problem.hint
    expected = 1 if path == "" else 4 if "\nresources2" in line else 3
    assert problem.line == expected


# (the value of `accelerators`, code, path below it, a word)
WANTS = [
    ("ascend-910x:8", "UnknownAccelerator", "", "did you mean"),
    ("zzz:8", "UnknownAccelerator", "", "`suan accelerators`"),
    ("ascend-910b:0", "OutOfRange", "", "between 1 and 1,024"),
    ("ascend-910b:-1", "OutOfRange", "", "less than one card"),
    ("ascend-910b:1025", "OutOfRange", "", "1,025"),
    ("ascend-910b:eight", "BadAccelerator", "", "not TYPE:COUNT"),
    ("", "EmptyValue", "", "TYPE:COUNT"),
    ("ascend-910c:15dies", "OutOfRange", "", "a card has 2"),
    ("ascend-910b:0 dies", "OutOfRange", "", "between 1 and"),
    ("ascend-910b:0.5", "BadAccelerator", "", "whole cards"),
    ("ascend-910b:1/4", "BadAccelerator", "", "asks for a slice"),
    ("{type: ascend-910b, num_nodes: 0}", "OutOfRange", ".num_nodes", "nodes"),
    ("{type: zzz, num_nodes: 2}", "UnknownAccelerator", ".type", "`suan accelerators`"),
    ("8", "UnknownAccelerator", "", "'8'"),
    ("[ascend-910b:8]", "BadAccelerator", "", "any_of"),
    ("{ascend-910b: 8}", "BadAccelerator", "", "e.g. ascend-910b:8"),
    ("{any_of: []}", "OutOfRange", ".any_of", "0 entries"),
    ("{any_of: ascend-910b}", "WrongType", ".any_of", "must be a list"),
    ("{any_of: [ascend-910b, {any: 1}]}", "WrongType", ".any_of[1].any", "must be a map"),
    ("{any: {tflops: 300}}", "MissingKey", ".any.precision", "is required"),
    ("{any: {precision: bf17}}", "UnknownWord", ".any.precision", "did you mean bf16?"),
    ("{any: {precision: bf16, tflops: fast}}", "BadNumber", ".any.tflops", "not a number"),
    ("{any: {precision: bf16, tflops: -1}}", "OutOfRange", ".any.tflops", "-1"),
    ("{any: {precision: bf16, count: 0}}", "OutOfRange", ".any.count", "cards per node"),
]


@pytest.mark.parametrize(("want", "code", "below", "word"), WANTS, ids=[row[0] for row in WANTS])
def test_wrong_accelerators(want: str, code: str, below: str, word: str) -> None:
    problem = only(f"run: x\nresources:\n  accelerators: {want}\n")
    assert (problem.code, problem.line) == (code, 3)
    assert problem.path == f"resources.accelerators{below}"
    assert word in problem.message + problem.hint


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("cpus: 0", "OutOfRange"),
        ("cpus: -3", "OutOfRange"),
        ("cpus: 1.5", "BadNumber"),
        ("cpus: many", "BadNumber"),
        ("cpus: 5000", "OutOfRange"),
        ("memory: 256 GiB of it", "BadSize"),
        ("memory: 0", "OutOfRange"),
        ("memory: 99T", "OutOfRange"),
        ("topology: {mode: required}", "MissingKey"),
        ("topology: {scope: rack}", "UnknownWord"),
        ("topology: {scope: node, nodes: 2}", "Contradiction"),
    ],
)
def test_wrong_resources(line: str, code: str) -> None:
    problem = only(f"run: x\nresources:\n  accelerators: ascend-910b\n  {line}\n")
    assert (problem.code, problem.line) == (code, 4)


def test_too_many_cards_in_all() -> None:
    text = "run: x\nnum_nodes: 65536\nresources: {accelerators: 'ascend-910b:1024'}\n"
    problem = only(text)
    assert (problem.code, problem.path, problem.line) == (
        "OutOfRange",
        "resources.accelerators",
        3,
    )


@pytest.mark.parametrize("missing", ["resources", "run"])
def test_missing_required_key(missing: str) -> None:
    lines = {"resources": "run: x\n", "run": "resources: {accelerators: ascend-910b}\n"}
    problem = only(lines[missing])
    assert (problem.code, problem.path) == ("MissingKey", missing)


# (source, code, line)
SOURCES: list[tuple[str | bytes, str, int]] = [
    ("", "EmptyFile", 0),
    ("# only a comment\n\n", "EmptyFile", 0),
    ("just words", "WrongType", 1),
    ("- a\n- b\n", "WrongType", 1),
    (f"{HEAD}name: \xff\n".encode("latin-1"), "NotUTF8", 3),
    ("run: x\n".encode("utf-16"), "NotUTF8", 1),
    (f"{HEAD}name: \ud800\n", "NotUTF8", 3),
    (f"{HEAD}name: a\x1bb\n", "BadCharacter", 3),
    ("resources:\n\taccelerators: x\n", "TabIndent", 2),
    ("run:\n  a: b\n \tc: d\n", "TabIndent", 3),
    (f"{HEAD}name: [a\n", "BadYAML", 4),
    (f"{HEAD}name: 'a\n", "BadYAML", 4),
    (f"{HEAD}  name: a: b\n", "BadYAML", 3),
    (f"{HEAD}name: &a x\n", "AliasRefused", 3),
    (f"{HEAD}name: *a\n", "AliasRefused", 3),
    (f"{HEAD}name: !!python/object:os.system x\n", "TagRefused", 3),
    (f"{HEAD}name: !x y\n", "TagRefused", 3),
    (f"{HEAD}---\n{HEAD}", "SeveralDocuments", 3),
    (f"{HEAD}name: {'[' * 40}{']' * 40}\n", "TooDeep", 3),
    (f"{HEAD}funding: [{'balance, ' * 1001}]\n", "ListTooLong", 3),
    (HEAD + "".join(f"k{number}: 1\n" for number in range(1000)), "ListTooLong", 1001),
    (f"a: [{('[' + '1,' * 999 + '],') * 40}]", "TooLarge", 1),
    ("a: " + "x" * limits.FILE_BYTES_MAX, "FileTooLarge", 0),
]


@pytest.mark.parametrize(("text", "code", "line"), SOURCES, ids=[row[1] for row in SOURCES])
def test_sources_that_are_no_job_file(text: str | bytes, code: str, line: int) -> None:
    problem = only(text)
    assert (problem.code, problem.line) == (code, line)


@pytest.mark.parametrize(("text", "code", "line"), SOURCES, ids=[row[1] for row in SOURCES])
def test_without_libyaml_the_same_codes(
    text: str | bytes, code: str, line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_Loader", yaml.SafeLoader)
    problem = only(text)
    assert problem.code == code


def test_billion_laughs_never_unfolds() -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    assert only(f"l0: &l0 ha\n{levels}").code == "AliasRefused"


@pytest.mark.parametrize(
    "source_", [b"run: " + b"x" * 10_000_000, "run: " + "é" * 10_000_000, b"[" * 10_000_000]
)
def test_ten_megabytes_are_refused_before_they_are_parsed(
    source_: str | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(*_: object, **__: object) -> None:
        raise AssertionError("the parser was called")

    monkeypatch.setattr(yaml, "parse", parsed)
    monkeypatch.setattr(yaml, "compose", parsed)
    problem = only(source_)
    assert problem.code == "FileTooLarge"
    assert "262,144" in problem.message


def test_all_problems_at_once_in_the_order_of_the_file() -> None:
    text = (
        "nmae: x\n"
        "num_nodes: 0\n"
        "resources:\n"
        "  accelerators: {any_of: [ascend-910x:8, hygon-bw1000:0]}\n"
        "  cpus: -3\n"
        "placement: {sites: [a], not_sites: [a], max_cost: 3 USD}\n"
        "time_limit: -5h\n"
        "envs: {A: null}\n"
        "run:\n"
    )
    found = [(problem.line, problem.code) for problem in problems(text)]
    assert found == [
        (1, "UnknownKey"),
        (2, "OutOfRange"),
        (4, "UnknownAccelerator"),
        (4, "OutOfRange"),
        (5, "OutOfRange"),
        (6, "Contradiction"),
        (6, "BadMoney"),
        (7, "NegativeTime"),
        (8, "MissingEnvironment"),
        (9, "EmptyValue"),
    ]


def test_hundreds_of_problems_are_counted_not_listed() -> None:
    found = problems(HEAD + "".join(f"k{number}: 1\n" for number in range(500)))
    assert len(found) == limits.PROBLEMS_MAX + 1
    assert found[-1].code == "TooManyProblems"
    assert found[-1].message.startswith("400 more")


def test_the_value_of_a_secret_is_never_repeated() -> None:
    with pytest.raises(InvalidSpec) as caught:
        load(f"{HEAD}secrets: {{T: hunter2}}\n", given={}, catalogue=CATALOGUE)
    assert "hunter2" not in f"{caught.value} {caught.value.problems}"


def test_columns_point_at_the_value() -> None:
    problem = only(f"{HEAD}retry: {{max: 1, on: [site, 'a b']}}\n")
    assert (problem.line, problem.column) == (3, 28)
