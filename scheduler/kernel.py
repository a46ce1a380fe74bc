"""Gang decisions one after the other on plain columns: who gets the cheapest site with room.

The least that a scheduler decides, with nothing around it: classes in their order, their
gangs one by one, each at the site of least cost that still holds it in every resource.
A site's room only shrinks, so a class's gangs fill its sites in the order of their cost,
and one look decides them all; the result is exactly that of deciding one by one. Knows
costs, needs and room as arrays: no reasons, scores or shapes, which `placement` adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.arrays import Floats, Ints

NOWHERE = -1
FEW = 48  # sites that are sorted first: most classes need no more
_UNLIMITED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Decisions:
    """Lots of gangs, in the order in which they were decided; NOWHERE: those left over."""

    class_of: Ints  # [lot]
    site_of: Ints  # [lot]
    gangs: Ints  # [lot]
    free: Ints  # [resource, site] afterwards


def decide(costs: Floats, needs: Ints, gangs: Ints, free: Ints) -> Decisions:
    """Decide all gangs in order.

    `costs` [class, site], inf: not there; ties go to the first site. `needs`
    [class, resource] of one gang, 0: none. `gangs` [class]. `free` [resource, site].
    """
    free = free.copy()
    by_site = free.T  # the same memory: one site's resources
    lots: list[tuple[int, int, int]] = []
    needed = [np.flatnonzero(row) for row in needs]
    for at, (row, left) in enumerate(zip(costs, gangs.tolist(), strict=True)):
        which = needed[at]
        need = needs[at, which]
        site = int(row.argmin()) if len(row) and left > 1 else NOWHERE
        if site != NOWHERE and row[site] < np.inf:
            room = int((by_site[site, which] // need).min()) if len(which) else _UNLIMITED
            if room >= left:  # the usual case: the cheapest site takes all
                by_site[site, which] -= left * need
                lots.append((at, site, left))
                continue
        for site, taken in _spread(row, need, free[which], left):
            by_site[site, which] -= taken * need
            lots.append((at, site, taken))
            left -= taken
        if left > 0:
            lots.append((at, NOWHERE, left))
    columns = np.array(lots, np.int64).reshape(len(lots), 3).T
    return Decisions(columns[0], columns[1], columns[2], free)


def _spread(row: Floats, need: Ints, free: Ints, left: int) -> list[tuple[int, int]]:
    """(site, gangs) for one class over several sites, the cheapest first."""
    if left <= 0:
        return []
    if left == 1:
        wanted = np.where((free >= need[:, None]).all(axis=0), row, np.inf)
        site = int(wanted.argmin()) if len(row) else NOWHERE
        return [(site, 1)] if site != NOWHERE and wanted[site] < np.inf else []
    room = np.where(row < np.inf, left, 0)
    for each, amount in zip(need.tolist(), free, strict=True):  # division by a scalar is fast
        np.minimum(room, amount // each, out=room)
    able = np.flatnonzero(room)
    few = able
    if len(able) > FEW:
        few = able[np.argpartition(row[able], FEW - 1)[:FEW]]
        few = able[row[able] <= row[few].max()]  # with all that tie
        if room[few].sum() < left:
            few = able
    few = few[np.argsort(row[few], kind="stable")]
    before = np.cumsum(room[few]) - room[few]
    used = before < left
    taken = np.minimum(room[few], left - before)[used]
    return list(zip(few[used].tolist(), taken.tolist(), strict=True))
