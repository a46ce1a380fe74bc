# ruff: noqa: ASYNC110
"""Runs through a cluster of the tests' own, whose kubelets really run them under the fence."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes_api import VOLCANO, ApiServer, Json, kubeconfig
from kubernetes_cluster import Cluster, can_run, running_cluster
from kubernetes_runs import JOB, NODES, backend, lease, order
from processes import alive

from agent.backends import BackendRefused, Exit, Launch, Phase, Reason, Stream
from agent.clock import boot_id
from agent.cluster import cluster_of
from agent.config.file import load_config
from agent.kubernetes.backend import KubernetesBackend
from agent.kubernetes.names import object_name
from agent.probes.tools import ProbeFailed
from scheduler.model import Slice
from suan import catalogue

PATIENCE_SECONDS = 30.0
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not can_run(), reason="needs namespaces (unshare, as root)")


@asynccontextmanager
async def site(
    place: Path, server: ApiServer | None = None, **fields: Any
) -> AsyncIterator[tuple[Cluster, KubernetesBackend]]:
    async with running_cluster(place, server) as cluster:
        way = kubeconfig(place, cluster.server.url)
        async with backend(cluster.shared, way, **fields) as opened:
            yield cluster, opened


async def next_exit(of: KubernetesBackend) -> Exit:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(of.exits())  # type: ignore[call-overload]


async def log(of: KubernetesBackend, name: str, rank: int = 0) -> str:
    return (await of.read_log(name, rank, Stream.STDOUT, 0, 1 << 20)).data.decode()


async def reached(of: KubernetesBackend, name: str, phase: Phase) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await of.find(name)) is None or found.phase is not phase:
            await asyncio.sleep(0.02)


async def waited(condition: Any, what: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.02)
    assert condition(), what


def jobs(cluster: Cluster, api: str = "") -> list[Json]:
    return list(cluster.server.of(f"jobs@{api}" if api else "jobs").values())


async def test_a_run_from_start_to_forgetting(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        wish = order(
            'env; echo result > "$SUAN_OUTPUT_DIR"/result; ls "$SUAN_OUTPUT_DIR"/../../..;'
            f' ls "{cluster.shared}/runs"'
        )
        assert await kubernetes.find(wish.name) is None
        await kubernetes.submit(wish, lease())
        await kubernetes.submit(wish, lease())
        (job,) = jobs(cluster)
        assert job["metadata"]["annotations"] == {"suan/run": wish.name}
        assert job["metadata"]["labels"]["suan/job"] == JOB
        assert job["metadata"]["labels"]["suan/epoch"] == "1"
        ended = await next_exit(kubernetes)
        assert (ended.name, ended.exit_code, ended.reason) == (wish.name, 0, Reason.EXITED), ended
        said = (await log(kubernetes, wish.name)).splitlines()
        assert "SUAN_ACCELERATORS_PER_NODE=2" in said
        assert "HF_HUB_OFFLINE=1" in said
        assert "LD_LIBRARY_PATH=/opt/cann" in said  # the image's
        assert any(line.startswith("PATH=/opt/cann/bin:") for line in said)
        assert "ASCEND_VISIBLE_DEVICES=4,5" in said  # kubelet's
        assert not any(line.startswith("ASCEND_RT_VISIBLE_DEVICES") for line in said)
        assert "MASTER_ADDR=127.0.0.49" in said
        assert not any("hunter2" in line for line in said)
        assert said[-1] == wish.name  # of the volume it saw what is its own
        assert (cluster.shared / "outputs" / JOB / "1" / "result").read_text() == "result\n"
        await kubernetes.forget(wish.name)
        assert await kubernetes.list() == ()
        await waited(lambda: not jobs(cluster), "its job to go")
        await waited(lambda: not cluster.server.of("pods"), "its pods to go")


async def test_a_gang_has_a_rank_for_each_card_of_each_node(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, kubernetes):
        wish = order(
            'echo "$RANK/$WORLD_SIZE on $SUAN_NODE_RANK at $MASTER_ADDR:$MASTER_PORT";'
            ' cat "$SUAN_HOSTFILE"',
            nodes=NODES,
            launch=Launch.PER_CARD,
        )
        await kubernetes.submit(wish, lease())
        ended = await next_exit(kubernetes)
        assert ended.rank_codes == (0, 0, 0, 0), ended
        said = [(await log(kubernetes, wish.name, rank)).splitlines() for rank in range(4)]
        assert [lines[0].partition(" at ")[0] for lines in said] == [
            "0/4 on 0",
            "1/4 on 0",
            "2/4 on 1",
            "3/4 on 1",
        ]
        assert len({lines[0].partition(" at ")[2] for lines in said}) == 1
        assert said[3][1:] == ["127.0.0.49 slots=2", "127.0.0.50 slots=2"]


async def test_a_gang_ends_whole(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, kubernetes):
        wish = order(
            'if [ "$SUAN_NODE_RANK" = 1 ]; then exit 3; fi; trap "echo saved; exit 0" TERM;'
            " while :; do sleep 0.05; done",
            nodes=NODES,
        )
        await kubernetes.submit(wish, lease())
        ended = await next_exit(kubernetes)
        assert (ended.reason, ended.exit_code) == (Reason.EXITED, 3)


async def test_a_gang_begins_whole(tmp_path: Path) -> None:
    async with site(tmp_path, wait_seconds_max=1.0) as (cluster, kubernetes):
        found = dict(cluster.server.of("nodes")["", "npu2"])
        cluster.server.put("nodes", {**found, "spec": {"unschedulable": True}})
        wish = order("echo never", nodes=NODES)
        await kubernetes.submit(wish, lease())
        await waited(lambda: cluster.containers, "one pod of it")
        ended = await next_exit(kubernetes)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "NotEnoughCards")
        assert ended.started_at == 0.0
        await waited(lambda: not jobs(cluster), "its job to go")
        await waited(lambda: not cluster.server.of("pods"), "its pods to go")


async def test_volcano_starts_a_gang(tmp_path: Path) -> None:
    server = ApiServer((VOLCANO,))
    async with site(tmp_path, server, scheduler="volcano", queue="federation") as (
        cluster,
        kubernetes,
    ):
        wish = order('echo "$SUAN_NODE_RANK"', nodes=NODES)
        await kubernetes.submit(wish, lease())
        (job,) = jobs(cluster, VOLCANO)
        assert (job["spec"]["minAvailable"], job["spec"]["queue"]) == (2, "federation")
        assert (await next_exit(kubernetes)).succeeded
        assert await log(kubernetes, wish.name, 1) == "1\n"
        await kubernetes.forget(wish.name)
        await waited(lambda: not jobs(cluster, VOLCANO), "its job to go")


async def test_ascend_jobs_wait_for_their_table_of_ranks(tmp_path: Path) -> None:
    async with site(tmp_path, ranktable="1.0") as (cluster, kubernetes):
        wish = order(
            'echo "$RANK_TABLE_FILE"; cat "$(dirname "$SUAN_HOSTFILE")"/../../ranktable/hccl.json',
            nodes=NODES,
        )
        await kubernetes.submit(wish, lease())
        ended = await next_exit(kubernetes)
        assert ended.succeeded, ended
        path, table = (await log(kubernetes, wish.name)).splitlines()
        assert path == "/user/serverid/devindex/config/hccl.json"
        (spec,) = [job["spec"]["template"]["spec"] for job in jobs(cluster)]
        mounts = {m["mountPath"]: m for m in spec["containers"][0]["volumeMounts"]}
        assert mounts["/user/serverid/devindex/config"]["readOnly"] is True
        assert json.loads(table)["status"] == "completed"
        assert [each["server_id"] for each in json.loads(table)["server_list"]] == [
            "127.0.0.49",
            "127.0.0.50",
        ]


async def test_a_crashed_agent_finds_its_run_again(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        gate = tmp_path / "gate"
        wish = order(f"while [ ! -e '{gate}' ]; do sleep 0.05; done; echo done")
        async with backend(cluster.shared, way) as kubernetes:
            await kubernetes.submit(wish, lease())
            await reached(kubernetes, wish.name, Phase.RUNNING)
        async with backend(cluster.shared, way) as kubernetes:
            assert await kubernetes.list() == (wish.name,)
            await kubernetes.submit(wish, lease())
            assert len(jobs(cluster)) == 1
            gate.touch()
            assert (await next_exit(kubernetes)).succeeded
            assert await log(kubernetes, wish.name) == "done\n"


async def test_a_run_that_is_stopped(tmp_path: Path) -> None:
    async with site(tmp_path) as (_, kubernetes):
        wish = order('trap "echo saved; exit 0" TERM; while :; do sleep 0.05; done')
        await kubernetes.submit(wish, lease())
        await reached(kubernetes, wish.name, Phase.RUNNING)
        await kubernetes.stop(wish.name, "Cancelled")
        ended = await next_exit(kubernetes)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "Cancelled")
        assert await log(kubernetes, wish.name) == "saved\n"


async def test_a_run_that_waits_is_stopped_for_good(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        cluster.paused = True
        wish = order("echo never")
        await kubernetes.submit(wish, lease())
        await kubernetes.stop(wish.name, "Cancelled")
        ended = await next_exit(kubernetes)
        assert (ended.reason, ended.detail, ended.started_at) == (Reason.STOPPED, "Cancelled", 0.0)
        await waited(lambda: not jobs(cluster), "its job to go")


async def test_a_lease_that_is_not_renewed_ends_the_run(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        wish = order("while :; do sleep 0.05; done", grace_seconds=1.0)
        await kubernetes.submit(wish, lease(5.0))
        await reached(kubernetes, wish.name, Phase.RUNNING)
        assert (await next_exit(kubernetes)).reason is Reason.LEASE_ENDED
        (process,) = cluster.containers.values()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() != 0


async def test_a_lease_ends_the_run_without_agent_and_server(tmp_path: Path) -> None:
    """Nobody renews, nobody deletes: the fence alone ends it, by the node's own clocks."""
    async with running_cluster(tmp_path) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        wish = order("while :; do sleep 0.05; done", grace_seconds=1.0)
        async with backend(cluster.shared, way) as kubernetes:
            await kubernetes.submit(wish, lease(5.0))
            await reached(kubernetes, wish.name, Phase.RUNNING)

        async def gone(_: Any) -> Any:
            raise ConnectionResetError

        cluster.server.fault = gone
        (process,) = cluster.containers.values()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() != 0
        cluster.server.fault = None
        async with backend(cluster.shared, way) as kubernetes:
            assert (await next_exit(kubernetes)).reason is Reason.LEASE_ENDED


async def test_a_job_that_somebody_deletes(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        wish = order('trap "echo saved; exit 0" TERM; while :; do sleep 0.05; done')
        await kubernetes.submit(wish, lease())
        await reached(kubernetes, wish.name, Phase.RUNNING)
        (job,) = jobs(cluster)
        cluster.server.delete("jobs", "default", job["metadata"]["name"])
        ended = await next_exit(kubernetes)
        assert (ended.reason, ended.detail) == (Reason.STOPPED, "SitePaused")
        assert await log(kubernetes, wish.name) == "saved\n"


async def test_a_lost_node_is_believed_when_the_lease_is_over(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        wish = order("while :; do sleep 0.05; done", grace_seconds=1.0)
        await kubernetes.submit(wish, lease(5.0))
        await reached(kubernetes, wish.name, Phase.RUNNING)
        (process,) = cluster.containers.values()
        cluster.lose("npu1")
        process.kill()  # with its node: no record is left
        ended = await next_exit(kubernetes)
        assert ended.reason is Reason.MACHINE_REBOOTED, ended
        assert not any(alive(pid) for pid in cluster.pids())


async def test_an_agent_on_another_node_believes_no_lost_node(tmp_path: Path) -> None:
    """It cannot read how long the lease is that it gave before it moved."""
    async with running_cluster(tmp_path) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        wish = order("while :; do sleep 0.05; done")
        async with backend(cluster.shared, way) as kubernetes:
            await kubernetes.submit(wish, lease())
            await reached(kubernetes, wish.name, Phase.RUNNING)
        run = cluster.shared / "runs" / wish.name
        text = (run / "lease").read_text().partition(" ")[2].replace(boot_id(), "another")
        (run / "lease").write_text(f"{zlib.crc32(text.encode()):08x} {text}")
        (process,) = cluster.containers.values()
        cluster.lose("npu1")
        process.kill()
        async with backend(cluster.shared, way) as kubernetes:
            await waited((run / "given-up").exists, "it to be given up")
            asked = cluster.server.requests.count("GET /api/v1/pods")
            await waited(
                lambda: cluster.server.requests.count("GET /api/v1/pods") > asked + 1,
                "Kubernetes to be asked again",
            )
            found = await kubernetes.find(wish.name)
            assert found is not None
            assert found.phase is Phase.RUNNING  # nobody has proof


async def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    async with site(tmp_path, image="registry/missing:1") as (cluster, kubernetes):
        wish = order("echo never")
        await kubernetes.submit(wish, lease())
        ended = await next_exit(kubernetes)
        assert ended.reason is Reason.LAUNCH_FAILED
        assert "ImagePullBackOff: Back-off pulling registry/missing:1" in ended.detail
        await waited(lambda: not jobs(cluster), "its job to go")


async def test_python_that_is_not_there(tmp_path: Path) -> None:
    async with site(tmp_path, python="/opt/nothing/python3") as (_, kubernetes):
        await kubernetes.submit(order("echo never"), lease())
        assert (await next_exit(kubernetes)).reason is Reason.LAUNCH_FAILED


async def test_a_name_that_is_none_of_kubernetes(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        job_id = "A_" + "x" * 70
        name = f"suan-{job_id}-1"
        wish = order("echo here")
        wish = type(wish)(name, job_id, 1, "harbin", wish.nodes, 2, "echo here", kind="npu")
        await kubernetes.submit(wish, lease())
        ended = await next_exit(kubernetes)
        assert (ended.name, ended.succeeded) == (name, True)
        assert [job["metadata"]["name"] for job in jobs(cluster)] == [object_name(name)]


@pytest.mark.parametrize("after", [False, True])
async def test_an_agent_killed_in_the_middle_of_a_submission(tmp_path: Path, after: bool) -> None:
    async with running_cluster(tmp_path) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        command = ["-m", "tests.agent.kubernetes_runs", cluster.shared, way]
        died = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, command), "after" if after else "before", cwd=ROOT, env={}
        )
        assert await died.wait() == -signal.SIGKILL
        async with backend(cluster.shared, way) as kubernetes:
            await kubernetes.submit(order("echo twice"), lease())
            ended = await next_exit(kubernetes)
            assert ended.reason is (Reason.EXITED if after else Reason.LAUNCH_FAILED)
            assert await log(kubernetes, ended.name) == ("once\n" if after else "")


@pytest.mark.parametrize("reaches", [True, False])
async def test_a_submission_without_an_answer(tmp_path: Path, reaches: bool) -> None:
    async with site(tmp_path) as (cluster, kubernetes):

        async def lose(request: web.Request) -> web.Response | None:
            if request.method != "POST":
                return None
            if reaches:
                await cluster.server.answer(request)
            return web.json_response({"message": "etcd is slow"}, status=504)

        cluster.server.fault = lose
        wish = order("echo once")
        with pytest.raises(ProbeFailed) as failed:
            await kubernetes.submit(wish, lease())
        assert failed.value.code == "ToolTimedOut"
        assert await kubernetes.find(wish.name) is not None
        ended = await next_exit(kubernetes)
        assert ended.reason is (Reason.EXITED if reaches else Reason.LAUNCH_FAILED)


async def test_a_run_outlives_its_api_server(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        gate = tmp_path / "gate"
        wish = order(f"while [ ! -e '{gate}' ]; do sleep 0.05; done; echo done")
        await kubernetes.submit(wish, lease(8.0))
        await reached(kubernetes, wish.name, Phase.RUNNING)

        async def garble(_: web.Request) -> web.Response:
            return web.Response(body=b"<html>maintenance</html>")

        cluster.server.fault = garble
        with pytest.raises(BackendRefused) as refused:
            await kubernetes.submit(order("true", epoch=2, working_directory="/no"), lease())
        assert refused.value.code == "BadDirectory"
        await kubernetes.renew(wish.name, lease())  # needs the volume alone
        gate.touch()
        assert (await next_exit(kubernetes)).succeeded
        await kubernetes.forget(wish.name)
        assert len(jobs(cluster)) == 1
        cluster.server.fault = None
        await waited(lambda: not jobs(cluster), "its job to go after all")


CONFIG = """\
site: harbin
broker: 127.0.0.1:7443
state_dir: state
backend: kubernetes
kubernetes:
  {{shared_dir: '{shared}', image: i, kubeconfig: '{way}', python: '{python}', poll_seconds: 0.3}}
"""


async def test_a_site_by_its_configuration(tmp_path: Path) -> None:
    """What is offered can be placed and run; its own runs are not taken for those of others."""
    async with running_cluster(tmp_path) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        text = CONFIG.format(shared=cluster.shared, way=way, python=sys.executable)
        (tmp_path / "agent.yaml").write_text(text, "utf-8")
        site = cluster_of(load_config(tmp_path / "agent.yaml", catalogue.load()), {})
        held: dict[str, frozenset[int]] = {}

        async def usable() -> int:
            await site.survey.look(lambda pool, node: held.get(node, frozenset()))
            (pool,) = site.survey.inventory().pools()
            return pool.cards_usable

        assert await usable() == 16
        (pool,) = site.survey.inventory().pools()
        wish = [Slice(pool.supernodes[0].name, 2, 4)]
        places = site.survey.inventory().allocate(pool.name, wish)
        assert isinstance(places, tuple)
        held |= {each.name: frozenset(each.devices) for each in places}
        await site.backend.open()
        try:
            gate = tmp_path / "gate"
            run = f"while [ ! -e '{gate}' ]; do sleep 0.05; done; echo $SUAN_NUM_ACCELERATORS"
            order_ = order(run, nodes=places, cards_per_node=4)
            await site.backend.submit(order_, lease())
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (found := await site.backend.find(order_.name)) is None or (
                    found.phase is not Phase.RUNNING
                ):
                    await asyncio.sleep(0.02)
            assert await usable() == 16
            local = {
                "metadata": {"name": "notebook", "namespace": "lab"},
                "spec": {
                    "nodeName": "npu1",
                    "containers": [{"resources": {"limits": {"huawei.com/Ascend910": "3"}}}],
                },
                "status": {"phase": "Unknown"},  # whatever it is, it is not over
            }
            cluster.server.put("pods", local)
            assert await usable() == 13
            gate.touch()
            async with asyncio.timeout(PATIENCE_SECONDS):
                ended = await anext(aiter(site.backend.exits()))
            assert ended.succeeded, ended
        finally:
            await site.backend.close()


async def test_what_the_cluster_refuses(tmp_path: Path) -> None:
    async with site(tmp_path) as (cluster, kubernetes):
        cluster.server.quota = "exceeded quota: gold, requested: count/jobs.batch=1"
        with pytest.raises(BackendRefused) as refused:
            await kubernetes.submit(order("true"), lease())
        assert refused.value.code == "SiteQuotaExceeded"
        cluster.server.quota = ""
        cluster.server.forbidden.add(("create", "jobs"))
        with pytest.raises(BackendRefused) as refused:
            await kubernetes.submit(order("true"), lease())
        assert refused.value.code == "LaunchFailed"
        assert "cannot create" in refused.value.message
        with pytest.raises(BackendRefused) as refused:
            await kubernetes.submit(order("true", working_directory="/root"), lease())
        assert refused.value.code == "BadDirectory"
        assert await kubernetes.list() == ()


async def test_jobs_of_no_run_are_removed(tmp_path: Path) -> None:
    async with running_cluster(tmp_path) as cluster:
        way = kubeconfig(tmp_path, cluster.server.url)
        cluster.paused = True
        async with backend(cluster.shared, way) as kubernetes:
            await kubernetes.submit(order("echo never"), lease())
        other = dict(jobs(cluster)[0])
        other["metadata"] = {
            **other["metadata"],
            "name": "of-another",
            "uid": "u",
            "labels": {**other["metadata"]["labels"], "suan/place": "another"},
        }
        cluster.server.put("jobs", other)
        for run in (cluster.shared / "runs").iterdir():
            run.rename(tmp_path / "lost")
        async with backend(cluster.shared, way):
            await waited(lambda: len(jobs(cluster)) == 1, "the job to go")
        assert [job["metadata"]["name"] for job in jobs(cluster)] == ["of-another"]
