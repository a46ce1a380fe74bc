"""`make demo`: a federation on this machine, five real jobs, and what became of them.

Starts a broker on a local Ray and three sites with declared cards, runs the commands that
a user would type and shows what they print. Ends with an error when anything that it
promises does not hold. Everything lies in `.demo/`; keys are thrown away with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
STATE = DEMO / "federation"
BIN = Path(sys.executable).parent
ENVIRONMENT = os.environ | {
    "SUAN_CONFIG": str(DEMO / "config.yaml"),
    "PATH": f"{BIN}:{os.environ.get('PATH', '')}",
    "OMP_NUM_THREADS": "1",  # the sites share two cores
    "OPENBLAS_NUM_THREADS": "1",
}
WAIT_SECONDS = 120.0
SITES = 3
PARTS = ("wait", "stage", "run")  # of a finish time
NEVER = 21  # exit code: no site could ever run it


class Broken(Exception):
    """Something that the demonstration promises does not hold."""


def main() -> None:
    """The whole story; exit 1 when it is broken."""
    begun = time.monotonic()
    clean_up()
    DEMO.mkdir()
    try:
        raise_federation()
        told = {
            "sweep": run_sweep(),
            "gang": run_gang(),
            "data": run_near_data(),
            "impossible": ask_the_impossible(),
            "survivor": run_survivor(),
        }
        summary(told, time.monotonic() - begun)
    except Broken as fault:
        say(f"\n✘ {fault}\n  logs are in {STATE / 'log'}")
        stop()
        sys.exit(1)
    except BaseException:
        stop()
        raise
    if sys.stdin.isatty():
        next_steps(running=True)
    else:
        stop()
        next_steps(running=False)


# --- the story ----------------------------------------------------------------


def raise_federation() -> None:
    chapter("A federation: one broker on Ray, three computing centres, nothing in the clear")
    show("up", "--state-dir", str(STATE), "--sites", str(SITES), "--runtime", "ray")
    show("--context", "local-admin", "network", "apply", "deploy/networks/china.yaml")
    show("offers")


def run_sweep() -> list[dict[str, Any]]:
    chapter("(a) A sweep: six settings of a small language model, an array of six jobs")
    array = submit("examples/sweep/job.yaml")
    return until_ended(jobs_of(array))


def run_gang() -> list[dict[str, Any]]:
    chapter("(b) A gang: four nodes start together and average gradients over TCP")
    job = submit("examples/gang/job.yaml")
    show("logs", "-f", job)
    return until_ended([job])


def run_near_data() -> list[dict[str, Any]]:
    chapter("(c) Data: 200 GB lie at Zhengzhou, so the job goes there")
    data = STATE / "sites" / "zhengzhou" / "data" / "protein-200g"
    shutil.copytree(ROOT / "examples" / "near_data" / "protein-200g", data)
    show(
        "--context",
        "local-admin",
        "dataset",
        "put",
        "protein-200g",
        "--size",
        "200GB",
        "--at",
        f"zhengzhou:{data}",
    )
    show("plan", "examples/near_data/job.yaml")
    job = submit("examples/near_data/job.yaml")
    ended = until_ended([job])
    promise(ended[0]["attempts"][-1]["site"] == "zhengzhou", "the job ran beside its data")
    return ended


def ask_the_impossible() -> list[dict[str, Any]]:
    chapter("(d) A job that no site can run: the reason, and what would fit")
    job = submit("examples/impossible/job.yaml")
    show("explain", job, wanted=NEVER)
    show("cancel", job)
    return [get(job)]


def run_survivor() -> list[dict[str, Any]]:
    chapter("(e) A site's agent is killed while a job runs, and started again")
    job = submit("examples/survivor/job.yaml")
    wait_for(lambda: get(job)["state"] == "RUNNING" and "alive" in logs(job), "the job to run")
    record = STATE / "run" / f"agent-{get(job)['attempts'][-1]['site']}.json"
    pid = json.loads(record.read_text())["pid"]
    say(f"$ kill -9 {pid}   # the agent; its job goes on")
    os.kill(pid, signal.SIGKILL)
    show("up", "--state-dir", str(STATE), "--sites", str(SITES), "--runtime", "ray")
    show("logs", "-f", job)
    ended = until_ended([job])
    promise(len(ended[0]["attempts"]) == 1, "the job was started once")
    promise(logs(job).count("begins") == 1, "the process began once")
    return ended


def summary(told: dict[str, list[dict[str, Any]]], seconds: float) -> None:
    chapter("What ran where, and why")
    say(f"{'JOB':18} {'STATE':10} {'SITE':10} {'CARDS':>14} {'TRIES':>5}  WHY THERE")
    for jobs in told.values():
        for job in jobs:
            say(row(job))
    best = min(results(told["sweep"]), key=lambda result: float(result["held_out"]))
    say(
        f"\nBest of the sweep: rate {best['rate']}, width {best['width']}: "
        f"held-out loss {best['held_out']} (trained at {best['site']} on {best['model']})"
    )
    for name in ("sweep", "gang", "data", "survivor"):
        promise(all(job["state"] == "SUCCEEDED" for job in told[name]), f"{name} succeeded")
    promise(told["impossible"][0]["state"] == "CANCELLED", "the impossible job was cancelled")
    say(f"✔ all as promised, in {seconds:.0f} s")


def row(job: dict[str, Any]) -> str:
    attempts = job["attempts"]
    site = attempts[-1]["site"] if attempts else "–"
    cards = f"{attempts[-1]['cards']} {attempts[-1]['accelerator']}" if attempts else "–"
    name = job["name"] + (f"[{job['array_index']}]" if job.get("array_id") else "")
    return f"{name:18} {job['state']:10} {site:10} {cards:>14} {len(attempts):5}  {why(job)}"


def why(job: dict[str, Any]) -> str:
    """One line of the explanation: the finish promised there, and the next best."""
    told = ask("explain", job["id"])["explanation"]
    ranked = sorted(told["candidates"], key=lambda item: not item["chosen"])
    if not ranked:
        return ", ".join(sorted({item["code"] for item in told["rejections"]}))
    seconds = [sum(item["score"][f"{part}_seconds"] for part in PARTS) for item in ranked]
    text = f"finish {seconds[0]:.0f} s"
    if len(ranked) > 1:
        text += f", {ranked[1]['pool'].partition('/')[0]} {seconds[1]:.0f} s"
    else:
        text += ", the only place for it"
    return text


def results(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the jobs of the sweep printed last."""
    return [json.loads(logs(job["id"]).rpartition("RESULT ")[2]) for job in jobs]


def next_steps(running: bool) -> None:
    say("\nGo on with:")
    say(f"  export SUAN_CONFIG={DEMO / 'config.yaml'} PATH={BIN}:$PATH")
    if not running:
        say(f"  suan up --state-dir {STATE}      # the federation was stopped; its state is kept")
    say("  suan ps                             # all jobs")
    say("  suan run --gpus ascend-910b:1 -- env  # a command on a card")
    say("  suan --context local-admin site list")
    say(f"  suan down --state-dir {STATE} --delete")


# --- the tools ----------------------------------------------------------------


def say(text: str) -> None:
    print(text, flush=True)


def chapter(title: str) -> None:
    say(f"\n── {title} " + "─" * max(0, 96 - len(title)))


def show(*arguments: str, wanted: int = 0) -> None:
    """Run a command as a user would, with its output; it must end as `wanted`."""
    say("$ suan " + " ".join(arguments).replace(f"{ROOT}/", ""))
    done = subprocess.run(
        [str(BIN / "suan"), *arguments], cwd=ROOT, env=ENVIRONMENT, timeout=WAIT_SECONDS
    )
    promise(
        done.returncode == wanted, f"suan {arguments[0]} ends with {wanted}, not {done.returncode}"
    )


def quietly(*arguments: str) -> str:
    """A command's standard output; it must succeed."""
    done = subprocess.run(
        [str(BIN / "suan"), *arguments],
        cwd=ROOT,
        env=ENVIRONMENT,
        timeout=WAIT_SECONDS,
        capture_output=True,
        text=True,
    )
    promise(done.returncode == 0, f"suan {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def ask(*arguments: str) -> Any:
    return json.loads(quietly(*arguments, "-o", "json"))


def submit(file: str) -> str:
    """The id of the submitted job or array."""
    say(f"$ suan submit {file}")
    job = quietly("submit", file).strip()
    say(job)
    return job


def get(job: str) -> dict[str, Any]:
    found: dict[str, Any] = ask("get", job)
    return found


def logs(job: str) -> str:
    """Standard output so far; empty before the job has begun."""
    done = subprocess.run(
        [str(BIN / "suan"), "logs", job],
        cwd=ROOT,
        env=ENVIRONMENT,
        timeout=WAIT_SECONDS,
        capture_output=True,
        text=True,
    )
    return done.stdout


def jobs_of(array: str) -> list[str]:
    jobs = ask("ps", "--array", array)
    return [job["id"] for job in sorted(jobs, key=lambda job: job["array_index"])]


def until_ended(ids: list[str]) -> list[dict[str, Any]]:
    """The jobs once all have ended."""

    def ended() -> list[dict[str, Any]] | None:
        jobs = [get(job) for job in ids]
        live = [job for job in jobs if job["finished_at"] in (None, 0)]
        return None if live else jobs

    found: list[dict[str, Any]] = wait_for(ended, "the jobs to end")
    return found


def wait_for(condition: Any, what: str) -> Any:
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.5)
    raise Broken(f"waited {WAIT_SECONDS:g} s for {what}")


def promise(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(f"not so: {what}")


def stop() -> None:
    """End the federation that this demonstration started."""
    command = [str(BIN / "suan"), "down", "--state-dir", str(STATE)]
    subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, timeout=WAIT_SECONDS)


def clean_up() -> None:
    """End and remove what an earlier demonstration left."""
    if DEMO.exists():
        stop()
        shutil.rmtree(DEMO)


if __name__ == "__main__":
    main()
