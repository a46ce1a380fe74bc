"""broker.yaml: read whole, checked whole; every problem is told at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from broker.config_store import EtcdSection, etcd_problems, read_etcd
from broker.core.limits import Limits
from suan.errors import InvalidRequest
from suan.identity.address import split_address

GATEWAYS_MAX = 64
PLANNERS_MAX = 64
HELLOS_PER_SECOND_MAX, HELLOS_BURST_MAX = 10_000, 100_000
SAMPLE = "deploy/examples/broker.yaml is a whole one"


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
    # Of sites that come back at once, each gateway hears so many; heartbeats do not wait.
    hellos_per_second: int = 50
    hellos_burst: int = 100
    store: str = "sqlite"  # sqlite: one broker | etcd: several, of which one leads
    etcd: EtcdSection | None = None
    logs_dir: Path | None = None  # for output that sites sent; None: logs/ in state_dir
    limits: Limits = field(default_factory=Limits)

    @property
    def has_peers(self) -> bool:
        """Whether other brokers may lead this federation: this one then stands by."""
        return self.store == "etcd"


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
    "hellos_per_second": (int,),
    "hellos_burst": (int,),
    "store": (str,),
    "etcd": (dict,),
    "logs_dir": (str,),
    "limits": (dict,),
}
_PATHS = ("state_dir", "identity", "ca")  # that must be named
_ADDRESSES = ("listen", "join_listen", "health_listen")
_COUNTS = {
    "gateways": GATEWAYS_MAX,
    "planners": PLANNERS_MAX,
    "hellos_per_second": HELLOS_PER_SECOND_MAX,
    "hellos_burst": HELLOS_BURST_MAX,
}
_CHOICES = {"runtime": ("ray", "local"), "store": ("sqlite", "etcd")}


def load_config(path: Path, overrides: dict[str, Any]) -> Config:
    """The configuration in `path`; `overrides` win. Raises InvalidRequest (ConfigInvalid)."""
    content = _content(path)
    content |= {name: value for name, value in overrides.items() if value is not None}
    problems = [*_problems(content)]
    limits = content.get("limits", {})
    if isinstance(limits, dict):
        problems += _limit_problems(limits)
    if problems:
        raise _invalid(path, "\n".join(("", *(f"  {problem}" for problem in problems))))
    settings = content | {name: (path.parent / content[name]).resolve() for name in _PATHS}
    if "logs_dir" in content:
        settings["logs_dir"] = (path.parent / content["logs_dir"]).resolve()
    settings["limits"] = Limits(**limits)
    if "etcd" in content:
        settings["etcd"] = read_etcd(content["etcd"], path.parent)
    return Config(**settings)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror}",
            f"name the file with --config; {SAMPLE}",
            "ConfigUnreadable",
        ) from error
    except UnicodeDecodeError as error:
        raise _invalid(path, "it is not UTF-8 text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        why = getattr(error, "problem", None) or error
        raise _invalid(path, f"{line}it is not YAML: {why}") from error
    except RecursionError as error:
        raise _invalid(path, "its lists and maps go too deep") from error
    if not isinstance(content, dict):
        raise _invalid(path, "it is not a mapping of settings")
    return content


def _invalid(path: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"{path} cannot be used: {why}", SAMPLE, "ConfigInvalid")


def _problems(content: dict[str, Any]) -> list[str]:
    found: list[str] = []
    for name, value in content.items():
        kinds = _TYPES.get(name)
        if kinds is None:
            found.append(_unknown(name, _TYPES))
        elif not isinstance(value, kinds) or isinstance(value, bool):
            found.append(f"{name}: {value!r} is not of type {kinds[0].__name__}")
        elif isinstance(value, str) and name in _ADDRESSES and not _is_address(value, name):
            found.append(f"{name}: {value!r} is not HOST:PORT; port 0 is any that is free")
        elif isinstance(value, int) and not 1 <= value <= _COUNTS[name]:
            found.append(f"{name}: {value} is not between 1 and {_COUNTS[name]}")
    found += [f"{name} is missing" for name in _PATHS if name not in content]
    for name, words in _CHOICES.items():
        if content.get(name, words[0]) not in words:
            found.append(f"{name}: {content[name]!r} is neither {' nor '.join(words)}")
    if content.get("store") == "etcd" and "etcd" not in content:
        found.append("etcd is missing: where is it?")
    if isinstance(content.get("etcd"), dict):
        found += etcd_problems(content["etcd"])
    return found


def _is_address(value: str, name: str) -> bool:
    """HOST:PORT with port 0 for any; only health may be nowhere."""
    host, _, port = value.rpartition(":")
    try:
        split_address(f"{host}:1" if port == "0" else value)
    except InvalidRequest:
        return name == "health_listen" and not value
    return True


def _limit_problems(limits: dict[str, Any]) -> list[str]:
    known = {item.name: item.type for item in fields(Limits)}
    found = [_unknown(f"limits.{name}", known) for name in limits if name not in known]
    for name in set(limits) & set(known):
        value = limits[name]
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            found.append(f"limits.{name}: {value!r} is not a number above 0")
    return found


def _unknown(name: object, known: Any) -> str:
    near = difflib.get_close_matches(str(name).rpartition(".")[2], list(known), 1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")
