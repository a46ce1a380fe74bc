"""From an sbatch script to a job file: `convert`.

What has a counterpart is translated; everything else is listed in comments at the top,
so that nothing is lost silently. The script's body becomes `run` as it stands.
"""

from __future__ import annotations

import re
from dataclasses import replace

import yaml

from suan.errors import InvalidSpec, Problem
from suan.jobspec.catalogue import Catalogue
from suan.jobspec.directives import Directives
from suan.jobspec.limits import ACCOUNT, DIRECTORY, NAME, VARIABLE, Rule
from suan.jobspec.load import load
from suan.jobspec.sbatch import Script, read_script, time_seconds
from suan.jobspec.sbatch_resources import take_resources
from suan.jobspec.source import decode
from suan.jobspec.units import array_range

_SHELLS = ("sh", "bash", "dash")
_END = "SUAN_SCRIPT_END"
# Slurm's variables that scripts read, and what Suan sets at every site.
_VARIABLES = {
    "SLURM_ARRAY_JOB_ID": "SUAN_ARRAY_ID",
    "SLURM_ARRAY_TASK_ID": "SUAN_ARRAY_INDEX",
    "SLURM_GPUS_ON_NODE": "SUAN_ACCELERATORS_PER_NODE",
    "SLURM_JOB_ID": "SUAN_JOB_ID",
    "SLURM_JOB_NAME": "SUAN_JOB_NAME",
    "SLURM_JOB_NUM_NODES": "SUAN_NUM_NODES",
    "SLURM_LOCALID": "LOCAL_RANK",
    "SLURM_NNODES": "SUAN_NUM_NODES",
    "SLURM_NODEID": "SUAN_NODE_RANK",
    "SLURM_NTASKS": "WORLD_SIZE",
    "SLURM_PROCID": "RANK",
    "SLURM_SUBMIT_DIR": "PWD",
}


def convert(text: str | bytes, *, catalogue: Catalogue) -> str:
    """A job file for an sbatch script. Raises InvalidSpec when the script has no commands,
    asks for no accelerator, or asks for more than any job may."""
    script = read_script(decode(text))
    if not script.body:
        raise _refusal("MissingKey", "the script has no commands", "is it an sbatch script?")
    directives = Directives(script.options)
    keys, environment = _keys(directives, catalogue)
    notes = [*script.faults, *directives.notes, *_body_notes(script.body)]
    result = _written({**keys, "envs": environment} if environment else keys, script, notes)
    try:
        load(result, given=dict.fromkeys(environment, ""), catalogue=catalogue)
    except InvalidSpec as error:
        # Its lines are those of the result, which the user has not seen.
        unplaced = tuple(replace(problem, line=0, column=0) for problem in error.problems)
        raise InvalidSpec(problems=unplaced) from None
    return result


def _keys(
    directives: Directives, catalogue: Catalogue
) -> tuple[dict[str, object], dict[str, str | None]]:
    """The keys of the job file but `envs` and `run`; the environment."""
    resources = take_resources(directives, catalogue)
    if not resources.wants:
        hint = "add e.g. `#SBATCH --gres=npu:8`: Suan places jobs by their accelerators"
        raise _refusal("NoAccelerator", "the script asks for no accelerator", hint)
    keys = {
        "apiVersion": "suan/v1",
        "name": directives.take("job-name", lambda text: _verified(text, NAME)),
        "num_nodes": resources.num_nodes,
        "resources": resources.keys(),
        "workdir": directives.take("chdir", lambda text: _verified(text, DIRECTORY)),
        "time_limit": _time_limit(directives),
        "array": directives.take("array", _array),
        "account": directives.take("account", lambda text: _verified(text, ACCOUNT)),
    }
    environment = _environment(directives)
    directives.note_rest()
    return {key: value for key, value in keys.items() if value}, environment


def _time_limit(directives: Directives) -> str:
    seconds = directives.take("time", time_seconds)
    if seconds == 0:
        directives.note("--time: no limit, so none is set")
    if not seconds:
        return ""
    days, rest = divmod(int(seconds), 86_400)
    parts = (days, rest // 3600, rest // 60 % 60, rest % 60)
    return "".join(f"{part}{unit}" for part, unit in zip(parts, "dhms", strict=True) if part)


def _array(text: str) -> str:
    """Slurm's index list as one range. Raises Fault when it is not one."""
    indexes, percent, parallel = text.partition("%")
    if re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})+", indexes):
        values = [int(index) for index in indexes.split(",")]
        step = max(values[1] - values[0], 1)
        if values == list(range(values[0], values[0] + step * len(values), step)):
            indexes = f"{values[0]}-{values[-1]}" + (f":{step}" if step > 1 else "")
    array_range(f"{indexes}{percent}{parallel}")
    return f"{indexes}{percent}{parallel}"


def _environment(directives: Directives) -> dict[str, str | None]:
    """--export: a name without value comes from the environment of whoever submits."""
    environment: dict[str, str | None] = {}
    for item in (directives.take("export", str) or "").split(","):
        name, equals, value = item.partition("=")
        if name in ("ALL", "NONE", "NIL", ""):
            if name:
                directives.note(f"--export={name}: a job gets the site's environment and envs only")
        elif re.fullmatch(VARIABLE.pattern, name):
            environment[name] = value if equals else None
        else:
            directives.note(f"--export={name}: is not {VARIABLE.meaning}")
    return environment


def _body_notes(body: str) -> list[str]:
    notes: list[str] = []
    if launched := re.findall(r"^\s*(srun|mpirun|mpiexec)\b", body, re.MULTILINE):
        words = " and ".join(dict.fromkeys(launched))
        notes.append(
            f"{words} in `run`: sbatch runs a script on the first node, Suan runs it on every "
            "node (launch: per-card: once per card), so drop the launcher or keep it on rank 0"
        )
    used = set(re.findall(r"\bSLURM_[A-Z_]+", body))
    for name in sorted(used & _VARIABLES.keys()):
        notes.append(f"{name} in `run`: read {_VARIABLES[name]}, which every site sets")
    if unknown := sorted(used - _VARIABLES.keys()):
        notes.append(f"{', '.join(unknown)} in `run`: set at Slurm sites only")
    return notes


def _run_text(script: Script) -> str:
    """The body, handed to its interpreter when that is no plain shell."""
    words = script.interpreter.split()
    named = next((word for word in reversed(words) if not word.startswith("-")), "sh")
    if named.rpartition("/")[2] in _SHELLS:
        return script.body
    return f"{script.interpreter} <<'{_END}'\n{script.body}{_END}\n"


def _written(keys: dict[str, object], script: Script, notes: list[str]) -> str:
    comments = ["# Converted from an sbatch script by `suan convert`."]
    if notes:
        comments.append("# Not translated, or to be looked at:")
        comments += [f"#   {_one_line(note)}" for note in notes]
    body = yaml.safe_dump(keys, sort_keys=False, allow_unicode=True, width=10_000)
    return "\n".join(comments) + f"\n{body}{_run_block(_run_text(script))}"


def _run_block(text: str) -> str:
    """`run` as a literal block, or quoted when YAML would change it in a block."""
    if re.search("[\r\x85\u2028\u2029\ufeff]", text):
        return yaml.safe_dump({"run": text}, allow_unicode=True, width=10_000)
    indicator = "2" if text[0].isspace() else ""
    lines = [f"  {line}" if line else "" for line in text.split("\n")]
    return f"run: |{indicator}\n" + "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _verified(text: str, rule: Rule[str]) -> str:
    rule.verify(text)
    return text


def _refusal(code: str, message: str, hint: str) -> InvalidSpec:
    return InvalidSpec(problems=(Problem(code, 0, 0, "", message, hint),))
