"""A Ray that does not answer, is slow, says no, or says what nobody understands."""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.probes.tools import ProbeFailed
from agent.ray.capacity import Names
from agent.ray.client import RayClient
from agent.ray.poll import RayPoll
from agent.ray.survey import RaySurvey
from suan.catalogue import load

VERSION = json.dumps({"version": "4", "ray_version": "2.60.0"})
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Head(http.server.ThreadingHTTPServer):
    """A head that answers as it is told, by the start of the path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, str]] = {}
        self.tokens: list[str] = []
        self.released = threading.Event()  # until then it is silent about "/silent"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Head

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers.get("Authorization", ""))
        if self.path.startswith("/silent"):
            self.server.released.wait()
            return
        found = (a for path, a in self.server.answers.items() if self.path.startswith(path))
        status, text = next(found, (404, "404: Not Found"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_GET  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def head() -> Iterator[Head]:
    with Head() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


async def failure(client: RayClient, path: str = "/api/version") -> ProbeFailed:
    with pytest.raises(ProbeFailed) as failed:
        await client.call("GET", path)
    return failed.value


async def test_nobody_listens() -> None:
    failed = await failure(RayClient("http://127.0.0.1:1"))
    assert failed.code == "ToolMissing"
    assert "ray.address" in failed.hint


async def test_a_head_that_is_silent(head: Head) -> None:
    failed = await failure(RayClient(head.address, seconds_max=0.1), "/silent")
    assert failed.code == "ToolTimedOut"
    assert "within 0.1 s" in failed.message


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (500, "Traceback\n  File\nValueError: no space\n.\n", "500: ValueError: no space"),
        (200, "<html>not a dashboard</html>", "no JSON"),
        (401, "Unauthorized", "token"),
        (403, "Forbidden", "token"),
        (503, "", "no reason"),
    ],
)
async def test_a_head_that_says_no(head: Head, status: int, text: str, said: str) -> None:
    head.answers["/"] = status, text
    failed = await failure(RayClient(head.address))
    assert failed.code == "ToolFailed"
    assert said in failed.message


async def test_a_token_is_found_as_ray_finds_it(head: Head, tmp_path: Path) -> None:
    head.answers["/"] = 200, "{}"
    named, usual = tmp_path / "named", tmp_path / ".ray" / "auth_token"
    usual.parent.mkdir()
    usual.write_text("usual\n")
    named.write_text("named\n")
    home = {"HOME": str(tmp_path)}
    for client in (
        RayClient(head.address, environment={}),
        RayClient(head.address, environment=home),
        RayClient(head.address, environment=home | {"RAY_AUTH_TOKEN_PATH": str(named)}),
        RayClient(head.address, environment=home | {"RAY_AUTH_TOKEN": "given"}),
        RayClient(head.address, str(named), home | {"RAY_AUTH_TOKEN": "given"}),
    ):
        await client.call("GET", "/")
    bearers = [token.removeprefix("Bearer ") for token in head.tokens]
    assert bearers == ["", "usual", "named", "given", "named"]


async def test_a_submission_that_is_there_already(head: Head) -> None:
    head.answers["/api/jobs/"] = 500, "ValueError: Job with submission_id x already exists.\n"
    await RayClient(head.address).submit({"submission_id": "x"})


async def test_a_ray_that_is_too_old(head: Head) -> None:
    head.answers["/api/version"] = 200, VERSION.replace("2.60", "2.9")
    with pytest.raises(ProbeFailed, match="cannot be used") as failed:
        await RayClient(head.address).view()
    assert "2.49" in failed.value.hint


async def test_garbage_is_a_line_of_health_and_what_was_known_stands(
    head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    node = {"node_id": "1", "node_name": "a", "node_ip": "127.0.0.1", "state": "ALIVE"}
    node["resources_total"] = {"NPU": 8, "accelerator_type:Ascend910B3": 1}  # type: ignore[assignment]
    used = {"time": 1.0, "loadMetricsReport": {"usageByNode": {"1": {"NPU": [2.0, 8.0]}}}}
    good = {
        "/api/version": (200, VERSION),
        "/api/v0/nodes": (200, json.dumps({"data": {"result": {"result": [node]}}})),
        "/api/cluster_status": (200, json.dumps({"data": {"clusterStatus": used}})),
        "/api/jobs/": (200, "[]"),
    }
    head.answers = dict(good)
    survey = RaySurvey("s", RayPoll(RayClient(head.address), 0.0), Names({}, load()))

    def nobody(pool: str, node: str) -> frozenset[int]:
        return frozenset()

    assert await survey.look(nobody)
    (known,) = survey.inventory().pools()
    assert known.cards_usable == 6
    for answer in ((200, "[1]"), (200, '{"data": {"result": {"result": "x"}}}'), (500, "oops")):
        head.answers["/api/v0/nodes"] = answer
        with caplog.at_level(logging.WARNING):
            assert not await survey.look(nobody)
        assert survey.inventory().pools() == (known,)
    assert len([r for r in caplog.records if r.name == "agent.polled"]) == 1
    head.answers = good
    assert not await survey.look(nobody)


async def test_a_question_that_is_given_up_holds_no_thread(head: Head) -> None:
    """Later ones are asked all the same, however many were silent."""
    slow = RayClient(head.address, seconds_max=0.05)
    for _ in range(4):
        await asyncio.gather(*(failure(slow, "/silent") for _ in range(16)))
    head.answers["/"] = 200, "{}"
    assert await RayClient(head.address).call("GET", "/") == {}
