"""The queue as rounds see it: classes of jobs that are alike, each with its turn."""

from __future__ import annotations

import random
from dataclasses import replace

from support_core import ACCELERATORS, MODEL, Desk, spec_of, with_limits

from broker.core.messages import PutRow
from broker.core.queue import Queue, class_key
from broker.core.rows import Job, Spec, Tenant
from broker.core.snapshot import take_snapshot
from scheduler.model import Entitlement, QueueClass, Snapshot, Usage


def snapshot(desk: Desk) -> Snapshot:
    return take_snapshot(desk.core.memory, desk.now, ACCELERATORS)


def classes(desk: Desk) -> dict[str, tuple[str, ...]]:
    """Job ids by the key of their class."""
    return {group.key: group.jobs for group in snapshot(desk).queue}


def test_jobs_that_are_alike_form_one_class() -> None:
    desk = Desk()
    desk.submit("a", "b")
    desk.submit("c", spec=spec_of("other", cards=2))
    desk.submit("d", tenant="rival")
    assert sorted(classes(desk).values()) == [("a", "b"), ("c",), ("d",)]


def test_a_class_lists_its_oldest_jobs_and_counts_all() -> None:
    desk = Desk(limits=with_limits(jobs_per_class_max=2))
    desk.submit("a")
    desk.advance(5.0)
    desk.submit("b", "c")
    (group,) = snapshot(desk).queue
    assert isinstance(group, QueueClass)
    assert (group.jobs, group.queued) == (("a", "b"), 3)
    assert group.oldest_submitted_at == desk.wall - 5.0


def test_a_job_that_returns_goes_before_the_fresh_ones() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a", "b", "c", spec=spec_of(retry_max=1))
    desk.place(desk.offer("b", "east"), desk.offer("c", "east"))
    desk.failed("east", "c", category="site")
    desk.failed("east", "b", category="site")
    assert list(classes(desk).values()) == [("c", "b", "a")]


def test_a_restart_keeps_the_order_of_submission() -> None:
    desk = Desk()
    for number in range(30):
        desk.submit(f"j{(number * 7) % 30:02}")
        desk.advance(1.0, tick=False)
    before = classes(desk)
    desk.restart()
    assert classes(desk) == before


def test_an_empty_class_is_gone() -> None:
    desk = Desk()
    desk.submit("a")
    desk.cancel("a")
    assert snapshot(desk).queue == ()
    assert desk.state.queue.count == 0


def test_every_class_has_its_turn_when_there_are_too_many_for_one_round() -> None:
    """Whoever fills the first places with jobs that nothing can run keeps nobody out."""
    desk = Desk(limits=with_limits(classes_per_round_max=10))
    for number in range(40):
        desk.submit(f"blocked{number}", spec=spec_of(f"huge{number}", nodes=900, priority=9))
    for number in range(60):
        desk.submit(f"j{number}", spec=spec_of(f"s{number}"), tenant="rival")
    seen: set[str] = set()
    for _ in range(25):
        queue = snapshot(desk).queue
        assert len(queue) == 10
        assert len({group.key for group in queue}) == 10
        seen |= {job_id for group in queue for job_id in group.jobs}
    assert len(seen) == 100


def test_the_class_that_somebody_asks_about_is_there_in_any_case() -> None:
    desk = Desk(limits=with_limits(classes_per_round_max=2))
    for number in range(9):
        desk.submit(f"j{number}", spec=spec_of(f"s{number}"))
    for key in list(desk.core.memory.state.queue.by_key):
        found = take_snapshot(desk.core.memory, desk.now, (), asked=key).queue
        assert key in {each.key for each in found} and len(found) in (2, 3)
    assert len(take_snapshot(desk.core.memory, desk.now, (), asked="gone").queue) == 2


def test_the_most_urgent_classes_are_in_every_round() -> None:
    desk = Desk(limits=with_limits(classes_per_round_max=10))
    for number in range(60):
        desk.submit(f"j{number}", spec=spec_of(f"s{number}"))
    for number in range(5):
        desk.submit(f"urgent{number}", spec=spec_of(f"u{number}", priority=5))
    for _ in range(10):
        jobs = {job_id for group in snapshot(desk).queue for job_id in group.jobs}
        assert {f"urgent{number}" for number in range(5)} <= jobs


def test_a_round_knows_the_tenants_weights_and_what_they_hold() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.ask(PutRow(Tenant("lab", weight=3.0), "admin"))
    desk.submit("a", spec=spec_of(cards=4))
    desk.place(desk.offer("a", "east", cards=4))
    picture = snapshot(desk)
    assert picture.entitlements == (Entitlement("lab", weight=3.0),)
    assert picture.usages == (Usage("lab", "vision", cards=((MODEL, 4),)),)
    assert [(one.pool, one.cards) for one in picture.running] == [("east/main", 4)]


def test_a_snapshot_does_not_change_with_what_follows() -> None:
    desk = Desk("east")
    desk.hello("east")
    desk.submit("a")
    before = snapshot(desk)
    kept = replace(before)
    desk.place(desk.offer("a", "east"))
    desk.submit("b")
    assert before == kept
    assert snapshot(desk) != before


def test_the_late_are_found_whatever_came_and_went() -> None:
    """Against all jobs looked at one by one; classes share deadlines, and many have none."""
    chance = random.Random(7)
    queue, waiting = Queue(), dict[str, tuple[Job, Spec]]()
    for number in range(600):
        if waiting and chance.random() < 0.45:
            queue.discard(*waiting.pop(chance.choice(list(waiting))))
        else:
            at = chance.choice((0.0, *range(1, 20)))
            spec = spec_of(f"s{chance.randrange(8)}")
            spec = replace(
                spec, sha256=f"{at}-{spec.sha256}", demand=replace(spec.demand, deadline_at=at)
            )
            job = Job(str(number), "lab", "", "li", "n", spec.sha256, 0.0)
            queue.add(job, spec, again=chance.random() < 0.3)
            waiting[job.id] = job, spec
        wall = chance.uniform(0.0, 21.0)
        late = [name for name, (_, s) in waiting.items() if 0 < s.demand.deadline_at <= wall]
        assert sorted(queue.late(wall)) == sorted(late)
        assert queue.by_key.keys() == {class_key(*each) for each in waiting.values()}
    for each in waiting.values():
        queue.discard(*each)
    assert not queue.classes and not queue.by_key and not [*queue.late(99.0)]


def test_two_specifications_whose_digests_begin_alike_are_two_classes() -> None:
    """Sixteen digits can be made to agree on purpose: it must harm nobody."""
    queue = Queue()
    pairs = []
    for tail in "ab":
        spec = replace(spec_of(), sha256="0" * 16 + tail)
        job = Job(tail, "lab", "", "li", "n", spec.sha256, 0.0)
        queue.add(job, spec, again=False)
        pairs.append((job, spec))
    assert sorted(queue.ids()) == ["a", "b"]
    for pair in pairs:
        queue.discard(*pair)
    assert queue.count == 0 and not queue.by_key
