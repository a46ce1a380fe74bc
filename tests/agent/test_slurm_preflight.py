"""What preflight tells an operator of a Slurm, on a real one and on one that is in trouble."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from processes import until

from agent.checks.check import Check, Status
from agent.config.file import AgentConfig, load_config
from agent.slurm.preflight import slurm_checks
from bench.slurm_site import SlurmSite, missing_tools
from suan.catalogue import load

needs_slurm = pytest.mark.skipif(
    bool(missing_tools()), reason="needs Slurm: deploy/servers.sh installs it"
)


def configured(
    folder: Path, conf: Path, more: str = "", python: str = sys.executable
) -> AgentConfig:
    path = folder / "agent.yaml"
    path.write_text(
        "site: s\nbroker: 127.0.0.1:1\nstate_dir: state\nbackend: slurm\nslurm:\n"
        f"  shared_dir: shared\n  conf: {conf}\n  python: {python}\n{more}"
    )
    return load_config(path, load())


async def checked(config: AgentConfig) -> dict[str, Check]:
    assert config.slurm is not None
    return {check.name: check for check in await slurm_checks(config, config.slurm)}


def at_rest(site: SlurmSite) -> None:
    """Return once all nodes are idle: what other tests left behind has ended."""
    until(lambda: set(site.call("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"})


@needs_slurm
async def test_a_site_in_order(slurm_site: SlurmSite, tmp_path: Path) -> None:
    await asyncio.to_thread(at_rest, slurm_site)
    found = await checked(configured(tmp_path, slurm_site.conf))
    assert list(found) == [
        "scheduler",
        "accelerators ascend",
        "accelerators hygon",
        "names",
        "rules",
        "accounts",
        "users",
        "images",
        "shared",
        "job",
    ]
    # A machine of the tests may have no way out, which is told, and they may run as root.
    bad = {name for name, check in found.items() if check.status is not Status.OK}
    assert bad <= {"job", "users"}
    assert "2 nodes × 8 ascend-910b (gres npu:910b), 16 cards" in (
        found["accelerators ascend"].message
    )
    assert "npu:910b → ascend-910b" in found["names"].message
    assert "ascend: run time ≤ 3 d" in found["rules"].message
    assert "a test job ran on npu1 under the fence" in found["job"].message
    assert not slurm_site.call("squeue", "-h")
    left = await asyncio.to_thread(os.listdir, tmp_path)
    assert left == ["agent.yaml"]  # nothing stays


@needs_slurm
async def test_what_an_operator_has_to_mend(slurm_site: SlurmSite, tmp_path: Path) -> None:
    slurm_site.call("scontrol", "update", "NodeName=npu2", "State=DRAIN", "Reason=HBM")
    try:
        more = "  partitions: [ascend, hygonn]\n"
        found = await checked(configured(tmp_path, slurm_site.conf, more, "/no/such/python"))
    finally:
        slurm_site.call("scontrol", "update", "NodeName=npu2", "State=RESUME")
    assert found["accelerators ascend"].status is Status.WARN
    assert "npu2 (HBM)" in found["accelerators ascend"].message
    assert (found["names"].status, found["names"].hint) == (
        Status.FAIL,
        "correct slurm.partitions",
    )
    assert found["job"].status is Status.FAIL
    assert "slurm.python" in found["job"].hint


async def test_a_slurm_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    config = configured(tmp_path, tmp_path / "slurm.conf")
    assert config.slurm is not None
    (only,) = await slurm_checks(config, config.slurm)
    assert (only.name, only.status) == ("scheduler", Status.FAIL)
    assert only.hint == "install Slurm"
