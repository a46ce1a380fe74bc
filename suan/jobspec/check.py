"""The rules of the job file, applied to a spec that came over the wire.

Whoever sends a spec may have written it by hand, so the broker trusts nothing that a
job file would have been refused for. No YAML, no positions, no catalogue: whether a
model exists and who may use it is the broker's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from suan.errors import Problem
from suan.jobspec import limits, rules
from suan.jobspec.limits import Fault, Rule
from suan.models import AcceleratorClass, JobSpec, Variant, Work

_Rules = tuple[tuple[str, Rule[Any], bool], ...]

# (attribute, rule, may be unset): what each message must obey on its own.
_SPEC: _Rules = (
    ("name", limits.NAME, True),
    ("working_directory", limits.DIRECTORY, True),
    ("time_limit_seconds", limits.TIME_LIMIT_SECONDS, True),
    ("grace_seconds", limits.GRACE_SECONDS, True),
    ("priority", limits.PRIORITY, True),
    ("deadline_at", limits.DEADLINE_AT, True),
    ("account", limits.ACCOUNT, True),
)
_VARIANT: _Rules = (
    ("num_nodes", limits.NODES, False),
    ("accelerators_per_node", limits.CARDS_PER_NODE, False),
    ("cards", limits.CARDS, True),  # 0: a factor is 0 and reported
    ("cpus_per_node", limits.CPUS, True),
    ("memory_gib_per_node", limits.MEMORY_GIB, True),
    ("image", limits.IMAGE, True),
    ("setup", limits.SCRIPT, True),
    ("run", limits.SCRIPT, False),
    ("software", limits.SOFTWARE, True),
)
_CLASS: _Rules = (
    ("precision", limits.PRECISIONS, False),
    ("tflops_min", limits.TFLOPS, False),
    ("memory_gib_min", limits.MEMORY_GIB, True),
)
_TOPOLOGY: _Rules = (
    ("scope", limits.SCOPES, False),
    ("num_nodes", limits.NODES, True),
)
_INPUT: _Rules = (
    ("path", limits.PATH, False),
    ("source", limits.SOURCE, False),
)
_OUTPUT: _Rules = (
    ("path", limits.PATH, False),
    ("destination", limits.DESTINATION, True),
    ("when", limits.WHENS, False),
    ("size_bytes", limits.SIZE_BYTES, True),
)
_WORK: _Rules = (
    ("seconds", limits.WORK_SECONDS, True),
    ("accelerator", limits.MODEL, True),
    ("cards", limits.CARDS, True),
    ("flops", limits.FLOPS, True),
    ("precision", limits.PRECISIONS, True),
    ("tokens", limits.TOKENS, True),
    ("parameters", limits.PARAMETERS, True),
    ("family", limits.FAMILY, True),
)
_CHECKPOINT: _Rules = (
    ("size_bytes", limits.SIZE_BYTES, True),
    ("every_seconds", limits.CHECKPOINT_SECONDS, True),
)
_BUNDLE: _Rules = (
    ("sha256", limits.SHA256, False),
    ("size_bytes", limits.BUNDLE_BYTES, False),
)


_NO_WORK = Work()


def check(spec: JobSpec) -> tuple[Problem, ...]:
    """What is wrong with a spec; empty when nothing is. Paths name the model's attributes."""
    found = _Findings()
    found.attributes("", spec, _SPEC)
    found.count("variants", len(spec.variants), limits.VARIANTS_MAX, least=1)
    for index, variant in enumerate(spec.variants[: limits.VARIANTS_MAX]):
        _variant(found, f"variants[{index}]", variant)
    _variables(found, spec)
    _data(found, spec)
    if spec.work != _NO_WORK:
        _work(found, spec.work)
    found.attributes("checkpoint", spec.checkpoint, _CHECKPOINT)
    _policies(found, spec)
    if spec.bundle is not None:
        found.attributes("bundle", spec.bundle, _BUNDLE)
    return tuple(found.problems)


class _Findings:
    """Problems so far. The methods apply one rule each and go on."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def add(self, path: str, fault: Fault) -> None:
        if len(self.problems) < limits.PROBLEMS_MAX:
            self.problems.append(Problem(fault.code, 0, 0, path, fault.message, fault.hint))

    def attributes(self, path: str, message: object, table: _Rules) -> None:
        for name, rule, optional in table:
            value = getattr(message, name)
            if value or not optional:
                self.apply(f"{path}.{name}" if path else name, rule.verify, value)

    def each(self, path: str, values: tuple[str, ...], rule: Rule[str]) -> None:
        self.count(path, len(values))
        for index, value in enumerate(values[: limits.ENTRIES_MAX]):
            self.apply(f"{path}[{index}]", rule.verify, value)

    def count(self, path: str, count: int, most: int = limits.ENTRIES_MAX, least: int = 0) -> None:
        if not least <= count <= most:
            message = f"has {count:,} entries, {least} to {most:,} are allowed"
            self.add(path, Fault("OutOfRange", message))

    def apply(self, path: str, verify: Callable[..., None], *values: object) -> None:
        try:
            verify(*values)
        except Fault as fault:
            self.add(path, fault)


def _variant(found: _Findings, path: str, variant: Variant) -> None:
    found.attributes(path, variant, _VARIANT)
    if isinstance(variant.accelerator, AcceleratorClass):
        found.attributes(f"{path}.accelerator_class", variant.accelerator, _CLASS)
    else:
        found.apply(f"{path}.accelerator", limits.MODEL.verify, variant.accelerator)
    if (topology := variant.topology) is not None:
        below = f"{path}.topology"
        found.attributes(below, topology, _TOPOLOGY)
        found.apply(below, rules.verify_topology, topology, variant.num_nodes)


def _variables(found: _Findings, spec: JobSpec) -> None:
    found.count("environment", len(spec.environment))
    for name, value in spec.environment[: limits.ENTRIES_MAX]:
        path = f"environment.{name}"
        found.apply(path, limits.VARIABLE.verify, name)
        found.apply(path, limits.VARIABLE_VALUE.verify, value)
    found.each("secrets", spec.secrets, limits.VARIABLE)
    found.apply("secrets", rules.verify_names, spec.environment, spec.secrets)


def _data(found: _Findings, spec: JobSpec) -> None:
    found.count("inputs", len(spec.inputs))
    found.count("outputs", len(spec.outputs))
    for index, item in enumerate(spec.inputs[: limits.ENTRIES_MAX]):
        found.attributes(f"inputs[{index}]", item, _INPUT)
    for index, output in enumerate(spec.outputs[: limits.ENTRIES_MAX]):
        found.attributes(f"outputs[{index}]", output, _OUTPUT)
    found.apply("outputs", rules.verify_paths, spec.inputs, spec.outputs)
    found.apply("outputs", rules.verify_destinations, spec.outputs)


def _work(found: _Findings, work: Work) -> None:
    found.attributes("work", work, _WORK)
    found.each("work.fallbacks", work.fallbacks, limits.PRECISIONS)
    found.apply("work", rules.verify_work, work)


def _policies(found: _Findings, spec: JobSpec) -> None:
    where, retry, lease = spec.where, spec.retry, spec.lease
    found.apply("retry.max", limits.RETRIES.verify, retry.max)
    found.each("retry.on", retry.on, limits.FAILURE)
    found.apply("lease.class", limits.LEASE_CLASSES.verify, lease.lease_class)
    found.apply("lease.seconds", rules.verify_lease, lease)
    found.each("where.sites_allowed", where.sites_allowed, limits.SITE)
    found.each("where.sites_denied", where.sites_denied, limits.SITE)
    found.apply("where.span", limits.SPANS.verify, where.span)
    if where.users_at:
        found.apply("where.users_at", limits.PLACE.verify, where.users_at)
    found.each("where.prefer", where.prefer, limits.PREFERENCES)
    found.apply("where", rules.verify_where, where)
    found.each("funding", spec.funding, limits.FUNDING)
    if spec.array is not None:
        found.apply("array", rules.verify_array, spec.array)
