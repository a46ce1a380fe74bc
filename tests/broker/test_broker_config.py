"""broker.yaml, above all what it says of a store that several brokers share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from broker.config import Config, load_config
from broker.config_store import EtcdSection
from broker.store.etcd import EtcdSettings
from suan.errors import InvalidRequest

LEAST = {"state_dir": "state", "identity": "broker", "ca": "ca"}
ETCD = {
    "endpoints": ["https://etcd1.example.cn:2379", "10.0.0.2:2379"],
    "ca": "etcd/ca.pem",
    "certificate": "etcd/broker.pem",
    "key": "etcd/broker.key",
}


def load(folder: Path, **settings: Any) -> Config:
    path = folder / "broker.yaml"
    path.write_text(yaml.safe_dump(LEAST | settings))
    return load_config(path, {})


def test_one_broker_needs_nothing_but_a_directory(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert (config.store, config.etcd, config.has_peers) == ("sqlite", None, False)


def test_files_of_etcd_count_from_the_file_that_names_them(tmp_path: Path) -> None:
    config = load(tmp_path, store="etcd", etcd=ETCD | {"lease_seconds": 12, "renew_seconds": 4})
    assert config.has_peers
    assert config.etcd == EtcdSection(
        ("https://etcd1.example.cn:2379", "10.0.0.2:2379"),
        tmp_path / "etcd/ca.pem",
        tmp_path / "etcd/broker.pem",
        tmp_path / "etcd/broker.key",
        lease_seconds=12,
        renew_seconds=4,
    )
    settings = config.etcd.settings("example.cn")
    assert (settings.federation, settings.lease_seconds) == ("example.cn", 12)
    assert settings.key_file == tmp_path / "etcd/broker.key"


def test_plaintext_and_accounts_of_etcd(tmp_path: Path) -> None:
    """Only who asks for it has plaintext beyond this machine."""
    open_wire = {"endpoints": ["10.0.0.1:2379"], "insecure": True}
    account = {"user": "suan", "password_file": "password"}
    config = load(tmp_path, store="etcd", etcd=open_wire | account)
    assert config.etcd is not None
    settings = config.etcd.settings("f")
    assert (settings.insecure, settings.user) == (True, "suan")
    assert settings.password_file == tmp_path / "password"


def test_the_defaults_are_those_of_the_store() -> None:
    given = EtcdSection(("127.0.0.1:2379",)).settings("f")
    assert given == EtcdSettings(("127.0.0.1:2379",), "f")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"store": "redis"}, "store: 'redis' is neither sqlite nor etcd"),
        ({"store": "etcd"}, "etcd is missing"),
        ({"store": "etcd", "etcd": ["a:1"]}, "etcd: ['a:1'] is not of type dict"),
        ({"etcd": {}}, "etcd.endpoints: name 1 to 16 of them in a list"),
        ({"etcd": {"endpoints": "127.0.0.1:1"}}, "name 1 to 16 of them in a list"),
        ({"etcd": {"endpoints": ["here"]}}, "'here' is not HOST:PORT or https://HOST:PORT"),
        ({"etcd": {"endpoints": ["http://a:1"]}}, "'http://a:1' is not HOST:PORT"),
        ({"etcd": {"endpoints": ["10.0.0.1:1"]}}, "10.0.0.1:1 needs TLS"),
        ({"etcd": {"endpoints": ["https://127.0.0.1:1"]}}, "needs TLS"),
        ({"etcd": {"endpoints": ["https://a:1"], "insecure": True}}, "https://a:1 needs TLS"),
        ({"etcd": ETCD | {"insecure": True}}, "etcd.insecure is for an etcd without TLS"),
        ({"etcd": ETCD | {"insecure": "yes"}}, "etcd.insecure: 'yes' is not true or false"),
        ({"etcd": ETCD | {"user": "suan"}}, "user and password_file belong together"),
        ({"etcd": ETCD | {"user": 7, "password_file": "p"}}, "etcd.user: 7 is not a name"),
        ({"etcd": {"endpoints": ["127.0.0.1:1"] * 2}}, "one is named twice"),
        ({"etcd": ETCD | {"endpoint": "a"}}, "endpoint is not a setting; did you mean endpoints?"),
        ({"etcd": ETCD | {"key": ""}}, "certificate and key belong together"),
        ({"etcd": ETCD | {"ca": ""}}, "etcd.ca is missing"),
        ({"etcd": ETCD | {"ca": 7}}, "etcd.ca: 7 is not the name of a file"),
        ({"etcd": ETCD | {"lease_seconds": 1}}, "1 is not a whole number from 2 to 60"),
        ({"etcd": ETCD | {"lease_seconds": 9.5}}, "9.5 is not a whole number from 2 to 60"),
        ({"etcd": ETCD | {"renew_seconds": 4.5}}, "4.5 is not above 0 and below half"),
        ({"hellos_per_second": 0}, "hellos_per_second: 0 is not between 1 and"),
    ],
)
def test_what_cannot_work_is_told(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, **settings)
    assert caught.value.code == "ConfigInvalid"
    assert words in caught.value.message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load(tmp_path, store="etcd", runtime="perl", etcd={"endpoints": ["a"], "key": "k"})
    assert len(caught.value.message.splitlines()) == 4
