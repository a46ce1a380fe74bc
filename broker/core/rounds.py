"""What rounds came to since this leader began, for the counters."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = 1_000_000


@dataclass(slots=True)
class Rounds:
    """Counts, and what the last round that had anything to win certified of itself."""

    decided: int = 0
    proposed: int = 0  # placements
    granted: int = 0
    gap_ppm: int = 0  # that the last round missed at most, in millionths of its bound

    def note(self, proposed: int, granted: int, gap: float | None) -> None:
        """One round was heard; `gap` as in `scheduler.model.Round`."""
        self.decided += 1
        self.proposed += proposed
        self.granted += granted
        if gap is not None:
            self.gap_ppm = round(gap * PARTS)

    def named(self) -> tuple[tuple[str, int], ...]:
        """As counters, by their stable names."""
        return (
            ("RoundsDecided", self.decided),
            ("PlacementsProposed", self.proposed),
            ("PlacementsGranted", self.granted),
            ("RoundGapPpm", self.gap_ppm),
        )
