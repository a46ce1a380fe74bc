"""Named points where a test may let a daemon die: `SUAN_CRASH_POINT=name[:count]`.

Nothing happens unless the environment asks for it when the process starts.
"""

from __future__ import annotations

import os

_name, _, _count = os.environ.get("SUAN_CRASH_POINT", "").partition(":")
_left = int(_count or 1)


def crash_point(name: str) -> None:
    """Die here as by SIGKILL, at the `count`-th passing of the named point."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os._exit(137)
