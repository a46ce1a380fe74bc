"""broker.yaml: read whole, checked whole; every problem is told at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from broker.core.limits import Limits
from suan.errors import InvalidRequest

GATEWAYS_MAX = 64
PLANNERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Config:
    """What a broker process is told. Relative paths are relative to the file."""

    state_dir: Path
    identity: Path  # directory with ca.pem, cert.pem, key.pem of a broker
    ca: Path  # directory with ca.pem and ca.key
    listen: str = "127.0.0.1:7443"
    join_listen: str = "127.0.0.1:7444"
    health_listen: str = "127.0.0.1:7445"  # plaintext, loopback only; "" for none
    runtime: str = "ray"  # ray | local
    ray_address: str = ""  # of a Ray cluster to join; "" starts one on this machine
    gateways: int = 1  # Ray runtime: actors that hold the gRPC servers
    planners: int = 1  # Ray runtime: actors that run placement rounds
    limits: Limits = field(default_factory=Limits)


_TYPES: dict[str, tuple[type, ...]] = {
    "state_dir": (str,),
    "identity": (str,),
    "ca": (str,),
    "listen": (str,),
    "join_listen": (str,),
    "health_listen": (str,),
    "runtime": (str,),
    "ray_address": (str,),
    "gateways": (int,),
    "planners": (int,),
    "limits": (dict,),
}
_PATHS = ("state_dir", "identity", "ca")
_COUNTS = {"gateways": GATEWAYS_MAX, "planners": PLANNERS_MAX}


def load_config(path: Path, overrides: dict[str, Any]) -> Config:
    """The configuration in `path`; `overrides` win. Raises InvalidRequest (ConfigInvalid)."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidRequest(f"cannot read {path}: {error}", "", "ConfigUnreadable") from error
    if not isinstance(content, dict):
        raise InvalidRequest(f"{path} is not a mapping of settings", "", "ConfigInvalid")
    content |= {name: value for name, value in overrides.items() if value is not None}
    problems = [*_problems(content)]
    limits = content.get("limits", {})
    if isinstance(limits, dict):
        problems += _limit_problems(limits)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise InvalidRequest(f"{path} cannot be used:\n{listed}", "", "ConfigInvalid")
    settings = content | {name: (path.parent / content[name]).resolve() for name in _PATHS}
    return Config(**(settings | {"limits": Limits(**limits)}))


def _problems(content: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in content.items():
        kinds = _TYPES.get(name)
        if kinds is None:
            found.append(_unknown(name, _TYPES))
        elif not isinstance(value, kinds) or isinstance(value, bool):
            found.append(f"{name}: {value!r} is not of type {kinds[0].__name__}")
        elif isinstance(value, int) and not 1 <= value <= _COUNTS[name]:
            found.append(f"{name}: {value} is not between 1 and {_COUNTS[name]}")
    found += [f"{name} is missing" for name in _PATHS if name not in content]
    if content.get("runtime", "ray") not in ("ray", "local"):
        found.append(f"runtime: {content['runtime']!r} is neither ray nor local")
    return found


def _limit_problems(limits: dict[str, Any]) -> list[str]:
    known = {item.name: item.type for item in fields(Limits)}
    found = [_unknown(f"limits.{name}", known) for name in limits if name not in known]
    for name in set(limits) & set(known):
        value = limits[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            found.append(f"limits.{name}: {value!r} is not a number above 0")
    return found


def _unknown(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name.rpartition(".")[2], list(known), 1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
