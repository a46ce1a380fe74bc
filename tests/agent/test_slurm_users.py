# ruff: noqa: ASYNC240, ASYNC110
"""Jobs of Slurm as other users of the machine: a real Slurm, real users, sbatch --uid."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import alive
from slurm_runs import JOB, NODES, SETTINGS, lease, order

from agent.backends import BackendRefused, Exit, Launch, Phase, Reason, Stream, queue_watch
from agent.backends.account import Accounts
from agent.backends.container import Containers, Runtime
from agent.checks.check import Status
from agent.config.file import load_config
from agent.slurm.backend import SlurmBackend
from agent.slurm.poll import SlurmPoll
from agent.slurm.preflight import slurm_checks
from agent.slurm.read import Slurm
from bench.image_files import NO_CHARLIECLOUD, charliecloud_runs, make_image
from bench.local_users import WHY_NOT, as_user, can_make_users, crossable_place, local_users
from bench.slurm_site import SlurmSite, missing_tools, running_slurm
from suan import catalogue

PYTHON = "/usr/bin/python3"  # that every user can run
PATIENCE_SECONDS = 60.0

pytestmark = [
    pytest.mark.skipif(bool(missing_tools()), reason="needs Slurm: deploy/servers.sh installs it"),
    pytest.mark.skipif(not can_make_users(), reason=WHY_NOT),
    pytest.mark.skipif(not os.access(PYTHON, os.X_OK), reason=f"needs {PYTHON}"),
]
needs_charliecloud = pytest.mark.skipif(not charliecloud_runs(), reason=NO_CHARLIECLOUD)
Users = tuple[pwd.struct_passwd, ...]


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    with local_users("suan-acme", "suan-blue") as made:
        yield made


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with crossable_place() as made:
        yield made


@pytest.fixture(scope="module")
def site(place: Path, users: Users) -> Iterator[SlurmSite]:
    """A Slurm whose nodes' places every user can cross."""
    with running_slurm(place / "slurm") as running:
        yield running


@asynccontextmanager
async def backend(
    site: SlurmSite, state: Path, users: Users, **options: Any
) -> AsyncIterator[SlurmBackend]:
    mapped = Accounts({"acme": users[0].pw_name, "blue": users[1].pw_name})
    settings = replace(SETTINGS, python=PYTHON, users=mapped, path=site.environment["PATH"])
    state.mkdir(exist_ok=True)
    agent = {"PATH": os.environ["PATH"], "HOME": "/root"}
    poll = SlurmPoll(Slurm({**site.environment, "AGENT_KEY": "hunter2"}), 0.5)
    opened = SlurmBackend(state, agent, {}, lambda: settings, poll, **options)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def next_exit(of: SlurmBackend) -> Exit:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: SlurmBackend, name: str, rank: int = 0) -> str:
    return (await of.read_log(name, rank, Stream.STDOUT, 0, 1 << 20)).data.decode()


async def test_a_gang_runs_as_its_tenants_user(site: SlurmSite, place: Path, users: Users) -> None:
    state, user = place / "état 站点", users[0]
    script = """
    id -un; echo $HOME; env | grep -c AGENT_KEY
    tr '\\0' '\\n' < /proc/$PPID/environ | grep -c AGENT_KEY
    for d in "$SUAN_OUTPUT_DIR" "$SUAN_CHECKPOINT_DIR" "$SUAN_SCRATCH" "$SUAN_DATA_DIR" .; do
        echo mine > "$d/$SUAN_NODE_RANK"
    done
    """
    async with backend(site, state, users) as slurm:
        wish = order(script, tenant="acme", nodes=NODES, cards_per_node=2)
        await slurm.submit(wish, lease())
        ended = await next_exit(slurm)
        run = state / "runs" / wish.name
        assert ended.succeeded, (ended, (run / "slurm.log").read_text())
        for rank in range(2):
            said = (await log(slurm, wish.name, rank)).splitlines()
            assert said == [user.pw_name, user.pw_dir, "0", "0"]
    number = json.loads((run / "slurm.json").read_text())["job_id"]
    assert f"UserId={user.pw_name}(" in site.call("scontrol", "show", "job", number)
    made = state / "outputs" / JOB / "1"
    assert sorted(path.name for path in made.iterdir()) == ["0", "1"]
    assert {path.stat().st_uid for path in made.iterdir()} == {user.pw_uid}
    assert (run / "nodes" / "0" / "exit.json").stat().st_uid == user.pw_uid
    assert (run / "exit.json").stat().st_uid == 0
    for path in (path for path in state.rglob("*") if path.is_file()):
        if path.parent.name != "tools":
            assert "ermission denied" in as_user(users[1], f"cat '{path}'"), path


async def test_links_in_a_jobs_directory_lead_the_agent_nowhere(
    site: SlurmSite, place: Path, users: Users
) -> None:
    """What root writes and reads where the job may write too."""
    state, precious = place / "links", place / "precious"
    precious.write_text("the site's")
    script = f"""
    cd ../nodes/0
    for name in answer answer.new stop.new exit.json.new; do ln -sf {precious} $name; done
    cd ../../asks
    ln -s /etc/shadow suan-{JOB}-1.1; mkfifo suan-{JOB}-1.2; echo '[7]' > suan-{JOB}-1.3
    echo '{{"nonce": "mine"}}' > new; mv new suan-{JOB}-1.0
    cd ../nodes/0
    while [ -L answer ]; do sleep 0.02; done
    ln -s /etc/shadow link; mv -T link exit.json; mkfifo pipe; mv -T pipe ranks.json
    kill -9 $(pgrep -U $(id -u) python)
    """
    async with backend(site, state, users) as slurm:
        wish = order(script, tenant="blue")
        await slurm.submit(wish, lease())
        ended = await next_exit(slurm)
        assert not ended.succeeded
        assert "root" not in ended.detail and "$" not in ended.detail
        await slurm.forget(wish.name)
    assert precious.read_text() == "the site's"


async def test_a_forged_end_frees_nothing_that_lives(
    site: SlurmSite, place: Path, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_watch, "STOP_MARGIN_SECONDS", 1.0)
    forged = {
        "exit_code": 0, "signal": 0, "reason": "Exited", "detail": "", "started_at": 1.0,
        "ended_at": 2.0, "rank_codes": [0],
    }  # fmt: skip
    script = f"""
    trap '' TERM
    echo $$ > pid
    echo '{json.dumps(forged)}' > ../nodes/0/exit.json
    while :; do sleep 0.05; done
    """
    state = place / "forged"
    async with backend(site, state, users) as slurm:
        wish = order(script, tenant="acme", grace_seconds=1.0)
        await slurm.submit(wish, lease())
        ended = await next_exit(slurm)
        assert ended.name == wish.name
        pid = int((state / "runs" / wish.name / "work" / "pid").read_text())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while alive(pid):
                await asyncio.sleep(0.05)


async def test_a_job_that_kills_its_fence_is_dead(
    site: SlurmSite, place: Path, users: Users
) -> None:
    state = place / "killed"
    async with backend(site, state, users) as slurm:
        wish = order("echo $$ > pid; kill -9 $(pgrep -U $(id -u) python); sleep 600", tenant="acme")
        await slurm.submit(wish, lease())
        ended = await next_exit(slurm)
        assert not ended.succeeded
        pid = int((state / "runs" / wish.name / "work" / "pid").read_text())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while alive(pid):
                await asyncio.sleep(0.05)


async def test_a_stop_reaches_another_users_job(site: SlurmSite, place: Path, users: Users) -> None:
    async with backend(site, place / "stop", users) as slurm:
        wish = order("trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done", tenant="acme")
        await slurm.submit(wish, lease())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (found := await slurm.find(wish.name)) and found.phase is not Phase.RUNNING:
                await asyncio.sleep(0.05)
        await slurm.stop(wish.name, "Cancelled")
        ended = await next_exit(slurm)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "Cancelled")


async def test_who_has_no_account_is_refused(site: SlurmSite, place: Path, users: Users) -> None:
    async with backend(site, place / "refused", users) as slurm:
        with pytest.raises(BackendRefused) as refused:
            await slurm.submit(order("echo never", tenant="stranger"), lease())
        assert refused.value.code == "TenantNotMapped"
        assert await slurm.list() == ()


async def test_preflight_tries_a_job_as_a_user(
    site: SlurmSite, place: Path, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    (place / "agent.yaml").write_text(f"""
site: shenzhen
broker: 127.0.0.1:1
state_dir: state
backend: slurm
slurm: {{shared_dir: {place}, conf: {site.conf}, python: {PYTHON}}}
accounts: {{acme: {{user: {users[0].pw_name}}}}}
""")
    config = load_config(place / "agent.yaml", catalogue.load())
    assert config.slurm is not None
    checks = {check.name: check for check in await slurm_checks(config, config.slurm)}
    assert checks["users"].status is Status.OK, checks["users"]
    assert checks["users"].message == f"acme → {users[0].pw_name}"
    assert "a test job ran" in checks["job"].message
    shown = site.call("scontrol", "show", "job").split("JobName=suan-preflight-")[-1]
    assert f"UserId={users[0].pw_name}(" in shown


@needs_charliecloud
async def test_a_gang_of_slurm_in_an_image(site: SlurmSite, place: Path, users: Users) -> None:
    state = place / "imaged"
    make_image(place / "images" / "torch%2.4", state)
    script = 'cat /etc/mark; echo " $RANK $SLURM_JOB_ID"; echo $RANK > "$SUAN_OUTPUT_DIR/$RANK"'
    containers = Containers(Runtime.CHARLIECLOUD, str(place / "images"))
    async with backend(site, state, users, containers=containers) as slurm:
        fields: dict[str, Any] = {"nodes": NODES, "kind": "gpu", "launch": Launch.PER_CARD}
        wish = order(script, tenant="acme", image="torch/2.4", cards_per_node=1, **fields)
        await slurm.submit(wish, lease())
        ended = await next_exit(slurm)
        said = [await log(slurm, wish.name, rank) for rank in range(2)]
        errors = (await slurm.read_log(wish.name, 0, Stream.STDERR, 0, 1 << 16)).data.decode()
    assert ended.succeeded, (ended, errors)
    number = json.loads((state / "runs" / wish.name / "slurm.json").read_text())["job_id"]
    assert said == [f"torch%2.4 {rank} {number}\n" for rank in range(2)]
    made = sorted((state / "outputs" / JOB / "1").iterdir())
    assert [(path.name, path.stat().st_uid) for path in made] == [
        ("0", users[0].pw_uid),
        ("1", users[0].pw_uid),
    ]
