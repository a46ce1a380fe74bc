"""Jobs in container images: real ones under Charliecloud, the other runtimes by their arguments."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import alive, until

from agent.backends import (
    Backend,
    BackendRefused,
    Exit,
    Launch,
    NodeShare,
    Reason,
    RunOrder,
    Stream,
)
from agent.backends.account import Accounts
from agent.backends.command import CommandDirectory, CommandOrder
from agent.backends.container import Containers, Runtime
from agent.backends.process import ProcessBackend
from agent.checks.check import Status
from agent.checks.images import check_images
from agent.clock import lease_now
from bench.image_files import NO_CHARLIECLOUD, charliecloud_runs, make_image
from bench.local_users import WHY_NOT, can_make_users, crossable_place, local_users

JOB = "0192f3a4-7777-7abc-8def-000000000002"
NODES = tuple(NodeShare(f"n{i}", "127.0.0.1", (0, 1)) for i in range(2))

needs_charliecloud = pytest.mark.skipif(not charliecloud_runs(), reason=NO_CHARLIECLOUD)


@pytest.fixture
def place() -> Iterator[Path]:
    with crossable_place() as made:
        yield made


@pytest.fixture
def site(place: Path) -> Path:
    """A state directory, and beside it an image in which it can be seen."""
    state = place / "state-站点"
    state.mkdir()
    make_image(place / "images" / "torch%2.4", state)
    return state


def order(run: str, epoch: int = 1, **fields: Any) -> RunOrder:
    given: dict[str, Any] = {"nodes": NODES[:1], "cards_per_node": 1, "image": "torch/2.4"}
    name = f"suan-{JOB}-{epoch}"
    given |= {"grace_seconds": 20.0, "kind": "npu"}
    return RunOrder(name, JOB, epoch, "shenzhen", run=run, **(given | fields))


@asynccontextmanager
async def backend(
    state: Path, containers: Containers | None = None, **options: Any
) -> AsyncIterator[Backend]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/root"}
    given = containers or Containers(Runtime.CHARLIECLOUD, str(state.parent / "images"))
    opened = ProcessBackend(state, environment, {}, containers=given, **options)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


async def next_exit(of: Backend) -> Exit:
    async with asyncio.timeout(60):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: Backend, name: str, rank: int = 0, stream: Stream = Stream.STDOUT) -> str:
    return (await of.read_log(name, rank, stream, 0, 1 << 20)).data.decode()


# --- real images -----------------------------------------------------------------------


@needs_charliecloud
async def test_a_job_in_an_image(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drivers = "agent.backends.container._DRIVERS"
    monkeypatch.setattr(drivers, {})  # this machine has none of Huawei's
    script = """
    cat /etc/mark; echo; echo "$BASH_VERSION $SUAN_JOB_ID $RANK $ASCEND_RT_VISIBLE_DEVICES $OF_USER"
    echo "$SUAN_NODE_IPS"; cat made-by-setup "$SUAN_HOSTFILE"
    for d in "$SUAN_OUTPUT_DIR" "$SUAN_CHECKPOINT_DIR" "$SUAN_SCRATCH" "$SUAN_DATA_DIR"; do
        echo "$RANK" > "$d/made-$RANK"
    done
    [ -d /root ] && exit 9  # the host's
    until [ -e "$SUAN_OUTPUT_DIR/made-0" ] && [ -e "$SUAN_OUTPUT_DIR/made-1" ]; do sleep 0.05; done
    exit 3
    """
    async with backend(site) as process:
        wish = order(
            script,
            nodes=NODES,
            cards_per_node=1,
            launch=Launch.PER_CARD,
            setup="echo set > made-by-setup; cat /etc/mark > mark",
            environment=(("OF_USER", "two  words"),),
        )
        await process.submit(wish, lease_now() + 600)
        ended = await next_exit(process)
        said = await log(process, wish.name, 1)
        assert (ended.reason, ended.exit_code) == (Reason.EXITED, 3), (ended, said)
    lines = said.splitlines()
    assert lines[0] == "torch%2.4"
    version, *rest = lines[1].split(" ", 1)
    assert version and rest == [f"{JOB} 1 0,1 two  words"]
    assert lines[2:] == ["127.0.0.1", "127.0.0.1", "set", *["127.0.0.1 slots=1"] * 2]
    made = site / "outputs" / JOB / "1"
    assert sorted(path.name for path in made.iterdir()) == ["made-0", "made-1"]


@needs_charliecloud
async def test_the_fence_ends_what_is_in_an_image(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.backends.container._DRIVERS", {})
    script = """
    trap '' TERM
    (trap '' TERM; echo $BASHPID > "$SUAN_OUTPUT_DIR/child"; while :; do sleep 0.05; done) &
    echo $$ > "$SUAN_OUTPUT_DIR/pid"
    while :; do sleep 0.05; done
    """
    made = site / "outputs" / JOB / "1"
    async with backend(site) as process:
        await process.submit(order(script, grace_seconds=0.5), lease_now() + 600)

        def pids() -> list[int]:
            files = [made / name for name in ("pid", "child")]
            if not all(file.exists() and file.read_text().endswith("\n") for file in files):
                return []
            return [int(file.read_text()) for file in files]

        running = await asyncio.to_thread(until, pids)
        assert all(alive(pid) for pid in running)
        await process.stop(f"suan-{JOB}-1", "Cancelled")
        assert (await next_exit(process)).reason is Reason.STOPPED
    assert not any(alive(pid) for pid in running)


@needs_charliecloud
@pytest.mark.skipif(not can_make_users(), reason=WHY_NOT)
async def test_an_image_under_an_account(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.backends.container._DRIVERS", {})
    with local_users("suan-acme") as (user,):
        accounts = Accounts({"*": user.pw_name})
        async with backend(site, accounts=accounts) as process:
            wish = order("cat /etc/mark; id -u; echo mine > $SUAN_OUTPUT_DIR/mine", tenant="acme")
            await process.submit(wish, lease_now() + 600)
            ended = await next_exit(process)
            said = await log(process, wish.name)
            errors = await log(process, wish.name, stream=Stream.STDERR)
        assert ended.succeeded, (ended, errors)
        assert said == f"torch%2.4{user.pw_uid}\n"
        assert (site / "outputs" / JOB / "1" / "mine").stat().st_uid == user.pw_uid


@needs_charliecloud
@pytest.mark.skipif(not can_make_users(), reason=WHY_NOT)
async def test_a_command_beside_a_job_is_in_its_image_and_his(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.backends.container._DRIVERS", {})
    with local_users("suan-acme") as (user,):
        async with backend(site, accounts=Accounts({"*": user.pw_name})) as process:
            wish = order('until [ -e "$SUAN_OUTPUT_DIR/go" ]; do sleep 0.05; done', tenant="acme")
            await process.submit(wish, lease_now() + 600)
            place = await process.beside(wish.name, 0)
            command = CommandDirectory(place, "ab12")
            argv = ("/bin/sh", "-c", 'cat /etc/mark; id -u; echo "$SUAN_JOB_ID"')
            command.make(CommandOrder(argv, 60.0, 60.0, takes_input=False))
            code = await asyncio.to_thread(until, lambda: command.exit_code() is not None)
            assert code and command.exit_code() == 0, command.read("err", 0, 4096)
            assert command.read("out", 0, 4096) == f"torch%2.4{user.pw_uid}\n{JOB}\n".encode()
            (site / "outputs" / JOB / "1" / "go").touch()
            assert (await next_exit(process)).succeeded


# --- which image -----------------------------------------------------------------------


def test_an_image_is_found_as_its_runtime_calls_it(tmp_path: Path) -> None:
    for name in ("cuda_10.0.sif", "own.sif", "r.cn%a%torch+2.4", "nvidia+cuda+10.0.sqsh"):
        (tmp_path / name).touch()
    for runtime, image, found in (
        (Runtime.APPTAINER, "own", "own.sif"),
        (Runtime.APPTAINER, "own.sif", "own.sif"),
        (Runtime.APPTAINER, str(tmp_path / "own.sif"), "own.sif"),
        (Runtime.APPTAINER, "docker://nvidia/cuda:10.0", "cuda_10.0.sif"),
        (Runtime.CHARLIECLOUD, "r.cn/a/torch:2.4", "r.cn%a%torch+2.4"),
        (Runtime.ENROOT, "nvidia/cuda:10.0", "nvidia+cuda+10.0.sqsh"),
    ):
        container = Containers(runtime, str(tmp_path)).container(image, "", Path("/s"))
        assert container.image == str(tmp_path / found)


@pytest.mark.parametrize(
    ("image", "allowed", "code"),
    [
        ("absent", (), "ImageMissing"),
        ("../secret", (), "ImageMissing"),
        ("/etc/passwd", (), "ImageMissing"),
        (".", (), "ImageMissing"),
        ("link", (), "ImageMissing"),  # leads out of the directory
        ("docker://evil.example/x", (), "ImageMissing"),  # nothing is pulled that nobody allowed
        ("docker://evil.example/x", ("good.cn/*",), "ImageNotAllowed"),
        ("own.sif", ("torch*",), "ImageNotAllowed"),
    ],
)
def test_an_image_that_may_not_be_run(
    tmp_path: Path, image: str, allowed: tuple[str, ...], code: str
) -> None:
    home = tmp_path / "images"
    home.mkdir()
    (home / "own.sif").touch()
    (tmp_path / "secret").touch()
    (home / "link").symlink_to("/etc/passwd")
    containers = Containers(Runtime.APPTAINER, str(home), images_allowed=allowed)
    with pytest.raises(BackendRefused) as refused:
        containers.container(image, "npu", Path("/s"))
    assert refused.value.code == code and refused.value.hint


def test_what_is_pulled_and_what_is_not(tmp_path: Path) -> None:
    apptainer = Containers(Runtime.APPTAINER, str(tmp_path), images_allowed=("good.cn/*",))
    for image in ("docker://good.cn/torch:2.4", "good.cn/torch:2.4"):
        assert apptainer.container(image, "", Path("/s")).image == "docker://good.cn/torch:2.4"
    for runtime in (Runtime.CHARLIECLOUD, Runtime.ENROOT):
        with pytest.raises(BackendRefused) as refused:
            replace(apptainer, runtime=runtime).container("good.cn/torch:2.4", "", Path("/s"))
        assert refused.value.code == "ImageMissing"


async def test_an_image_without_the_place_to_mount(place: Path) -> None:
    state = place / "state"
    state.mkdir()
    make_image(place / "images" / "torch%2.4")
    async with backend(state) as process:
        with pytest.raises(BackendRefused) as refused:
            await process.submit(order("echo never"), lease_now() + 600)
        assert refused.value.code == "ImageUnfit" and "mkdir -p" in refused.value.hint
        assert await process.list() == ()


async def test_a_site_without_images_refuses_them(tmp_path: Path) -> None:
    process = ProcessBackend(tmp_path / "state", {}, {})
    (tmp_path / "state").mkdir()
    await process.open()
    try:
        with pytest.raises(BackendRefused) as refused:
            await process.submit(order("echo never"), lease_now() + 600)
        assert refused.value.code == "ImagesUnsupported"
    finally:
        await process.close()


# --- the arguments of what does not run here ------------------------------------------


def argv(runtime: Runtime, kind: str, place: Path, environment: dict[str, str]) -> list[str]:
    (place / "torch").touch()
    containers = Containers(runtime, str(place), binds=("/opt/hyhal:/opt/hyhal:ro",))
    container = containers.container("torch", kind, Path("/shared/suan"))
    process = {"directory": "/shared/suan/runs/x/work", "environment": environment, "argv": []}
    wrapped = container.wrap("/shared/suan/runs/x/run.sh", process)
    assert wrapped["environment"]["USER"]
    return list(wrapped["argv"])


@pytest.mark.parametrize(
    ("kind", "devices"),
    [("gpu", ["--nv"]), ("dcu", ["--rocm"]), ("npu", []), ("", [])],
)
def test_apptainer(tmp_path: Path, kind: str, devices: list[str]) -> None:
    """apptainer exec [options] IMAGE COMMAND, as its manual page has it."""
    said = argv(Runtime.APPTAINER, kind, tmp_path, {})
    binds = ["--bind", "/shared/suan", "--bind", "/opt/hyhal:/opt/hyhal:ro"]
    binds += ["--bind", "/usr/local/Ascend/driver"] if kind == "npu" else []
    expected = ["/usr/bin/env", "apptainer", "exec", "--no-home", *devices, *binds, "--pwd"]
    expected += ["/shared/suan/runs/x/work", str(tmp_path / "torch"), "/bin/sh", "-c"]
    assert said[: len(expected)] == expected
    assert said[-1] == "/shared/suan/runs/x/run.sh"


def test_enroot(tmp_path: Path) -> None:
    """enroot start [options] IMAGE COMMAND: fstab by colons, variables by name."""
    environment = {"SUAN_NODE_IPS": "10.0.0.1\n10.0.0.2", "RANK": "0"}
    said = argv(Runtime.ENROOT, "gpu", tmp_path, environment)
    assert said[:3] == ["/usr/bin/env", "enroot", "start"]
    mounts = [said[at + 1] for at, word in enumerate(said) if word == "--mount"]
    assert mounts == [
        "/shared/suan:/shared/suan:none:x-create=auto,rbind",
        "/opt/hyhal:/opt/hyhal:none:x-create=auto,rbind,ro",
    ]
    named = [said[at + 1] for at, word in enumerate(said) if word == "--env"]
    assert named == ["RANK", "USER", "NVIDIA_VISIBLE_DEVICES=all"]
    after = said[said.index(str(tmp_path / "torch")) + 1 :]
    assert after[:4] == ["/bin/sh", "-c", 'cd "$0" && exec "$@"', "/shared/suan/runs/x/work"]
    assert after[4:6] == ["env", "SUAN_NODE_IPS=10.0.0.1\n10.0.0.2"]
    assert "/dev:/dev:none:x-create=dir,rbind" in argv(Runtime.ENROOT, "npu", tmp_path, {})


def test_a_path_that_no_runtime_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "torch").touch()
    for runtime, root in (
        (Runtime.APPTAINER, "/a,b"),
        (Runtime.APPTAINER, "/a:b"),
        (Runtime.CHARLIECLOUD, "/a:b"),
        (Runtime.ENROOT, "/a b"),
    ):
        with pytest.raises(BackendRefused) as refused:
            Containers(runtime, str(tmp_path)).container("torch", "", Path(root))
        assert refused.value.code == "ImageUnfit"


def test_preflight_looks_for_runtime_and_images(tmp_path: Path) -> None:
    assert check_images(None, True).status is Status.OK
    missing = Containers(Runtime.APPTAINER, str(tmp_path / "absent"))
    assert check_images(missing, True).status is Status.FAIL
    there = Containers(Runtime.APPTAINER, str(tmp_path), "no-such-runtime")
    assert check_images(there, True).status is Status.FAIL
    assert check_images(there, True).hint.startswith("install apptainer")
    assert check_images(there, False).status is Status.WARN
    assert check_images(replace(there, command="/bin/sh"), True).status is Status.OK
