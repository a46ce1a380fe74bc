"""The peers of `bench.endtoend`: no-op tasks per second, or None where one is not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable

TASKS = 2_000
SLURM_JOBS = 200
SLURM_SECONDS_MAX = 120.0


def ray_tasks() -> float | None:
    """Ray tasks, submitted at once and awaited together; start-up is not counted."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_worker_niceness="0")
    import ray

    with tempfile.TemporaryDirectory(prefix="suan-ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=200 << 20,
            log_to_driver=False,
            _temp_dir=folder,
        )
        try:
            task = ray.remote(_nothing)
            ray.get([task.remote() for _ in range(200)])
            begun = time.monotonic()
            ray.get([task.remote() for _ in range(TASKS)])
            return TASKS / (time.monotonic() - begun)
        finally:
            ray.shutdown()


def _nothing() -> None:
    return None


def dask_distributed() -> float | None:
    """Dask distributed on two worker processes, one future per task."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        return None
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(_numbered, range(200), pure=False))
        begun = time.monotonic()
        client.gather(client.map(_numbered, range(TASKS), pure=False))
        return TASKS / (time.monotonic() - begun)


def _numbered(_number: int) -> None:
    return None


def slurm() -> float | None:
    """Slurm's sbatch, one process per job, when a controller answers."""
    if not shutil.which("sbatch") or subprocess.run(["sinfo"], capture_output=True).returncode:
        return None
    begun = time.monotonic()
    for _ in range(SLURM_JOBS):
        command = ["sbatch", "-J", "suan-bench", "-o", "/dev/null", "--wrap", "true"]
        subprocess.run(command, check=True, capture_output=True)
    while subprocess.run(["squeue", "-h", "-n", "suan-bench"], capture_output=True).stdout:
        if time.monotonic() - begun > SLURM_SECONDS_MAX:
            return None
        time.sleep(0.1)
    return SLURM_JOBS / (time.monotonic() - begun)


PEERS: dict[str, Callable[[], float | None]] = {
    "ray tasks": ray_tasks,
    "dask distributed": dask_distributed,
    "slurm sbatch": slurm,
}
