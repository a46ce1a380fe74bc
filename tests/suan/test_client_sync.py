"""The blocking client: the asynchronous one, whole, and interruptible."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
import threading
from itertools import islice

import pytest
from standin import Fault, Served

from suan.client import Client as AsyncClient
from suan.errors import NotFound, Unauthenticated
from suan.models import JobSpec, Variant
from suan.sync import Client

SPEC = JobSpec(name="train", variants=(Variant("ascend-910b", run="python train.py"),))


def connect(stand: Served) -> Client:
    return Client.connect(address=stand.address, identity=stand.keys.user)


def test_it_has_every_method_of_the_asynchronous_one() -> None:
    def methods(kind: type) -> set[str]:
        found = inspect.getmembers(kind, callable)
        return {name for name, _ in found if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)
    for name in methods(AsyncClient) - {"connect", "close"}:
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__, name


def test_calls_iterators_and_errors_are_the_same(stand: Served) -> None:
    with connect(stand) as client:
        first, second = client.submit([SPEC, SPEC])
        assert [job.id for job in client.list()] == [second.id, first.id]
        stand.do(lambda: stand.broker.end(first.id))
        assert client.wait([first.id])[0].state.terminal
        with pytest.raises(NotFound) as caught:
            client.get("nothing")
        assert caught.value.code == "JobNotFound"


def test_an_iterator_left_early_ends_its_call(stand: Served) -> None:
    with connect(stand) as client:
        (submitted,) = client.submit(SPEC)
        watched = client.watch([submitted.id])
        assert [job.id for job in islice(watched, 1)] == [submitted.id]
        watched.close()
        assert client.get(submitted.id).id == submitted.id


def test_closing_twice_does_nothing_and_leaves_no_thread(stand: Served) -> None:
    client = connect(stand)
    client.close()
    client.close()
    assert not [each for each in threading.enumerate() if each.name == "suan-client"]


def test_a_client_that_cannot_be_made_leaves_no_thread(stand: Served, tmp_path: object) -> None:
    with pytest.raises(Unauthenticated):
        Client.connect(address=stand.address, identity=str(tmp_path))
    assert not [each for each in threading.enumerate() if each.name == "suan-client"]


def test_an_interrupt_ends_the_wait_and_the_client_still_works(stand: Served) -> None:
    """The interrupt comes while the call is under way: the fault raises it."""
    main = threading.main_thread().ident
    assert main is not None
    with connect(stand) as client:
        (submitted,) = client.submit(SPEC)

        def interrupt() -> None:
            signal.pthread_kill(main, signal.SIGINT)

        stand.broker.fail("Get", *[Fault(meanwhile=interrupt)] * 1)
        stand.broker.fail("Get", *[Fault()] * 1000)
        with pytest.raises(KeyboardInterrupt):
            client.get(submitted.id)
        stand.do(stand.broker.forgive)
        assert client.get(submitted.id).id == submitted.id


def test_nothing_is_said_when_a_program_ends_with_a_stream_open(stand: Served) -> None:
    script = (
        "import sys; from suan import Client\n"
        "with Client.connect(address=sys.argv[1], identity=sys.argv[2]) as client:\n"
        "    watched = client.watch()\n"
        "    print(next(watched).name)\n"
    )
    with connect(stand) as client:
        client.submit(SPEC)
    command = [sys.executable, "-c", script, stand.address, str(stand.keys.user)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "train\n", "")
