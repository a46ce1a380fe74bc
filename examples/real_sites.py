"""`make sites`: one federation over a real Slurm, a real Ray and processes of this machine.

Starts all of them on loopback, runs a job on each site by naming its accelerator, kills each
site's agent with -9 while its job runs, and shows that each job went on and ended once. Ends
with an error when that does not hold. What this machine lacks of Slurm or Ray is left out, and
said. The cards are counts without hardware behind them; the cluster managers are real.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.federation import GPU, Federation, SiteSpec, wait_until
from bench.ray_site import RayNodes, missing_packages, running_ray
from bench.slurm_site import missing_tools, running_slurm
from suan.models import Job, JobSpec, JobState, Variant
from suan.sync import Client

WAIT_SECONDS_MAX = 180.0  # a Ray's first job takes long on a small machine
POLL_SECONDS = 2.0  # an operator's agent asks its cluster manager every 30 s
# Tells that it lives, and ends when it is let go.
RUN = """
echo "$SUAN_SITE $$" >> "$STORY/$SUAN_JOB_ID"
echo "attempt $SUAN_ATTEMPT at $SUAN_SITE on $SUAN_NUM_ACCELERATORS $SUAN_ACCELERATOR_MODEL"
until [ -e "$STORY/go" ]; do sleep 0.1; done
echo "ends"
"""


class Broken(Exception):
    """Something that is promised does not hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """A site, and the models by which jobs are sent to it."""

    site: SiteSpec
    manager: str
    models: tuple[str, ...]


def main() -> int:
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="suan-sites-"))
    try:
        with ExitStack() as stack:
            places = tuple(start_managers(folder, stack))
            federation = Federation(folder, limits={"heartbeat_seconds": 1.0, "hold_seconds": 1.0})
            stack.callback(federation.stop)
            federation.start_broker()
            federation.join(*(place.site for place in places))
            with federation.client() as client:
                tell(federation, client, places, folder / "story")
    except (Broken, TimeoutError, RuntimeError, AssertionError) as fault:
        print(f"\n✘ {fault}\n  logs are in {folder}", flush=True)
        return 1
    shutil.rmtree(folder)
    print(f"✔ {len(places)} kinds of sites, as promised, in {time.monotonic() - begun:.0f} s")
    return 0


# --- the sites ----------------------------------------------------------------


def start_managers(folder: Path, stack: ExitStack) -> Iterator[Place]:
    """What this machine has, each running until the stack ends."""
    chapter("Three kinds of sites")
    yield Place(SiteSpec("guiyang", GPU), "processes", ("nvidia-h20",))
    if missing := missing_tools():
        say(f"no Slurm: {', '.join(missing)} not here (deploy/servers.sh installs it)")
    else:
        slurm = stack.enter_context(running_slurm(folder / "slurm"))
        site = cluster(folder, "shenzhen", "slurm", conf=str(slurm.conf))
        yield Place(site, "Slurm", ("ascend-910b", "hygon-k100"))
    if missing := missing_packages():
        say(f"no Ray: {', '.join(missing)} not here")
    else:
        nodes = (RayNodes("ray", 2, {"NPU": 8}),)
        ray = stack.enter_context(running_ray(folder / "ray", nodes))
        named = {"NPU": "ascend-910b4"}
        site = cluster(folder, "zhengzhou", "ray", address=ray.address, accelerators=named)
        yield Place(site, "Ray", ("ascend-910b4",))


def cluster(folder: Path, name: str, backend: str, **declared: object) -> SiteSpec:
    """A site whose agent.yaml has a section for its cluster manager."""
    shared = folder / "shared 共享" / name
    shared.mkdir(parents=True)
    section = {
        "shared_dir": str(shared),
        "python": sys.executable,
        "poll_seconds": POLL_SECONDS,
        **declared,
    }
    return SiteSpec(name, {}, backend=backend, settings={backend: section, "grace_seconds": 5})


# --- the story ----------------------------------------------------------------


def tell(federation: Federation, client: Client, places: tuple[Place, ...], story: Path) -> None:
    story.mkdir()
    wait_until(lambda: offered(client) >= models_of(places), "all sites to offer", WAIT_SECONDS_MAX)
    for offer in client.offers():
        say(f"{offer.site + '/' + offer.pool:24} {offer.cards_free:4} {offer.accelerator}")

    chapter("A job for each accelerator")
    jobs = {model: submit(client, model, story) for model in sorted(models_of(places))}
    lives = {model: begun(story, job) for model, job in jobs.items()}
    for model, (site, pid) in lives.items():
        say(f"{model:14} runs at {site:10} as process {pid}")
        promise(any(site == place.site.name and model in place.models for place in places),
                f"{model} ran where it is offered")  # fmt: skip

    chapter("kill -9 to each agent, while its job runs")
    for name, agent in federation.agents.items():
        say(f"$ kill -9 {agent.pid}   # the agent of {name}")
        agent.kill()
    for model, (_, pid) in lives.items():
        promise(alive(pid), f"the job on {model} goes on without its agent")
    say(f"all {len(lives)} jobs live; now they end, while no agent sees it")
    (story / "go").touch()
    for _, pid in lives.values():
        wait_until(lambda pid=pid: not alive(pid), f"process {pid} to end")  # type: ignore[misc]
    for agent in federation.agents.values():
        agent.start()

    chapter("What became of them")
    for model, job_id in jobs.items():
        job = wait_until(lambda i=job_id: ended(client, i), f"{model} to end", WAIT_SECONDS_MAX)  # type: ignore[misc]
        say(row(job, manager_of(places, job)))
        promise(job.state is JobState.SUCCEEDED, f"the job on {model} succeeded")
        promise(len(job.attempts) == 1, f"the job on {model} had one attempt")
        promise(len(lines(story, job_id)) == 1, f"the job on {model} ran once")


def submit(client: Client, model: str, story: Path) -> str:
    variant = Variant(model, run=RUN, accelerators_per_node=1, num_nodes=1)
    wish = JobSpec((variant,), name=f"on-{model}", environment=(("STORY", str(story)),))
    (item,) = client.submit(wish)
    return str(item.id)


def begun(story: Path, job_id: str) -> tuple[str, int]:
    """Site and process number, as the job itself tells them."""
    found = wait_until(lambda: lines(story, job_id), f"{job_id} to begin", WAIT_SECONDS_MAX)
    site, _, pid = found[0].rpartition(" ")
    return site, int(pid)


def lines(story: Path, job_id: str) -> list[str]:
    path = story / job_id
    return path.read_text().splitlines() if path.exists() else []


def ended(client: Client, job_id: str) -> Job | None:
    job = client.get(job_id)
    return job if job.state.terminal else None


def offered(client: Client) -> set[str]:
    return {offer.accelerator for offer in client.offers() if offer.cards_free}


def models_of(places: tuple[Place, ...]) -> set[str]:
    return {model for place in places for model in place.models}


def manager_of(places: tuple[Place, ...], job: Job) -> str:
    names = {place.site.name: place.manager for place in places}
    return names[job.attempts[-1].site]


def row(job: Job, manager: str) -> str:
    last = job.attempts[-1]
    where = f"{last.site} ({manager})"
    return f"{job.name:18} {job.state.name:10} {where:22} attempts: {len(job.attempts)}"


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def say(text: str) -> None:
    print(text, flush=True)


def chapter(title: str) -> None:
    say(f"\n── {title} " + "─" * max(0, 96 - len(title)))


def promise(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(f"not so: {what}")


if __name__ == "__main__":
    sys.exit(main())
