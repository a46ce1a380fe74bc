"""`suan-agent` as its operator types it: what is said, where, and with which exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import yaml
from processes import until
from scripted_broker import ScriptedBroker

from agent.control import MODE_FILE, SOCKET_FILE, StandingOrder, ask, read_mode, serve, write_mode
from agent.credentials import install_identity, recover_identity
from agent.join import Renewal, Waiting, join
from agent.supervisor.values import Mode
from suan.channel import secure_channel
from suan.errors import Conflict, DeadlineExceeded, SuanError, Unavailable
from suan.identity.authority import Authority
from suan.identity.directory import load_identity, write_identity
from suan.identity.joinfile import JoinFile, read_join_file, write_join_file
from suan.identity.keys import generate_key, make_request, read_request
from suan.identity.principal import Principal, Role, site_principal
from suan.retry import Backoff
from suan.v1 import agents_service_pb2, agents_service_pb2_grpc

AGENT = str(Path(sys.executable).with_name("suan-agent"))
TOKEN = "abcdef." + "0123456789abcdefghijklmno"
POOL = {"name": "train", "accelerator": "ascend-910b", "nodes": 2, "cards_per_node": 8}


class Federation(ScriptedBroker):
    """A broker with an authority, that approves when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.authority = Authority.create("demo", time.time())
        self.approved = True
        self.asked: list[str] = []
        self.renewed = 0

    def identity(
        self, place: Path, principal: Principal, lifetime: float | None = None, hosts: Any = ()
    ) -> None:
        key_pem = generate_key()
        request = read_request(make_request(key_pem, principal))
        certificate_pem = self.authority.sign(
            request, principal, time.time(), lifetime_seconds=lifetime, hosts=hosts
        )
        write_identity(
            place,
            ca_pem=self.authority.certificate_pem,
            certificate_pem=certificate_pem,
            key_pem=key_pem,
        )

    async def Join(self, request: Any, context: Any) -> Any:  # noqa: N802
        key = read_request(request.csr_pem)
        self.asked.append(key.fingerprint)
        answer = agents_service_pb2.JoinResponse(fingerprint=key.fingerprint)
        if self.approved:
            principal = site_principal("demo", request.site)
            answer.approved = True
            answer.certificate_pem = self.authority.sign(key, principal, time.time())
            answer.ca_pem = self.authority.certificate_pem
        return answer

    async def Renew(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.renewed += 1
        key = read_request(request.csr_pem)
        principal = site_principal("demo", "shenzhen")
        certificate_pem = self.authority.sign(key, principal, time.time())
        return agents_service_pb2.RenewResponse(certificate_pem=certificate_pem)

    def join_file(self, place: Path, join: str, **fields: Any) -> Path:
        file = JoinFile(
            federation="demo",
            site="shenzhen",
            broker=self.address or "127.0.0.1:1",
            join=join,
            expires_at=fields.get("expires_at", time.time() + 600),
            ca_pem=self.authority.certificate_pem.decode(),
            token=TOKEN,
        )
        write_join_file(place, file)
        return place


@asynccontextmanager
async def secured(federation: Federation, place: Path) -> AsyncIterator[tuple[str, str]]:
    """The federation behind TLS on loopback: the addresses to work at and to join at."""
    broker = Principal("demo", Role.BROKER, "broker")
    federation.identity(place, broker, hosts=("127.0.0.1",))
    key, certificate, ca = (
        (place / name).read_bytes() for name in ("key.pem", "cert.pem", "ca.pem")
    )
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    agents_service_pb2_grpc.add_AgentsServicer_to_server(federation, server)
    mutual = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    main = server.add_secure_port("127.0.0.1:0", mutual)
    join = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    await server.start()
    federation.address = f"127.0.0.1:{main}"
    try:
        yield federation.address, f"127.0.0.1:{join}"
    finally:
        await server.stop(None)


@contextmanager
def background(federation: Federation, place: Path) -> Iterator[tuple[str, str]]:
    """As `secured`, in a thread of its own, for tests that start processes."""
    addresses: list[tuple[str, str]] = []
    ready, ending = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        async with secured(federation, place) as served:
            addresses.append(served)
            loops.append(asyncio.get_running_loop())
            ready.set()
            await ending.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(30)
        yield addresses[0]
    finally:
        loops[0].call_soon_threadsafe(ending.set)
        thread.join()


@pytest.fixture
def federation() -> Federation:
    return Federation()


def configured(tmp_path: Path, broker: str = "127.0.0.1:1", **fields: Any) -> Path:
    """An agent.yaml; its state lies beside it."""
    path = tmp_path / "agent.yaml"
    wanted = {"site": "shenzhen", "broker": broker, "state_dir": "state", "pools": [POOL]}
    path.write_text(yaml.safe_dump(wanted | fields))
    return path


def call(*arguments: object, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    before = ["-c", str(config)] if config else []
    command = [AGENT, *before, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


# --- the command line ---------------------------------------------------------------


def test_help_names_every_command() -> None:
    said = call("--help")
    assert said.returncode == 0
    for name in ("run", "preflight", "join", "status", "drain", "resume", "pause"):
        assert f"\n  {name} " in said.stdout
    assert "show-what-we-send" in said.stdout


BAD: list[tuple[str, list[object], dict[str, Any], int, str]] = [
    ("no file", ["status"], {}, 2, "ConfigUnreadable"),
    ("bad file", ["status"], {"pools": []}, 2, "pools"),
    ("not running", ["status"], {"state_dir": "state"}, 5, "AgentNotRunning"),
    ("not joined", ["run"], {"state_dir": "state"}, 4, "IdentityMissing"),
    ("no join file", ["join", "/nowhere/join.yaml"], {"state_dir": "state"}, 2, "FileUnreadable"),
]


@pytest.mark.parametrize(
    ("arguments", "fields", "code", "said"),
    [case[1:] for case in BAD],
    ids=[case[0] for case in BAD],
)
def test_every_mistake_has_a_code_a_hint_and_no_traceback(
    tmp_path: Path, arguments: list[object], fields: dict[str, Any], code: int, said: str
) -> None:
    (tmp_path / "state").mkdir()
    config = configured(tmp_path, **fields) if fields else tmp_path / "absent.yaml"
    result = call(*arguments, config=config)
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_what_would_be_sent_is_shown_without_an_agent(tmp_path: Path) -> None:
    result = call("show-what-we-send", config=configured(tmp_path, city="shenzhen"))
    assert result.returncode == 0, result.stderr
    hello = json.loads(result.stdout)["hello"]
    assert (hello["site"], hello["facts"]["city"]) == ("shenzhen", "shenzhen")
    (pool,) = hello["capacity"]["pools"]
    assert (pool["name"], pool["cards_total"]) == ("train", 16)
    assert "does not run" in result.stderr


def test_a_mode_without_an_agent_waits_for_it(tmp_path: Path) -> None:
    config = configured(tmp_path)
    paused = call("pause", "--stop-jobs", config=config)
    assert (paused.returncode, paused.stdout) == (0, "")
    assert "as soon as its agent runs" in paused.stderr
    assert read_mode(tmp_path / "state") == StandingOrder(Mode.PAUSED, stop_jobs=True)
    assert call("shadow", config=config).returncode == 0
    assert read_mode(tmp_path / "state") == StandingOrder(Mode.SHADOW)
    assert call("canary", config=config).returncode == 2, "a canary is somebody's"
    assert call("canary", "--tenant", "ops", config=config).returncode == 0
    assert read_mode(tmp_path / "state") == StandingOrder(Mode.CANARY, tenants=("ops",))
    assert call("resume", config=config).returncode == 0
    assert read_mode(tmp_path / "state") == StandingOrder()


def test_preflight_shows_each_check_and_what_to_do(tmp_path: Path) -> None:
    result = call("preflight", config=configured(tmp_path))
    assert result.returncode == 1
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if line[:1] != " "}
    assert lines["network"].startswith("NO")
    assert lines["fence"].startswith("ok")
    assert "hint: outbound TCP" in result.stdout


def test_a_site_joins_runs_and_answers_its_operator(tmp_path: Path, federation: Federation) -> None:
    with background(federation, tmp_path / "broker") as (address, join_address):
        config = configured(tmp_path, address)
        file = federation.join_file(tmp_path / "join.yaml", join_address)
        joined = call("join", file, config=config)
        assert joined.returncode == 0, joined.stderr
        assert federation.asked[0] in joined.stderr
        again = call("join", file, config=config)
        assert (again.returncode, "AlreadyJoined" in again.stderr) == (1, True)
        running = subprocess.Popen([AGENT, "-c", str(config), "run"])
        try:
            until(lambda: (tmp_path / "state" / SOCKET_FILE).exists(), "the agent's socket")
            until(lambda: status(config)["connected"], "the session")
            second = call("run", config=config)
            assert (second.returncode, "AgentRunning" in second.stderr) == (1, True)
            assert "shenzhen" in call("status", config=config).stdout
            hello = json.loads(call("show-what-we-send", config=config).stdout)["hello"]
            assert hello["agent_id"] == federation.talk.hello.agent_id
            assert call("pause", config=config).returncode == 0
            assert status(config)["mode"] == "paused"
            assert call("drain", config=config).returncode == 0
            assert call("resume", config=config).returncode == 0
            assert status(config)["mode"] == "open"
            running.send_signal(signal.SIGTERM)
            assert running.wait(30) == 0
        finally:
            running.kill()
            running.wait()


def status(config: Path) -> dict[str, Any]:
    result = call("status", "-o", "json", config=config)
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_site_with_another_name_than_its_identity_does_not_start(
    tmp_path: Path, federation: Federation
) -> None:
    federation.identity(tmp_path / "state" / "identity", site_principal("demo", "zhengzhou"))
    result = call("run", config=configured(tmp_path))
    assert (result.returncode, "SiteNameDiffers" in result.stderr) == (2, True)


# --- joining and renewing -----------------------------------------------------------


def quick() -> Backoff:
    return Backoff(seconds=0.01, seconds_max=0.01)


async def test_a_request_waits_for_approval_with_one_key(
    tmp_path: Path, federation: Federation
) -> None:
    federation.approved = False
    identity = tmp_path / "state" / "identity"
    heard: list[Waiting] = []
    async with secured(federation, tmp_path / "broker") as (_, address):
        file = read_join_file(federation.join_file(tmp_path / "join.yaml", address))
        with pytest.raises(DeadlineExceeded) as caught:
            await join(file, identity, wait_seconds=0, tell=heard.append, backoff=quick())
        assert caught.value.code == "NotApproved"
        assert not identity.exists()
        federation.approved = True
        await join(file, identity, wait_seconds=9, tell=heard.append, backoff=quick())
    assert len(set(federation.asked)) == 1
    assert heard == [Waiting(federation.asked[0])]
    assert load_identity(identity).principal == site_principal("demo", "shenzhen")
    assert stat.S_IMODE((identity / "key.pem").stat().st_mode) == 0o600
    assert list((tmp_path / "state").glob("*pending*")) == []


async def test_a_broker_of_another_authority_is_not_joined(
    tmp_path: Path, federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.join.UNREACHABLE_SECONDS_MAX", 0.5)
    async with secured(federation, tmp_path / "broker") as (_, address):
        stranger = Federation()
        file = read_join_file(stranger.join_file(tmp_path / "join.yaml", address))
        with pytest.raises(SuanError):
            await join(file, tmp_path / "identity", wait_seconds=0, tell=print, backoff=quick())
    assert federation.asked == []


async def test_a_certificate_is_renewed_with_a_new_key_before_it_ends(
    tmp_path: Path, federation: Federation
) -> None:
    place, identity = tmp_path / "given", tmp_path / "identity"
    federation.identity(place, site_principal("demo", "shenzhen"), lifetime=1.0)
    place.rename(identity)
    before = load_identity(identity)
    renewed = asyncio.Event()
    async with secured(federation, tmp_path / "broker") as (address, _):
        federation.identity(tmp_path / "other", site_principal("demo", "shenzhen"))
        channel = secure_channel(address, tmp_path / "other")
        keeper = Renewal(identity, lambda: channel, renewed.set, lambda: 1.0, quick())
        running = asyncio.create_task(keeper.run())
        async with asyncio.timeout(30):
            await renewed.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await channel.close(None)
    after = load_identity(identity)
    assert after.certificate.not_after > before.certificate.not_after + 86_400
    assert after.certificate.key_fingerprint != before.certificate.key_fingerprint


async def test_a_renewal_that_fails_is_tried_again(tmp_path: Path, federation: Federation) -> None:
    identity = tmp_path / "identity"
    federation.identity(identity, site_principal("demo", "shenzhen"), lifetime=1.0)
    failures: list[float] = []

    async def sleep(seconds: float) -> None:
        failures.append(seconds)
        await asyncio.sleep(0)

    def channel() -> grpc.aio.Channel:
        if len(failures) > 6:
            raise asyncio.CancelledError
        raise Unavailable("not connected", "", "NotConnected")

    pauses = Backoff(seconds=5.0, seconds_max=300.0, random=lambda: 1.0, sleep=sleep)
    keeper = Renewal(identity, channel, lambda: None, lambda: 1.0, pauses)
    with pytest.raises(asyncio.CancelledError):
        await keeper.run()
    assert [pause for pause in failures if pause >= 5.0] == [5.0, 10.0, 20.0]


# --- the identity on the disk -------------------------------------------------------


def made(federation: Federation, place: Path) -> dict[str, bytes]:
    federation.identity(place, site_principal("demo", "shenzhen"))
    return {
        "ca_pem": (place / "ca.pem").read_bytes(),
        "certificate_pem": (place / "cert.pem").read_bytes(),
        "key_pem": (place / "key.pem").read_bytes(),
    }


def test_an_identity_is_replaced_whole(tmp_path: Path, federation: Federation) -> None:
    link = tmp_path / "identity"
    for number in range(4):
        parts = made(federation, tmp_path / f"made-{number}")
        install_identity(link, **parts)
        assert load_identity(link).certificate_pem == parts["certificate_pem"]
    assert len(list((tmp_path / "identity.d").iterdir())) == 2


def test_a_given_identity_gives_way_to_the_first_renewal(
    tmp_path: Path, federation: Federation
) -> None:
    link = tmp_path / "identity"
    made(federation, link)
    parts = made(federation, tmp_path / "made")
    install_identity(link, **parts)
    assert load_identity(link).certificate_pem == parts["certificate_pem"]


def test_a_crash_while_an_identity_is_replaced_leaves_a_whole_one(
    tmp_path: Path, federation: Federation
) -> None:
    link = tmp_path / "identity"
    parts = made(federation, tmp_path / "made")
    install_identity(link, **parts)
    link.unlink()  # between the two renamings
    recover_identity(link)
    assert load_identity(link).certificate_pem == parts["certificate_pem"]


# --- the socket and the mode --------------------------------------------------------


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("fail"):
        raise Conflict("no", "do this", "Because")
    return {"heard": request}


async def test_the_socket_is_the_owners_alone_however_long_its_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / SOCKET_FILE).touch()  # left by an agent that was killed
    server = await serve(deep, echo)
    mode = (deep / SOCKET_FILE).stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert await ask(deep, {"a": 1}) == {"heard": {"a": 1}}
    with pytest.raises(Conflict) as caught:
        await ask(deep, {"fail": True})
    assert (caught.value.code, caught.value.hint) == ("Because", "do this")
    server.close()


@pytest.mark.parametrize("spoil", [b"", b"{", b'{"mode": "?"}', b"[]"])
def test_an_unreadable_mode_counts_as_paused(tmp_path: Path, spoil: bytes) -> None:
    assert read_mode(tmp_path) == StandingOrder(Mode.OPEN)
    (tmp_path / MODE_FILE).write_bytes(spoil)
    assert read_mode(tmp_path) == StandingOrder(Mode.PAUSED)
    write_mode(tmp_path, StandingOrder(Mode.DRAINING))
    assert read_mode(tmp_path) == StandingOrder(Mode.DRAINING)
