"""Agents and brokers that cannot join, start or go on: told once, clearly, and nobody harmed."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from campaign import MODELS, SITES, at_work, require_no_traceback
from commands import Desk, Told, require_refusal, told

from bench.federation import FEDERATION, Federation, wait_until
from suan.identity.joinfile import JoinFile, write_join_file
from suan.models import JobSpec, JobState, Variant

SITE = "shenzhen"
MODEL = MODELS[SITE]
DAY_SECONDS = 86_400.0


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """One site that runs all the time, whatever else is tried beside it."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        with at_work(Path(name), SITES[0]) as made:
            yield made
            require_no_traceback(made)


@pytest.fixture
def desk(federation: Federation, tmp_path: Path) -> Desk:
    address, identity = federation.address, str(federation.admin)
    return Desk(tmp_path, {"SUAN_ADDRESS": address, "SUAN_IDENTITY": identity})


def require_at_work(federation: Federation) -> None:
    """The broker, and the site that was there first, still do what they are for."""
    federation.broker.require_running()
    federation.agents[SITE].require_running()
    with federation.client() as client:
        (item,) = client.submit(JobSpec((Variant(MODEL, run="true"),)))
        (job,) = client.wait([item.id])
    assert job.state is JobState.SUCCEEDED
    assert len(job.attempts) == 1


# --- joining ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invitation:
    """A join file whose fields a test may spoil."""

    federation: Federation
    site: str = "wuhan"
    valid_seconds: float = 600.0

    def write(self, place: Path, **changes: object) -> Path:
        with self.federation.client(self.federation.admin) as admin:
            token = admin.create_token(self.site, self.valid_seconds)
        fields: dict[str, Any] = {
            "federation": FEDERATION,
            "site": self.site,
            "broker": self.federation.address,
            "join": self.federation.join_address,
            "expires_at": token.expires_at,
            "ca_pem": token.ca_pem.decode(),
            "token": token.token,
        }
        write_join_file(place, JoinFile(**(fields | changes)))
        return place


def join(desk: Desk, file: Path, state: str = "state") -> Told:
    return desk.run("suan-agent", "join", file, "--state-dir", state, "--no-wait")


def test_a_token_used_with_another_key(desk: Desk, federation: Federation) -> None:
    file = Invitation(federation).write(desk.folder / "wuhan.yaml")
    first = join(desk, file, "first")
    require_refusal(first, 5, "NotApproved", "fingerprint  SHA256:", "run the same command again")
    require_refusal(join(desk, file, "second"), 4, "TokenUsed", "already used", "suan site token")
    again = join(desk, file, "first")  # with its own key it may ask as often as it likes
    assert re.findall("SHA256:[0-9A-F-]+", again.err) == re.findall("SHA256:[0-9A-F-]+", first.err)


def test_an_expired_token(desk: Desk, federation: Federation) -> None:
    """By the site's clock, and by the broker's when the file was doctored."""
    brief = Invitation(federation, valid_seconds=0.5)
    now = time.time()
    old = brief.write(desk.folder / "old.yaml", expires_at=now - 60.0)
    require_refusal(join(desk, old), 4, "TokenExpired", "suan site token wuhan")
    file = brief.write(desk.folder / "doctored.yaml", expires_at=now + DAY_SECONDS)
    wait_until(lambda: time.time() > now + 2.0, "the token to expire")
    require_refusal(join(desk, file), 4, "TokenExpired", "suan site token")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"site": "lhasa"}, 4, "TokenWrongSite"),
        ({"token": "abcdef.0123456789012345678901234"}, 4, "TokenUnknown"),
        ({"join": "127.0.0.1:nowhere"}, 2, "JoinFileMalformed"),
        ({"ca_pem": "not a certificate"}, 2, "JoinFileMalformed"),
    ],
)
def test_a_join_file_is_not_for_us(
    changes: dict[str, str], status: int, code: str, desk: Desk, federation: Federation
) -> None:
    file = Invitation(federation).write(desk.folder / "join.yaml", **changes)
    require_refusal(join(desk, file), status, code)


@pytest.mark.parametrize(
    ("content", "mode", "status", "code"),
    [
        ("run: [unclosed", 0o600, 2, "JoinFileMalformed"),
        ("kind: JoinFile", 0o644, 4, "KeyExposed"),
        (b"\x00" * 2_000_000, 0o600, 2, "FileTooLarge"),
    ],
)
def test_a_join_file_is_no_join_file(
    content: str | bytes, mode: int, status: int, code: str, desk: Desk
) -> None:
    require_refusal(join(desk, desk.write("join.yaml", content, mode)), status, code)
    require_refusal(join(desk, desk.folder / "absent"), 2, "FileUnreadable")


def test_who_has_joined_does_not_join_again(desk: Desk, federation: Federation) -> None:
    file = Invitation(federation, SITE).write(desk.folder / "join.yaml")
    state = federation.folder / "sites" / SITE / "state"
    require_refusal(join(desk, file, str(state)), 1, "AlreadyJoined")
    require_at_work(federation)


def test_the_fingerprint_that_was_read_out_differs(desk: Desk, federation: Federation) -> None:
    file = Invitation(federation).write(desk.folder / "wuhan.yaml")
    require_refusal(join(desk, file), 5, "NotApproved")
    approve = desk.suan("site", "approve", "wuhan", "--fingerprint", "SHA256:" + "00" * 32)
    require_refusal(approve, 1, "FingerprintMismatch", "do not approve")


def test_a_state_directory_is_private_from_the_start(federation: Federation) -> None:
    state = federation.folder / "sites" / SITE / "state"
    assert state.stat().st_mode & 0o077 == 0


# --- agents -----------------------------------------------------------------------


def agent_file(desk: Desk, federation: Federation, **changes: object) -> Path:
    """A configuration like that of the site that runs, with a state directory of its own.

    The identity in it is the site's own, copied.
    """
    there = federation.folder / "sites" / SITE
    settings = yaml.safe_load((there / "agent.yaml").read_text())
    state = desk.folder / "second"
    state.mkdir(mode=0o700)
    shutil.copytree(there / "state" / "identity", state / "identity")
    settings |= {"state_dir": str(state)} | changes
    return desk.write("second.yaml", yaml.safe_dump(settings))


def test_two_agents_with_one_state_directory(desk: Desk, federation: Federation) -> None:
    file = federation.folder / "sites" / SITE / "agent.yaml"
    refused = desk.run("suan-agent", "-c", file, "run")
    require_refusal(refused, 1, "AgentRunning", "suan-agent status")
    require_at_work(federation)


def test_two_agents_with_one_site_name(desk: Desk, federation: Federation) -> None:
    refused = desk.run("suan-agent", "-c", agent_file(desk, federation), "run")
    require_refusal(refused, 1, "SiteNameTaken", "stop the other agent")
    require_at_work(federation)


@pytest.fixture(scope="module", autouse=True)
def lonely(federation: Federation) -> Iterator[tuple[Desk, Path, subprocess.Popen[bytes]]]:
    """An agent whose broker is not there; from the start, since it is patient."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        desk = Desk(Path(name), {})
        file = agent_file(desk, federation, broker=f"127.0.0.1:{port}")
        agent = desk.start("suan-agent", "-c", file, "run")
        yield desk, file, agent
        agent.kill()


def test_an_agent_without_a_broker_waits(
    lonely: tuple[Desk, Path, subprocess.Popen[bytes]],
) -> None:
    """It says why, once, and ends when it is told to."""
    desk, file, agent = lonely
    status = ("suan-agent", "-c", file, "status", "-o", "json")
    wait_until(lambda: "BrokerUnreachable" in desk.run(*status).out, "the agent to say why")
    agent.send_signal(signal.SIGTERM)
    said = told(agent)
    assert (said.status, said.out, said.err.count("BrokerUnreachable")) == (0, "", 1), said
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("site: [unclosed", ["line 1", "not YAML"]),
        ("[" * 100_000, ["too deep"]),
        ("", ["empty"]),
        ("site: a\nstate-dir: x\n", ["line 2", "did you mean state_dir?", "broker: is required"]),
        (b"\xff\xfe", ["not UTF-8"]),
        ("x" * 2_000_000, ["1,048,576 bytes"]),
    ],
    ids=["yaml", "deep", "empty", "keys", "binary", "large"],
)
def test_agent_yaml_is_wrong(text: str | bytes, words: list[str], desk: Desk) -> None:
    file = desk.write("site.yaml", text)
    require_refusal(
        desk.run("suan-agent", "-c", file, "run"), 2, "ConfigInvalid", "site.yaml", *words
    )


def test_all_commands_that_read_agent_yaml_say_the_same(desk: Desk) -> None:
    file = desk.write("site.yaml", "")
    commands = ("run", "preflight", "status", "drain", "resume", "pause")
    assert len({desk.run("suan-agent", "-c", file, command) for command in commands}) == 1


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"site": "wuhan"}, 2, "SiteNameDiffers"),
        ({"identity_dir": "absent"}, 4, "IdentityMissing"),
        ({"pools": [{"name": "main", "accelerator": "ascend-910z"}]}, 2, "ConfigInvalid"),
        ({"state_dir": "/dev/null/state", "identity_dir": "second/identity"}, 2, "FileUnwritable"),
    ],
)
def test_an_agent_does_not_start(
    changes: dict[str, object], status: int, code: str, desk: Desk, federation: Federation
) -> None:
    refused = desk.run("suan-agent", "-c", agent_file(desk, federation, **changes), "run")
    require_refusal(refused, status, code)


def test_the_agents_key_may_be_read_by_others(desk: Desk, federation: Federation) -> None:
    file = agent_file(desk, federation)
    (desk.folder / "second" / "identity" / "key.pem").chmod(0o640)
    require_refusal(desk.run("suan-agent", "-c", file, "run"), 4, "KeyExposed", "chmod 600")


def test_commands_to_an_agent_that_does_not_run(desk: Desk, federation: Federation) -> None:
    file = agent_file(desk, federation)
    refused = desk.run("suan-agent", "-c", file, "status")
    require_refusal(refused, 5, "AgentNotRunning", "suan-agent run")


# --- brokers ----------------------------------------------------------------------


def broker_file(desk: Desk, federation: Federation, **changes: object) -> Path:
    """A configuration like that of the broker that runs, with a state directory of its own."""
    settings = yaml.safe_load((federation.folder / "broker.yaml").read_text())
    own = {"state_dir": "other", "listen": "127.0.0.1:0", "join_listen": "127.0.0.1:0"}
    return desk.write("broker.yaml", yaml.safe_dump(settings | own | changes))


def serve(desk: Desk, file: Path) -> Told:
    return desk.run("suan-broker", "run", "--config", file)


def test_a_second_broker_on_one_state_directory(desk: Desk, federation: Federation) -> None:
    ready = federation.folder / "broker" / "ready"
    before = ready.read_text()
    file = broker_file(desk, federation, state_dir=str(federation.folder / "broker"))
    require_refusal(serve(desk, file), 1, "StoreLocked", str(federation.folder / "broker"))
    assert ready.read_text() == before
    require_at_work(federation)


@pytest.mark.parametrize("port", ["listen", "join_listen", "health_listen"])
def test_a_port_is_in_use(port: str, desk: Desk, federation: Federation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused = serve(desk, broker_file(desk, federation, **{port: address}))
    require_refusal(refused, 2, "AddressInUse", address)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("state_dir: [unclosed", ["line 1", "not YAML"]),
        ("[" * 100_000, ["too deep"]),
        ("", ["mapping of settings"]),
        ("lissten: a\nruntime: slurm\n", ["did you mean listen?", "slurm", "ca is missing"]),
        ("1: 2\nlimits: {sites_max: -1, foo: 2}\n", ["limits.sites_max", "limits.foo", "1 is"]),
        ("listen: here\njoin_listen: 127.0.0.1:99999\n", ["listen: 'here'", "'127.0.0.1:99999'"]),
        (b"\xff\xfe", ["UTF-8"]),
    ],
    ids=["yaml", "deep", "empty", "keys", "limits", "addresses", "binary"],
)
def test_broker_yaml_is_wrong(text: str | bytes, words: list[str], desk: Desk) -> None:
    file = desk.write("broker.yaml", text)
    require_refusal(serve(desk, file), 2, "ConfigInvalid", "broker.yaml", *words)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"identity": "absent"}, 4, "IdentityMissing"),
        ({"identity": "{admin}"}, 4, "NotABroker"),
        ({"ca": "absent"}, 4, "AuthorityMissing"),
        ({"listen": "192.0.2.1:7443"}, 2, "AddressInUse"),
        ({"health_listen": "0.0.0.0:0"}, 2, "HealthNotLoopback"),
        ({"state_dir": "/dev/null/state"}, 2, "FileUnwritable"),
    ],
)
def test_a_broker_does_not_start(
    changes: dict[str, str], status: int, code: str, desk: Desk, federation: Federation
) -> None:
    filled = {name: value.format(admin=federation.admin) for name, value in changes.items()}
    require_refusal(serve(desk, broker_file(desk, federation, **filled)), status, code)


def test_a_broker_without_its_file(desk: Desk) -> None:
    require_refusal(serve(desk, desk.folder / "absent.yaml"), 2, "ConfigUnreadable")


def test_a_damaged_store(desk: Desk, federation: Federation) -> None:
    (desk.folder / "other").mkdir()
    (desk.folder / "other" / "broker.sqlite").write_bytes(b"no database" * 1000)
    refused = serve(desk, broker_file(desk, federation))
    require_refusal(refused, 1, "StoreDamaged", "backup")
