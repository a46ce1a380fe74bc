"""What a site's operator wants to know of his Slurm before the agent runs: found, named, tried.

Reads Slurm once and runs one job of nothing on one free card, the way every job will run; that
is all it changes, and nothing of it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.backends import BackendRefused, Exit, NodeShare, RunOrder, Stream, run_name
from agent.check import Check, Status, existing, file_system
from agent.clock import lease_now
from agent.config import AgentConfig
from agent.inventory import Inventory
from agent.probes.tools import ProbeFailed
from agent.slurm.backend import SlurmBackend
from agent.slurm.capacity import SlurmPool
from agent.slurm.config import SlurmConfig
from agent.slurm.from_json import SINCE
from agent.slurm.from_text import SlurmNode, SlurmView
from agent.slurm.poll import SlurmPoll
from agent.slurm.rules import refused_accounts
from agent.slurm.site import slurm_survey
from agent.slurm.survey import SlurmSurvey
from scheduler.model import Slice

JOB_SECONDS_MAX = 60.0  # for the test job, in Slurm's queue and on its node
POLL_SECONDS = 2.0  # between two questions while it is under way
NODES_NAMED_MAX = 3  # in one line
_NO_ROUTE = "no route"
_LOOK_AROUND = rf"""
while read -r _ destination _; do
    [ "$destination" = 00000000 ] && exit 0
done < /proc/net/route
echo '{_NO_ROUTE}'
"""  # a node without a default route reaches no internet
WAITING = "a busy site is no fault; run preflight again when a card is free"


async def slurm_checks(config: AgentConfig, slurm: SlurmConfig) -> list[Check]:
    """All that can be asked of the Slurm that `config` names."""
    survey = slurm_survey(config, slurm, os.environ)
    began = time.monotonic()
    try:
        view = (await survey.poll.answer(float("-inf"))).view
    except ProbeFailed as failed:
        return [Check("scheduler", Status.FAIL, failed.message, failed.hint)]
    took = time.monotonic() - began
    await survey.look(lambda pool, node: frozenset())
    return [
        check_scheduler(view, took),
        *(check_pool(pool, survey.inventory(), view) for pool in survey.found.pools),
        check_names(survey),
        check_rules(survey),
        check_accounts(survey, slurm),
        check_shared(Path(slurm.shared_dir)),
        await check_job(config, survey),
    ]


def check_scheduler(view: SlurmView, seconds: float) -> Check:
    version = view.frame.version
    form = "JSON" if version >= SINCE else "text"
    message = f"slurm {version[0]}.{version[1]:02} ({form}), nodes {len(view.nodes)}"
    message += f", jobs {len(view.jobs)}, read in {seconds:.2f} s"
    return Check("scheduler", Status.OK, message)


def check_pool(pool: SlurmPool, inventory: Inventory, view: SlurmView) -> Check:
    """What of a pool there is, and what of it can be used now."""
    declared = pool.declared
    said = f"{len(declared.nodes)} nodes × {declared.cards_per_node} {declared.accelerator}"
    said += f" (gres {pool.gres}), {declared.cards} cards"
    now = next(each for each in inventory.pools() if each.name == declared.name)
    if pool.share < 1:
        said += f", of which the federation may hold {pool.share:.0%}"
    names = {node.name for node in declared.nodes}
    out = [node for node in view.nodes if node.name in names and not node.usable]
    said += f"; {now.cards_usable} may be used now"
    if not out:
        return Check(f"accelerators {declared.name}", Status.OK, said)
    reasons = [f"{node.name} ({_reason(node)})" for node in out]
    named = ", ".join(reasons[:NODES_NAMED_MAX])
    more = f" and {len(out) - NODES_NAMED_MAX} more" if len(out) > NODES_NAMED_MAX else ""
    said += f"; out of service: {named}{more}"
    return Check(f"accelerators {declared.name}", Status.WARN, said, "they are not offered")


def _reason(node: SlurmNode) -> str:
    """The operator's or Slurm's words, without who said it when."""
    return node.reason.partition(" [")[0] or "+".join(sorted(node.states))


def check_names(survey: SlurmSurvey) -> Check:
    """Whether each GRES has a name in the catalogue, and each partition is there."""
    found = survey.found
    if found.unknown_partitions:
        message = f"Slurm has no partition {', '.join(found.unknown_partitions)}"
        return Check("names", Status.FAIL, message, "correct slurm.partitions")
    known = {pool.gres: pool.declared.accelerator for pool in found.pools}
    said = ", ".join(f"{gres} → {model}" for gres, model in sorted(known.items()))
    if found.unknown_gres:
        unknown = ", ".join(found.unknown_gres)
        message = f"{said}; not known, so not offered: {unknown}".lstrip("; ")
        hint = f"map what are cards under slurm.accelerators: {{{found.unknown_gres[0]}: <model>}}"
        return Check("names", Status.WARN if known else Status.FAIL, message, hint)
    if not known:
        hint = "see Gres in `scontrol show node`; slurm.partitions may leave them out"
        return Check("names", Status.FAIL, "no node has a GRES", hint)
    return Check("names", Status.OK, f"{said}; all mapped")


def check_rules(survey: SlurmSurvey) -> Check:
    if not survey.rules:
        return Check("rules", Status.OK, "none found")
    return Check("rules", Status.OK, f"{'; '.join(survey.rules)} → will be published")


def check_accounts(survey: SlurmSurvey, slurm: SlurmConfig) -> Check:
    """Whether the partitions take the accounts under which jobs will run."""
    accounts = [account for account in {*slurm.accounts.values(), slurm.account} if account]
    said = f"{len(slurm.accounts)} tenants mapped, others under "
    said += slurm.account or "Slurm's default account"
    refused = [
        f"{pool.declared.name} takes no jobs of {', '.join(sorted(names))}"
        for pool in survey.found.pools
        if (names := refused_accounts(pool.partition, accounts))
    ]
    if refused:
        hint = "correct slurm.accounts, or let the partition allow them"
        return Check("accounts", Status.FAIL, "; ".join(refused), hint)
    return Check("accounts", Status.OK, said)


def check_shared(place: Path) -> Check:
    """Whether the agent may write where the nodes will read; `job` shows that they can."""
    there = existing(place)
    if not os.access(there, os.W_OK | os.X_OK):
        hint = "give the agent's user the directory, or name another in slurm.shared_dir"
        return Check("shared", Status.FAIL, f"{there} cannot be written", hint)
    return Check("shared", Status.OK, f"{there} ({file_system(there)})")


async def check_job(config: AgentConfig, survey: SlurmSurvey) -> Check:
    """Runs a job of nothing on one free card: as the agent's user, under the fence."""
    share = _free_card(survey.inventory())
    if share is None:
        message = "no card is free now, so no test job was run"
        return Check("job", Status.WARN, message, WAITING)
    order = RunOrder(
        name=(name := run_name(f"preflight-{secrets.token_hex(4)}", 1)),
        job_id=name.removeprefix("suan-").rpartition("-")[0],
        epoch=1,
        site=config.site,
        nodes=(share,),
        cards_per_node=1,
        run=_LOOK_AROUND,
        time_limit_seconds=JOB_SECONDS_MAX,
    )
    try:
        async with _backend(config, survey, name) as backend:
            began = time.monotonic()
            async with asyncio.timeout(JOB_SECONDS_MAX):
                await backend.submit(order, lease_now() + JOB_SECONDS_MAX)
                ended = await anext(backend.exits())
            took = time.monotonic() - began
            said = (await backend.read_log(name, 0, Stream.STDOUT, 0, 4096)).data
    except TimeoutError:
        return await _unfinished(survey, name)
    except (OSError, BackendRefused, ProbeFailed) as error:
        message = f"a test job could not be submitted: {error}"
        return Check("job", Status.FAIL, message, "try sbatch by hand, as this user")
    return _judged(ended, share.name, took, said.decode("ascii", "replace"), config.internet)


@asynccontextmanager
async def _backend(
    config: AgentConfig, survey: SlurmSurvey, name: str
) -> AsyncIterator[SlurmBackend]:
    """A backend of its own place on the shared file system; its job is gone afterwards."""
    place, poll = existing(config.runs_dir), SlurmPoll(survey.poll.slurm, POLL_SECONDS)
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as own:
        backend = SlurmBackend(Path(own), os.environ, config.job_environment, survey.settings, poll)
        await backend.open()
        try:
            yield backend
        finally:
            await backend.close()
            with contextlib.suppress(ProbeFailed):
                await survey.poll.slurm.call("scancel", f"--name={name}")


async def _unfinished(survey: SlurmSurvey, name: str) -> Check:
    said = "nothing of it"
    for job in (await survey.poll.slurm.view(await survey.poll.slurm.frame())).jobs:
        if job.name == name:
            said = f"{job.state} ({job.reason or 'no reason'})"
    message = f"a test job did not end within {JOB_SECONDS_MAX:g} s; Slurm says {said}"
    hint = "if it was PENDING, the site is busy; else see that the nodes have slurm.shared_dir"
    return Check("job", Status.WARN, message, hint)


def _judged(ended: Exit, node: str, seconds: float, said: str, internet: str) -> Check:
    if ended.succeeded:
        message = f"a test job ran on {node} under the fence and ended in {seconds:.1f} s"
        if _NO_ROUTE in said and internet != "none":
            message += "; the node has no way out"
            return Check("job", Status.WARN, message, "say `internet: none`, so that jobs know")
        return Check("job", Status.OK, message)
    message = f"a test job on {node} ended with {ended.reason}: {ended.detail or ended.exit_code}"
    hint = "the node needs slurm.shared_dir at the same path, and slurm.python 3.8 or later"
    return Check("job", Status.FAIL, message, hint)


def _free_card(inventory: Inventory) -> NodeShare | None:
    for pool in inventory.pools():
        for supernode in pool.supernodes:
            place = inventory.allocate(pool.name, [Slice(supernode.name, 1, 1)])
            if isinstance(place, tuple):
                return place[0]
    return None
