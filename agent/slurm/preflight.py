"""What a site's operator wants to know of his Slurm before the agent runs: found, named, tried.

Reads Slurm once and runs one job of nothing on one free card, the way every job will run; that
is all it changes, and nothing of it stays.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from agent.backends import Backend
from agent.checks.accounts import check_users
from agent.checks.check import Check, Status
from agent.checks.exporters import exporter_checks
from agent.checks.images import check_images
from agent.checks.trial import Trial, check_shared, try_job
from agent.config.file import AgentConfig
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

POLL_SECONDS = 2.0  # between two questions while the test job is under way
NODES_NAMED_MAX = 3  # in one line


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
        *await exporter_checks(survey.declared_pools),
        check_names(survey),
        check_rules(survey),
        check_accounts(survey, slurm),
        check_users(config),
        check_images(config.containers, on_this_machine=False),
        check_shared(Path(slurm.shared_dir), "slurm.shared_dir"),
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
    if (share := declared.policy.share_max) < 1:
        said += f", of which the federation may hold {share:.0%}"
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


async def check_job(config: AgentConfig, survey: SlurmSurvey) -> Check:
    """Runs a job of nothing on one free card."""
    slurm = survey.poll.slurm

    def backend_in(place: Path) -> Backend:
        poll = SlurmPoll(slurm, POLL_SECONDS)
        return SlurmBackend(place, os.environ, config.job_environment, survey.settings, poll)

    async def unfinished(name: str) -> str:
        for job in (await slurm.view(await slurm.frame())).jobs:
            if job.name == name:
                return f"Slurm says {job.state} ({job.reason or 'no reason'})"
        return "Slurm says nothing of it"

    async def give_up(name: str) -> None:
        await slurm.call("scancel", f"--name={name}")

    trial = Trial(
        config.site,
        config.runs_dir,
        config.internet,
        "sbatch",
        "the nodes have slurm.shared_dir at the same path, and slurm.python 3.8 or later",
        unfinished,
        give_up,
        tenant=next(iter(config.accounts.users), ""),
    )
    return await try_job(trial, survey.inventory(), backend_in)
