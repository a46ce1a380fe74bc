"""Lays out a run's directory: files of the user, scripts, environment, and the fence's order.

Built aside and renamed into place, so that a run is there whole or not at all. Knows files
and the order; starts nothing.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from agent.backends import BackendRefused, RunOrder, parse_run_name
from agent.backends.account import Account
from agent.backends.bundle import unpack_bundle
from agent.backends.fence_order import Lasting, fence_order
from agent.backends.ownership import give_parts, give_place, give_run
from agent.backends.rundir import RunDirectory, sync_directory
from agent.environment import Surroundings, hostfile

BUILDING = ".new-"  # directories of this prefix are not runs yet …
REMOVING = ".gone-"  # … and of this one no longer
FREE_BYTES_MIN = 64 * 1024 * 1024
_BUNDLE_EXPANSION = 4  # room asked for an archive, as a multiple of its size


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """Where the process backend keeps runs, and what outlives them."""

    path: Path
    free_bytes_min: int  # below it, new runs are refused

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, name: str) -> RunDirectory:
        return RunDirectory(self.runs / name)

    def output(self, job_id: str, epoch: int) -> Path:
        return self.path / "outputs" / job_id / str(epoch)

    def checkpoint(self, job_id: str) -> Path:
        return self.path / "checkpoints" / job_id

    def roots(self, name: str) -> dict[str, str]:
        """The directories of a run that its users may read, by what they call them.

        Of a run that is gone, those that outlive it.
        """
        run, (job_id, epoch) = self.run(name), parse_run_name(name)
        places = {
            "outputs": str(self.output(job_id, epoch)),
            "checkpoints": str(self.checkpoint(job_id)),
        }
        if not run.path.is_dir():
            return {name: place for name, place in places.items() if Path(place).is_dir()}
        own = {"work": run.work, "scratch": run.scratch, "logs": run.logs}
        places.update(run.order().get("places", {}))
        return places | {name: str(path) for name, path in own.items()}

    def make(self) -> None:
        """Create what is missing; clear away what was half built or half removed."""
        self.runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in (*self.runs.glob(f"{BUILDING}*"), *self.runs.glob(f"{REMOVING}*")):
            shutil.rmtree(leftover, ignore_errors=True)

    def remove(self, run: RunDirectory) -> None:
        """Take a run away at once, and its files as far as they can be."""
        gone = run.path.rename(self.runs / f"{REMOVING}{run.name}")
        shutil.rmtree(gone, ignore_errors=True)


def prepare_run(state: StateDirectory, order: RunOrder, surroundings: Surroundings) -> RunDirectory:
    """Build the directory of a run that does not exist yet; nothing is left if that fails.

    Raises BackendRefused: "DiskFull", "BadBundle", "BadDirectory".
    """
    building = state.run(BUILDING + order.name)
    try:
        _check_room(state, order)
        shutil.rmtree(building.path, ignore_errors=True)
        building.path.mkdir(mode=0o700)
        for part in (building.work, building.scratch, building.path / "logs"):
            part.mkdir()
        if order.bundle_path:
            unpack_bundle(Path(order.bundle_path), building.work)
        _write_files(building, state, order, surroundings)
    except OSError as error:
        shutil.rmtree(building.path, ignore_errors=True)
        raise _refusal(error, state) from error
    except BackendRefused:
        shutil.rmtree(building.path, ignore_errors=True)
        raise
    return building


def publish_run(
    state: StateDirectory,
    building: RunDirectory,
    order: RunOrder,
    lease_seconds: float,
    account: Account | None = None,
) -> RunDirectory:
    """Give a prepared run its owner, lease and name, durably. From here on it exists."""
    final = state.run(order.name)
    try:
        if account is not None:
            _hand_over(state, building, order, account)
        building.write_lease(lease_seconds, order.lease_class)
        building.path.rename(final.path)
        sync_directory(state.runs)
    except OSError as error:
        for path in (building.path, final.path):
            shutil.rmtree(path, ignore_errors=True)
        raise _refusal(error, state) from error
    return final


def _hand_over(
    state: StateDirectory, building: RunDirectory, order: RunOrder, account: Account
) -> None:
    """Make what the job uses its account's, and the rest nobody's but ours."""
    ranks = building.order()["phases"][-1]
    names = {Path(rank[stream]).name for rank in ranks for stream in ("stdout", "stderr")}
    give_run(building, account, sorted(names))
    if (building.path / "nodes").is_dir():
        give_parts(building, account)
    give_place(
        Path(order.output_directory or state.output(order.job_id, order.epoch)), account, state.path
    )
    give_place(
        Path(order.checkpoint_directory or state.checkpoint(order.job_id)), account, state.path
    )
    if order.data_directory:
        give_place(Path(order.data_directory), account, state.path)


def _write_files(
    building: RunDirectory,
    state: StateDirectory,
    order: RunOrder,
    surroundings: Surroundings,
) -> None:
    """Everything that the fence and the ranks will read, at the place it will have."""
    final = state.run(order.name)
    lasting = Lasting(
        data=order.data_directory or str(final.path / "data"),
        output=order.output_directory or str(state.output(order.job_id, order.epoch)),
        checkpoint=order.checkpoint_directory or str(state.checkpoint(order.job_id)),
    )
    (building.path / "run.sh").write_text(order.run + "\n", "utf-8")
    (building.path / "setup.sh").write_text(order.setup + "\n", "utf-8")
    (building.path / "data").mkdir()
    building.hostfile.write_text(hostfile(order), "utf-8")
    for node_rank in range(len(order.nodes)):
        (building.scratch / str(node_rank)).mkdir()
    for kept in (lasting.output, lasting.checkpoint):
        Path(kept).mkdir(mode=0o700, parents=True, exist_ok=True)
    directory = _directory(building, final, order)
    document = fence_order(order, surroundings, final, directory, lasting)
    with (building.path / "order.json").open("w", encoding="utf-8") as file:
        file.write(json.dumps(document))  # twice as fast as dump
        file.flush()
        os.fsync(file.fileno())


def _directory(building: RunDirectory, final: RunDirectory, order: RunOrder) -> str:
    """Where the run starts: in the user's files, or at an absolute path of the site."""
    wish = Path(order.working_directory)
    if wish.is_absolute():
        if not wish.is_dir():
            raise _no_directory(order.working_directory, "is not a directory of this site")
        return str(wish)
    if ".." in wish.parts:
        raise _no_directory(order.working_directory, "would lie outside the bundle")
    if not (building.work / wish).is_dir():
        raise _no_directory(order.working_directory, "is not in the bundle")
    return str(final.work / wish)


def _check_room(state: StateDirectory, order: RunOrder) -> None:
    bundle_bytes = Path(order.bundle_path).stat().st_size if order.bundle_path else 0
    needed = state.free_bytes_min + _BUNDLE_EXPANSION * bundle_bytes
    free = shutil.disk_usage(state.path).free
    if free < needed:
        raise _disk_full(state, f"{free // 2**20} MiB are free, {needed // 2**20} MiB are needed")


def _refusal(error: OSError, state: StateDirectory) -> BackendRefused:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _disk_full(state, error.strerror or "")
    return BackendRefused(
        "Unavailable",
        f"the run could not be laid out: {error}",
        f"check {state.path} on the agent's machine",
    )


def _disk_full(state: StateDirectory, why: str) -> BackendRefused:
    return BackendRefused(
        "DiskFull",
        f"no room for another run under {state.path}: {why}",
        "free space there, or move state_dir in agent.yaml to a larger disk",
    )


def _no_directory(path: str, why: str) -> BackendRefused:
    return BackendRefused(
        "BadDirectory", f"the working directory {path!r} {why}", "correct workdir in the job file"
    )
