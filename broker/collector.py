"""Python's cycle collector, tuned for a process that keeps a million small rows.

Rows hold no cycles, yet each full collection walks over all of them and stops the loop
for it. What was loaded is set aside, and full collections become rare.
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 100)  # objects made, then collections of the younger generation


def spare_the_rows() -> None:
    """Call once the state is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
