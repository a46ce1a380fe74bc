"""Progress of several downloads at once, told as one."""

from __future__ import annotations

from agent.staging.values import Progress


class Tally:
    """Adds up what each part tells. Belongs to one event loop."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell
        self._parts: dict[str, tuple[int, int]] = {}  # bytes done, and in all

    def part(self, name: str) -> Progress:
        """What the part of that name tells its progress to."""

        def tell(done: int, total: int) -> None:
            self._parts[name] = done, max(done, total)
            self._tell(
                sum(part[0] for part in self._parts.values()),
                sum(part[1] for part in self._parts.values()),
            )

        return tell
