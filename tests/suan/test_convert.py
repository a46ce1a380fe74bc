"""sbatch scripts: what is translated, what is noted, and that the result always loads."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from suan import catalogue
from suan.errors import InvalidSpec
from suan.jobspec.convert import convert
from suan.jobspec.limits import Fault
from suan.jobspec.load import load
from suan.jobspec.sbatch import gres_list, read_script, time_seconds
from suan.models import ArrayRange, JobSpec

CATALOGUE = catalogue.load()
GRES = "#SBATCH --gres=npu:910B3:8\n"


def converted(script: str, **given_values: str) -> tuple[JobSpec, str]:
    """The spec of the converted script, and its comments."""
    text = convert(script, catalogue=CATALOGUE)
    comments = "\n".join(line for line in text.split("\n") if line.startswith("#"))
    return load(text, given=given_values, catalogue=CATALOGUE), comments


def with_options(*options: str, body: str = "python train.py\n") -> tuple[JobSpec, str]:
    directives = "".join(f"#SBATCH {option}\n" for option in options)
    return converted(f"#!/bin/bash\n{GRES}{directives}{body}")


def test_a_whole_script() -> None:
    spec, comments = converted(
        "#!/bin/bash\n"
        "#SBATCH --job-name=qwen-sft   # what people call it\n"
        "#SBATCH -N 4 --ntasks-per-node 8\n"
        "#SBATCH -c4\n"
        "#SBATCH --mem-per-cpu=3888M\n"
        "#SBATCH --gres=dcu:K100-PCIE-64GB-LS:8,lscratch:100\n"
        "#SBATCH -t 1-02:30\n"
        "#SBATCH -A team-a -p hx1hdnormal\n"
        "#SBATCH --array=0-99%10\n"
        "#SBATCH -o logs/%x-%A_%4a.out\n"
        "#SBATCH -D /work/li\n"
        "##SBATCH --qos=disabled\n"
        "\n"
        "# a comment\n"
        "module load dtk\n"
        "srun python train.py $SLURM_ARRAY_TASK_ID $SLURM_CPUS_ON_NODE\n"
        "#SBATCH --time=1\n"
    )
    (variant,) = spec.variants
    assert variant.accelerator == CATALOGUE.resolve("K100-PCIE-64GB-LS")
    assert (variant.num_nodes, variant.accelerators_per_node) == (4, 8)
    assert (variant.cpus_per_node, variant.memory_gib_per_node) == (32, 32 * 3888 / 1024)
    assert (spec.name, spec.account, spec.working_directory) == ("qwen-sft", "team-a", "/work/li")
    assert spec.time_limit_seconds == 86_400 + 2.5 * 3600
    assert spec.array == ArrayRange(0, 99, 1, 10)
    assert variant.run.splitlines()[1:4] == ["", "# a comment", "module load dtk"]
    assert variant.run.endswith("#SBATCH --time=1\n")
    for said in (
        "--gres=lscratch",
        "line 8: --partition=hx1hdnormal: the broker chooses",
        "logs/${SUAN_JOB_NAME}-${SUAN_ARRAY_ID}_${SUAN_ARRAY_INDEX}.out",
        "srun in `run`",
        "read SUAN_ARRAY_INDEX",
        "SLURM_CPUS_ON_NODE in `run`: set at Slurm sites only",
    ):
        assert said in comments
    assert "qos" not in comments


@pytest.mark.parametrize(
    ("options", "nodes", "cards", "model"),
    [
        (["--gres=npu:910B3:1"], 1, 1, "ascend-910b"),
        (["--gres=gpu:a100:4(S:0-1)"], 1, 4, "nvidia-a100"),
        (["--gres", "gpu:a100"], 1, 1, "nvidia-a100"),
        (["--gres=gres/gpu:h100:2"], 1, 2, "nvidia-h100"),
        (["--tres-per-node=gres/gpu:h100=2"], 1, 2, "nvidia-h100"),
        (["--gpus-per-node=h100:8", "-N", "2"], 2, 8, "nvidia-h100"),
        (["--gpus=h100:16", "--nodes=2"], 2, 8, "nvidia-h100"),
        (["-G", "h100:9", "-N2"], 2, 5, "nvidia-h100"),
        (["--gpus-per-task=h100:1", "-n", "8", "-N", "2"], 2, 4, "nvidia-h100"),
        (["--gres=gpu:h100:1", "--gpus-per-node=a100:2"], 1, 2, "nvidia-a100"),
    ],
)
def test_accelerators(options: list[str], nodes: int, cards: int, model: str) -> None:
    spec, _ = converted(f"#SBATCH {' '.join(options)}\ntrue\n")
    (variant,) = spec.variants
    assert (variant.num_nodes, variant.accelerators_per_node) == (nodes, cards)
    assert variant.accelerator == model


@pytest.mark.parametrize("kind", ["npu", "dcu", "gpu"])
@pytest.mark.parametrize("type_", ["", "mystery9000:"])
def test_without_a_known_type_any_model_of_the_kind(kind: str, type_: str) -> None:
    spec, comments = converted(f"#SBATCH --gres={kind}:{type_}8\ntrue\n")
    models = [str(variant.accelerator) for variant in spec.variants]
    assert models == [model for model in CATALOGUE.models() if CATALOGUE.kind(model) == kind]
    assert all(variant.accelerators_per_node == 8 for variant in spec.variants)
    assert f"any {kind} may do" in comments


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5_400),
        ("90:30", 5_430),
        ("1:30:00", 5_400),
        ("2-12", 216_000),
        ("2-12:30", 217_800),
        ("2-12:30:15", 217_815),
        ("0-00:00:01", 1),
        ("UNLIMITED", 0),
        ("infinite", 0),
        ("0", 0),
    ],
)
def test_slurm_times(text: str, seconds: float) -> None:
    assert time_seconds(text) == seconds
    spec, _ = with_options(f"--time={text}")
    assert spec.time_limit_seconds == seconds


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "1-", "1-2:3:4:5", "1.5"])
def test_what_is_no_slurm_time_is_noted(text: str) -> None:
    with pytest.raises(Fault):
        time_seconds(text)
    spec, comments = with_options(f"--time='{text}'")
    assert spec.time_limit_seconds == 0
    assert "not a time of Slurm's" in comments


@pytest.mark.parametrize(
    ("option", "gib"),
    [
        ("--mem=256G", 256),
        ("--mem=2048", 2),
        ("--mem=1T", 1024),
        ("--mem=1048576K", 1),
        ("--mem=4GB", 4),
        ("--mem-per-gpu=32G", 256),
        ("--mem-per-cpu=2G -c 4", 8),
        ("--mem=0", 0),
        ("--mem=lots", 0),
    ],
)
def test_memory(option: str, gib: float) -> None:
    spec, comments = with_options(option)
    assert spec.variants[0].memory_gib_per_node == gib
    assert ("--mem=" in comments) == (gib == 0)


@pytest.mark.parametrize(
    ("options", "nodes", "cpus"),
    [
        (["-n 32", "--ntasks-per-node=8", "-c 2"], 4, 16),
        (["-n 9", "--ntasks-per-node=8"], 2, 8),
        (["-N 2", "-n 8"], 2, 4),
        (["-N 2-4"], 2, 0),
        (["-N many"], 1, 0),
        (["--cpus-per-gpu=6"], 1, 48),
        (["-N 1", "-N 3"], 3, 0),
    ],
)
def test_nodes_and_cpus(options: list[str], nodes: int, cpus: int) -> None:
    spec, _ = with_options(*options)
    assert (spec.variants[0].num_nodes, spec.variants[0].cpus_per_node) == (nodes, cpus)


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ("0-9", ArrayRange(0, 9)),
        ("1-9:2%3", ArrayRange(1, 9, 2, 3)),
        ("4,5,6", ArrayRange(4, 6)),
        ("0,5,10%2", ArrayRange(0, 10, 5, 2)),
        ("7", ArrayRange(7, 7)),
        ("1,2,9", None),
        ("5,5", None),
        ("9-1", None),
    ],
)
def test_arrays(text: str, array: ArrayRange | None) -> None:
    spec, comments = with_options(f"--array={text}")
    assert spec.array == array
    assert (f"--array={text}" in comments) == (array is None)


def test_exported_variables() -> None:
    script = f"{GRES}#SBATCH --export=ALL,LR=1e-5,TOKEN,SUAN_X=1,9=2\ntrue\n"
    spec, comments = converted(script, TOKEN="t")
    assert spec.environment == (("LR", "1e-5"), ("TOKEN", "t"))
    for said in ("--export=ALL", "--export=SUAN_X", "--export=9"):
        assert said in comments


@pytest.mark.parametrize(
    "option",
    ["--exclusive", "-q high", "--dependency=afterok:1", "-w node[1-3]", "--new-thing=5", "-H"],
)
def test_everything_else_is_noted(option: str) -> None:
    _, comments = with_options(option)
    assert "line 3: --" in comments


@pytest.mark.parametrize(
    ("directive", "said"),
    [("--comment='open", "a quote does not close"), ("nodes=3", "not an option of sbatch")],
)
def test_directives_that_cannot_be_read_are_noted(directive: str, said: str) -> None:
    _, comments = with_options(directive)
    assert f"line 3: {said}" in comments or said in comments


def test_a_quote_in_a_comment_is_no_quote() -> None:
    spec, _ = with_options("--job-name=a  # don't")
    assert spec.name == "a"


def test_only_the_first_part_of_a_heterogeneous_job() -> None:
    spec, comments = with_options("-N 2", "hetjob", "-N 5")
    assert (spec.variants[0].num_nodes, spec.variants[0].run) == (2, "python train.py\n")
    assert "heterogeneous" in comments


def test_directives_end_at_the_first_command() -> None:
    script = read_script("#!/bin/sh\n\n# hi\n#SBATCH -N 2\necho\n#SBATCH -N 3\n")
    assert [(option.name, option.value, option.line) for option in script.options] == [
        ("nodes", "2", 4)
    ]
    assert script.body == "# hi\necho\n#SBATCH -N 3\n"


def test_other_interpreters_get_the_body_on_standard_input() -> None:
    spec, _ = converted(f"#!/usr/bin/env python3\n{GRES}print('it is')\n")
    assert spec.variants[0].run == (
        "/usr/bin/env python3 <<'SUAN_SCRIPT_END'\nprint('it is')\nSUAN_SCRIPT_END\n"
    )


def test_gres_words() -> None:
    assert [
        (item.name, item.type, item.count) for item in gres_list("gpu:h100:0(IDX:N/A),npu")
    ] == [
        ("gpu", "h100", 0),
        ("npu", "", 1),
    ]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("", "MissingKey"),
        (f"#!/bin/bash\n{GRES}\n\n", "MissingKey"),
        ("#!/bin/bash\n#SBATCH -N 1\ntrue\n", "NoAccelerator"),
        ("#!/bin/bash\n#SBATCH --gres=gpu:0\ntrue\n", "NoAccelerator"),
        ("#!/bin/bash\n#SBATCH --gres=gpu:a100:5000\ntrue\n", "OutOfRange"),
        (f"{GRES}#SBATCH -c 9999\ntrue\n", "OutOfRange"),
        (b"\xff\xfe", "NotUTF8"),
        ("x" * 300_000, "FileTooLarge"),
    ],
)
def test_scripts_that_no_job_can_be_made_of(script: str | bytes, code: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        convert(script, catalogue=CATALOGUE)
    assert caught.value.problems[0].code == code


bodies = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"], include_characters="\t\n")
)
options = st.lists(
    st.one_of(
        st.builds(
            "--{}={}".format,
            st.sampled_from(
                [
                    "time",
                    "mem",
                    "nodes",
                    "ntasks",
                    "array",
                    "job-name",
                    "export",
                    "gres",
                    "gpus",
                    "output",
                    "chdir",
                    "account",
                    "comment",
                    "cpus-per-task",
                    "ntasks-per-node",
                ]
            ),
            st.text("0123456789-:%,abcGM'\"#$ \\é", max_size=8),
        ),
        st.sampled_from(["-N 2", "-n4", "--exclusive", "-t 1:00", "hetjob", "-", "--", "-J", "x"]),
    ),
    max_size=6,
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(options, bodies)
def test_what_is_converted_loads_with_the_body_untouched(lines: list[str], body: str) -> None:
    directives = "".join(f"#SBATCH {line}\n" for line in lines)
    script = f"#!/bin/bash\n{GRES}{directives}true\n{body}"
    try:
        text = convert(script, catalogue=CATALOGUE)
    except InvalidSpec as error:
        assert all(problem.code in ("OutOfRange", "NoAccelerator") for problem in error.problems)
        return
    asked = dict.fromkeys(yaml.safe_load(text).get("envs", {}), "")
    spec = load(text, given=asked, catalogue=CATALOGUE)
    assert spec.variants[0].run.rstrip() == f"true\n{body}".rstrip()
