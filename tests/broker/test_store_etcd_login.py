"""An etcd that keeps accounts: brokers log in with a user and a password, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support_core import Forgetful
from support_etcd import Etcd, Open, running_etcd
from support_etcd_writer import commit
from support_standby import Campaign, Mirror, break_watch, code_of, until

from broker.core.rows import Job, Put
from broker.store import StoreError
from broker.store.etcd import EtcdSettings
from broker.store.etcd.keys import end_of
from broker.store.etcd.loader import messages, stub


def job(name: str) -> Put:
    return Put(Job(name, "lab", "", "li", "train", "sha", 1.0))


def keep_accounts(etcd: Etcd, prefix: bytes) -> None:
    """From now on etcd asks who calls; `suan` may use what lies under `prefix`."""
    wire, raw = messages(), etcd.raw()
    auth = stub(raw.channels[0], "Auth")
    for name in ("root", "suan", "stranger"):
        auth.UserAdd(wire.AuthUserAddRequest(name=name, password=f"of {name}"), timeout=5.0)
    for name in ("root", "suan"):
        auth.RoleAdd(wire.AuthRoleAddRequest(name=name), timeout=5.0)
        auth.UserGrantRole(wire.AuthUserGrantRoleRequest(user=name, role=name), timeout=5.0)
    allowed = wire.Permission(
        permType=wire.Permission.READWRITE, key=prefix, range_end=end_of(prefix)
    )
    request = wire.AuthRoleGrantPermissionRequest(name="suan", perm=allowed)
    auth.RoleGrantPermission(request, timeout=5.0)
    auth.AuthEnable(wire.AuthEnableRequest(), timeout=5.0)
    raw.close()


def change_password(etcd: Etcd, password: str) -> None:
    """Of `suan`; with it all of its tokens are gone."""
    wire, raw = messages(), etcd.raw()
    auth = stub(raw.channels[0], "Auth")
    root = wire.AuthenticateRequest(name="root", password="of root")
    token = auth.Authenticate(root, timeout=5.0).token
    request = wire.AuthUserChangePasswordRequest(name="suan", password=password)
    auth.UserChangePassword(request, timeout=5.0, metadata=[("token", token)])
    raw.close()


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Etcd, EtcdSettings]]:
    """An etcd with accounts, and settings for it that name none."""
    with running_etcd(tmp_path_factory.mktemp("etcd"), more=("--bcrypt-cost=4",)) as etcd:
        settings = etcd.settings()
        keep_accounts(etcd, settings.prefix)
        yield etcd, settings


def test_brokers_log_in(keeper: tuple[Etcd, EtcdSettings], tmp_path: Path, opened: Open) -> None:
    """And again when etcd knows their token no longer: the leader and the standby."""
    etcd, plain = keeper
    password = tmp_path / "password"
    password.write_text("of suan\n")
    settings = replace(plain, user="suan", password_file=password)
    leader, standby, mirror = opened(settings), opened(settings), Mirror()
    term = leader.campaign(Forgetful())
    campaign = Campaign(standby, mirror)
    leader.commit([job("a")], term)
    until(lambda: mirror.rows.keys() == {"job/a"})
    password.write_text("another")
    change_password(etcd, "another")
    break_watch(standby)
    assert commit(leader, [job("b")], term)
    password.write_text("of suan")
    change_password(etcd, "of suan")
    assert commit(leader, [job(f"many-{n}") for n in range(500)], term)
    until(lambda: len(mirror.rows) == 502)
    assert leader.led_seconds() > 0
    assert campaign.waits


@pytest.mark.parametrize(
    ("user", "password"),
    [("", ""), ("suan", "wrong"), ("nobody", "x"), ("stranger", "of stranger")],
)
def test_who_may_not_is_told(
    user: str, password: str, keeper: tuple[Etcd, EtcdSettings], tmp_path: Path, opened: Open
) -> None:
    file = tmp_path / "password"
    file.write_text(password)
    settings = replace(keeper[1], user=user, password_file=file if user else None)
    with pytest.raises(StoreError) as caught:
        opened(settings).campaign(Forgetful())
    assert code_of(caught.value) == "StoreRefused"
