"""What a site's operator wants to know of his cluster before the agent runs: found, named, tried.

Reads the cluster once, asks what it may do there, and runs one job of nothing on one free card,
the way every job will run; that is all it changes, and nothing of it stays.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agent.backends.queued import QueuedSettings
from agent.checks.check import Check, Status
from agent.checks.exporters import exporter_checks
from agent.checks.trial import Trial, try_job
from agent.config.file import AgentConfig
from agent.kubernetes.backend import KubernetesBackend
from agent.kubernetes.capacity import KubernetesPool
from agent.kubernetes.client import ApiFailed
from agent.kubernetes.config import KubernetesConfig
from agent.kubernetes.fields import Json, at, text
from agent.kubernetes.manifest import BATCH, VOLCANO
from agent.kubernetes.settings import KubernetesSettings
from agent.kubernetes.site import kubernetes_survey
from agent.kubernetes.survey import KubernetesSurvey
from agent.kubernetes.usage import out_of_service
from suan.disks import file_system

JOB_SECONDS_MAX = 180.0  # for the test job: its image may have to be pulled
POLL_SECONDS = 2.0  # between two questions while it is under way
NODES_NAMED_MAX = 3  # in one line
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def kubernetes_checks(config: AgentConfig, kubernetes: KubernetesConfig) -> list[Check]:
    """All that can be asked of the cluster that `config` names."""
    survey = kubernetes_survey(config, kubernetes)
    began = time.monotonic()
    try:
        version = text(await survey.api.call("GET", "/version"), "gitVersion") or "?"
        permissions = await check_permissions(survey)
        if not await survey.look(lambda pool, node: frozenset()) and not survey.is_ready:
            return [check_cluster(survey, version, time.monotonic() - began), permissions]
        return [
            check_cluster(survey, version, time.monotonic() - began),
            permissions,
            *(check_pool(pool, survey) for pool in survey.found.pools),
            *await exporter_checks(survey.declared_pools),
            check_names(survey),
            check_places(survey.settings()),
            shared := check_shared(Path(kubernetes.shared_dir)),
            *([] if shared.status is Status.FAIL else [await check_job(config, survey)]),
        ]
    except ApiFailed as failed:
        return [Check("cluster", Status.FAIL, failed.message, failed.hint)]
    finally:
        await survey.api.close()


def check_cluster(survey: KubernetesSurvey, version: str, seconds: float) -> Check:
    if not survey.is_ready:
        hint = "see permissions: nodes and pods must be listed"
        return Check("cluster", Status.FAIL, f"kubernetes {version}, not readable", hint)
    volcano = " + volcano" if survey.settings().has_volcano else ""
    message = f"kubernetes {version}{volcano}, nodes {len(survey.nodes.items)}"
    message += f", pods {len(survey.pods.items)}, read in {seconds:.2f} s"
    return Check("cluster", Status.OK, message)


# --- what we may do ------------------------------------------------------------------


async def check_permissions(survey: KubernetesSurvey) -> Check:
    """Asks the server about each right; health of Ascend and topology are wished for only."""
    missing: list[str] = []
    wished: list[str] = []
    for needed, namespace, group, resource, verb in _rights(survey.settings()):
        body = _review(namespace, group, resource, verb)
        said = await survey.api.call("POST", REVIEWS, body=body)
        if at(said, "status", "allowed") is not True:
            where = f" in {namespace}" if namespace else ""
            (missing if needed else wished).append(f"{verb} {resource}{where}")
    hint = "deploy/examples/kubernetes-rbac.yaml holds all that is needed"
    if missing:
        return Check("permissions", Status.FAIL, f"not allowed: {', '.join(missing)}", hint)
    if wished:
        message = f"enough; of use, but not allowed: {', '.join(wished)}"
        return Check("permissions", Status.WARN, message, hint)
    return Check("permissions", Status.OK, "nodes, pods and health read; jobs made and removed")


def _rights(settings: KubernetesSettings) -> Iterator[tuple[bool, str, str, str, str]]:
    """Needed or wished for, namespace ("": all), group, resource, verb."""
    for verb in ("list", "watch"):
        yield True, "", "", "nodes", verb
        yield True, "", "", "pods", verb
    kinds = {"kubernetes": (BATCH,), "volcano": (VOLCANO,)}.get(settings.config.scheduler, (BATCH,))
    for namespace in settings.namespaces:
        for kind in kinds:
            for verb in ("create", "list", "delete"):
                yield True, namespace, kind.partition("/")[0], "jobs", verb
    yield False, "mindx-dl", "", "configmaps", "list"
    yield False, "", "topology.volcano.sh", "hypernodes", "list"


def _review(namespace: str, group: str, resource: str, verb: str) -> Json:
    attributes = {"group": group, "resource": resource, "verb": verb}
    if namespace:
        attributes["namespace"] = namespace
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }


# --- what is there ---------------------------------------------------------------------


def check_pool(pool: KubernetesPool, survey: KubernetesSurvey) -> Check:
    """What of a pool there is, and what of it can be used now."""
    declared = pool.declared
    said = f"{len(declared.nodes)} nodes × {declared.cards_per_node} {declared.accelerator}"
    said += f" ({pool.resource}), {declared.cards} cards"
    groups = len({node.supernode for node in declared.nodes})
    said += f" in {groups} supernodes" if groups > 1 else ""
    now = next(each for each in survey.inventory().pools() if each.name == declared.name)
    if (share := declared.policy.share_max) < 1:
        said += f", of which the federation may hold {share:.0%}"
    said += f"; {now.cards_usable} may be used now"
    tolerations = survey.settings().config.tolerations
    by_name = {node.name: node for node in survey.nodes.items.values()}
    out = [
        f"{node.name} ({why})"
        for node in declared.nodes
        if (why := out_of_service(by_name[node.name], tolerations, survey.health))
    ]
    if not out:
        return Check(f"accelerators {declared.name}", Status.OK, said)
    more = f" and {len(out) - NODES_NAMED_MAX} more" if len(out) > NODES_NAMED_MAX else ""
    said += f"; out of service: {', '.join(out[:NODES_NAMED_MAX])}{more}"
    hint = "they are not offered; kubernetes.tolerations lets jobs on tainted nodes"
    return Check(f"accelerators {declared.name}", Status.WARN, said, hint)


def check_names(survey: KubernetesSurvey) -> Check:
    """Whether each resource has a name in the catalogue, and each pool its nodes."""
    found = survey.found
    if found.empty_offers:
        message = f"no node with cards has the labels of {', '.join(found.empty_offers)}"
        return Check("names", Status.FAIL, message, "correct kubernetes.pools")
    known = {pool.resource: pool.declared.accelerator for pool in found.pools}
    said = ", ".join(f"{resource} → {model}" for resource, model in sorted(known.items()))
    if found.shared:
        said += f"; parts of cards, not offered: {', '.join(found.shared)}"
    if found.unknown:
        message = f"{said}; not known, so not offered: {', '.join(found.unknown)}".lstrip("; ")
        hint = "map what are cards under kubernetes.accelerators: "
        hint += f"{{{found.unknown[0]}: <model>}}"
        return Check("names", Status.WARN if known else Status.FAIL, message, hint)
    if not known:
        hint = "see Capacity in `kubectl describe node`; is the device plugin running?"
        return Check("names", Status.FAIL, "no node has cards", hint)
    return Check("names", Status.OK, f"{said}; all mapped")


def check_places(settings: KubernetesSettings) -> Check:
    """Where tenants' jobs run."""
    config = settings.config
    said = f"{len(config.tenants)} tenants mapped, others in namespace {config.namespace}"
    said += f" as {config.service_account or 'its default account'}, image {config.image}"
    return Check("places", Status.OK, said)


def check_shared(place: Path) -> Check:
    """Whether the agent may write where the pods will read; `job` shows that they can."""
    if not place.is_dir():
        hint = "mount the volume there, or name another place in kubernetes.shared_dir"
        return Check("shared", Status.FAIL, f"{place} is not there", hint)
    if not os.access(place, os.W_OK | os.X_OK):
        hint = "give the agent's user the volume, or name another in kubernetes.shared_dir"
        return Check("shared", Status.FAIL, f"{place} cannot be written", hint)
    return Check("shared", Status.OK, f"{place} ({file_system(place)})")


async def check_job(config: AgentConfig, survey: KubernetesSurvey) -> Check:
    """Runs a job of nothing on one free card: with the agent's rights, under the fence."""

    def backend_in(own: Path) -> KubernetesBackend:
        """Of its own place on the shared volume, which no other knows."""
        held = survey.settings()
        below = own.relative_to(Path(held.config.shared_dir))
        volume = held.config.host_path or ("" if held.config.claim else held.config.shared_dir)
        own_config = replace(
            held.config,
            shared_dir=str(own),
            host_path=str(Path(volume) / below) if volume else "",
            sub_path=str(below) if not volume else "",
            poll_seconds=POLL_SECONDS,
        )
        settings = replace(held, config=own_config)
        queued = QueuedSettings({}, config.job_environment, wait_seconds_max=JOB_SECONDS_MAX)
        made.append(KubernetesBackend(own, queued, lambda: settings, survey.api))
        return made[-1]

    async def unfinished(_name: str) -> str:
        return "`kubectl describe pod` says what it waits for"

    async def give_up(name: str) -> None:
        await made[-1].remove_job(name)

    made: list[KubernetesBackend] = []
    trial = Trial(
        site=config.site,
        place=config.runs_dir,
        internet=config.internet,
        by_hand="`kubectl create job`",
        needs="the image has kubernetes.python 3.8 or later and its pods see the shared volume",
        unfinished=unfinished,
        give_up=give_up,
        seconds_max=JOB_SECONDS_MAX,
    )
    return await try_job(trial, survey.inventory(), backend_in)
