"""Bad input, by the real commands and over the wire: a code, a hint, the right exit status.

What cannot be understood, what may not be asked, who is not known, and a broker that is
not there. Wrong daemons are in `test_bad_starts`, full disks in `test_full_disks`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from campaign import MODELS, SITES, at_work, jobs_of, require_no_traceback
from commands import Desk, Told, require_refusal, told

from bench.federation import Federation
from suan.identity.diagnosis import diagnose
from suan.identity.issue import issue
from suan.identity.principal import Principal, Role
from suan.ids import new_id
from suan.jobspec.limits import SPEC_BYTES_MAX
from suan.models import JobState
from suan.status import decode
from suan.v1 import job_pb2
from suan.v1.jobs_service_pb2 import JobSubmission, SubmitRequest, SubmitResponse

MODEL = MODELS["shenzhen"]
GOOD = f"run: 'true'\nresources: {{accelerators: {MODEL}}}\n"
TEN_MEGABYTES = 10_000_000


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """One site, which stays as it is: whatever is said here, nothing of it may suffer."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        with at_work(Path(name), SITES[0]) as made:
            yield made
            require_no_traceback(made)
            with made.client() as client:  # all that was accepted has gone its way
                jobs = client.wait([job.id for job in client.list()])
                assert {job.state for job in jobs} <= {JobState.SUCCEEDED}


@pytest.fixture
def desk(federation: Federation, tmp_path: Path) -> Desk:
    address, identity = federation.address, str(federation.user)
    return Desk(tmp_path, {"SUAN_ADDRESS": address, "SUAN_IDENTITY": identity})


# --- job files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run: [unclosed\n", ["line 2", "not YAML"]),
        (GOOD + "time_limitt: 5m\n", ["line 3", "did you mean time_limit?"]),
        (GOOD + "num_nodes: 0\n", ["num_nodes", "between 1 and"]),
        (GOOD + "num_nodes: 1e9\n", ["num_nodes", "whole number"]),
        (GOOD.replace(MODEL, f"{MODEL}:-8"), ["line 2", "resources.accelerators"]),
        (GOOD.replace(MODEL, f"{MODEL}:99999999"), ["between 1 and 1,024 cards"]),
        (GOOD + "array: 0-99999999999\n", ["array", "range of indexes"]),
        (GOOD.replace(MODEL, "ascend-910z"), ["no accelerator", "did you mean ascend-910"]),
        (GOOD + "time_limit: -5m\n", ["line 3", "time_limit", "must not be negative"]),
        (GOOD + "envs: &a {A: b}\n", ["anchors (&)"]),
        (GOOD + "nmae: x\ntime_limit: 5 parsecs\n", ["2 problems", "line 3", "line 4"]),
        ("[" * 100_000, ["deeper than 16 levels"]),
        ("", ["is empty"]),
        (b"\xff\xfer\x00u\x00n\x00", ["not UTF-8"]),
        (GOOD.replace("true", "x" * TEN_MEGABYTES), ["10,000,0", "262,144"]),
    ],
    ids=lambda value: None if isinstance(value, list) else repr(value[-24:]),
)
def test_a_job_file_is_wrong(text: str | bytes, words: list[str], desk: Desk) -> None:
    file = desk.write("job.yaml", text)
    require_refusal(desk.suan("submit", file), 2, "InvalidSpec", *words, hint=False)


def test_all_commands_that_read_job_files_say_the_same(desk: Desk) -> None:
    file = desk.write("job.yaml", GOOD + "nmae: x\n")
    commands = (
        ["submit"],
        ["submit", "--dry-run=client"],
        ["submit", "--dry-run=server"],
        ["plan"],
    )
    assert len({desk.suan(*command, file) for command in commands}) == 1


@pytest.mark.parametrize("name", ["absent.yaml", ".", "hidden.yaml"])
def test_a_job_file_cannot_be_read(name: str, desk: Desk) -> None:
    if name == "hidden.yaml":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        desk.write(name, GOOD, mode=0)
    require_refusal(desk.suan("submit", name), 2, "FileUnreadable")


# --- commands ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "who", "status", "code"),
    [
        ("get zzzz", "user", 3, "JobNotFound"),
        ("logs 00000000-0000-7000-8000-000000000000", "user", 3, "JobNotFound"),
        ("cancel zzzz", "user", 3, "JobNotFound"),
        ("submit --project a/b job.yaml", "user", 2, "ProjectInvalid"),
        ("site token wuhan", "user", 4, "RoleNotAllowed"),
        ("submit job.yaml", "admin", 4, "RoleNotAllowed"),
        ("submit job.yaml", "site", 4, "RoleNotAllowed"),
        ("site show wuhan", "admin", 3, "SiteNotFound"),
        ("site drain wuhan", "admin", 3, "SiteNotFound"),
        ("site approve wuhan --yes", "admin", 3, "NothingPending"),
        ("site token Wu_Han!", "admin", 2, "NameInvalid"),
        ("site token wuhan --ttl=-5m", "admin", 2, "NegativeTime"),
        ("site token wuhan --ttl 99d", "admin", 2, "TokenLifetimeInvalid"),
        ("network apply absent.yaml", "admin", 2, "FileUnreadable"),
        ("--address nonsense ps", "user", 2, "AddressInvalid"),
        ("--address 127.0.0.1:99999 ps", "user", 2, "AddressInvalid"),
        ("--context absent ps", "user", 3, "ContextUnknown"),
    ],
)
def test_a_command_is_refused(
    arguments: str, who: str, status: int, code: str, desk: Desk, federation: Federation
) -> None:
    desk.write("job.yaml", GOOD)
    identity = {
        "user": federation.user,
        "admin": federation.admin,
        "site": federation.folder / "sites" / "shenzhen" / "state" / "identity",
    }[who]
    require_refusal(desk.suan(*arguments.split(), identity=identity), status, code)


def test_a_refused_command_ends_at_once(desk: Desk) -> None:
    """No thread of its connection is left, for which the interpreter would wait."""
    look = "print(*(thread.name for thread in threading.enumerate()))"
    program = f"import sys, threading; from suan.cli.root import run; run(sys.argv[1:]); {look}"
    said = desk.run("python", "-c", program, "get", "zzzz")
    assert "[JobNotFound]" in said.err
    assert said.out == "MainThread\n"


# --- over the wire ------------------------------------------------------------------


def wire_spec(**changes: object) -> bytes:
    """A sound spec as bytes, but for the changes, which are of its variant or of itself."""
    spec = job_pb2.JobSpec(name="wire")
    spec.variants.add(accelerator=MODEL, num_nodes=1, accelerators_per_node=1, run="true")
    for name, value in changes.items():
        inner = hasattr(spec.variants[0], name) and name != "name"
        setattr(spec.variants[0] if inner else spec, name, value)
    return spec.SerializeToString()


Submit = Callable[..., SubmitResponse]


@pytest.fixture
def submit(federation: Federation) -> Iterator[Submit]:
    """Submits whatever it is given."""
    with jobs_of(federation) as stub:
        yield lambda *jobs, **fields: stub.Submit(SubmitRequest(jobs=jobs, **fields), timeout=30.0)


@pytest.mark.parametrize(
    ("job_id", "spec", "code", "words"),
    [
        ("", wire_spec(), "JobIdInvalid", "UUID"),
        ("../../etc/passwd", wire_spec(), "JobIdInvalid", "UUID"),
        ("0" * 100_000, wire_spec(), "JobIdInvalid", "UUID"),
        (new_id().upper(), wire_spec(), "JobIdInvalid", "UUID"),
        (new_id(), b"\xff" * 50, "InvalidSpec", "not a job spec"),
        (new_id(), b"", "InvalidSpec", "variant"),
        (new_id(), wire_spec(run="x" * (SPEC_BYTES_MAX + 1)), "InvalidSpec", "bytes"),
        (new_id(), wire_spec(accelerator="ascend-910z"), "InvalidSpec", "no accelerator"),
        (new_id(), wire_spec(num_nodes=0), "InvalidSpec", "num_nodes"),
        (new_id(), wire_spec(num_nodes=1 << 30), "InvalidSpec", "num_nodes"),
        (new_id(), wire_spec(time_limit_seconds=-1.0), "InvalidSpec", "time_limit_seconds"),
        (new_id(), wire_spec(time_limit_seconds=float("nan")), "InvalidSpec", "time_limit"),
        (new_id(), wire_spec(priority=1 << 30), "InvalidSpec", "priority"),
    ],
    ids=[  # the same in every process of a run, which those of the jobs are not
        *("no id", "path", "long id", "capital id", "noise", "nothing", "large", "unknown card"),
        *("no nodes", "too many nodes", "negative limit", "no number", "priority"),
    ],
)
def test_a_job_of_the_wire_is_refused_alone(
    job_id: str, spec: bytes, code: str, words: str, submit: Submit
) -> None:
    """Beside it in the same request a sound job is accepted."""
    sound = JobSubmission(id=new_id(), spec=wire_spec())
    response = submit(JobSubmission(id=job_id, spec=spec), sound)
    refused, accepted = response.results
    assert (refused.accepted, accepted.accepted) == (False, True)
    assert refused.refusal.code == code
    assert words in refused.refusal.message + refused.hint


def test_the_same_id_for_another_job(submit: Submit) -> None:
    first = JobSubmission(id=new_id(), spec=wire_spec())
    other = JobSubmission(id=first.id, spec=wire_spec(name="other"))
    again = submit(first, first, other)
    assert [result.accepted for result in again.results] == [True, True, False]
    assert [result.existed for result in again.results] == [False, True, False]
    assert again.results[2].refusal.code == "JobIdTaken"


@pytest.mark.parametrize(
    ("count", "script", "project", "code"),
    [
        (1, "x" * TEN_MEGABYTES, "", "MessageTooLarge"),
        (1_001, "true", "", "BatchTooLarge"),
        (1, "true", "a b", "ProjectInvalid"),
    ],
    ids=["large", "many", "project"],
)
def test_a_request_is_refused_whole(
    count: int, script: str, project: str, code: str, submit: Submit
) -> None:
    jobs = [JobSubmission(id=new_id(), spec=wire_spec(run=script)) for _ in range(count)]
    with pytest.raises(grpc.RpcError) as raised:
        submit(*jobs, project=project)
    assert decode(raised.value).code == code


# --- who is not known ---------------------------------------------------------------


Make = Callable[[Federation, Path], None]


def expired(federation: Federation, place: Path) -> None:
    principal = Principal("bench", Role.USER, "late", tenant="team-a")
    authority = federation.folder / "federation" / "ca"
    issue(authority, principal, place, 1.0, now=time.time() - 3_600.0)


def foreign(federation: Federation, place: Path) -> None:
    stranger = Federation(place.parent / "elsewhere")
    shutil.copytree(stranger.user, place)


def foreign_that_trusts_us(federation: Federation, place: Path) -> None:
    foreign(federation, place)
    shutil.copy(federation.user / "ca.pem", place)


def exposed(federation: Federation, place: Path) -> None:
    shutil.copytree(federation.user, place)
    (place / "key.pem").chmod(0o640)


def mixed(federation: Federation, place: Path) -> None:
    shutil.copytree(federation.user, place)
    shutil.copy(federation.admin / "key.pem", place)


def cut(federation: Federation, place: Path) -> None:
    shutil.copytree(federation.user, place)
    certificate = place / "cert.pem"
    certificate.write_bytes(certificate.read_bytes()[:100])


def absent(federation: Federation, place: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (expired, "CertificateExpired"),
        (foreign, "BrokerNotTrusted"),
        (foreign_that_trusts_us, "CertificateRefused"),
        (exposed, "KeyExposed"),
        (mixed, "IdentityMalformed"),
        (cut, "IdentityMalformed"),
        (absent, "IdentityMissing"),
    ],
)
def test_an_identity_is_refused(make: Make, code: str, desk: Desk, federation: Federation) -> None:
    place = desk.folder / "identity"
    make(federation, place)
    file = desk.write("job.yaml", GOOD)
    require_refusal(desk.suan("submit", file, identity=place), 4, code)


# --- no broker ----------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def without_broker(federation: Federation) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Commands towards ports that are no broker's: from the start, since each is patient."""
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        closed = socket.create_server(("127.0.0.1", 0))
        ports = {"silent": silent.getsockname()[1], "closed": closed.getsockname()[1]}
        closed.close()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suan-e2e-")))
        desk = Desk(folder, {"SUAN_IDENTITY": str(federation.user)})
        yield {
            name: desk.start("suan", "--address", f"127.0.0.1:{port}", "ps")
            for name, port in ports.items()
        }


@pytest.mark.parametrize(
    ("port", "words"), [("closed", "nothing answers"), ("silent", "does not answer")]
)
def test_no_broker_answers(
    port: str, words: str, without_broker: dict[str, subprocess.Popen[bytes]]
) -> None:
    said: Told = told(without_broker[port])
    require_refusal(said, 5, "BrokerUnreachable", words)


def test_the_join_port_is_no_broker(desk: Desk, federation: Federation) -> None:
    """Nor is any other port of ours: it says so at once."""
    said = desk.suan("--address", federation.join_address, "ps")
    assert said.status in (1, 5), said
    assert "join port" in said.err and "hint: " in said.err, said


def test_a_broker_that_dies_while_it_is_asked_refuses_nobody(federation: Federation) -> None:
    """It ends the connection as one does that refuses a certificate; but nothing listens then."""
    broker = federation.folder / "federation" / "broker"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(broker / "cert.pem", broker / "key.pem")
    context.set_alpn_protocols(["h2"])
    server = socket.create_server(("127.0.0.1", 0))

    def die() -> None:
        connection, _ = server.accept()
        with context.wrap_socket(connection, server_side=True) as session:
            session.recv(1)
            server.close()

    dying = threading.Thread(target=die)
    dying.start()
    reason = diagnose(f"127.0.0.1:{server.getsockname()[1]}", federation.user)
    dying.join()
    assert reason.code == "BrokerUnreachable", reason
