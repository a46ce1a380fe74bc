"""`accounts` and `containers` of agent.yaml, and what the federation is told of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.assembly import profile_of, settings_of
from agent.backends.container import Containers, Runtime
from agent.checks import accounts as account_check
from agent.checks.accounts import check_users, require_root
from agent.checks.check import Status
from agent.config.file import AgentConfig, load_config
from suan.catalogue import load
from suan.errors import InvalidRequest, InvalidSpec

LEAST = """
site: zhengzhou
broker: broker.example.cn:443
state_dir: state
pools: [{name: dcu, accelerator: hygon-bw1000, nodes: 2, cards_per_node: 8}]
"""
SLURM = LEAST.replace("pools: ", "#") + "backend: slurm\nslurm: {shared_dir: shared}\n"
ACCOUNTS = """
accounts: {acme: {user: acme-suan}, "lab/vision": {user: vision}, "*": {user: suan-jobs}}
"""
CONTAINERS = """
containers:
  runtime: charliecloud
  command: /opt/ch/bin/ch-run
  image_dir: images
  images_allowed: ["registry.cn/lab/*", "*.sqfs"]
  binds: [/opt/hyhal, "/public/tools:/tools:ro"]
"""


def read(folder: Path, text: str) -> AgentConfig:
    path = folder / "agent.yaml"
    path.write_text(text, "utf-8")
    return load_config(path, load())


def codes(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidSpec) as caught:
        read(folder, text)
    return [(problem.code, problem.path) for problem in caught.value.problems]


@pytest.mark.parametrize("least", [LEAST, SLURM])
def test_accounts_and_containers(tmp_path: Path, least: str) -> None:
    config = read(tmp_path, least + ACCOUNTS + CONTAINERS + "data_roots: [/public/data]\n")
    assert dict(config.accounts.users) == {
        "acme": "acme-suan",
        "lab/vision": "vision",
        "*": "suan-jobs",
    }
    assert config.containers == Containers(
        Runtime.CHARLIECLOUD,
        str(tmp_path / "images"),
        "/opt/ch/bin/ch-run",
        ("registry.cn/lab/*", "*.sqfs"),
        ("/opt/hyhal", "/public/tools:/tools:ro"),
    )
    shown = config.shown_containers
    assert shown is not None and shown.binds[-1] == "/public/data"
    assert profile_of(config, "id").runs_images and settings_of(config).runs_images
    assert profile_of(config, "id").tenants_allowed == ()  # "*" has an account
    assert "container images" in config.rules


def test_only_tenants_with_an_account_are_invited(tmp_path: Path) -> None:
    mapped = "accounts: {acme: {user: a}, blue: {user: b}}\n"
    config = read(tmp_path, LEAST + mapped)
    assert profile_of(config, "id").tenants_allowed == ("acme", "blue")
    assert settings_of(config).tenants_mapped == ("acme", "blue")
    both = read(tmp_path, LEAST + mapped + "tenants: {allow: [blue, green]}\n")
    assert profile_of(both, "id").tenants_allowed == ("blue",)
    nobody = LEAST + mapped + "tenants: {allow: [green]}\n"
    assert codes(tmp_path, nobody) == [("WrongKey", "accounts")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LEAST + "accounts: {acme: {}}", ("MissingKey", "accounts.acme.user")),
        (LEAST + "accounts: {acme: {user: 'no name'}}", ("BadText", "accounts.acme.user")),
        (LEAST + "accounts: {'* x': {user: a}}", ("BadText", "accounts.* x")),
        (LEAST + "backend: noop\naccounts: {acme: {user: a}}", ("WrongKey", "accounts")),
        (LEAST + "containers: {runtime: apptainer}", ("MissingKey", "containers.image_dir")),
        (LEAST + "containers: {runtime: podman, image_dir: i}", ("", "containers.runtime")),
        (
            LEAST + "containers: {runtime: enroot, image_dir: i, binds: [rel]}",
            ("BadText", "containers.binds[0]"),
        ),
    ],
)
def test_what_does_not_make_sense(tmp_path: Path, text: str, found: tuple[str, str]) -> None:
    ((code, path),) = codes(tmp_path, text)
    assert path == found[1] and code == (found[0] or code)


@pytest.mark.parametrize("backend", ["ray", "kubernetes"])
def test_managers_with_ways_of_their_own(tmp_path: Path, backend: str) -> None:
    section = {"ray": "{shared_dir: s}", "kubernetes": "{shared_dir: s, image: registry/base}"}
    text = LEAST.replace("pools: ", "#") + f"backend: {backend}\n{backend}: {section[backend]}\n"
    assert codes(tmp_path, text + ACCOUNTS) == [("WrongKey", "accounts")]
    assert codes(tmp_path, text + CONTAINERS) == [("WrongKey", "containers")]
    assert not read(tmp_path, text).runs_images
    if backend == "kubernetes":
        images = text.replace("registry/base", "registry/base, images_allowed: [r/*]")
        assert read(tmp_path, images).runs_images


def test_accounts_need_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = read(tmp_path, LEAST + ACCOUNTS)
    someone = SimpleNamespace(**{**vars(os), "geteuid": lambda: 1000})
    monkeypatch.setattr(account_check, "os", someone)
    with pytest.raises(InvalidRequest) as refused:
        require_root(config)
    assert refused.value.code == "AccountsNeedRoot" and "root" in refused.value.hint
    check = check_users(config)
    assert check.status is Status.FAIL and "root" in check.hint
    plain = read(tmp_path, LEAST)
    require_root(plain)
    assert check_users(plain).status is Status.OK


def test_preflight_looks_users_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = SimpleNamespace(**{**vars(os), "geteuid": lambda: 0})
    monkeypatch.setattr(account_check, "os", root)
    missing = check_users(read(tmp_path, LEAST + "accounts: {a: {user: suan-no-such-user}}"))
    assert missing.status is Status.FAIL and "suan-no-such-user" in missing.message
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shut = check_users(read(closed, LEAST + "accounts: {a: {user: nobody}}"))
    assert shut.status is Status.FAIL and "chmod o+x" in shut.hint
    assert check_users(read(tmp_path, LEAST)).status is Status.WARN  # jobs would be root's
