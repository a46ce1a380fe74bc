"""The job file as one literal table: each key, its shape, its meaning.

`load` reads by this table, `schema` prints it; there is no other statement of the format.
The words that a user writes and the words of the model part here, and nowhere else.
"""

from __future__ import annotations

from suan.jobspec import draft, limits, units
from suan.jobspec.limits import FAILURE_CATEGORIES
from suan.jobspec.shapes import (
    AsTuple,
    Choice,
    Either,
    Field,
    Integer,
    IntegerOrWord,
    ListOf,
    MapOf,
    Record,
    Scalar,
    Shape,
    Truth,
    quantity,
    text,
    text_schema,
)
from suan.jobspec.variables import Environment, Secrets
from suan.jobspec.wants import Accelerators, OneWant, TextPerAccelerator, TypeCount, Want
from suan.models import Checkpoint, Lease, Retry, Topology, Where, Work


def _same(*words: str) -> Choice:
    return Choice({word: word for word in words})


def _integer(rule: limits.Range) -> Integer:
    return Integer(rule, int(rule.least), int(rule.most))


def _duration(rule: limits.Range) -> Shape[float]:
    pattern = f"{units.DURATION}|{units.CLOCK}"
    return quantity(units.duration_seconds, rule, pattern, "a time such as 12h")


def _memory() -> Shape[float]:
    return quantity(units.memory_gib, limits.MEMORY_GIB, units.MEMORY, "a size such as 256GiB")


def _figure(rule: limits.Range, example: str) -> Shape[float]:
    return quantity(units.number, rule, units.NUMBER, f"a number such as {example}")


def _failure(word: str) -> str:
    """A category as it is, a code in CamelCase: node_fault is NodeFault."""
    if word in FAILURE_CATEGORIES or ("_" not in word and word[:1].isupper()):
        return word
    return "".join(part[:1].upper() + part[1:] for part in word.split("_"))


def _read_only(source: str) -> draft.Source:
    """The short form of an input."""
    limits.SOURCE.verify(source)
    return draft.Source(source)


PRECISION = Choice(
    {**{word: word for word in limits.PRECISIONS.words}, "fp16": "bf16"}  # fp16 counts as bf16
)

PRECISIONS_ONE = AsTuple(PRECISION)

ANY_CLASS: Record[Want] = Record(
    draft.make_class_want,
    (
        Field("precision", PRECISION, "arithmetic that the figure is for", required=True),
        Field(
            "tflops",
            quantity(units.at_least, limits.TFLOPS, units.AT_LEAST, "a figure such as 300+"),
            "least dense peak per card, TFLOP/s, e.g. 300+",
        ),
        Field("memory", _memory(), "least memory per card, e.g. 64GiB+"),
        Field("count", _integer(limits.CARDS_PER_NODE), "physical cards per node"),
        Field("num_nodes", _integer(limits.NODES), "nodes, when not as many as the job's"),
    ),
)

CARDS_OF_NODE = TypeCount(limits.CARDS_PER_NODE)

SIZED: Record[Want] = Record(
    draft.make_sized_want,
    (
        Field("type", CARDS_OF_NODE, "TYPE:COUNT per node", required=True),
        Field("num_nodes", _integer(limits.NODES), "nodes, when not as many as the job's"),
    ),
)

TOPOLOGY: Record[Topology] = Record(
    draft.make_topology,
    (
        Field(
            "scope",
            Choice(
                {
                    "node": "node",
                    "supernode": "supernode",
                    "superpod": "supernode",
                    "site": "site",
                }
            ),
            "what the nodes must share",
            required=True,
        ),
        Field("mode", _same("preferred", "required"), "default: preferred"),
        Field("nodes", _integer(limits.NODES), "how many nodes must share it; default: all"),
    ),
)

RESOURCES: Record[draft.Resources] = Record(
    draft.Resources,
    (
        Field(
            "accelerators",
            Accelerators(OneWant(CARDS_OF_NODE, ANY_CLASS, SIZED)),
            "TYPE:COUNT in physical cards per node, or TYPE:16 dies; {any_of: [...]} or "
            "{any: {...}} for a choice, {type: TYPE:COUNT, num_nodes: 64} for other nodes",
            required=True,
            foreign=("gpus", "npus", "dcus", "gres", "accelerator"),
        ),
        Field(
            "cpus",
            quantity(units.whole_at_least, limits.CPUS, units.AT_LEAST, "a count such as 32+"),
            "CPUs per node, e.g. 32 or 32+",
            attribute="cpus_per_node",
        ),
        Field(
            "memory",
            _memory(),
            "main memory per node, e.g. 256GiB+",
            attribute="memory_gib_per_node",
        ),
        Field("topology", TOPOLOGY, "how close the nodes must be"),
        Field(
            "software",
            TextPerAccelerator(limits.SOFTWARE),
            "stack that the nodes must have, e.g. cann>=8.0; or one per vendor, kind or model",
        ),
    ),
    partial=True,
)

PLACEMENT: Record[Where] = Record(
    draft.make_where,
    (
        Field("sites", ListOf(text(limits.SITE), 1), "only these sites; default: anywhere"),
        Field("not_sites", ListOf(text(limits.SITE)), "never these sites"),
        Field("span", _same("single-site", "multi-site"), "default: single-site"),
        Field(
            "max_cost",
            quantity(units.yuan, limits.YUAN, units.MONEY, "a sum such as 3000 CNY"),
            "most that the job may cost, e.g. 3000 CNY",
        ),
        Field("users_at", text(limits.PLACE), "where its users are: a city or a region"),
        Field(
            "latency_max",
            quantity(units.latency_ms, limits.LATENCY, units.LATENCY, "a latency such as 10ms"),
            "most, one way, from users_at to its site, e.g. 10ms",
        ),
        Field(
            "prefer",
            ListOf(
                Choice(
                    {
                        "finish": "finish",
                        "start_time": "finish",
                        "cost": "cost",
                        "energy": "energy",
                        "carbon": "energy",
                    }
                )
            ),
            "what to rank sites by, most wanted first",
        ),
    ),
    partial=True,
)

SOURCE = text(limits.SOURCE)

INPUT_HELP = "ds://<dataset> (yours: ds://<your organisation>/<name>) or a URL"

INPUT: Either[draft.Source] = Either(
    Scalar(_read_only, None, text_schema(limits.SOURCE), INPUT_HELP),
    Record(
        draft.Source,
        (
            Field("source", SOURCE, INPUT_HELP, required=True),
            Field("mode", _same("ro", "rw"), "default: ro"),
        ),
    ),
)

OUTPUTS_HELP = (
    "path below $SUAN_OUTPUT_DIR to where it is published; a success is told once all of it is"
)

OUTPUT: Record[draft.Destination] = Record(
    draft.Destination,
    (
        Field(
            "dest",
            text(limits.DESTINATION),
            "ds://<your organisation>/<name>: a dataset that your other jobs can read, or a URL "
            "that its site may write to; default: the site's own store",
        ),
        Field("when", _same("success", "always"), "default: success"),
        Field(
            "size",
            quantity(units.size_bytes, limits.SIZE_BYTES, units.SIZE, "a size such as 10GiB"),
            "expected size, e.g. 10GiB",
            attribute="size_bytes",
        ),
    ),
)

RETRY: Record[Retry] = Record(
    draft.make_retry,
    (
        Field("max", _integer(limits.RETRIES), "attempts after the first", required=True),
        Field(
            "on",
            ListOf(Scalar(_failure, limits.FAILURE, text_schema(limits.FAILURE))),
            "failure codes (NodeFault) or categories (site); default: the federation's policy",
        ),
    ),
)

LEASE: Record[Lease] = Record(
    draft.make_lease,
    (
        Field(
            "class",
            _same(*limits.LEASE_CLASSES.words),
            "restart: stopped when its site is lost; proof: never started again without "
            "proof of its end; overlap: may run twice",
            attribute="lease_class",
        ),
        Field(
            "seconds",
            _duration(limits.Range(1, 86_400, "seconds")),
            "how long the site may be silent; default: 600 for restart",
        ),
    ),
)

WORK: Record[Work] = Record(
    draft.make_work,
    (
        Field("duration", _duration(limits.WORK_SECONDS), "how long it took …"),
        Field("accelerators", TypeCount(limits.CARDS), "… on these cards, TYPE:COUNT in all"),
        Field("flops", _figure(limits.FLOPS, "1e18"), "or: how many operations it is"),
        Field("tokens", _figure(limits.TOKENS, "2e12"), "or: how many a model is trained on …"),
        Field("parameters", _figure(limits.PARAMETERS, "7e9"), "… of so many weights per token"),
        Field(
            "precision",
            Either(PRECISIONS_ONE, ListOf(PRECISION, 1, len(limits.PRECISIONS.words))),
            "of the operations, or a list: the first that a card has counts; default: bf16",
        ),
        Field(
            "family",
            text(limits.FAMILY),
            "jobs that learn from each other's runs; default: by the job's name",
        ),
    ),
)

CHECKPOINT: Record[Checkpoint] = Record(
    draft.make_checkpoint,
    (
        Field(
            "size",
            quantity(units.size_bytes, limits.SIZE_BYTES, units.SIZE, "a size such as 2TiB"),
            "of one checkpoint, all cards together",
        ),
        Field(
            "every",
            _duration(limits.CHECKPOINT_SECONDS),
            "between two; default: what the broker advises",
        ),
    ),
)

JOB_FILE: Record[draft.Draft] = Record(
    draft.Draft,
    (
        Field("apiVersion", _same("suan/v1"), "the format", attribute="api_version"),
        Field("name", text(limits.NAME), "what people call the job"),
        Field(
            "num_nodes", _integer(limits.NODES), "nodes of the gang; default: 1", foreign=("nodes",)
        ),
        Field("resources", RESOURCES, "what each node needs", required=True),
        Field("placement", PLACEMENT, "where it may run", attribute="where"),
        Field(
            "image",
            TextPerAccelerator(limits.IMAGE),
            "container image, or one per vendor, kind or model; default: run natively",
        ),
        Field(
            "workdir",
            text(limits.DIRECTORY),
            "directory to send along, or an absolute path at the site",
            attribute="working_directory",
        ),
        Field("inputs", MapOf(limits.PATH, INPUT, draft.make_input), "path to data, read"),
        Field("outputs", MapOf(limits.PATH, OUTPUT, draft.make_output), OUTPUTS_HELP),
        Field(
            "envs",
            Environment(),
            "environment variables; null: must be given at submit",
            attribute="environment",
            foreign=("env", "environment"),
        ),
        Field("secrets", Secrets(), "names of secrets, each with null; given at submit"),
        Field(
            "setup",
            TextPerAccelerator(limits.SCRIPT),
            "shell text, once per node before run; or one per vendor, kind or model",
        ),
        Field(
            "run",
            TextPerAccelerator(limits.SCRIPT),
            "shell text; or one per vendor, kind or model",
            required=True,
            foreign=("command", "commands", "cmd", "script"),
        ),
        Field("launch", _same("per-node", "per-card"), "processes to start; default: per-node"),
        Field(
            "time_limit",
            _duration(limits.TIME_LIMIT_SECONDS),
            "wall time after which the job is stopped, e.g. 12h",
            attribute="time_limit_seconds",
            foreign=("timeout", "walltime", "time"),
        ),
        Field(
            "grace",
            _duration(limits.GRACE_SECONDS),
            "between SIGTERM and SIGKILL, e.g. 2m; default: the site's",
            attribute="grace_seconds",
        ),
        Field("retry", RETRY, "when to try again"),
        Field("lease", LEASE, "what happens when its site falls silent"),
        Field("work", WORK, "how much there is to do: makes estimates true"),
        Field(
            "checkpoint",
            CHECKPOINT,
            "what the job writes below $SUAN_CHECKPOINT_DIR to go on from after a failure",
        ),
        Field(
            "array",
            quantity(units.array_range, None, units.ARRAY, "a range such as 0-99%10"),
            "one job per index, e.g. 0-99, 0-9:2 or 0-99%10 (at most 10 at a time)",
        ),
        Field(
            "priority",
            IntegerOrWord(_integer(limits.PRIORITY), limits.PRIORITY_NAMES),
            "a class (low, normal, high, urgent) or a number, higher is earlier; default: normal, "
            "0; a higher class (from 100, from 500) may stop lower jobs of its own organisation",
        ),
        Field(
            "deadline",
            quantity(units.moment_seconds, limits.DEADLINE_AT, units.MOMENT, "a time with zone"),
            "when it should have ended, e.g. 2026-12-01T08:00+08:00: it hurries as this comes "
            "near, and fails if it could not start by then",
            attribute="deadline_at",
        ),
        Field(
            "preemptible",
            Truth(),
            "false: never stopped for others, and never on borrowed cards; default: true",
        ),
        Field("account", text(limits.ACCOUNT), "project to charge"),
        Field("funding", ListOf(text(limits.FUNDING)), "vouchers and balance, in order of use"),
    ),
    partial=True,
)
