"""What of agent.yaml says as whom jobs run, and in which images: `accounts` and `containers`."""

from __future__ import annotations

from typing import Any

from agent.backends.account import EVERY_TENANT
from agent.backends.container import Containers, Runtime
from suan.jobspec import limits
from suan.jobspec.limits import TextRule
from suan.jobspec.shapes import Choice, Field, ListOf, MapOf, Record, text

ANY_TENANT = TextRule(
    128, rf"\{EVERY_TENANT}|[A-Za-z0-9][A-Za-z0-9._/-]*", "a tenant, or * for all others"
)
USER = TextRule(64, r"[A-Za-z0-9_][A-Za-z0-9._-]*[$]?", "a user of this machine")
PATTERN = TextRule(512, r"[!-~]+", "a pattern of images, e.g. registry.site.cn/*")
BIND = TextRule(4096, r"/[^\s,:]*(:/[^\s,:]*)?(:(ro|rw))?", "/source or /source:/destination")
COMMAND = TextRule(4096, r"[^\s\x00-\x1f\x7f]+", "a command without blanks")


def _account(user: str) -> str:
    return user


def _mapped(tenant: str, user: str) -> tuple[str, str]:
    return tenant, user


ACCOUNT: Record[str] = Record(
    _account, (Field("user", text(USER), "of this machine and its nodes", required=True),)
)
ACCOUNTS = MapOf(ANY_TENANT, ACCOUNT, _mapped)


def _containers(runtime: str, **values: Any) -> Containers:
    return Containers(Runtime(runtime), **values)


IMAGES_ALLOWED = ListOf(text(PATTERN), 1)
CONTAINERS: Record[Containers] = Record(
    _containers,
    (
        Field(
            "runtime",
            Choice({each.value: each.value for each in Runtime}),
            "apptainer, charliecloud or enroot; the processes of others leave the fence",
            required=True,
            foreign=("engine", "type"),
        ),
        Field("command", text(COMMAND), "its program on the nodes; default: by its usual name"),
        Field(
            "image_dir",
            text(limits.DIRECTORY),
            "where images lie, at the same path on all nodes",
            required=True,
            foreign=("images", "directory"),
        ),
        Field(
            "images_allowed",
            IMAGES_ALLOWED,
            "patterns of what jobs may name; default: all that lie in image_dir",
            foreign=("allow", "allowed"),
        ),
        Field("binds", ListOf(text(BIND)), "what every job sees too, e.g. [/opt/hyhal]"),
    ),
)
