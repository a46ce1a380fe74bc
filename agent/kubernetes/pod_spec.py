"""The pod of one node of a run: what it asks for, what it sees, and the fence as its entry. Pure.

It mounts of the shared volume what is its run's, at the paths that the agent knows. Fields by
core/v1 of the API's reference.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

from agent.backends import BackendRefused, RunOrder
from agent.backends.container import NO_IMAGES, REGISTRY, is_allowed, not_allowed
from agent.backends.prepare import StateDirectory
from agent.backends.rundir import RunDirectory
from agent.kubernetes.config import KubernetesConfig, TenantPlace
from agent.kubernetes.fields import Json
from agent.kubernetes.names import OBJECT, object_name
from agent.kubernetes.settings import KubernetesSettings, RunPlace

GRACE_MARGIN_SECONDS = 15  # kubelet kills so long after the fence's own grace
GANG_MARGIN_SECONDS = 120  # pods wait so much longer for each other than the agent for them
RANKTABLE_DIRECTORY = "/user/serverid/devindex/config"  # where MindCluster has it
_VOLUME, _MEMORY = "suan", "memory"


def pod_spec(
    order: RunOrder,
    state: StateDirectory,
    settings: KubernetesSettings,
    tenant: TenantPlace,
    place: RunPlace,
) -> Json:
    config = settings.config
    ranktable = place.kind == "npu" and bool(config.ranktable)
    mounts, volumes = _mounts(order, state, settings, ranktable)
    if tenant.claim:
        shared: Json = {"persistentVolumeClaim": {"claimName": tenant.claim}}
    else:
        path = config.host_path or config.shared_dir
        shared = {"hostPath": {"path": path, "type": "Directory"}}
    spec: Json = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": math.ceil(order.grace_seconds) + GRACE_MARGIN_SECONDS,
        "securityContext": {"runAsUser": settings.user, "runAsGroup": settings.group},
        "affinity": _affinity(order),
        "containers": [_container(order, state, settings, tenant, place, mounts)],
        "volumes": [
            {"name": _VOLUME, **shared},
            {"name": _MEMORY, "emptyDir": {"medium": "Memory"}},
            *volumes,
        ],
    }
    if config.host_network:
        spec |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    if tenant.service_account:
        spec["serviceAccountName"] = tenant.service_account
    if config.tolerations:
        spec["tolerations"] = [_toleration(t.key, t.value, t.effect) for t in config.tolerations]
    return spec


def _container(
    order: RunOrder,
    state: StateDirectory,
    settings: KubernetesSettings,
    tenant: TenantPlace,
    place: RunPlace,
    mounts: list[Json],
) -> Json:
    config = settings.config
    wait = str(math.ceil(config.wait_seconds_max) + GANG_MARGIN_SECONDS)
    entry = [config.python, "-I", "-S", str(state.path / "tools" / "pod.py")]
    ranktable = place.kind == "npu" and bool(config.ranktable)
    return {
        "name": "run",
        "image": _image(order, config) or tenant.image or place.image or config.image,
        "command": [*entry, str(state.path), order.name, wait, *(["ranktable"] * ranktable)],
        "env": [
            {"name": "SUAN_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "SUAN_POD_ADDRESS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "resources": _resources(order, place),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {"allowPrivilegeEscalation": False},
        "volumeMounts": mounts,
    }


def _image(order: RunOrder, config: KubernetesConfig) -> str:
    """That of the job, as a cluster writes it; "": it names none."""
    if not order.image:
        return ""
    if not config.images_allowed:
        raise BackendRefused("ImagesUnsupported", NO_IMAGES, "leave `image` out")
    if not is_allowed(order.image, config.images_allowed):
        raise not_allowed(order.image, config.images_allowed)
    return order.image.removeprefix(REGISTRY)


def _resources(order: RunOrder, place: RunPlace) -> Json:
    """The cards' share of a node, or what the job asks if that is more."""
    cards = order.cards_per_node
    cpus = max(place.cpus_per_card * max(cards, 1), order.cpus_per_node)
    with_cards = place.memory_mib_per_card * max(cards, 1)
    memory_mib = max(with_cards, math.ceil(order.memory_gib_per_node * 1024))
    limits = {place.resource: str(cards * place.per_card)} if cards else {}
    if memory_mib:
        limits["memory"] = f"{memory_mib}Mi"
    return {"limits": limits, "requests": {"cpu": str(cpus), **limits}}


def _affinity(order: RunOrder) -> Json:
    """On these nodes: a term each, because a field may be compared with one value only."""
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.name]}]}
        for node in order.nodes
    ]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity: Json = {"nodeAffinity": {required: {"nodeSelectorTerms": terms}}}
    if len(order.nodes) > 1:
        selector = {"matchLabels": {OBJECT: object_name(order.name)}}
        apart = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
        affinity["podAntiAffinity"] = {required: [apart]}
    return affinity


def _mounts(
    order: RunOrder, state: StateDirectory, settings: KubernetesSettings, ranktable: bool
) -> tuple[list[Json], list[Json]]:
    """What of the shared volume is the run's, at the agent's own paths; and other volumes."""
    run = state.run(order.name)
    parts = [
        (run.path, run.path, False),
        (asks_of(run), state.path / "asks", False),
        (state.path / "tools", state.path / "tools", True),
        (state.output(order.job_id, order.epoch),) * 2 + (False,),
        (state.checkpoint(order.job_id),) * 2 + (False,),
    ]
    lasting = (order.data_directory, order.output_directory, order.checkpoint_directory)
    parts += [(Path(place), Path(place), False) for place in lasting if place]
    if ranktable:
        parts.append((ranktable_of(run), Path(RANKTABLE_DIRECTORY), True))
    mounts: list[Json] = [{"name": _MEMORY, "mountPath": "/dev/shm"}]
    volumes: list[Json] = []
    for place, at, read_only in parts:
        mounts.append(_part(place, at, read_only, state.path, settings.config.sub_path))
    for number, root in enumerate(settings.data_roots):
        if PurePosixPath(root).is_relative_to(state.path):
            sub_path = settings.config.sub_path
            mounts.append(_part(Path(root), Path(root), True, state.path, sub_path))
        else:
            volumes.append({"name": f"data-{number}", "hostPath": {"path": root}})
            mounts.append({"name": f"data-{number}", "mountPath": root, "readOnly": True})
    _check_directory(order, mounts)
    return mounts, volumes


def _part(place: Path, at: Path, read_only: bool, shared: Path, below: str) -> Json:
    if not place.is_relative_to(shared):
        raise BackendRefused(
            "BadDirectory", f"{place} is not on the shared volume", "see kubernetes.shared_dir"
        )
    mount: Json = {
        "name": _VOLUME,
        "mountPath": str(at),
        "subPath": str(below / place.relative_to(shared)),
    }
    return {**mount, "readOnly": True} if read_only else mount


def _check_directory(order: RunOrder, mounts: list[Json]) -> None:
    """An absolute working directory must be where a pod sees it."""
    wish = PurePosixPath(order.working_directory)
    seen = (mount["mountPath"] for mount in mounts)
    if wish.is_absolute() and not any(wish.is_relative_to(path) for path in seen):
        raise BackendRefused(
            "BadDirectory",
            f"the working directory {order.working_directory!r} is not one that pods here see",
            "send it along, or let the site's operator add it to data_roots",
        )


def asks_of(run: RunDirectory) -> Path:
    """Where the nodes of one run ask for their lease: no run sees another's."""
    return run.path / "asks"


def ranktable_of(run: RunDirectory) -> Path:
    return run.path / "ranktable"


def _toleration(key: str, value: str, effect: str) -> Json:
    toleration: Json = {"key": key, "operator": "Equal" if value else "Exists"}
    if value:
        toleration["value"] = value
    return {**toleration, "effect": effect} if effect else toleration
