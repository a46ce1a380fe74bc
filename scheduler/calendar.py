"""The transfer calendar: who moves how much over which links, until when.

Transfers that meet on a link share it max-min fairly (`sharing`), so the calendar is a list
of intervals with constant rates. It says when a further transfer would end, and never
promises more than a link carries. Links are numbers, their places in the network; what
the bytes are is not known here.

Times are seconds of one clock, the caller's; rates are Gb/s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from scheduler.arrays import Floats
from scheduler.model import Transfer
from scheduler.network import GBPS_TO_BYTES, IN_CITY_GBPS, Path
from scheduler.sharing import CLOSE, Flows, steps

INTERVALS_MAX = 48  # looked at by a forecast; beyond, the last one's load is taken to stay
ROUGH = 1.0  # the same, where a rough answer will do
RESOLUTION = 0.1  # a forecast joins intervals shorter than this share of the time from now
TRANSFERS_MAX = 1_024  # booked at a time
_NO_BOUND = 1e12  # Gb/s, where no link is crossed


@dataclass(frozen=True, slots=True)
class Interval:
    """While nothing begins or ends. `gbps` by key, of those under way."""

    begin: float
    end: float  # inf: for ever, as far as is booked
    gbps: dict[str, float]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a further transfer could have: `entry_gbps[interval, link]` from `begins` on.

    Its rate is about the least of these along its path: exact where one link holds it back,
    and to first order where several do.
    """

    begins: Floats
    entry_gbps: Floats

    def seconds(self, links: Sequence[int], size_bytes: float) -> float:
        """How long a further transfer over `links` would take; inf: one is out of service."""
        if not links or size_bytes <= 0:
            return max(0.0, size_bytes) / (IN_CITY_GBPS * GBPS_TO_BYTES)
        gbps = self.entry_gbps[:, list(links)].min(axis=1)
        return float(self.drained(gbps[None], np.array([size_bytes * 8e-9]))[0])

    def moved(self, gbps: Floats) -> Floats:
        """Gigabits that are through at `gbps[…, interval]` by the begin of each interval."""
        moved = np.zeros(gbps.shape)
        paces = np.minimum(gbps[..., :-1], _NO_BOUND)
        np.cumsum(paces * np.diff(self.begins), axis=-1, out=moved[..., 1:])
        return moved

    def drained(self, gbps: Floats, gigabits: Floats, moved: Floats | None = None) -> Floats:
        """Seconds until `gigabits[…]` are through at `gbps[…, interval]`; the last has no end.

        `moved` is that of the same `gbps`, where the caller has it.
        """
        begins = self.begins - self.begins[0]
        moved = self.moved(gbps) if moved is None else moved
        moved = np.broadcast_to(moved, (*gigabits.shape, len(begins)))
        at = (moved[..., 1:] < gigabits[..., None]).sum(axis=-1)
        rest = gigabits - np.take_along_axis(moved, at[..., None], axis=-1)[..., 0]
        rates = np.broadcast_to(gbps, moved.shape)
        speed = np.take_along_axis(rates, at[..., None], axis=-1)[..., 0]
        lasts = np.divide(rest, speed, out=np.full(rest.shape, math.inf), where=speed > 0)
        return np.asarray(np.where(gigabits > 0, begins[at] + lasts, 0.0))


class Calendar:
    """The transfers that are booked from `now` on. Booked, then cancelled, leaves nothing."""

    def __init__(self, link_gbps: Floats, now: float) -> None:
        self.link_gbps = link_gbps
        self.now = now
        self._booked: dict[str, Transfer] = {}

    def __len__(self) -> int:
        return len(self._booked)

    def __contains__(self, key: str) -> bool:
        return key in self._booked

    @property
    def booked(self) -> tuple[Transfer, ...]:
        """Each with what is left of it now; those that are through with 0 bytes."""
        return tuple(self._booked.values())

    def book(self, transfer: Transfer) -> None:
        """Add a transfer; one that should have begun begins now.

        Raises ValueError for a key that is booked, a link that is not there, a senseless
        size, or when the calendar is full (see `TRANSFERS_MAX`).
        """
        if transfer.key in self._booked or len(self._booked) >= TRANSFERS_MAX:
            raise ValueError(f"{transfer.key} is booked already, or the calendar is full")
        if any(not 0 <= link < len(self.link_gbps) for link in transfer.links):
            raise ValueError(f"{transfer.key} crosses a link that is not there")
        if not (0 <= transfer.size_bytes < math.inf and transfer.begins_at < math.inf):
            raise ValueError(f"{transfer.key} has no size or no begin")
        self._booked[transfer.key] = transfer

    def cancel(self, key: str) -> Transfer | None:
        """Take a transfer out, with what was left of it; None: it was not booked."""
        return self._booked.pop(key, None)

    def advance(self, now: float) -> None:
        """Let time pass up to `now`; a clock that goes back changes nothing."""
        if now <= self.now:
            return
        moved: dict[str, float] = {}
        for step in steps(self._flows(), self.now):
            seconds = max(0.0, min(step.end, now) - step.begin)
            for key, gbps in step.named().items():
                moved[key] = moved.get(key, 0.0) + gbps * seconds * GBPS_TO_BYTES
            if step.end >= now:
                break
        for key, size_bytes in moved.items():
            transfer = self._booked[key]
            left = transfer.size_bytes - size_bytes
            left = left if left > transfer.size_bytes * (CLOSE - 1.0) else 0.0
            self._booked[key] = replace(transfer, size_bytes=left)
        self.now = now

    def intervals(self) -> Iterator[Interval]:
        """What is booked from now on, exactly; the last interval has no end."""
        for step in steps(self._flows(), self.now):
            yield Interval(step.begin, step.end, step.named())

    def booked_gbps(self) -> Floats:
        """[link]: how much of it is taken now."""
        flows = self._flows()
        step = next(steps(flows, self.now))
        return flows.ways.carried(step.counts * step.rates, len(self.link_gbps))

    def ends(self, resolution: float = 0.0) -> dict[str, float]:
        """When each transfer ends; inf: never, a link of it is out of service.

        With a `resolution` roughly, by at most `INTERVALS_MAX` intervals.
        """
        ends = {key: self.now for key, each in self._booked.items() if not each.size_bytes}
        count = INTERVALS_MAX if resolution else None
        for step in islice(steps(self._flows(), self.now, resolution), count):
            ends.update(step.finish())
        return ends

    def finish(self, path: Path, size_bytes: float, begins_at: float | None = None) -> float:
        """When a further transfer over `path` would arrive, given all that is booked.

        It slows the others down as they slow it. inf: never.
        """
        begins_at = self.now if begins_at is None else max(self.now, begins_at)
        if size_bytes <= 0:
            return begins_at + path.latency_seconds
        key = ""  # of nobody else: keys are not empty
        trial = Transfer(key, path.links, size_bytes, begins_at)
        end = math.inf
        for step in steps(self._flows(trial), self.now):
            if key in step.named():
                end = step.end
            elif end < math.inf:
                break
        return end + path.latency_seconds

    def best(self, paths: Sequence[Path], size_bytes: float) -> Path | None:
        """The path over which a further transfer would arrive first; the first of equals.

        By a rough forecast, so that it costs little however much is booked.
        """
        if not paths:
            return None
        forecast = self.forecast(ROUGH)
        ends = [path.latency_seconds + forecast.seconds(path.links, size_bytes) for path in paths]
        at = int(np.argmin(ends))
        return paths[at] if math.isfinite(ends[at]) else None

    def forecast(self, resolution: float = RESOLUTION) -> Forecast:
        """What further transfers could have, in at most `INTERVALS_MAX` intervals.

        As measured by a visitor on every link, who takes his fair share of it and stays: so
        what a newcomer takes from the others, and how much longer they last, is counted.
        """
        flows, links = self._flows().visited(), len(self.link_gbps)
        begins: list[float] = []
        entries: list[Floats] = []
        for step in islice(steps(flows, self.now, resolution), INTERVALS_MAX):
            begins.append(step.begin)
            entries.append(step.rates[len(step.rates) - links :])
        return Forecast(np.array(begins), np.array(entries).reshape(len(begins), links))

    def _flows(self, trial: Transfer | None = None) -> Flows:
        listed = [each for each in self._booked.values() if each.size_bytes > 0]
        return Flows.of([*listed, trial] if trial else listed, self.link_gbps)
