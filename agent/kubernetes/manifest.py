"""How a run is put to Kubernetes: a `batch/v1` Indexed Job, or a Volcano Job. Pure.

One pod for each node of the gang, on just those nodes and no two on one. Fields by the API's
reference and by Volcano's `batch.volcano.sh/v1alpha1`.
"""

from __future__ import annotations

import math

from agent.backends import BackendRefused, RunOrder
from agent.backends.prepare import StateDirectory
from agent.kubernetes.config import KubernetesConfig, TenantPlace
from agent.kubernetes.fields import Json
from agent.kubernetes.names import RUN, labels_of, object_name, place_label
from agent.kubernetes.pod_spec import pod_spec
from agent.kubernetes.settings import KubernetesSettings, RunPlace

BATCH, VOLCANO = "batch/v1", "batch.volcano.sh/v1alpha1"
DEADLINE_MARGIN_SECONDS = 60  # Kubernetes' own limit lies this far behind the fence's
KEPT_SECONDS = 86_400  # an ended job that nobody removed goes by itself
RANKTABLE_LABEL = "ring-controller.atlas"  # the device plugin annotates pods that have it


def job_path(api: str, namespace: str, name: str = "") -> str:
    """Where jobs of a kind are on the API server."""
    return f"/apis/{api}/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


def job_of(order: RunOrder, state: StateDirectory, settings: KubernetesSettings, api: str) -> Json:
    """The job of a run. Raises BackendRefused (BadShape, BadDirectory)."""
    place = place_of(order, settings)
    tenant = settings.tenant(order.tenant)
    name, count = object_name(order.name), len(order.nodes)
    where = place_label(settings.config.shared_dir)
    labels = labels_of(settings.site, where, order.name, order.job_id, order.epoch)
    metadata = {
        "name": name,
        "namespace": tenant.namespace,
        "labels": labels,
        "annotations": {RUN: order.name},
    }
    template = {
        "metadata": {"labels": dict(labels), "annotations": {RUN: order.name}},
        "spec": pod_spec(order, state, settings, tenant, place),
    }
    if place.kind == "npu" and settings.config.ranktable:
        template["metadata"]["labels"][RANKTABLE_LABEL] = "ascend-910"
    if api == VOLCANO:
        return _volcano_job(metadata, template, count, tenant, settings.config)
    spec: Json = {
        "completionMode": "Indexed",
        "completions": count,
        "parallelism": count,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": template,
    }
    if order.time_limit_seconds:
        limit = order.time_limit_seconds + settings.config.wait_seconds_max
        limit += order.grace_seconds + DEADLINE_MARGIN_SECONDS
        spec["activeDeadlineSeconds"] = math.ceil(limit)  # a job counts from its creation
    return {"apiVersion": BATCH, "kind": "Job", "metadata": metadata, "spec": spec}


def place_of(order: RunOrder, settings: KubernetesSettings) -> RunPlace:
    """Raises BackendRefused (BadShape)."""
    places = {settings.places.get(node.name) for node in order.nodes}
    place = next(iter(places))
    if place is None or len({found and found.pool for found in places}) != 1:
        raise BackendRefused(
            "BadShape",
            "the gang's nodes are not of one pool",
            "the cluster's nodes have changed; let the agent read them again",
        )
    return place


def _volcano_job(
    metadata: Json, template: Json, count: int, tenant: TenantPlace, config: KubernetesConfig
) -> Json:
    """Volcano starts `minAvailable` pods together or none."""
    template["spec"]["schedulerName"] = "volcano"
    spec: Json = {
        "schedulerName": "volcano",
        "minAvailable": count,
        "maxRetry": 1,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "tasks": [{"name": "node", "replicas": count, "template": template}],
    }
    if tenant.queue:
        spec["queue"] = tenant.queue
    if config.highest_tier and count > 1:
        spec["networkTopology"] = {"mode": "hard", "highestTierAllowed": config.highest_tier}
    return {"apiVersion": VOLCANO, "kind": "Job", "metadata": metadata, "spec": spec}
