"""The published JSON Schema: it accepts what `load` accepts and refuses nothing else wrongly."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from suan import catalogue
from suan.errors import InvalidSpec
from suan.jobspec.fields import JOB_FILE
from suan.jobspec.load import load
from suan.jobspec.schema import schema

JOBS = sorted(Path(__file__).with_name("jobs").iterdir())
VALIDATOR = Draft202012Validator(schema())


class CoreLoader(yaml.SafeLoader):
    """YAML 1.2, as editors read it: `on` is a word, not true."""


CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
CoreLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))

MINIMAL: dict[str, Any] = {"resources": {"accelerators": "ascend-910b:8"}, "run": "x"}


def test_schema_is_a_schema_and_json() -> None:
    Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()
    assert schema()["required"] == ["resources", "run"]


def test_every_key_says_what_it_is() -> None:
    properties = schema()["properties"]
    assert isinstance(properties, dict)
    assert list(properties) == [field.name for field in JOB_FILE.fields]
    assert all(properties[name]["description"] for name in properties)


@pytest.mark.parametrize("path", JOBS, ids=[path.name for path in JOBS])
def test_good_files_pass_both(path: Path) -> None:
    job = yaml.load(path.read_text("utf-8").expandtabs(), CoreLoader)
    assert list(VALIDATOR.iter_errors(job)) == []
    load(path.read_bytes(), given={"HF_TOKEN": "x"}, catalogue=catalogue.load())


BAD: list[dict[str, Any]] = [
    {"run": "x"},
    {"resources": {"accelerators": "ascend-910b:8"}},
    {**MINIMAL, "nmae": "x"},
    {**MINIMAL, "run": ""},
    {**MINIMAL, "run": None},
    {**MINIMAL, "run": ["x"]},
    {**MINIMAL, "apiVersion": "v1"},
    {**MINIMAL, "num_nodes": 0},
    {**MINIMAL, "num_nodes": "4"},
    {**MINIMAL, "num_nodes": 65_537},
    {**MINIMAL, "time_limit": "12 hours"},
    {**MINIMAL, "time_limit": "-5h"},
    {**MINIMAL, "time_limit": -5},
    {**MINIMAL, "array": "1,3"},
    {**MINIMAL, "array": "-1"},
    {**MINIMAL, "envs": {"SUAN_X": "1"}},
    {**MINIMAL, "envs": {"A": ["1"]}},
    {**MINIMAL, "secrets": {"A": "value"}},
    {**MINIMAL, "launch": "per_card"},
    {**MINIMAL, "priority": 1.5},
    {**MINIMAL, "funding": ["cash"]},
    {**MINIMAL, "image": {}},
    {**MINIMAL, "image": "a b"},
    {**MINIMAL, "inputs": {"/d": "data"}},
    {**MINIMAL, "inputs": {"/d": {"mode": "ro"}}},
    {**MINIMAL, "inputs": {"/a/../b": "ds://a"}},
    {**MINIMAL, "outputs": {"/o": {"dest": "ds://t/a", "when": "now"}}},
    {**MINIMAL, "placement": {"sites": []}},
    {**MINIMAL, "placement": {"max_cost": "3 USD"}},
    {**MINIMAL, "placement": {"prefer": ["speed"]}},
    {**MINIMAL, "retry": {"on": ["site"]}},
    {**MINIMAL, "lease": {"class": "forever"}},
    {**MINIMAL, "work": {"flops": "many"}},
    {**MINIMAL, "resources": {"accelerators": []}},
    {**MINIMAL, "resources": {"accelerators": "ascend-910b:-1"}},
    {**MINIMAL, "resources": {"accelerators": {"any_of": []}}},
    {**MINIMAL, "resources": {"accelerators": {"any": {"tflops": 300}}}},
    {**MINIMAL, "resources": {"accelerators": "a100", "cpus": "many"}},
    {**MINIMAL, "resources": {"accelerators": "a100", "topology": {"scope": "rack"}}},
]


@pytest.mark.parametrize("job", BAD, ids=[json.dumps(job)[-60:] for job in BAD])
def test_what_the_schema_refuses_load_refuses(job: dict[str, Any]) -> None:
    assert list(VALIDATOR.iter_errors(job))
    with pytest.raises(InvalidSpec):
        load(yaml.safe_dump(job), given={}, catalogue=catalogue.load())


def test_schema_accepts_the_bare_forms() -> None:
    job = {
        **MINIMAL,
        "name": 2024,
        "time_limit": 3600,
        "array": 7,
        "envs": {"A": 1, "B": True, "C": None},
        "placement": {"max_cost": 3000},
        "resources": {"accelerators": "昇腾910B:8", "cpus": 32, "memory": 256},
    }
    assert list(VALIDATOR.iter_errors(job)) == []
    load(yaml.safe_dump(job), given={"C": ""}, catalogue=catalogue.load())
