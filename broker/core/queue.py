"""The queue, grouped into classes of identical demand: a round costs classes, not jobs.

However many classes there are, what a round or a tick takes out costs only what it takes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice, takewhile

from broker.core.rows import Job, Spec
from scheduler.model import Demand, QueueClass, Restore

RESTORE_BYTES_MIN = 1 << 30  # of a checkpoint: a smaller one is anywhere within seconds

_ClassId = tuple[str, str, str, int, str, str]


class _Class:
    """Jobs that are alike, oldest first; those queued again come before the rest."""

    __slots__ = ("array_id", "demand", "fresh", "key", "parallel_max", "returned")

    def __init__(self, key: str, demand: Demand, array_id: str, parallel_max: int) -> None:
        self.key = key
        self.demand = demand
        self.array_id = array_id
        self.parallel_max = parallel_max
        self.fresh: dict[str, None] = {}
        self.returned: dict[str, None] = {}

    @property
    def deadline_at(self) -> float:
        return self.demand.deadline_at

    def __len__(self) -> int:
        return len(self.fresh) + len(self.returned)

    def ids(self) -> Iterator[str]:
        yield from self.returned
        yield from self.fresh


def class_of(job: Job, spec: Spec) -> _ClassId:
    """What makes two queued jobs alike. An array with a limit is a class of its own, and so is
    a job that goes on from a large state of its own."""
    array = job.array_id if spec.parallel_max else ""
    own = job.id if restore_of(job) is not None else ""
    return job.spec_sha256, job.tenant, job.project, job.priority, array, own


def restore_of(job: Job) -> Restore | None:
    """What must be brought to wherever the job goes on, where that matters."""
    state = job.checkpoint
    if state is None or state.size_bytes < RESTORE_BYTES_MIN:
        return None
    return Restore(f"checkpoint/{job.id}", state.site, state.size_bytes)


def class_key(job: Job, spec: Spec) -> str:
    """The class's name in rounds and explanations."""
    sha, tenant, project, priority, array, own = class_of(job, spec)
    return f"{tenant}/{project}/{priority}/{sha[:16]}/{array}" + (f"/{own}" if own else "")


class Queue:
    """Queued job ids by class, with counts by tenant."""

    def __init__(self) -> None:
        self.classes: OrderedDict[_ClassId, _Class] = OrderedDict()  # next in turn first
        self.by_key: dict[str, _Class] = {}
        self.by_tenant: dict[str, int] = {}
        self.count = 0
        self._by_priority: dict[int, dict[_ClassId, _Class]] = {}  # each oldest first
        self._deadlines: list[tuple[float, _ClassId]] = []  # of those that have one, ascending

    def add(self, job: Job, spec: Spec, again: bool) -> None:
        """Queue a job: at the end, or before the fresh ones when it is queued `again`."""
        identity = class_of(job, spec)
        group = self.classes.get(identity)
        if group is None:
            restore = restore_of(job)
            demand = replace(spec.demand, restore=restore) if restore else spec.demand
            group = _Class(class_key(job, spec), demand, identity[4], spec.parallel_max)
            self.classes[identity] = self.by_key[group.key] = group
            self._by_priority.setdefault(job.priority, {})[identity] = group
            if group.deadline_at > 0:
                insort(self._deadlines, (group.deadline_at, identity))
        (group.returned if again else group.fresh)[job.id] = None
        self.by_tenant[job.tenant] = self.by_tenant.get(job.tenant, 0) + 1
        self.count += 1

    def discard(self, job: Job, spec: Spec) -> None:
        """Take a job out, in constant time."""
        identity = class_of(job, spec)
        group = self.classes[identity]
        if group.fresh.pop(job.id, False) is False:
            group.returned.pop(job.id)
        if not group:
            self._drop(identity, group)
        self.by_tenant[job.tenant] -= 1
        self.count -= 1

    def _drop(self, identity: _ClassId, group: _Class) -> None:
        del self.classes[identity]
        self.by_key.pop(group.key, None)  # of two whose digests begin alike, one had it
        alike = self._by_priority[identity[3]]
        del alike[identity]
        if not alike:
            del self._by_priority[identity[3]]
        if group.deadline_at > 0:
            del self._deadlines[bisect_left(self._deadlines, (group.deadline_at, identity))]

    def late(self, wall: float) -> Iterator[str]:
        """The jobs whose deadline has passed."""
        for _, identity in takewhile(lambda due: due[0] <= wall, self._deadlines):
            yield from self.classes[identity].ids()

    def ids(self) -> Iterator[str]:
        for group in self.classes.values():
            yield from group.ids()

    def snapshot(
        self,
        jobs: dict[str, Job],
        array_live: dict[str, int],
        classes_max: int,
        jobs_max: int,
        asked: str = "",
    ) -> tuple[QueueClass, ...]:
        """The classes as a round sees them: at most `classes_max`, `jobs_max` ids each.

        With the class of the key `asked` besides, if there is one.
        """
        found: list[QueueClass] = []
        for identity, group in self._with(asked, self._next(classes_max)):
            room = jobs_max
            if group.parallel_max:
                room = min(room, group.parallel_max - array_live.get(group.array_id, 0))
            ids = tuple(job_id for job_id, _ in zip(group.ids(), range(room), strict=False))
            if not ids:
                continue
            _, tenant, project, priority, *_ = identity
            oldest = jobs[ids[0]].submitted_at
            found.append(
                QueueClass(
                    key=group.key,
                    demand=group.demand,
                    tenant=tenant,
                    project=project,
                    priority=priority,
                    jobs=ids,
                    queued=len(group),
                    oldest_submitted_at=oldest,
                )
            )
        return tuple(found)

    def _next(self, classes_max: int) -> list[tuple[_ClassId, _Class]]:
        """The classes of the next round. When there are more than it may see, half of the
        places go by priority and age, and the others take turns at the rest."""
        if len(self.classes) <= classes_max:
            return [*self.classes.items()]
        first = dict(islice(self._urgent(), classes_max // 2))
        others = (item for item in self.classes.items() if item[0] not in first)
        rest = [*islice(others, classes_max - len(first))]
        for identity, _ in rest:
            self.classes.move_to_end(identity)
        return [*first.items(), *rest]

    def _with(
        self, asked: str, chosen: list[tuple[_ClassId, _Class]]
    ) -> list[tuple[_ClassId, _Class]]:
        """The chosen classes, and the one that somebody asks for."""
        group = self.by_key.get(asked)
        if group is None or any(each is group for _, each in chosen):
            return chosen
        return [*chosen, *(item for item in self.classes.items() if item[1] is group)]

    def _urgent(self) -> Iterator[tuple[_ClassId, _Class]]:
        """All classes, by priority and age."""
        ordered = sorted(self._by_priority, reverse=True)
        return chain.from_iterable(self._by_priority[each].items() for each in ordered)
