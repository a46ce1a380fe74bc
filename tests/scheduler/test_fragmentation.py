"""Small jobs go where what is left over stays of use."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.arrays import Ints
from scheduler.fragmentation import Machines, Mix, Shape

HALF, WHOLE = Shape(1, 500), Shape(1, 1000)


def machines(
    *devices: list[int], mix: Mix, cpus: list[int] | None = None, memory: list[int] | None = None
) -> Machines:
    plenty = [10**6] * len(devices)
    return Machines(_ints(devices), _ints(cpus or plenty), _ints(memory or plenty), 1000, mix)


def test_a_begun_device_is_finished_before_a_whole_one_is_broken() -> None:
    packed = machines([1000, 1000], [500, 1000], mix=Mix((HALF, WHOLE), (1, 1)))
    assert packed.take(HALF) == 1
    assert packed.free.tolist() == [[1000, 1000], [0, 1000]]


def test_a_whole_device_is_not_taken_from_two_halves() -> None:
    packed = machines([500, 500], mix=Mix((HALF, WHOLE), (1, 1)))
    assert packed.take(WHOLE) is None
    assert packed.free.tolist() == [[500, 500]]


def test_devices_are_not_left_without_cpus() -> None:
    """The greedy one of CPUs goes where they are plenty, though both have devices."""
    greedy, modest = Shape(1, 1000, cpus=8), Shape(1, 1000, cpus=2)
    packed = machines([1000] * 2, [1000] * 2, cpus=[8, 16], mix=Mix((greedy, modest), (1, 9)))
    assert packed.take(greedy) == 1


def test_what_needs_no_device_goes_where_there_is_none() -> None:
    helper = Shape(0, 0, cpus=4)
    packed = machines([1000], [0], cpus=[8, 8], mix=Mix((Shape(1, 1000, cpus=8), helper), (1, 1)))
    assert packed.take(helper) == 1


def test_without_memory_nothing_fits() -> None:
    packed = machines([1000], memory=[3], mix=Mix((WHOLE,), (1,)))
    assert packed.take(Shape(1, 1000, memory=4)) is None


def test_unusable_by_hand() -> None:
    """Halves are asked for half as much as wholes: a free half serves a third of the demand."""
    mix = Mix((HALF, WHOLE), (1, 1))
    found = mix.unusable(_ints([[500, 0], [1000, 500], [0, 0]]), _ints([9] * 3), _ints([9] * 3))
    assert np.round(found, 3).tolist() == [333.333, 333.333, 0.0]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 4))
def test_never_more_than_there_is(seed: int, count: int, devices: int) -> None:
    random = np.random.default_rng(seed)
    free = random.choice([0, 300, 1000], (count, devices))
    cpus, memory = random.integers(0, 20, count), random.integers(0, 20, count)
    shapes = [
        Shape(*each)
        for each in [(0, 0, 2, 1), (1, 300, 1, 1), (1, 1000, 3, 2), (2, 1000, 4, 4), (1, 700, 2, 9)]
    ]
    packed = Machines(free, cpus, memory, 1000, Mix(tuple(shapes), (1,) * len(shapes)))
    left, used = int(free.sum()), np.zeros((count, 2), np.int64)
    for at in random.integers(0, len(shapes), 30).tolist():
        before, shape = packed.free, shapes[at]
        where = packed.take(shape)
        if where is None:
            assert not _fits(before, cpus - used[:, 0], memory - used[:, 1], shape)
            continue
        left -= shape.devices * shape.share
        used[where] += shape.cpus, shape.memory
        changed = before[where] - packed.free[where]
        assert sorted(changed[changed > 0].tolist()) == [shape.share] * shape.devices
        assert (np.delete(before, where, 0) == np.delete(packed.free, where, 0)).all()
    assert int(packed.free.sum()) == left
    assert (packed.free >= 0).all()
    assert (used <= np.column_stack([cpus, memory])).all()


def _fits(free: Ints, cpus: Ints, memory: Ints, shape: Shape) -> bool:
    devices = (free >= shape.share).sum(axis=1) >= shape.devices
    return bool((devices & (cpus >= shape.cpus) & (memory >= shape.memory)).any())


def _ints(values: object) -> Ints:
    return np.array(values, np.int64)
