"""The contracts on imports in pyproject.toml hold, and each of them can be broken."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
# Contract -> the module that sins, and what it imports.
SINS = {
    "floors": ("agent.backends", "broker"),
    "pure": ("broker.core.policy", "time"),
    "core": ("broker.core.rows", "broker.loop"),
    "services": ("broker.services.roles", "broker.store.sqlite"),
    "ray": ("agent.probes", "ray"),
    "wire": ("broker.loop", "suan.v1.job_pb2"),
    "rows": ("broker.pki", "sqlite3"),
    "etcd": ("broker.store.sqlite", "etcd3"),
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the rooms and of their contracts, to break things in."""
    for room in CONFIG["root_packages"]:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(house: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    wide = os.environ | {"COLUMNS": "200"}  # so that no name is wrapped
    return subprocess.run(command, cwd=house, env=wide, capture_output=True, text=True)


def file_of(house: Path, module: str) -> Path:
    path = house.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_every_contract_has_a_sin() -> None:
    assert {contract["id"] for contract in CONFIG["contracts"]} == SINS.keys()


def test_the_rooms_keep_every_contract_until_one_sins(house: Path) -> None:
    clean = lint(house)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    for sinner, imported in SINS.values():
        with file_of(house, sinner).open("a") as source:
            source.write(f"\n\ndef sin() -> None:\n    import {imported}\n")
    broken = lint(house)
    assert broken.returncode == 1, broken.stdout + broken.stderr
    for contract in CONFIG["contracts"]:
        sinner, imported = SINS[contract["id"]]
        assert f"{contract['name']} BROKEN" in broken.stdout
        assert f"{sinner} -> {imported}" in broken.stdout
