"""Job files that are right: every key read into the value it stands for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from suan import catalogue
from suan.errors import InvalidSpec
from suan.jobspec.check import check
from suan.jobspec.load import Reading, load, read
from suan.models import (
    AcceleratorClass,
    ArrayRange,
    Checkpoint,
    Input,
    JobSpec,
    Launch,
    Lease,
    Output,
    Retry,
    Topology,
    Variant,
    Where,
    Work,
)
from suan.wire import spec_bytes, spec_from_bytes

JOBS = Path(__file__).with_name("jobs")
CATALOGUE = catalogue.load()
HEAD = "resources: {accelerators: 'ascend-910b:8'}\nrun: x\n"
fuzz = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def loaded(text: str | bytes, **given_values: str) -> JobSpec:
    return load(text, given=given_values, catalogue=CATALOGUE)


def with_notes(text: str, **given_values: str) -> Reading:
    return read(text, given=given_values, catalogue=CATALOGUE)


def test_priority_deadline_and_whether_it_may_be_stopped() -> None:
    spec = loaded(HEAD + "priority: high\ndeadline: 2026-12-01T08:00+08:00\npreemptible: false\n")
    assert (spec.priority, spec.deadline_at, spec.preemptible) == (100, 1_796_083_200.0, False)
    assert spec_from_bytes(spec_bytes(spec)) == spec
    plain = loaded(HEAD + "priority: -7\npreemptible: true\n")
    assert (plain.priority, plain.deadline_at, plain.preemptible) == (-7, 0.0, True)
    wrong = (
        "priority: highest",
        "priority: 1001",
        "deadline: 2026-12-01T08:00",
        "preemptible: yes",
    )
    for line in (*wrong, "deadline: tomorrow", "deadline: 7"):
        with pytest.raises(InvalidSpec):
            loaded(HEAD + line + "\n")


def test_minimal_file_has_the_defaults_of_the_model() -> None:
    spec = loaded((JOBS / "minimal.yaml").read_bytes())
    variant = Variant("ascend-910b", accelerators_per_node=8, run="python train.py")
    assert spec == JobSpec(variants=(variant,))


def test_full_file_reads_every_key() -> None:
    spec = loaded((JOBS / "full.yaml").read_bytes(), HF_TOKEN="never stored")
    assert [variant.accelerator for variant in spec.variants] == ["ascend-910b", "hygon-bw1000"]
    first = spec.variants[0]
    assert (first.num_nodes, first.accelerators_per_node, first.cards) == (4, 8, 32)
    assert (first.cpus_per_node, first.memory_gib_per_node) == (32, 256.0)
    assert first.topology == Topology("supernode")
    assert first.image == "registry.example/pytorch:2.6-cann"
    assert first.setup == "pip install -r requirements.txt"
    assert first.run.startswith("torchrun --nnodes=$SUAN_NUM_NODES")
    assert spec.variants[1].image == "registry.example/pytorch:2.6-dtk"
    assert spec.where == Where(
        sites_allowed=("shenzhen", "zhengzhou"), yuan_max=3000, prefer=("cost", "finish", "energy")
    )
    assert spec.inputs == (Input("/data", "ds://wudao-200g@v3"),)
    assert spec.outputs == (Output("/output", "s3://team-a/qwen-sft/", "always"),)
    assert (spec.environment, spec.secrets) == ((("LR", "1e-5"),), ("HF_TOKEN",))
    assert spec.time_limit_seconds == 12 * 3600
    assert spec.retry == Retry(3, ("NodeFault", "Preempted"))
    assert (spec.name, spec.working_directory, spec.account) == ("qwen-sft", ".", "team-a")
    assert spec.funding == ("voucher:SZ-2026-0183", "balance")
    assert "never stored" not in repr(spec)


def test_json_indented_by_tabs_is_a_job_file() -> None:
    spec = loaded((JOBS / "sweep.json").read_bytes())
    assert spec.variants[0].accelerator == AcceleratorClass("bf16", 300, 64)
    assert spec.variants[0].accelerators_per_node == 2
    assert spec.environment == (("FLAG", "true"), ("LR", "0.001"))
    assert spec.array == ArrayRange(0, 99, 1, 10)
    assert spec.launch is Launch.PER_CARD
    assert spec.work == Work(flops=1e18, precision="bf16")
    assert (spec.name, spec.priority, spec.lease) == ("扫参-sweep", -5, Lease("proof"))
    assert spec.time_limit_seconds == 3600


def test_texts_per_accelerator_and_classes_spelled_out() -> None:
    spec = loaded((JOBS / "vendors.yaml").read_bytes())
    by_model = {str(variant.accelerator): variant for variant in spec.variants}
    assert [variant.accelerator for variant in spec.variants][:3] == [
        "ascend-910b",
        "hygon-bw1000",
        "nvidia-h100",
    ]
    assert by_model["ascend-910b"].image.endswith("cann")
    assert by_model["ascend-910b"].setup == ""
    assert by_model["hygon-bw1000"].setup == "source /opt/dtk/env.sh"
    assert by_model["hygon-bw1000"].run == "torchrun train.py"
    assert by_model["nvidia-h100"].run == "torchrun --fp8 train.py"
    # The class stands for every model of the catalogue that reaches it, each with its image.
    reached = [variant for variant in spec.variants if variant.accelerators_per_node == 4]
    assert {"nvidia-h100", "nvidia-h200", "nvidia-b200"} <= {str(v.accelerator) for v in reached}
    assert "nvidia-a100" not in {str(variant.accelerator) for variant in reached}
    assert all(variant.image for variant in spec.variants)
    assert spec.inputs[1].writable and not spec.inputs[0].writable
    assert spec.outputs == (Output("/weights", "ds://team-a/weights", "success", 10 * 2**30),)
    assert spec.work == Work(36 * 3600, "nvidia-a100", 64)
    assert spec.retry == Retry(2, ("site", "NodeFault", "NetworkFault"))
    assert spec.lease == Lease("restart", 1200)
    assert (spec.grace_seconds, spec.time_limit_seconds) == (120, 95_400)
    assert spec.variants[0].topology == Topology("supernode", 2, required=True)
    assert spec.where == Where((), ("guiyang",), "multi-site", 0.0, ("energy", "finish"))


def test_one_job_as_384_cards_here_or_512_there() -> None:
    spec = loaded((JOBS / "either.yaml").read_bytes())
    ways = [(v.accelerator, v.num_nodes, v.cards, v.software) for v in spec.variants]
    assert ways[:2] == [
        ("ascend-910c", 48, 384, "cann>=8.0"),  # 16 dies are 8 cards
        ("hygon-bw1000", 64, 512, ""),
    ]
    # The class stands for its models, since what they need differs.
    assert ("nvidia-h100", 16, 128, "") in ways
    assert all(
        software == ("cann>=8.0" if "ascend" in str(model) else "")
        for model, _, _, software in ways
    )
    assert spec.work == Work(
        precision="fp8", fallbacks=("bf16",), tokens=2e12, parameters=7e10, family="qwen-pretrain"
    )
    assert spec.checkpoint == Checkpoint(2 * 2**40, 1800)
    rest = (
        "num_nodes: 65536\nrun: x\nresources:\n  accelerators: {type: 'a100:1024', num_nodes: 2}\n"
    )
    assert loaded(rest).variants[0].cards == 2048


def test_a_family_may_be_all_that_is_said_of_work() -> None:
    assert loaded(HEAD + "work: {family: nightly}\n").work == Work(family="nightly")
    measured = loaded(HEAD + "work: {duration: 1h, accelerators: 'a100:8', precision: fp64}\n").work
    assert (measured.seconds, measured.precision) == (3600, "fp64")


def test_vendor_without_image_is_left_out_with_a_note() -> None:
    text = "resources:\n  accelerators: {any_of: [ascend-910b:8, nvidia-h100:8]}\nrun: x\nimage:\n"
    reading = with_notes(text + "  ascend: a/b\n")
    assert [variant.accelerator for variant in reading.spec.variants] == ["ascend-910b"]
    (note,) = reading.notes
    assert (note.code, note.line, note.path) == ("VariantLeftOut", 5, "image")
    assert "nvidia-h100" in note.message


def test_no_variant_left_is_an_error_at_the_image() -> None:
    with pytest.raises(InvalidSpec) as caught:
        loaded(HEAD + "image: {nvidia: a/b}\n")
    (problem,) = caught.value.problems
    assert (problem.code, problem.path, problem.line) == ("NoVariant", "image", 3)


def test_class_that_no_model_reaches_is_an_error_where_texts_differ() -> None:
    want = "{any: {precision: bf16, tflops: 999999}}"
    with pytest.raises(InvalidSpec) as caught:
        loaded(f"resources: {{accelerators: {want}}}\nimage: {{gpu: a/b}}\nrun: x\n")
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("NoVariant", "resources.accelerators")


def test_class_without_texts_per_accelerator_stays_a_class() -> None:
    spec = loaded("resources: {accelerators: {any: {precision: int8}}}\nimage: a/b\nrun: x\n")
    assert spec.variants == (Variant(AcceleratorClass("int8"), image="a/b", run="x"),)


def test_null_variables_are_given_at_submit() -> None:
    text = HEAD + "envs: {B: null, A: kept, C: }\nsecrets: {TOKEN: null}\n"
    spec = loaded(text, B="1", C="2", A="unused", TOKEN="secret")
    assert spec.environment == (("A", "kept"), ("B", "1"), ("C", "2"))
    assert spec.secrets == ("TOKEN",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h", 43_200),
        ("30m", 1_800),
        ("1d2h", 93_600),
        ("1.5h", 5_400),
        ("90", 90),
        ("01:30:00", 5_400),
        ("12:00:00", 43_200),  # YAML 1.1 would read a number in base sixty: the same
        ("'100:00:01'", 360_001),
        ("45s", 45),
    ],
)
def test_times(text: str, seconds: float) -> None:
    assert loaded(f"{HEAD}time_limit: {text}\n").time_limit_seconds == seconds


@pytest.mark.parametrize(
    ("text", "gib"),
    [("256GiB+", 256), ("256G", 256), ("256", 256), ("256+", 256), ("512MiB", 0.5), ("1T", 1024)],
)
def test_memory(text: str, gib: float) -> None:
    spec = loaded(f"resources: {{accelerators: ascend-910b, memory: {text}}}\nrun: x\n")
    assert spec.variants[0].memory_gib_per_node == gib


def test_decimal_units_count_powers_of_ten() -> None:
    spec = loaded("resources: {accelerators: ascend-910b, memory: 1GB}\nrun: x\n")
    assert spec.variants[0].memory_gib_per_node == pytest.approx(1e9 / 2**30)


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ("0-99%10", ArrayRange(0, 99, 1, 10)),
        ("0-9:2", ArrayRange(0, 9, 2)),
        ("1-9:2%3", ArrayRange(1, 9, 2, 3)),
        ("7", ArrayRange(7, 7)),
    ],
)
def test_arrays(text: str, array: ArrayRange) -> None:
    assert loaded(f"{HEAD}array: {text}\n").array == array


def test_words_of_yaml_1_1_are_taken_as_written() -> None:
    text = "resources: {accelerators: ascend-910b}\nrun: yes\nname: no\nenvs: {A: on, B: 1_000}\n"
    spec = loaded(text + "retry: {max: 1, on: [site]}\n")
    assert (spec.variants[0].run, spec.name) == ("yes", "no")
    assert spec.environment == (("A", "on"), ("B", "1_000"))
    assert spec.retry.on == ("site",)


def test_dos_line_ends_and_byte_order_mark() -> None:
    text = "\ufeff" + HEAD.replace("run: x", "run: |\n  a\n  b").replace("\n", "\r\n")
    assert loaded(text.encode()).variants[0].run == "a\nb\n"


printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]))
job_files = st.fixed_dictionaries(
    {
        "resources": st.fixed_dictionaries(
            {
                "accelerators": st.one_of(
                    st.sampled_from(CATALOGUE.models()).map(lambda model: f"{model}:4"),
                    st.lists(st.sampled_from(CATALOGUE.models()), min_size=1, max_size=5).map(
                        lambda models: {"any_of": models}
                    ),
                )
            },
            optional={"cpus": st.integers(1, 4096), "memory": st.integers(1, 65_536)},
        ),
        "run": printable.filter(str.strip),
    },
    optional={
        "name": printable.filter(lambda text: 0 < len(text) <= 128),
        "num_nodes": st.integers(1, 65_536),
        "envs": st.dictionaries(
            st.from_regex(r"[A-RT-Z_][A-Z0-9_]{0,20}", fullmatch=True), printable
        ),
        "time_limit": st.integers(1, 366 * 86_400),
        "array": st.integers(0, 1000).map(lambda last: f"0-{last}"),
        "priority": st.integers(-1000, 1000),
        "launch": st.sampled_from(["per-node", "per-card"]),
    },
)


@fuzz
@given(job_files)
def test_yaml_and_json_say_the_same_and_the_check_agrees(job: dict[str, object]) -> None:
    from_yaml = loaded(yaml.safe_dump(job, allow_unicode=True))
    from_json = loaded(json.dumps(job, ensure_ascii=False))
    assert from_yaml == from_json
    assert check(from_yaml) == ()
    assert from_yaml.variants[0].run == job["run"]
    assert from_yaml.time_limit_seconds == job.get("time_limit", 0)
    assert dict(from_yaml.environment) == job.get("envs", {})


@fuzz
@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.text("[]{}:,-&*!|>'\"#%@` \n\tab0?"),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
            lambda inner: st.one_of(
                st.lists(inner, max_size=4),
                st.dictionaries(
                    st.sampled_from(
                        [
                            "run",
                            "resources",
                            "accelerators",
                            "any",
                            "any_of",
                            "envs",
                            "image",
                            "placement",
                            "inputs",
                            "work",
                            "array",
                            "lease",
                            "outputs",
                            "cpus",
                        ]
                    ),
                    inner,
                    max_size=6,
                ),
            ),
            max_leaves=20,
        ).map(json.dumps),
    )
)
def test_whatever_is_no_job_file_is_refused_in_words(source: str | bytes) -> None:
    with pytest.raises(InvalidSpec) as caught:
        loaded(source)
    assert caught.value.problems
    assert all(problem.code and problem.message for problem in caught.value.problems)


@fuzz
@given(st.sampled_from(sorted(JOBS.iterdir())), st.data())
def test_a_damaged_file_loads_or_is_refused_with_lines(path: Path, data: st.DataObject) -> None:
    text = path.read_text("utf-8")
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(text) - 1))
        end = begin + data.draw(st.integers(0, 5))
        text = text[:begin] + data.draw(st.text("{}[]:, -&*!'\"\n\t0a\0", max_size=3)) + text[end:]
    try:
        spec = loaded(text, HF_TOKEN="x")
    except InvalidSpec as error:
        lines = [problem.line for problem in error.problems]
        assert all(0 <= line <= text.count("\n") + 2 for line in lines)
    else:
        assert check(spec) == ()
