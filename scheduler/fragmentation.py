"""Which machine a small job should go to, so that what is left over serves those to come.

Machines have devices (cards, or any unit that one job or several share) and CPUs and
memory beside them. A free part of a device is of no use to a shape when the machine
cannot hold the shape, or when the part is smaller than what the shape needs of one
device. Averaged over the shapes that usually come, that is the machine's expected
fragmentation; a job goes where it grows least (Weng et al., Beware of Fragmentation,
ATC 2023). That looks one job ahead; so we add what will be stranded later: free devices
beyond those that the machine's CPUs and memory can serve at the usual ratios. Knows
columns of machines and a mix of shapes, not queues or sites. Amounts are whole numbers
in the caller's units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Bools, Floats, Ints

STRANDED_WEIGHT = 1.0  # of devices without CPUs or memory, beside those of no use now
SPARING = 1.3  # times as many devices as at the mean ratio: the sparing ones go there
_DIGITS = 4  # growths that differ by less are alike


@dataclass(frozen=True, slots=True)
class Shape:
    """What one job takes of one machine: `share` of each of `devices`, and the rest."""

    devices: int
    share: int  # of one device; all of it: the devices must be untouched
    cpus: int = 0
    memory: int = 0


class Mix:
    """The shapes that usually come and how many of each; a shape counts by what it asks for."""

    def __init__(self, shapes: tuple[Shape, ...], weights: tuple[float, ...]) -> None:
        amounts = np.array([shape.devices * shape.share for shape in shapes], np.float64)
        asked = np.array(weights, np.float64) * amounts
        total = max(float(asked.sum()), 1.0)
        shares = asked / total
        kinds = sorted({(s.devices, s.share) for s in shapes if s.devices > 0})
        self.devices: Ints = np.array([devices for devices, _ in kinds], np.int64)
        self.share: Ints = np.array([share for _, share in kinds], np.int64)
        self.cpus: Ints = np.array([shape.cpus for shape in shapes], np.int64)
        self.memory: Ints = np.array([shape.memory for shape in shapes], np.int64)
        counts = np.array(weights, np.float64) * (amounts > 0)
        self._cpus_usual = float(counts @ self.cpus) / total / SPARING  # per amount of a device
        self._memory_usual = float(counts @ self.memory) / total / SPARING
        self.weights: Floats = np.zeros((len(shapes), len(kinds)))  # [shape, kind]
        for row, shape in enumerate(shapes):
            if shape.devices > 0:
                self.weights[row, kinds.index((shape.devices, shape.share))] = shares[row]

    def unusable(self, free: Ints, cpus: Ints, memory: Ints) -> Floats:
        """[machine]: free amount of no use, now or later, of `free` [machine, device]."""
        held = (cpus[:, None] >= self.cpus) & (memory[:, None] >= self.memory)
        likely = held @ self.weights  # [machine, kind]
        large = free[:, :, None] >= self.share
        enough = large.sum(axis=1) >= self.devices
        usable = np.where(enough, (free[:, :, None] * large).sum(axis=1), 0)
        left = free.sum(axis=1)
        served = left.astype(np.float64)
        for room, usual in ((cpus, self._cpus_usual), (memory, self._memory_usual)):
            if usual > 0:
                served = np.minimum(served, room / usual)
        stranded = STRANDED_WEIGHT * (left - served)
        return np.asarray(left - (likely * usable).sum(axis=1) + stranded, np.float64)


class Machines:
    """Free amounts, by machine; a job is taken whole or not at all."""

    def __init__(self, free: Ints, cpus: Ints, memory: Ints, whole: int, mix: Mix) -> None:
        """`free` [machine, device], 0 where there is no device; `whole`: of an untouched one."""
        self._free, self._cpus, self._memory = free.copy(), cpus.copy(), memory.copy()
        self._whole, self._mix = whole, mix
        self._unusable = mix.unusable(free, cpus, memory)

    @property
    def free(self) -> Ints:
        """[machine, device]"""
        return self._free.copy()

    def take(self, shape: Shape) -> int | None:
        """Place one job where fragmentation grows least; its machine, None: it fits nowhere."""
        at, after = self._choices(shape)
        if not len(at):
            return None
        cpus, memory = self._cpus[at] - shape.cpus, self._memory[at] - shape.memory
        state = np.column_stack([np.sort(after, axis=1), cpus, memory])
        _, first, of = np.unique(state, axis=0, return_index=True, return_inverse=True)
        unusable = self._mix.unusable(after[first], cpus[first], memory[first])[of.reshape(-1)]
        growth = np.round(unusable - self._unusable[at], _DIGITS)
        best = int(np.lexsort((at, growth))[0])
        machine = int(at[best])
        self._free[machine] = after[best]
        self._cpus[machine], self._memory[machine] = cpus[best], memory[best]
        self._unusable[machine] = unusable[best]
        return machine

    def _choices(self, shape: Shape) -> tuple[Ints, Ints]:
        """([choice] machine, [choice, device] free afterwards), one for each unlike device."""
        fits = (self._cpus >= shape.cpus) & (self._memory >= shape.memory)
        large = self._free >= shape.share
        if shape.devices == 0:
            at = np.flatnonzero(fits)
            return at, self._free[at]
        if shape.devices > 1 or shape.share == self._whole:
            at = np.flatnonzero(fits & (large.sum(axis=1) >= shape.devices))
            taken = large[at] & (np.cumsum(large[at], axis=1) <= shape.devices)
            return at, self._free[at] - shape.share * taken
        at, device = np.nonzero(_unlike(self._free) & large & fits[:, None])
        after = self._free[at]
        after[np.arange(len(at)), device] -= shape.share
        return at, after


def _unlike(free: Ints) -> Bools:
    """[machine, device]: the first device of each free amount of a machine."""
    same = free[:, :, None] == free[:, None, :]
    return np.asarray(same.argmax(axis=2) == np.arange(free.shape[1]), np.bool_)
