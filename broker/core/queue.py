"""The queue, grouped into classes of identical demand: a round costs classes, not jobs."""

from __future__ import annotations

from collections.abc import Iterator

from broker.core.rows import Job, Spec
from scheduler.model import Demand, QueueClass

_ClassId = tuple[str, str, str, int, str]


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
    """What makes two queued jobs alike. An array with a limit is a class of its own."""
    array = job.array_id if spec.parallel_max else ""
    return job.spec_sha256, job.tenant, job.project, job.priority, array


def class_key(job: Job, spec: Spec) -> str:
    """The class's name in rounds and explanations."""
    sha, tenant, project, priority, array = class_of(job, spec)
    return f"{tenant}/{project}/{priority}/{sha[:16]}/{array}"


class Queue:
    """Queued job ids by class, with counts by tenant."""

    def __init__(self) -> None:
        self.classes: dict[_ClassId, _Class] = {}
        self.by_tenant: dict[str, int] = {}
        self.count = 0
        self._hurried: dict[_ClassId, _Class] = {}  # those that have a deadline
        self._turn = 0  # of the classes that take turns in rounds

    def add(self, job: Job, spec: Spec, again: bool) -> None:
        """Queue a job: at the end, or before the fresh ones when it is queued `again`."""
        identity = class_of(job, spec)
        group = self.classes.get(identity)
        if group is None:
            group = _Class(class_key(job, spec), spec.demand, identity[4], spec.parallel_max)
            self.classes[identity] = group
            if group.deadline_at > 0:
                self._hurried[identity] = group
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
            del self.classes[identity]
            self._hurried.pop(identity, None)
        self.by_tenant[job.tenant] -= 1
        self.count -= 1

    def hurried(self) -> Iterator[_Class]:
        """The classes that have a deadline."""
        return iter(self._hurried.values())

    def ids(self) -> Iterator[str]:
        for group in self.classes.values():
            yield from group.ids()

    def snapshot(
        self, jobs: dict[str, Job], array_live: dict[str, int], classes_max: int, jobs_max: int
    ) -> tuple[QueueClass, ...]:
        """The classes as a round sees them: at most `classes_max`, `jobs_max` ids each."""
        found: list[QueueClass] = []
        for identity, group in self._next(classes_max):
            room = jobs_max
            if group.parallel_max:
                room = min(room, group.parallel_max - array_live.get(group.array_id, 0))
            ids = tuple(job_id for job_id, _ in zip(group.ids(), range(room), strict=False))
            if not ids:
                continue
            _, tenant, project, priority, _ = identity
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
        groups = list(self.classes.items())
        if len(groups) <= classes_max:
            return groups
        groups.sort(key=lambda item: -item[0][3])  # stable: older classes stay first
        first = classes_max // 2
        rest, places = groups[first:], classes_max - first
        start = self._turn % len(rest)
        self._turn = start + places
        return groups[:first] + (rest[start:] + rest[:start])[:places]
