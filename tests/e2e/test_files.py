"""`suan cp` on real parts: what a job wrote comes here whole, or it is said why not."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Desk, require_refusal

from bench.federation import ASCEND, COMMANDS, Federation, SiteSpec, wait_until
from suan.errors import Conflict, NotFound
from suan.models import JobSpec, JobState, Variant

BUSY_BYTES = 32 << 20
WRITER = """
mkdir -p "$SUAN_OUTPUT_DIR/模型 v1/empty" "$SUAN_CHECKPOINT_DIR/step-1"
head -c 3000000 /dev/urandom > "$SUAN_OUTPUT_DIR/模型 v1/weights final.bin"
printf '#!/bin/sh\\n' > "$SUAN_OUTPUT_DIR/tool"; chmod 755 "$SUAN_OUTPUT_DIR/tool"
: > "$SUAN_OUTPUT_DIR/nothing"
ln -s "模型 v1/weights final.bin" "$SUAN_OUTPUT_DIR/best"
ln -s /etc/passwd "$SUAN_OUTPUT_DIR/passwd"
mkfifo "$SUAN_OUTPUT_DIR/pipe"
echo step > "$SUAN_CHECKPOINT_DIR/step-1/state"
ln -s step-1 "$SUAN_CHECKPOINT_DIR/latest"
echo "in the working directory" > notes.txt
cp -r "$SUAN_OUTPUT_DIR" {folder}/original
echo written
until [ -e {folder}/stop ]; do sleep 0.1; done
"""


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """One site, and a broker that may be killed; test_exec copies over a Ray, too."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        made = Federation(Path(name), limits={"heartbeat_seconds": 1.0})
        try:
            made.start_broker()
            made.join(SiteSpec("shenzhen", ASCEND))
            yield made
        finally:
            made.stop()


@pytest.fixture
def desk(federation: Federation, folder: Path) -> Desk:
    home = folder / "home"
    home.mkdir()
    own = {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)}
    return Desk(home, own)


@pytest.fixture
def job(federation: Federation, folder: Path) -> str:
    """A running job that has written its files."""
    with federation.client() as client:
        wish = JobSpec((Variant("ascend-910b", run=WRITER.format(folder=folder)),), name="writer")
        (item,) = client.submit(wish)
        wait_until(lambda: client.get(item.id).state is JobState.RUNNING, "the job to run")
        wait_until(lambda: b"".join(part.data for part in client.logs(item.id)), "its files")
    return item.id


def finish(federation: Federation, folder: Path, job: str) -> None:
    (folder / "stop").touch()
    with federation.client() as client:
        client.wait([job])


def test_a_job_s_files_come_here(
    federation: Federation, folder: Path, desk: Desk, job: str
) -> None:
    """While it runs and after its end; links out of the run and pipes do not."""
    said = desk.suan("cp", f"{job}:")
    roots = [line.split()[-1] for line in said.out.splitlines()[1:]]
    assert roots == ["checkpoints/", "logs/", "outputs/", "scratch/", "work/"], said
    said = desk.suan("cp", f"{job}:outputs/模型 v1/weights final.bin")
    assert said.out.splitlines()[1].startswith("3000000  ")
    said = desk.suan("cp", f"{job}:outputs", "got")
    assert said.status == 0, said
    assert "3 files" not in said.err and "4 files" in said.err, said
    assert said.err.count("left out") == 2, said
    original, got = folder / "original", desk.folder / "got"
    for path in ("模型 v1/weights final.bin", "tool", "nothing"):
        assert (got / path).read_bytes() == (original / path).read_bytes()
    assert (got / "best").read_bytes() == (original / "模型 v1/weights final.bin").read_bytes()
    assert not (got / "best").is_symlink()
    assert (got / "模型 v1" / "empty").is_dir()
    assert os.access(got / "tool", os.X_OK)
    assert not os.access(got / "nothing", os.X_OK)
    assert not list(got.rglob(".*"))
    finish(federation, folder, job)
    assert desk.suan("cp", f"{job[-8:]}:checkpoints/latest/state", ".").status == 0
    assert (desk.folder / "state").read_text() == "step\n"
    assert desk.suan("cp", f"{job}:work/notes.txt", "mine.txt").status == 0
    assert (desk.folder / "mine.txt").read_text() == "in the working directory\n"
    assert desk.suan("cp", f"{job}:logs/0.out", ".").status == 0
    assert (desk.folder / "0.out").read_text() == "written\n"


def test_nothing_is_written_over_unasked(
    federation: Federation, folder: Path, desk: Desk, job: str
) -> None:
    desk.write("tool", "mine")
    require_refusal(desk.suan("cp", f"{job}:outputs/tool", "."), 1, "FileExists", "tool")
    assert (desk.folder / "tool").read_text() == "mine"
    assert desk.suan("cp", f"{job}:outputs/tool", ".", "--force").status == 0
    assert (desk.folder / "tool").read_text() == "#!/bin/sh\n"
    again = desk.suan("cp", f"{job}:outputs/tool", ".")
    assert again.status == 0 and "1 were there already" in again.err
    finish(federation, folder, job)


def test_what_is_refused(federation: Federation, folder: Path, desk: Desk, job: str) -> None:
    for path, status, code in (
        ("outputs/none", 3, "NoSuchFile"),
        ("data/x", 3, "NoSuchFile"),
        ("outputs/passwd", 4, "PathNotAllowed"),
        ("outputs/../../x", 4, "PathNotAllowed"),
        ("/etc/passwd", 4, "PathNotAllowed"),
        ("outputs/pipe", 2, "NotAFile"),
    ):
        said = desk.suan("cp", f"{job}:{path}", "here")
        require_refusal(said, status, code, hint=code != "NotAFile")
        assert not (desk.folder / "here").exists()
    require_refusal(desk.suan("cp", "file", f"{job}:work"), 1, "UploadUnsupported")
    assert desk.suan("cp", "file", "there").status == 2
    stranger = federation.identity("wang.fang", "team-b")
    said = desk.suan("cp", f"{job}:outputs/tool", "here", identity=stranger)
    require_refusal(said, 3, "JobNotFound")
    said = desk.suan("cp", f"{job}:outputs/tool", "here", identity=federation.admin)
    require_refusal(said, 4, "RoleNotAllowed")
    finish(federation, folder, job)


def test_a_copy_goes_on_where_it_broke(
    federation: Federation, folder: Path, desk: Desk, job: str
) -> None:
    """Though the copy is killed, and the broker while it copies."""
    place, path = desk.folder / "big", "outputs/big"
    root = next((federation.folder / "sites/shenzhen/state/outputs").glob(f"{job}/*"))
    with (root / "big").open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(96 << 20)  # most of it is a hole: this disk is not the test
    command = [COMMANDS / "suan", "cp", f"{job}:{path}", str(place)]
    process = subprocess.Popen(command, env=dict(os.environ) | dict(desk.variables))
    parts = desk.folder.glob

    def begun() -> list[Path]:
        assert process.poll() is None, "the file is too small for this test"
        return [part for part in parts(".*.suan-part") if part.stat().st_size > 1 << 20]

    wait_until(begun, "a part of it")
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = parts(".*.suan-part")
    kept = part.stat()
    assert not place.exists()
    seen: list[int] = []

    def on_progress(copied: object) -> None:
        seen.append(part.stat().st_size if part.exists() else 0)
        if len(seen) == 20:
            federation.broker.kill()
            federation.start_broker()

    with federation.client() as client:
        client.deadline_seconds = 120.0
        client.copy(job, path, place, on_progress=on_progress)  # type: ignore[arg-type]
    assert seen[0] >= kept.st_size // 2
    assert place.stat().st_ino == kept.st_ino
    assert place.read_bytes() == (root / "big").read_bytes()
    finish(federation, folder, job)


def test_a_file_that_changes_meanwhile(
    federation: Federation, folder: Path, desk: Desk, job: str
) -> None:
    root = next((federation.folder / "sites/shenzhen/state/outputs").glob(f"{job}/*"))
    file, place = root / "busy", desk.folder / "busy"

    def copied(change: object) -> None:
        file.write_bytes(b"")
        os.truncate(file, BUSY_BYTES)  # more than the road holds
        done: list[bool] = []

        def on_progress(_: object) -> None:
            if not done:
                done.append(True)
                change()  # type: ignore[operator]

        with federation.client() as client:
            client.copy(job, "outputs/busy", place, force=True, on_progress=on_progress)

    (root / "new").touch()
    with pytest.raises(Conflict, match="replaced or became shorter"):
        copied(lambda: os.truncate((root / "new"), BUSY_BYTES) or (root / "new").rename(file))
    with pytest.raises(Conflict, match="replaced or became shorter"):
        copied(lambda: os.truncate(file, BUSY_BYTES // 2))
    with pytest.raises(NotFound, match="busy"):
        copied(file.unlink)
    assert not place.exists()

    def grow() -> None:
        with file.open("ab") as growing:
            growing.write(b"more")

    copied(grow)
    assert place.read_bytes() == bytes(BUSY_BYTES)
    finish(federation, folder, job)
