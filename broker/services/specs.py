"""From the bytes of a submitted specification to what the core needs of it.

The bytes are kept as they came. Checks them by the rules of the job file and by the
catalogue; raises InvalidSpec with every problem.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256

from broker.core.rows import Spec
from scheduler.corrections import family_of
from scheduler.model import AcceleratorClass, Checkpoint, Demand, Precision, Variant, Work
from suan import catalogue
from suan.errors import InvalidSpec, Problem
from suan.jobspec.check import check
from suan.models import AcceleratorClass as WantedClass
from suan.models import JobSpec
from suan.models import Variant as WantedVariant
from suan.wire import spec_from_bytes

SPECS_CACHED_MAX = 4_096
DATASET_PREFIX = "ds://"
LEASE_SECONDS = {"restart": 600.0, "proof": 600.0, "overlap": 60.0}  # defaults by class


@lru_cache(maxsize=SPECS_CACHED_MAX)
def read_spec(data: bytes) -> Spec:
    """The checked spec of `data`. Raises InvalidSpec."""
    wish = spec_from_bytes(data)
    problems = (*check(wish), *_unknown_models(wish), *_secrets(wish))
    if problems:
        raise InvalidSpec(problems=problems)
    return _core_spec(sha256(data).hexdigest(), data, wish)


def stored_spec(digest: str, data: bytes) -> Spec:
    """A spec that was accepted before: rules that have become stricter do not undo that."""
    return _core_spec(digest, data, spec_from_bytes(data))


def _core_spec(digest: str, data: bytes, wish: JobSpec) -> Spec:
    return Spec(
        sha256=digest,
        data=data,
        name=wish.name,
        demand=demand_of(wish),
        priority=wish.priority,
        retry_max=wish.retry.max,
        retry_on=wish.retry.on,
        lease_class=wish.lease.lease_class,
        lease_seconds=wish.lease.seconds or LEASE_SECONDS[wish.lease.lease_class],
        parallel_max=wish.array.parallel_max if wish.array else 0,
        bundle_sha256=wish.bundle.sha256 if wish.bundle else "",
        writes=tuple(_written(wish)),
    )


def _written(wish: JobSpec) -> Iterator[tuple[str, str]]:
    """(path, dataset) of the outputs that become datasets."""
    for item in wish.outputs:
        if item.destination.startswith(DATASET_PREFIX):
            yield item.path, item.destination.removeprefix(DATASET_PREFIX)


def demand_of(wish: JobSpec) -> Demand:
    """What the scheduler needs to know of a job."""
    names = tuple(
        item.source.removeprefix(DATASET_PREFIX)
        for item in wish.inputs
        if item.source.startswith(DATASET_PREFIX)
    )
    work = wish.work
    return Demand(
        variants=tuple(_variant(variant) for variant in wish.variants),
        inputs=names,
        output_bytes=sum(item.size_bytes for item in wish.outputs),
        work=Work(
            seconds=work.seconds,
            accelerator=work.accelerator,
            cards=work.cards,
            flops=work.flops,
            precision=Precision(work.precision or "bf16"),
            fallbacks=tuple(Precision(name) for name in work.fallbacks),
            tokens=work.tokens,
            parameters=work.parameters,
        ),
        checkpoint=Checkpoint(wish.checkpoint.size_bytes, wish.checkpoint.every_seconds),
        family=work.family or family_of(wish.name),
        time_limit_seconds=wish.time_limit_seconds,
        sites_allowed=wish.where.sites_allowed,
        sites_denied=wish.where.sites_denied,
        yuan_max=wish.where.yuan_max,
        prefer=wish.where.prefer or ("finish",),
        users_at=wish.where.users_at,
        latency_ms_max=wish.where.latency_ms_max,
        deadline_at=wish.deadline_at,
        preemptible=wish.preemptible,
        needs_store=any(_written(wish)),
    )


def _variant(wanted: WantedVariant) -> Variant:
    accelerator: str | AcceleratorClass
    if isinstance(wanted.accelerator, WantedClass):
        accelerator = AcceleratorClass(
            Precision(wanted.accelerator.precision),
            wanted.accelerator.tflops_min,
            wanted.accelerator.memory_gib_min,
        )
    else:
        accelerator = wanted.accelerator
    topology = wanted.topology
    within = topology is not None and topology.scope != "site"
    return Variant(
        accelerator=accelerator,
        nodes=wanted.num_nodes,
        cards_per_node=wanted.accelerators_per_node,
        cpus_per_node=wanted.cpus_per_node,
        memory_gib_per_node=wanted.memory_gib_per_node,
        group_nodes=(topology.num_nodes or wanted.num_nodes) if topology and within else 0,
        group_required=topology.required if topology and within else False,
        software=wanted.software,
        in_image=bool(wanted.image),
    )


def _unknown_models(wish: JobSpec) -> list[Problem]:
    known = catalogue.load()
    found: list[Problem] = []
    for place, variant in enumerate(wish.variants):
        name = variant.accelerator
        if isinstance(name, str) and known.resolve(name) != name:
            nearest = ", ".join(known.suggest(name)) or "see `suan accelerators`"
            path = f"variants[{place}].accelerator"
            message = f"no accelerator model {name!r}"
            found.append(Problem("UnknownAccelerator", 0, 0, path, message, nearest))
    return found


def _secrets(wish: JobSpec) -> list[Problem]:
    """A job that would not get its secrets must not be taken."""
    if not wish.secrets:
        return []
    message = "this version cannot carry the values of secrets to a site"
    hint = "let the job read them from a file at the site"
    return [Problem("SecretsUnsupported", 0, 0, "secrets", message, hint)]
