"""Under which local accounts tenants' jobs run: a site's mapping, and what the machine knows of it.

Looks users up as the machine does (files, LDAP, …), anew for each job, so that one that was
removed is not used. Changes nothing; starts nothing.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from agent.backends import BackendRefused

EVERY_TENANT = "*"  # stands for all that have no line of their own


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine, with the groups of which he is a member."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    shell: str

    @property
    def variables(self) -> Mapping[str, str]:
        """What a login would set of him."""
        said = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}
        return {name: value for name, value in said.items() if value}

    @property
    def for_fence(self) -> dict[str, Any]:
        """As `agent.fence` reads it."""
        return {"uid": self.uid, "gid": self.gid, "groups": list(self.groups)}


@dataclass(frozen=True, slots=True)
class Accounts:
    """Tenant -> user. Empty: every job runs as the agent's own user."""

    users: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        return bool(self.users)

    @property
    def tenants(self) -> tuple[str, ...]:
        """Those whose jobs can run here; empty: all."""
        return () if EVERY_TENANT in self.users else tuple(sorted(self.users))

    def of(self, tenant: str) -> Account | None:
        """Whose processes a tenant's are; None: the agent's.

        Raises BackendRefused: "TenantNotMapped", "AccountUnusable".
        """
        if not self.users:
            return None
        user = self.users.get(tenant) or self.users.get(EVERY_TENANT)
        if user is None:
            raise BackendRefused(
                "TenantNotMapped",
                f"tenant {tenant!r} has no local account at this site",
                "the site's operator adds it, or '*', to accounts in agent.yaml",
            )
        return look_up(user)


def look_up(user: str) -> Account:
    """Raises BackendRefused("AccountUnusable") for one that is not there, and for root."""
    hint = "the site's operator makes it, or corrects accounts in agent.yaml"
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        message = f"this machine has no user {user!r}, under whom the job was to run"
        raise BackendRefused("AccountUnusable", message, hint) from None
    if found.pw_uid == 0:
        raise BackendRefused("AccountUnusable", f"{user!r} is root, who runs no jobs", hint)
    groups = tuple(group for group in os.getgrouplist(user, found.pw_gid) if group != 0)
    return Account(user, found.pw_uid, found.pw_gid, groups, found.pw_dir, found.pw_shell)
