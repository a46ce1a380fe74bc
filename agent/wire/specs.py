"""The specs of one session: sent by the broker once, named by their digest in many grants.

Bounded by what they take in memory. The broker does not know what was dropped here, so a
spec that is missing ends the session, and the next one begins with none.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from agent.backends import Launch
from agent.supervisor.values import Failure, Task, TaskInput, TaskOutput
from suan.errors import InvalidSpec
from suan.models import JobSpec, Variant
from suan.wire import spec_from_bytes

SPECS_BYTES_MAX = 256 * 1024 * 1024
SPEC_OVERHEAD_BYTES = 4_096  # of the values that a small spec becomes

Tasks = tuple[Task | Failure, ...] | Failure  # by variant; a failure: none can be run


class SpecMissing(Exception):
    """A grant names a spec that this session does not have."""


class Specs:
    """Specs by the lower-case hex of their SHA-256, read as the tasks of their variants."""

    def __init__(self, grace_seconds: float, bytes_max: int = SPECS_BYTES_MAX) -> None:
        """`grace_seconds`: where a job names none."""
        self._grace_seconds = grace_seconds
        self._bytes_max = bytes_max
        self._bytes = 0
        self._specs: OrderedDict[str, tuple[tuple[Task | Failure, ...] | Failure, int]] = (
            OrderedDict()
        )

    def add(self, digest: str, data: bytes) -> None:
        """Keep a spec; what its digest does not fit is as good as missing."""
        if digest in self._specs or sha256(data).hexdigest() != digest:
            return
        size = len(data) + SPEC_OVERHEAD_BYTES
        self._specs[digest] = (_read(data, self._grace_seconds), size)
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, (_, dropped) = self._specs.popitem(last=False)
            self._bytes -= dropped

    def task(self, digest: str, variant: int) -> Task | Failure:
        """What a variant asks for, or why it cannot be read. Raises SpecMissing."""
        try:
            self._specs.move_to_end(digest)
        except KeyError:
            raise SpecMissing(digest) from None
        tasks = self._specs[digest][0]
        if isinstance(tasks, Failure):
            return tasks
        if variant >= len(tasks):
            return Failure("broker", "BadGrant", f"the spec has no variant {variant}")
        return tasks[variant]


def _read(data: bytes, grace_seconds: float) -> Tasks:
    try:
        spec = spec_from_bytes(data)
    except InvalidSpec as error:
        return Failure("user", "UnreadableSpec", f"the site cannot read the spec: {error.message}")
    return tuple(_task(spec, variant, grace_seconds) for variant in spec.variants)


def _task(spec: JobSpec, variant: Variant, grace_seconds: float) -> Task | Failure:
    accelerator, bundle = variant.accelerator, spec.bundle
    return Task(
        num_nodes=variant.num_nodes,
        cards_per_node=variant.accelerators_per_node,
        run=variant.run,
        setup=variant.setup,
        model=accelerator if isinstance(accelerator, str) else "",
        image=variant.image,
        launch=Launch(spec.launch.value),
        environment=spec.environment,
        working_directory=spec.working_directory,
        time_limit_seconds=spec.time_limit_seconds,
        grace_seconds=spec.grace_seconds or grace_seconds,
        cpus_per_node=variant.cpus_per_node,
        memory_gib_per_node=variant.memory_gib_per_node,
        bundle_sha256=bundle.sha256 if bundle is not None else "",
        inputs=tuple(TaskInput(item.path, item.source, item.writable) for item in spec.inputs),
        priority=spec.priority,
        preemptible=spec.preemptible,
        outputs=tuple(
            TaskOutput(item.path, item.destination, item.when == "always") for item in spec.outputs
        ),
        retried=spec.retry is not None and spec.retry.max > 0,
    )
