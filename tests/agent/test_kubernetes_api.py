# ruff: noqa: ASYNC110
"""The way to an API server: pages, watches that are resumed, and every kind of bad answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes_api import TOPOLOGY, ApiServer, Json, kubeconfig, serving
from kubernetes_cluster import node

from agent.kubernetes import client
from agent.kubernetes.client import ApiFailed, KubernetesApi, failure_of
from agent.kubernetes.config import KubernetesConfig
from agent.kubernetes.mirror import Mirror
from agent.kubernetes.objects import node_of
from agent.kubernetes.resources import Namer
from agent.kubernetes.settings import KubernetesSettings
from agent.kubernetes.survey import KubernetesSurvey
from agent.supervisor.messages import InventoryChanged
from scheduler.model import Release
from suan import catalogue
from suan.retry import Backoff

PATIENCE_SECONDS = 20.0
QUICK = Backoff(0.02, 0.1)


@asynccontextmanager
async def server(*groups: str) -> AsyncIterator[ApiServer]:
    async with serving(ApiServer(groups)) as opened:
        yield opened


@asynccontextmanager
async def way(opened: ApiServer, place: Path) -> AsyncIterator[KubernetesApi]:
    api = KubernetesApi(str(kubeconfig(place, opened.url)))
    try:
        yield api
    finally:
        await api.close()


async def waited(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def code_of(api: KubernetesApi, path: str = "/api/v1/nodes", **more: Any) -> str:
    with pytest.raises(ApiFailed) as failed:
        await api.call("GET", path, **more)
    assert failed.value.hint
    return failed.value.code


# --- calls ------------------------------------------------------------------------------


async def test_a_list_comes_in_pages(tmp_path: Path) -> None:
    async with server() as opened, way(opened, tmp_path) as api:
        for number in range(7):
            opened.put("nodes", node(f"n{number}"))
        opened.page_items_max = 2
        found, version = await api.list_all("/api/v1/nodes")
        assert [each["metadata"]["name"] for each in found] == [f"n{n}" for n in range(7)]
        assert version == str(opened.version)
        assert len(opened.requests) == 4


async def test_a_list_that_grows_too_old_is_read_anew(tmp_path: Path) -> None:
    async with server() as opened, way(opened, tmp_path) as api:
        for number in range(5):
            opened.put("nodes", node(f"n{number}"))
        opened.page_items_max = 3

        async def expire(request: web.Request) -> None:
            if "continue" in request.query and len(opened.requests) == 2:
                opened.put("nodes", node("n0"))
                opened.forget_history()

        opened.fault = expire
        found, _ = await api.list_all("/api/v1/nodes")
        assert (len(found), len(opened.requests)) == (5, 4)


def answer(status: int, said: Json | bytes) -> Callable[[Any], Any]:
    async def faulty(_: web.Request) -> web.Response:
        if isinstance(said, bytes):
            return web.Response(status=status, body=said)
        return web.json_response(said, status=status)

    return faulty


BAD = [
    (answer(401, {"message": "Unauthorized"}), "KubernetesUnauthorized"),
    (answer(403, {"message": 'nodes is forbidden: User "suan"'}), "KubernetesForbidden"),
    (answer(403, {"message": "exceeded quota: gold, requested: pods=1"}), "SiteQuotaExceeded"),
    (answer(404, {"message": "not found"}), "KubernetesNotFound"),
    (answer(429, b"slow down"), "KubernetesBusy"),
    (answer(500, b"\xff\xfe"), "KubernetesFailed"),
    (answer(200, b"<html>log in</html>"), "KubernetesGarbled"),
    (answer(200, b"[1]"), "KubernetesGarbled"),
    (answer(200, b"{" * 200_000), "KubernetesGarbled"),
]


@pytest.mark.parametrize(("fault", "code"), BAD)
async def test_bad_answers(tmp_path: Path, fault: Any, code: str) -> None:
    async with server() as opened, way(opened, tmp_path) as api:
        opened.fault = fault
        assert await code_of(api) == code
        opened.fault = None
        assert await api.list_all("/api/v1/nodes") == ([], "100")


async def test_a_server_that_is_slow_or_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server() as opened, way(opened, tmp_path) as api:
        hold = asyncio.Event()

        async def slow(_: web.Request) -> None:
            await hold.wait()

        opened.fault = slow
        assert await code_of(api, seconds=0.2) == "KubernetesTimedOut"
        opened.fault = None
        hold.set()

        async def cut(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"items": [')
            assert request.transport is not None
            request.transport.close()
            return response

        opened.fault = cut
        assert await code_of(api) == "KubernetesUnreachable"
        opened.fault = None
        monkeypatch.setattr(client, "ANSWER_BYTES_MAX", 100)
        opened.put("nodes", node("n1"))
        assert await code_of(api) == "KubernetesGarbled"
    async with way(opened, tmp_path) as api:
        assert await code_of(api) == "KubernetesUnreachable"


async def test_credentials_that_were_renewed_are_read_again(tmp_path: Path) -> None:
    async with server() as opened:
        path = kubeconfig(tmp_path, opened.url, token="old")
        good = "Bearer new"

        async def guard(request: web.Request) -> web.Response | None:
            if request.headers.get("Authorization") == good:
                return None
            return web.json_response({"message": "Unauthorized"}, status=401)

        opened.fault = guard
        api = KubernetesApi(str(path))
        try:
            assert await code_of(api) == "KubernetesUnauthorized"
            path.write_text(path.read_text().replace("old", "new"))
            assert await api.call("GET", "/api/v1/nodes")
        finally:
            await api.close()


@pytest.mark.parametrize("text", ["", "nonsense: [", "{}", '{"current-context": "gone"}'])
async def test_a_kubeconfig_that_cannot_be_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert await code_of(KubernetesApi(str(tmp_path / "config"))) == "KubernetesUnconfigured"
    assert await code_of(KubernetesApi(str(tmp_path / "nothing"))) == "KubernetesUnconfigured"


def test_what_is_in_doubt() -> None:
    assert not failure_of("/p", 403, b"").is_doubtful
    assert failure_of("/p", 504, b"").is_doubtful
    assert ApiFailed("KubernetesTimedOut", "").is_doubtful


# --- mirrors ------------------------------------------------------------------------------


@asynccontextmanager
async def mirrored(opened: ApiServer, place: Path) -> AsyncIterator[Mirror[Any]]:
    async with way(opened, place) as api:
        mirror: Mirror[Any] = Mirror(api, "/api/v1/nodes", node_of, backoff=QUICK)
        running = asyncio.create_task(mirror.run())
        try:
            yield mirror
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_a_mirror_follows_changes(tmp_path: Path) -> None:
    async with server() as opened, mirrored(opened, tmp_path) as mirror:
        opened.put("nodes", node("n1"))
        await waited(lambda: mirror.items and opened.streams())
        opened.put("nodes", node("n1", spec={"unschedulable": True}))
        await waited(lambda: mirror.items["/n1"].cordoned)
        opened.put("nodes", node("n2"))
        opened.remove("nodes", "", "n1")
        await waited(lambda: list(mirror.items) == ["/n2"])
        assert mirror.lists == 1


async def test_a_watch_is_resumed_where_it_ended(tmp_path: Path) -> None:
    async with server() as opened, mirrored(opened, tmp_path) as mirror:
        opened.put("nodes", node("n1"))
        await waited(lambda: mirror.items and opened.streams())
        versions: list[str] = []

        async def refuse(request: web.Request) -> web.Response:
            versions.append(request.query.get("resourceVersion", ""))
            return web.json_response({"message": "overloaded"}, status=503)

        opened.fault = refuse
        for number in range(2):  # the stream in progress is ended by the server
            opened.put("nodes", node(f"m{number}"))
        await waited(lambda: len(mirror.items) == 3)
        await end_streams(opened)
        await waited(lambda: len(versions) > 2)
        opened.put("nodes", node("n3"))
        opened.fault = None
        await waited(lambda: "/n3" in mirror.items)
        assert mirror.lists == 1
        assert set(versions) != {"", "0"}


async def end_streams(opened: ApiServer) -> None:
    """As a server that is restarted: its streams break."""
    for handler in opened.streams():
        handler.close()
    await asyncio.sleep(0)


async def test_a_history_that_is_gone(tmp_path: Path) -> None:
    async with server() as opened, mirrored(opened, tmp_path) as mirror:
        opened.put("nodes", node("n1"))
        await waited(lambda: mirror.items and opened.streams())

        async def refuse(_: web.Request) -> web.Response:
            return web.json_response({"message": "overloaded"}, status=503)

        opened.fault = refuse
        await end_streams(opened)
        opened.remove("nodes", "", "n1")
        opened.put("nodes", node("n2"))
        opened.forget_history()
        opened.fault = None
        await waited(lambda: list(mirror.items) == ["/n2"])
        assert mirror.lists == 2


async def test_bookmarks_keep_a_quiet_watch_young(tmp_path: Path) -> None:
    async with server() as opened, mirrored(opened, tmp_path) as mirror:
        opened.bookmark_seconds = 0.02
        opened.put("nodes", node("n1"))
        await waited(lambda: mirror.items and opened.streams())
        for _ in range(3):
            opened.put("pods", {"metadata": {"name": "p", "namespace": "d"}, "spec": {}})
        last = str(opened.version)
        await waited(lambda: mirror.version == last)  # the pods' changes are none of its own
        opened.forget_history()
        opened.put("nodes", node("n2"))
        await waited(lambda: "/n2" in mirror.items)
        assert mirror.lists == 1


async def test_events_that_nobody_can_read(tmp_path: Path) -> None:
    async with server() as opened, mirrored(opened, tmp_path) as mirror:
        opened.put("nodes", node("n1"))
        await waited(lambda: mirror.items and opened.streams())
        said = [b"<html>", b'{"type": "ADDED"}\n', b'{"type": 3, "object": []}\n', b""]

        async def garble(request: web.Request) -> web.Response | None:
            if request.query.get("watch") and said:
                return web.Response(body=said.pop())
            return None

        opened.fault = garble
        await end_streams(opened)
        await waited(lambda: not said)
        opened.put("nodes", node("n2"))
        await waited(lambda: "/n2" in mirror.items)


# --- the survey ------------------------------------------------------------------------------


def survey_of(api: KubernetesApi) -> KubernetesSurvey:
    config = KubernetesConfig("/shared", "image", poll_seconds=0.2)
    settings = KubernetesSettings("harbin", config, 0, 0)
    return KubernetesSurvey(api, Namer(catalogue.load(), {}), settings, ("no internet",))


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


def usable(survey: KubernetesSurvey) -> dict[str, int]:
    return {pool.name: pool.cards_usable for pool in survey.inventory().pools()}


def sick(name: str, numbers: str) -> Json:
    info = {"DeviceInfo": {"DeviceList": {"huawei.com/Ascend910-Unhealthy": numbers}}}
    return {
        "metadata": {"name": f"mindx-dl-deviceinfo-{name}", "namespace": "kube-system"},
        "data": {"DeviceInfoCfg": json.dumps(info)},
    }


async def test_a_survey_tells_what_changes(tmp_path: Path) -> None:
    async with server(TOPOLOGY) as opened, way(opened, tmp_path) as api:
        for name in ("npu1", "npu2"):
            opened.put("nodes", node(name))
        survey = survey_of(api)
        assert await survey.look(nobody)
        assert usable(survey) == {"ascend-910b": 16}
        assert survey.settings().places["npu1"].resource == "huawei.com/Ascend910"
        told: asyncio.Queue[InventoryChanged] = asyncio.Queue()
        running = asyncio.create_task(survey.run(nobody, told.put_nowait))  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                opened.put("configmaps", sick("npu1", "Ascend910-3,Ascend910-4"))
                await told.get()
                assert usable(survey) == {"ascend-910b": 14}
                opened.put("nodes", node("npu2", spec={"unschedulable": True}))
                while usable(survey) != {"ascend-910b": 6}:
                    await told.get()
                opened.put(
                    f"hypernodes@{TOPOLOGY}",
                    {
                        "metadata": {"name": "s0"},
                        "spec": {
                            "tier": 1,
                            "members": [
                                {"type": "Node", "selector": {"exactMatch": {"name": "npu1"}}}
                            ],
                        },
                    },
                )
                await told.get()
            names = {n.name: n.supernode for n in survey.declared_pools[0].nodes}
            assert names == {"npu1": "s0", "npu2": "ascend-910b"}
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_a_survey_tells_when_local_jobs_end(tmp_path: Path) -> None:
    """By the deadline of the pod itself, or of its Job."""
    started = {"phase": "Running", "startTime": "2026-11-01T10:00:00Z"}

    def local(name: str, **spec: object) -> Json:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "sweep"}
        container = {"resources": {"limits": {"huawei.com/Ascend910": "2"}}}
        return {
            "metadata": {"name": name, "namespace": "lab", "ownerReferences": [owner]},
            "spec": {"nodeName": "npu1", "containers": [container], **spec},
            "status": started,
        }

    job: Json = {
        "metadata": {"name": "sweep", "namespace": "lab"},
        "spec": {"activeDeadlineSeconds": 7170},
        "status": started,
    }
    async with server() as opened, way(opened, tmp_path) as api:
        opened.put("nodes", node("npu1"))
        opened.put("pods", local("sweep-0"))
        opened.put("pods", local("sweep-1", activeDeadlineSeconds=3570))
        survey = survey_of(api)
        await survey.look(nobody)
        opened.put("jobs", job)
        assert await survey.look(nobody)
        assert usable(survey) == {"ascend-910b": 4}
        (pool,) = survey.inventory().pools()
        assert pool.releases == (Release(2, 1793530800.0), Release(2, 1793534400.0))


async def test_a_survey_without_an_answer_keeps_what_it_knew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server() as opened, way(opened, tmp_path) as api:
        opened.put("nodes", node("npu1"))
        opened.put("nodes", node("odd", resource="acme.com/card"))
        survey = survey_of(api)
        assert await survey.look(nobody)
        assert not await survey.look(nobody)
        opened.forbidden.add(("list", "configmaps"))
        opened.fault = answer(500, b"down")
        assert not await survey.look(nobody)
        assert not await survey.look(nobody)
        assert usable(survey) == {"ascend-910b": 8}
        said = [record.getMessage() for record in caplog.records]
        assert sum("KubernetesFailed" in each for each in said) == 1
        assert sum("acme.com/card is not offered" in each for each in said) == 1
        opened.fault = None
        opened.put("nodes", node("npu2"))
        assert await survey.look(nobody)
        assert usable(survey) == {"ascend-910b": 16}
