"""Two brokers over three etcd nodes: the leader dies, hangs or is stopped, and no job notices."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaign import LIMITS, MODELS, SITES, Load, require_once
from witness import SIGN, Witness, processes_left

from bench.etcd import etcd_is_installed
from bench.federation import wait_until
from bench.ports import free_ports
from bench.several import SeveralBrokers
from suan.client import Client
from suan.errors import Unavailable
from suan.models import JobState

TAKE_OVER_SECONDS = 60.0  # on a machine that others use too; bench/failover.py measures
PROMPT_SECONDS = 5.0  # far below the lease of the lead: nobody has waited for its end
# A job that works until it is told to end, whatever becomes of the brokers.
HELD = SIGN + 'until [ -e "$WITNESS.end" ]; do sign alive; sleep 0.1; done; sign stop'

ROOT = Path(__file__).parents[2]
EXAMPLE = "deploy.examples.failover.run"
LEADS = re.compile(r"broker (\w) leads; try: kill -9 (\d+)")

pytestmark = [
    pytest.mark.skipif(not etcd_is_installed(), reason="needs etcd: deploy/servers.sh installs it"),
    pytest.mark.timeout(400),  # of which a quiet machine needs the sixth part
]


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def federation(request: pytest.FixtureRequest) -> Iterator[SeveralBrokers]:
    """Shared by the tests; each leaves both brokers running."""
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        made = SeveralBrokers(Path(name), request.param, LIMITS)
        try:
            made.start_broker()
            made.join(*SITES)
            yield made
        finally:
            made.stop()


def all_reconciled(federation: SeveralBrokers) -> None:
    """Every site has said in this term what it holds."""
    with federation.client(federation.admin) as admin:
        wait_until(
            lambda: all(site.state == "open" for site in admin.sites()),
            "all sites to reconcile",
            TAKE_OVER_SECONDS,
        )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_no_job_notices_that_the_leader_is(
    number: signal.Signals, federation: SeveralBrokers, witness: Witness
) -> None:
    held = [witness.spec(model, seconds=0.0, script=HELD) for model in MODELS.values()]
    with federation.client() as client:
        running = [item.id for item in client.submit(held)]
    wait_until(lambda: len(witness.executions()) == len(running), "the jobs to run")
    load = Load(federation, iter(lambda: [witness.spec(*MODELS.values(), seconds=0.1)], None))
    load.start()
    leader = federation.await_leader()
    (other,) = federation.brokers.keys() - {leader}
    wait_until(lambda: load.accepted, "jobs to be accepted")

    federation.send(leader, number)
    taken = len(load.accepted)
    wait_until(lambda: len(load.accepted) > taken + 1, "more of them", TAKE_OVER_SECONDS)
    assert federation.leaders() == [other]
    all_reconciled(federation)
    with federation.client() as client:
        for job in map(client.get, running):
            assert job.state is JobState.RUNNING
            assert [attempt.epoch for attempt in job.attempts] == [1]

    if number is signal.SIGSTOP:  # it wakes, and must not believe that it leads still
        federation.send(leader, signal.SIGCONT)
    else:
        federation.brokers[leader].wait()
        federation.start_one(leader)
    require_standing_by(federation, leader)
    assert federation.leaders() == [other]
    ids = load.end()
    Path(f"{witness.folder}.end").touch()
    require_once(federation, witness, [*running, *ids])


def require_standing_by(federation: SeveralBrokers, name: str) -> None:
    """It answers, that it does not lead; alone, it is no use to a client."""
    address = federation.address_of(name)

    async def refused() -> str:
        async with Client.connect(
            address=address, identity=federation.user, deadline_seconds=10.0
        ) as client:
            with pytest.raises(Unavailable) as caught:
                await client.offers()
            return caught.value.code

    assert asyncio.run(refused()) == "NotLeader"


def test_a_leader_that_is_stopped_politely_hands_over_at_once(
    federation: SeveralBrokers, witness: Witness
) -> None:
    leader = federation.await_leader()
    (other,) = federation.brokers.keys() - {leader}
    begun = time.monotonic()
    federation.brokers[leader].send(signal.SIGTERM)
    federation.await_leader(other)
    assert time.monotonic() - begun < PROMPT_SECONDS
    assert federation.brokers[leader].wait() == 0
    federation.start_one(leader)
    with federation.client() as client:
        ids = [item.id for item in client.submit([witness.spec(*MODELS.values(), seconds=0.1)])]
    require_once(federation, witness, ids)


def test_a_broker_that_stands_by_ends_when_it_is_told(federation: SeveralBrokers) -> None:
    leader = federation.await_leader()
    (other,) = federation.brokers.keys() - {leader}
    begun = time.monotonic()
    federation.brokers[other].send(signal.SIGTERM)
    assert federation.brokers[other].wait() == 0
    assert time.monotonic() - begun < PROMPT_SECONDS
    federation.start_one(other)
    assert federation.leaders() == [leader]


def test_the_example_shows_a_fail_over(tmp_path: Path) -> None:
    # Which all of its ports bear; so they lie below those of other tests.
    shift = str(free_ports(1)[0] % 2_000 + 100)
    script = [sys.executable, "-m", EXAMPLE, str(tmp_path), "--shift-ports", shift]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, cwd=ROOT) as example:
        said = ""

        def leader() -> tuple[str, int]:
            nonlocal said
            assert example.stdout is not None
            while (found := LEADS.search(said)) is None:
                line = example.stdout.readline()
                assert line, f"it ended: {said}"
                said += line
            said = said[found.end() :]
            return found[1], int(found[2])

        try:
            first, pid = leader()
            os.kill(pid, signal.SIGKILL)
            second, _ = leader()
            assert {first, second} == {"a", "b"}
        finally:
            example.send_signal(signal.SIGINT)
            example.communicate(timeout=TAKE_OVER_SECONDS)
    assert example.returncode == 0
    assert not processes_left(tmp_path)
