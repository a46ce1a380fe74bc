"""Can jobs run in container images here? Asked by preflight; starts nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from agent.backends.container import COMMANDS, Containers
from agent.checks.check import Check, Status

PATTERNS_NAMED_MAX = 5


def check_images(containers: Containers | None, on_this_machine: bool) -> Check:
    """Whether there is a runtime, and images. `on_this_machine`: jobs run here, not on nodes."""
    if containers is None:
        return Check("images", Status.OK, "jobs run natively; their images are refused")
    place = Path(containers.image_dir)
    if not os.access(place, os.R_OK | os.X_OK) or not place.is_dir():
        hint = "make it, or correct containers.image_dir; all nodes must see it at that path"
        return Check("images", Status.FAIL, f"{place} is no directory that can be read", hint)
    said = f"{containers.runtime}, {len(list(place.iterdir()))} entries in {place}, "
    allowed = containers.images_allowed[:PATTERNS_NAMED_MAX]
    said += f"allowed: {', '.join(allowed)}" if allowed else "all of them allowed"
    command = containers.command or COMMANDS[containers.runtime]
    if shutil.which(command) is None:
        hint = f"install {containers.runtime}, or name its program in containers.command"
        if on_this_machine:
            return Check("images", Status.FAIL, f"there is no {command} on this machine", hint)
        message = f"{said}; {command} is not on this machine: see that it is on the nodes"
        return Check("images", Status.WARN, message, hint)
    return Check("images", Status.OK, said)
