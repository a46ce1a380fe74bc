"""What benchmarks say on the terminal: the machine, and figures side by side."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping


def table(roads: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """A column for each of Suan's roads, a line for each figure; `-` where it was not taken."""
    yield f"{'suan':28}" + "".join(f"{name:>15}" for name in roads)
    for key in dict.fromkeys(key for found in roads.values() for key in found):
        cells = (f"{found[key]:.1f}" if key in found else "-" for found in roads.values())
        yield f"{key:28}" + "".join(f"{cell:>15}" for cell in cells)


def comparison(
    roads: Mapping[str, Mapping[str, float]], peers: Mapping[str, float]
) -> Iterator[str]:
    """A line for each peer, beside the fastest of Suan's roads."""
    best = max(found["jobs_per_second"] for found in roads.values())
    for name, rate in peers.items():
        yield f"{name:18} {rate:10.1f} jobs/s   {best / rate:8.1f} times slower"


def machine() -> str:
    cores, python = os.cpu_count(), platform.python_version()
    return f"{cores} cores, {platform.platform()}, Python {python}, load {os.getloadavg()[0]:.1f}"
