"""Rules of the house that no linter knows: sizes, docstrings, lazy imports, public names, roles.

They are ratchets: a limit may be lowered, and is raised only with a reason in docs/decisions/.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("suan", "scheduler", "broker", "agent", "simulator", "bench", "proto", "examples")
GENERATED = ROOT / "suan" / "v1"
FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
# Slow to import, and not needed before a command has been understood.
HEAVY = {"ray", "numpy", "cryptography", "grpc", "google.protobuf", "uvloop", "jsonschema"}
PUBLIC_NAMES = {
    "AsyncClient",
    "Client",
    "Job",
    "JobSpec",
    "JobState",
    "SuanError",
    "context",
    "load_job",
}


def modules(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            if GENERATED not in path.parents:
                yield path


PRODUCT = list(modules(*ROOMS))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_long() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in PRODUCT}
    assert {name: n for name, n in lengths.items() if n > FILE_LINES_MAX} == {}


def test_no_function_is_long() -> None:
    lengths = {
        f"{name_of(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES_MAX} == {}


def test_every_module_says_what_it_is() -> None:
    """An empty __init__.py has nothing to say."""
    trees = {name_of(path): ast.parse(path.read_text()) for path in PRODUCT}
    silent = [name for name, tree in trees.items() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def test_nobody_bends_the_import_path() -> None:
    """An import path is a folder: nothing writes to sys.path or PYTHONPATH, tests included."""

    def bends(node: ast.AST) -> bool:
        is_path = isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path"
        return is_path or (isinstance(node, ast.Constant) and node.value == "PYTHONPATH")

    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in [*PRODUCT, *modules("tests")]
        if path != Path(__file__).resolve()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.expr) and bends(node)
    ]
    assert found == []


def test_proto_holds_no_package() -> None:
    assert list((ROOT / "proto").rglob("__init__.py*")) == []


def imported_by(statement: str) -> set[str]:
    """Names of all modules in memory after `statement`, in a fresh process."""
    script = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_public_names_are_these() -> None:
    """Adding one is a promise to every user: it belongs in CHANGELOG.md too."""
    import suan

    assert set(suan.__all__) == PUBLIC_NAMES
    assert all(getattr(suan, name) is not None for name in PUBLIC_NAMES)


@pytest.mark.parametrize("module", ["suan", "suan.cli"])
def test_the_start_is_light(module: str) -> None:
    assert imported_by(f"import {module}") & HEAVY == set()


def test_every_rpc_has_a_row_in_the_table_of_roles() -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    from broker.services.roles import ROLES

    image = FileDescriptorSet.FromString((ROOT / "proto" / "suan.v1.binpb").read_bytes())
    served = {
        f"/{file.package}.{service.name}/{method.name}"
        for file in image.file
        for service in file.service
        for method in service.method
    }
    assert {method for method in ROLES if method.startswith("/suan.")} == served


def pins(lock: str) -> dict[str, Version]:
    """Distribution, in its canonical spelling -> the version that is locked."""
    lines = [line.rstrip("\\ ") for line in lock.splitlines() if line[:1].isalnum()]
    requirements = [Requirement(line) for line in lines]
    return {
        canonicalize_name(requirement.name): Version(next(iter(requirement.specifier)).version)
        for requirement in requirements
    }


def unmet(declared: list[str], locked: dict[str, Version]) -> list[str]:
    def is_met(requirement: Requirement) -> bool:
        version = locked.get(canonicalize_name(requirement.name))
        return version is not None and version in requirement.specifier

    return [str(each) for each in map(Requirement, declared) if not is_met(each)]


def test_the_lock_satisfies_what_the_project_declares() -> None:
    """Enough to see a dependency that was added or raised without locking again."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = [*project["dependencies"], *(line for extra in extras for line in extra)]
    locked = pins((ROOT / "requirements.lock").read_text()) | {"suan": Version(project["version"])}
    assert unmet(declared, locked) == []
    assert unmet(["click>=99", "absent"], locked) == ["click>=99", "absent"]
