"""Can tenants' jobs be other users' processes here? Asked before an agent starts, and by preflight.

Knows the configuration, the users of this machine and the way to the runs; changes nothing.
"""

from __future__ import annotations

import getpass
import os
import stat
from pathlib import Path

from agent.backends import BackendRefused
from agent.backends.account import Account, look_up
from agent.checks.check import Check, Status, existing
from agent.config.file import AgentConfig
from suan.errors import InvalidRequest

_NEED_ROOT = "only root can start processes of other users, and this is not root"
_NEED_ROOT_HINT = "run the agent as root (User=root in its unit), or drop accounts from agent.yaml"


def require_root(config: AgentConfig) -> None:
    """Raises InvalidRequest (AccountsNeedRoot)."""
    if config.accounts and os.geteuid() != 0:
        raise InvalidRequest(f"accounts: {_NEED_ROOT}", _NEED_ROOT_HINT, "AccountsNeedRoot")


def check_users(config: AgentConfig) -> Check:
    """As whom jobs run: that they can, and that they reach what is theirs."""
    if not config.accounts:
        said = f"every job runs as {getpass.getuser()}, the agent's own user"
        if os.geteuid() == 0:
            hint = "name accounts in agent.yaml, or run the agent as a user of its own"
            return Check("users", Status.WARN, said, hint)
        return Check("users", Status.OK, said)
    if os.geteuid() != 0:
        return Check("users", Status.FAIL, _NEED_ROOT, _NEED_ROOT_HINT)
    said = ", ".join(f"{tenant} → {user}" for tenant, user in sorted(config.accounts.users.items()))
    try:
        accounts = [look_up(user) for user in sorted(set(config.accounts.users.values()))]
    except BackendRefused as refused:
        return Check("users", Status.FAIL, refused.message, refused.hint)
    place = existing(config.runs_dir)
    for account in accounts:
        for directory in reversed(place.parents):
            if not _crosses(account, directory):
                message = f"{account.name} cannot enter {directory}, on the way to its jobs"
                return Check("users", Status.FAIL, message, f"chmod o+x {directory}")
    return Check("users", Status.OK, said)


def _crosses(account: Account, directory: Path) -> bool:
    """By the mode alone: lists of access rights are not read."""
    found = directory.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in (account.gid, *account.groups):
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)
