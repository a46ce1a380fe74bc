"""Identities on the disk: whole, private, never overwritten by mistake. And the join file."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from suan.errors import Conflict, ExitCode, InvalidRequest, SuanError, Unauthenticated
from suan.identity.authority import DAY_SECONDS
from suan.identity.certificate import read_certificate
from suan.identity.directory import load_identity, require_in_force
from suan.identity.files import FILE_BYTES_MAX, read_file, write_file
from suan.identity.issue import Initialised, initialise, issue, load_authority
from suan.identity.joinfile import JoinFile, read_join_file, write_join_file
from suan.identity.keys import generate_key
from suan.identity.principal import Principal, Role, site_principal

NOW = 1_800_000_000.0
FEDERATION = "china.example"
ADDRESS = "broker.example.cn:7443"
USER = Principal(FEDERATION, Role.USER, "li.wei", tenant="team-a")
TOKEN = "6kq2aa." + "9x" * 12 + "z"


@pytest.fixture
def federation(tmp_path: Path) -> Initialised:
    return initialise(tmp_path / "fed", FEDERATION, [ADDRESS, "127.0.0.1:7443"], now=NOW)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(call: Callable[[], object]) -> SuanError:
    with pytest.raises(SuanError) as caught:
        call()
    assert caught.value.message
    return caught.value


def test_a_federation_is_founded(federation: Initialised) -> None:
    broker = load_identity(federation.broker)
    assert broker.principal == Principal(FEDERATION, Role.BROKER, "broker")
    assert broker.certificate.hosts == ("broker.example.cn", "127.0.0.1")
    assert load_identity(federation.admin).principal == Principal(FEDERATION, Role.ADMIN, "admin")
    authority = load_authority(federation.authority)
    assert (authority.federation, authority.fingerprint) == (FEDERATION, federation.fingerprint)
    assert broker.ca_pem == authority.certificate_pem
    keys = [federation.authority / "ca.key", federation.broker / "key.pem"]
    assert [mode(key) for key in keys] == [0o600, 0o600]
    assert mode(federation.authority) == 0o700
    assert sorted(path.name for path in federation.broker.iterdir()) == [
        "ca.pem",
        "cert.pem",
        "key.pem",
    ]
    assert sorted(path.name for path in federation.broker.parent.iterdir()) == [
        "admin",
        "broker",
        "ca",
    ]


def test_a_federation_is_founded_once(federation: Initialised) -> None:
    before = (federation.authority / "ca.key").read_bytes()
    error = refusal(lambda: initialise(federation.authority.parent, "other", [ADDRESS]))
    assert (error.code, error.hint[:27]) == ("FederationExists", "a federation is founded onc")
    assert (federation.authority / "ca.key").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "addresses", "code"),
    [
        ("China", [ADDRESS], "NameInvalid"),
        ("", [ADDRESS], "NameInvalid"),
        (FEDERATION, ["broker"], "AddressInvalid"),
        (FEDERATION, [], "IssueRefused"),
    ],
)
def test_a_refused_founding_leaves_nothing(
    tmp_path: Path, name: str, addresses: list[str], code: str
) -> None:
    assert refusal(lambda: initialise(tmp_path / "fed", name, addresses)).code == code
    assert not list(tmp_path.glob("fed/*")) and not list(tmp_path.glob("fed/.*"))


def test_founding_where_one_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refusal(lambda: initialise(tmp_path / "file" / "fed", FEDERATION, [ADDRESS]))
    assert error.code == "FileUnwritable"


def test_an_identity_is_issued_for_as_long_as_asked(
    federation: Initialised, tmp_path: Path
) -> None:
    issue(federation.authority, USER, tmp_path / "user", 3_600.0, now=NOW)
    identity = load_identity(tmp_path / "user")
    assert identity.principal == USER
    assert identity.certificate.not_after == NOW + 3_600
    assert "PRIVATE KEY" not in repr(identity)


def test_an_identity_is_replaced_only_by_force(federation: Initialised, tmp_path: Path) -> None:
    place = tmp_path / "user"
    issue(federation.authority, USER, place, now=NOW)
    before = (place / "key.pem").read_bytes()
    error = refusal(lambda: issue(federation.authority, USER, place, now=NOW))
    assert isinstance(error, Conflict) and error.code == "IdentityExists"
    assert "--force" in error.hint
    assert (place / "key.pem").read_bytes() == before
    issue(federation.authority, USER, place, now=NOW, force=True)
    assert load_identity(place).key_pem != before


def test_who_may_not_issue(federation: Initialised, tmp_path: Path) -> None:
    foreign = site_principal("elsewhere", "a")
    error = refusal(lambda: issue(federation.authority, foreign, tmp_path / "x"))
    assert error.code == "IssueRefused" and not (tmp_path / "x").exists()
    assert refusal(lambda: load_authority(tmp_path)).code == "AuthorityMissing"
    write_file(federation.authority / "ca.key", generate_key(), force=True)
    assert refusal(lambda: load_authority(federation.authority)).code == "AuthorityMalformed"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_key_that_others_may_open_is_refused(federation: Initialised, bits: int) -> None:
    key = federation.admin / "key.pem"
    key.chmod(bits)
    error = refusal(lambda: load_identity(federation.admin))
    assert (error.code, error.exit_code) == ("KeyExposed", ExitCode.NOT_AUTHORISED)
    assert f"chmod 600 {key}" in error.hint
    key.chmod(0o400)
    load_identity(federation.admin)
    (federation.authority / "ca.key").chmod(bits)
    assert refusal(lambda: load_authority(federation.authority)).code == "KeyExposed"


@pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
def test_identities_with_a_part_missing_or_spoilt(federation: Initialised, name: str) -> None:
    path = federation.admin / name
    path.write_bytes(b"spoilt")
    assert refusal(lambda: load_identity(federation.admin)).code == "IdentityMalformed"
    path.unlink()
    error = refusal(lambda: load_identity(federation.admin))
    assert error.code == "IdentityMissing" and name in error.message


def test_a_key_of_another_certificate_is_noticed(federation: Initialised) -> None:
    write_file(federation.admin / "key.pem", generate_key(), force=True)
    error = refusal(lambda: load_identity(federation.admin))
    assert error.code == "IdentityMalformed" and "does not belong" in error.message


def test_a_certificate_is_in_force_between_its_times(federation: Initialised) -> None:
    certificate = read_certificate((federation.admin / "cert.pem").read_bytes())
    require_in_force(certificate, NOW)
    require_in_force(certificate, NOW - 299)
    late = refusal(lambda: require_in_force(certificate, NOW + 30 * DAY_SECONDS))
    early = refusal(lambda: require_in_force(certificate, NOW - 301))
    assert (late.code, early.code) == ("CertificateExpired", "CertificateNotYetValid")
    assert late.exit_code == early.exit_code == ExitCode.NOT_AUTHORISED


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_file(path, b"one")
    assert (read_file(path, private=True), mode(path)) == (b"one", 0o600)
    assert refusal(lambda: write_file(path, b"two")).code == "FileExists"
    write_file(path, b"two", mode=0o644, force=True)
    assert (read_file(path), mode(path)) == (b"two", 0o644)
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    error = refusal(lambda: write_file(path, b"new", force=True))
    assert error.code == "FileUnwritable" and "No space left" in error.message
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(lambda: read_file(tmp_path / "absent")).code == "FileUnreadable"
    assert refusal(lambda: read_file(tmp_path)).code == "FileUnreadable"
    large = tmp_path / "large"
    large.write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    assert refusal(lambda: read_file(large)).code == "FileTooLarge"


@pytest.fixture
def join(federation: Initialised) -> JoinFile:
    return JoinFile(
        federation=FEDERATION,
        site="zhengzhou",
        broker=ADDRESS,
        join="broker.example.cn:7444",
        expires_at=NOW + 3_600,
        ca_pem=(federation.authority / "ca.pem").read_text(),
        token=TOKEN,
    )


def test_a_join_file_is_private_and_reads_back(join: JoinFile, tmp_path: Path) -> None:
    path = tmp_path / "join.yaml"
    write_join_file(path, join)
    assert mode(path) == 0o600
    assert read_join_file(path, NOW) == join
    assert TOKEN not in repr(join)
    assert refusal(lambda: write_join_file(path, join)).code == "FileExists"
    path.chmod(0o644)
    assert refusal(lambda: read_join_file(path, NOW)).code == "KeyExposed"


def test_a_join_file_may_be_json(join: JoinFile, tmp_path: Path) -> None:
    path = tmp_path / "join.json"
    write_join_file(path, join)
    write_file(path, json.dumps(yaml.safe_load(path.read_text())).encode(), force=True)
    assert read_join_file(path, NOW) == join


def test_an_expired_join_file_says_whom_to_ask(join: JoinFile, tmp_path: Path) -> None:
    path = tmp_path / "join.yaml"
    write_join_file(path, join)
    error = refusal(lambda: read_join_file(path, NOW + 3_600))
    assert isinstance(error, Unauthenticated) and error.code == "TokenExpired"
    assert "suan site token zhengzhou" in error.hint


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"token": TOKEN[:-1]}, "token is cut off"),
        ({"token": None}, "'token' is missing"),
        ({"site": "Zhengzhou"}, "Zhengzhou"),
        ({"site": 7}, "'site' is missing"),
        ({"broker": "broker"}, "is not an address"),
        ({"join": "broker:x"}, "is not an address"),
        ({"ca": "none"}, "CERTIFICATE"),
        ({"expires_at": "soon"}, "soon"),
        ({"expires_at": "2026-12-01T08:00:00"}, "time zone"),
        ({"kind": "Job"}, "JoinFile"),
        ({"tocken": "x"}, "unknown key 'tocken'"),
    ],
)
def test_a_spoilt_join_file_says_what_is_wrong(
    join: JoinFile, tmp_path: Path, change: dict[str, object], word: str
) -> None:
    path = tmp_path / "join.yaml"
    write_join_file(path, replace(join))
    document = yaml.safe_load(path.read_text()) | change
    write_file(path, yaml.safe_dump(document).encode(), force=True)
    error = refusal(lambda: read_join_file(path, NOW))
    assert isinstance(error, InvalidRequest) and error.code == "JoinFileMalformed"
    assert word in error.message and error.hint


@pytest.mark.parametrize("text", [b"", b"[1]", b"{", b"\xff\xfe\xff", b"a: &a [*a]", b"[" * 5_000])
def test_what_is_no_join_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "join.yaml"
    write_file(path, text)
    assert refusal(lambda: read_join_file(path, NOW)).code == "JoinFileMalformed"
