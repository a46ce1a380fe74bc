"""Is this machine fit to be a site's agent? Each check looks for itself and says what to do.

`preflight` runs all checks, always to the end, and changes nothing that stays. How they are
shown is for the caller.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from agent.backends import BackendRefused, NodeShare, RunOrder, run_name
from agent.backends.cgroup import NotAllowed, find_cgroups
from agent.backends.prepare import FREE_BYTES_MIN
from agent.backends.process import ProcessBackend
from agent.checks.accounts import check_users
from agent.checks.check import Check, Status, existing
from agent.checks.exporters import exporter_checks
from agent.checks.images import check_images
from agent.checks.store import check_store
from agent.clock import boot_id, lease_now
from agent.config.file import AgentConfig, ProbedPool
from agent.kubernetes.preflight import kubernetes_checks
from agent.policy import DAYS, EVERYTHING, in_words, next_change, share_now
from agent.probes.assess import assess, model_of
from agent.probes.reading import Readings
from agent.probes.run import read_cards
from agent.probes.tools import ProbeFailed
from agent.ray.preflight import ray_checks
from agent.slurm.preflight import slurm_checks
from suan.catalogue import Catalogue
from suan.disks import SHARED_FILE_SYSTEMS, file_system

CONNECT_SECONDS = 5.0
SELF_TEST_SECONDS = 30.0
FREE_BYTES_WANTED = 1024**3
WALL_SECONDS_MIN = 1_767_225_600  # 2026-01-01: a clock before it was never set
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than struct timex has anywhere


async def preflight(config: AgentConfig, catalogue: Catalogue) -> tuple[Check, ...]:
    """All checks, in the order in which an operator would mend them."""
    if config.slurm is not None:
        own = await slurm_checks(config, config.slurm)
    elif config.kubernetes is not None:
        own = await kubernetes_checks(config, config.kubernetes)
    elif config.ray is not None:
        own = await ray_checks(config, config.ray)
    else:
        own = await machine_checks(config, catalogue)
    policy, disk = check_policy(config, time.time()), check_disk(config.state_dir)
    store, network = await asyncio.gather(check_store(config), check_network(config.broker))
    return (*own, policy, disk, store, check_clock(), network)


async def machine_checks(config: AgentConfig, catalogue: Catalogue) -> list[Check]:
    """Where jobs run on this machine itself: that they can, and on which cards."""
    readings = await _read_all(config.pools)
    return [
        check_backend(config),
        await check_fence(config.state_dir),
        check_limits(config.state_dir),
        check_users(config),
        check_images(config.containers, on_this_machine=True),
        *(check_cards(p, readings.get(p.probe)) for p in config.pools if not p.declared.probe),
        *await exporter_checks(config.declared_pools),
        check_names(config, catalogue, readings),
    ]


def worst(checks: Iterable[Check]) -> Status:
    """The worst status of all; OK for none."""
    order = list(Status)
    return max((check.status for check in checks), key=order.index, default=Status.OK)


def check_policy(config: AgentConfig, wall: float) -> Check:
    """What the federation may hold, and when; and what that is at `wall`."""
    said = []
    for name, policy in config.policies.items():
        if policy == EVERYTHING:
            continue
        now = f"now {share_now(policy, wall, config.time_zone):.0%}"
        change = next_change(policy, wall, config.time_zone)
        if change is not None:
            local = datetime.fromtimestamp(change, config.time_zone)
            now += f", until {DAYS[local.weekday()]} {local:%H:%M}"
        said.append(f"pool {name}: {in_words(policy)} ({now})")
    if not said:
        return Check("policy", Status.OK, "all cards, at any time; none are recalled")
    windows = any(policy.windows for policy in config.policies.values())
    zone = f" [{config.time_zone}]" if windows else ""
    return Check("policy", Status.OK, "; ".join(said) + zone)


# --- the machine --------------------------------------------------------------


def check_backend(config: AgentConfig) -> Check:
    """Whether the cluster manager is there."""
    if config.backend == "noop":
        message = "no-op: jobs end at once and nothing of them is run"
        return Check("backend", Status.WARN, message, "for measurements only")
    if not sys.platform.startswith("linux"):
        return Check("backend", Status.FAIL, f"{sys.platform} is not Linux", "use a Linux machine")
    shell = shutil.which("bash", path="/bin:/usr/bin")
    if shell is None:
        message, hint = "no bash: jobs run under /bin/sh", "install bash; most jobs expect it"
        return Check("backend", Status.WARN, message, hint)
    return Check("backend", Status.OK, f"process: {os.cpu_count()} CPUs, jobs run under {shell}")


async def check_fence(state_dir: Path) -> Check:
    """Runs a job of nothing under the fence, from start to record."""
    order = RunOrder(
        name=run_name("preflight", 1),
        job_id="preflight",
        epoch=1,
        site="preflight",
        nodes=(NodeShare("local", "127.0.0.1", ()),),
        cards_per_node=1,
        run="exit 0",
    )
    try:
        with tempfile.TemporaryDirectory(dir=existing(state_dir)) as place:
            backend = ProcessBackend(Path(place), os.environ, {})
            await backend.open()
            try:
                async with asyncio.timeout(SELF_TEST_SECONDS):
                    await backend.submit(order, lease_now() + SELF_TEST_SECONDS)
                    ended = await anext(backend.exits())
            finally:
                await backend.close()
    except (OSError, BackendRefused, TimeoutError) as error:
        message = f"a test job could not be run: {error or 'no answer'}"
        return Check("fence", Status.FAIL, message, "python3 3.8 or later must run on this machine")
    if not ended.succeeded:
        message = f"a test job ended with {ended.reason}, {ended.exit_code}: {ended.detail}"
        return Check("fence", Status.FAIL, message, "see the message")
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("fence", Status.OK, f"Python {version} starts, watches and ends a test job")


def check_limits(state_dir: Path) -> Check:
    """Whether jobs can be held to the memory, CPUs and processes that they asked for."""
    try:
        find_cgroups(state_dir.absolute())
    except (NotAllowed, OSError) as error:
        return Check("limits", Status.OK, f"none on jobs' memory, CPUs and processes: {error}")
    return Check("limits", Status.OK, "jobs are held to memory, CPUs and processes by cgroup v2")


def check_disk(state_dir: Path) -> Check:
    """Room for runs, on a disk of this machine that the agent may write."""
    place = existing(state_dir)
    if not os.access(place, os.W_OK | os.X_OK):
        hint = "give the agent's user the directory, or name another in state_dir"
        return Check("disk", Status.FAIL, f"{place} cannot be written", hint)
    kind = file_system(place)
    if kind in SHARED_FILE_SYSTEMS:
        message = f"{place} is on {kind}; locks there do not hold"
        return Check("disk", Status.FAIL, message, "put state_dir on a local disk")
    free = shutil.disk_usage(place).free
    message = f"{free / 2**30:.1f} GiB free at {place} ({kind})"
    if free < FREE_BYTES_MIN:
        return Check("disk", Status.FAIL, message, "free space, or name another state_dir")
    if free < FREE_BYTES_WANTED:
        hint = "job logs and files are kept there: 1 GiB or more is better"
        return Check("disk", Status.WARN, message, hint)
    return Check("disk", Status.OK, message)


def check_clock() -> Check:
    """Clocks for leases, and a wall clock that somebody sets."""
    if not boot_id():
        hint = "mount /proc; without it a reboot cannot be told from a restart"
        return Check("clock", Status.FAIL, "the kernel tells no boot id", hint)
    if time.time() < WALL_SECONDS_MIN:
        message = "the wall clock is years behind; certificates will not be valid"
        return Check("clock", Status.FAIL, message, "set the clock, and keep it set by NTP")
    if _clock_state() == _TIME_ERROR:
        message = "the wall clock is not synchronised (leases do not depend on it)"
        return Check("clock", Status.WARN, message, "run chronyd, ntpd or systemd-timesyncd")
    return Check("clock", Status.OK, "synchronised")


async def check_network(brokers: str) -> Check:
    """Whether this machine reaches the brokers; nothing need reach this machine."""
    faults = await asyncio.gather(*map(_unreached, brokers.split(",")))
    if any(faults):
        message = "; ".join(fault for fault in faults if fault)
        hint = f"outbound TCP to {brokers} must be open; nothing inbound is needed"
        return Check("network", Status.FAIL if all(faults) else Status.WARN, message, hint)
    return Check("network", Status.OK, f"outbound to {brokers}; nothing inbound is needed")


async def _unreached(broker: str) -> str:
    """Why a broker is not reached; "" when it is."""
    host, _, port = broker.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
    except (OSError, TimeoutError, ValueError, OverflowError) as error:
        why = str(error) or f"no answer within {CONNECT_SECONDS:g} s"
        return f"the broker {broker} is not reached: {why}"
    return ""


# --- the cards ----------------------------------------------------------------


def check_cards(pool: ProbedPool, found: Readings | ProbeFailed | None) -> Check:
    """What a pool declares against what its tool sees."""
    declared = pool.declared
    name = f"accelerators {declared.name}"
    said = f"{len(declared.nodes)} nodes × {declared.cards_per_node} {declared.accelerator}"
    if found is None:
        return Check(name, Status.OK, f"{said}, {declared.cards} cards as declared; no probe")
    if isinstance(found, ProbeFailed):
        return Check(name, Status.FAIL, found.message, found.hint)
    devices = declared.cards_per_node * declared.dies_per_card
    if len(found.cards) != devices:
        warned = f"; it says: {found.warnings[0]}" if found.warnings else ""
        message = f"{found.tool} sees {len(found.cards)} devices, declared are {devices}{warned}"
        return Check(name, Status.FAIL, message, "correct cards_per_node, or mend the cards")
    condition = assess(declared, declared.nodes[0].name, found)
    if condition.faulty:
        message = f"{said}; faulty: {_listed(condition.faulty)}"
        return Check(name, Status.WARN, message, "faulty cards are not offered")
    if condition.kept_back:
        message = f"{said}; in use by others: {_listed(condition.kept_back)}"
        return Check(name, Status.WARN, message, "they are offered when they are idle")
    return Check(name, Status.OK, f"{said}, all healthy and idle")


def check_names(
    config: AgentConfig, catalogue: Catalogue, readings: dict[str, Readings | ProbeFailed]
) -> Check:
    """Whether what the tools print is what the pools declare."""
    seen: dict[str, str] = {}
    wrong: list[str] = []
    for pool in config.pools:
        found = readings.get(pool.probe)
        if not isinstance(found, Readings):
            continue
        for card in found.cards:
            model = model_of(card, found.tool, catalogue, config.names)
            seen[card.raw_name] = model
            if model and model != pool.declared.accelerator:
                wrong.append(f"{card.raw_name} is {model}, not {pool.declared.accelerator}")
    unmapped = sorted(name or "(no name)" for name, model in seen.items() if not model)
    if wrong:
        hint = "correct accelerator in the pool, or map the name under names"
        return Check("names", Status.FAIL, "; ".join(dict.fromkeys(wrong)), hint)
    if unmapped:
        message = f"not known: {', '.join(unmapped)}"
        return Check("names", Status.WARN, message, "map them under names: {<name>: <model>}")
    if not seen:
        return Check("names", Status.OK, "as declared; no probe")
    said = ", ".join(f"{name} → {model}" for name, model in sorted(seen.items()))
    return Check("names", Status.OK, said)


async def _read_all(pools: Iterable[ProbedPool]) -> dict[str, Readings | ProbeFailed]:
    readings: dict[str, Readings | ProbeFailed] = {}
    for tool in dict.fromkeys(pool.probe for pool in pools if pool.probe):
        try:
            readings[tool] = await read_cards(tool)
        except ProbeFailed as failed:
            readings[tool] = failed
    return readings


def _listed(cards: Iterable[int]) -> str:
    return "cards " + ", ".join(str(card) for card in sorted(cards))


# --- the system's answers -----------------------------------------------------


def _clock_state() -> int:
    """The kernel's word on the wall clock; changes nothing."""
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
