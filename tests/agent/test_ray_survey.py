# ruff: noqa: ASYNC110
"""What a real Ray offers, and what preflight tells an operator of one in order and in trouble."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from processes import until

from agent.checks.check import Check, Status
from agent.config.file import AgentConfig, load_config
from agent.ray.capacity import Names
from agent.ray.client import STATUS_PATH, SUMMARY_PATH, RayClient
from agent.ray.command import RayPlace
from agent.ray.poll import RayPoll
from agent.ray.preflight import ray_checks
from agent.ray.read import parse_status, parse_summary
from agent.ray.survey import RaySurvey
from bench.ray_site import RaySite
from suan.catalogue import load

LOCAL = "local-job"  # a submission of the site's own people


def nobody(pool: str, node: str) -> frozenset[int]:
    return frozenset()


async def test_what_is_offered(ray_site: RaySite) -> None:
    client = RayClient(ray_site.address)
    names = Names({"DCU": "hygon-k100"}, load())
    survey = RaySurvey("guiyang", RayPoll(client, 0.0), names, supernode="rack")

    async def usable() -> dict[str, int]:
        await survey.look(nobody)
        return {pool.name: pool.cards_usable for pool in survey.inventory().pools()}

    async def offered(expected: dict[str, int]) -> None:
        async with asyncio.timeout(60.0):  # Ray measures every five seconds
            while await usable() != expected:
                await asyncio.sleep(0.2)

    await offered({"dcu": 4, "npu": 16})
    pools = {pool.name: pool for pool in survey.inventory().pools()}
    assert [each.name for each in pools["npu"].supernodes] == ["r1"]
    assert pools["dcu"].accelerator == "hygon-k100"
    place = survey.settings().places["npu1"]
    assert place == RayPlace(place.node_id, "NPU", 2)
    assert survey.settings().version == (2, 60)
    body = {"submission_id": LOCAL, "entrypoint": "sleep 1000", "entrypoint_resources": {"DCU": 3}}
    ray_site.call("POST", "/api/jobs/", body)
    try:
        await offered({"dcu": 1, "npu": 16})
        view = await client.view()
        # The two documents that tell what is taken agree, which they do once both are measured.
        status = parse_status(await client.call("GET", STATUS_PATH), view.nodes)
        summary = parse_summary(await client.call("GET", SUMMARY_PATH), view.nodes)
        dcu = survey.settings().places["dcu1"].node_id
        assert status is not None
        assert status.taken[dcu]["DCU"] == summary.taken[dcu]["DCU"] == 3.0
    finally:
        ray_site.call("POST", f"/api/jobs/{LOCAL}/stop")
        until(lambda: ray_site.jobs()[LOCAL] == "STOPPED", "the local job to end")
        ray_site.call("DELETE", f"/api/jobs/{LOCAL}")
    await offered({"dcu": 4, "npu": 16})


def configured(
    folder: Path, address: str, more: str = "", python: str = sys.executable
) -> AgentConfig:
    path = folder / "agent.yaml"
    path.write_text(
        "site: s\nbroker: 127.0.0.1:1\nstate_dir: state\nbackend: ray\nray:\n"
        f"  shared_dir: shared\n  address: {address}\n  python: {python}\n{more}"
    )
    return load_config(path, load())


async def checked(config: AgentConfig) -> dict[str, Check]:
    assert config.ray is not None
    return {check.name: check for check in await ray_checks(config, config.ray)}


async def test_a_site_in_order(ray_site: RaySite, tmp_path: Path) -> None:
    mapped = "  accelerators: {DCU: hygon-k100}\n"
    found = await checked(configured(tmp_path, ray_site.address, mapped))
    assert list(found) == [
        "scheduler",
        "accelerators dcu",
        "accelerators npu",
        "names",
        "shared",
        "job",
    ]
    # A machine of the tests may have no way out, which is told; all else is in order.
    assert {name for name, check in found.items() if check.status is not Status.OK} <= {"job"}
    assert "2 nodes × 8 ascend-910b (resource NPU), 16 cards" in found["accelerators npu"].message
    assert "NPU → ascend-910b" in found["names"].message
    assert "under the fence" in found["job"].message
    assert not any("preflight" in name for name in ray_site.jobs())
    left = await asyncio.to_thread(os.listdir, tmp_path)
    assert left == ["agent.yaml"]  # nothing stays


async def test_what_an_operator_has_to_mend(ray_site: RaySite, tmp_path: Path) -> None:
    more = "  pools: [NPU, HCU]\n"
    found = await checked(configured(tmp_path, ray_site.address, more, "/no/such/python"))
    assert (found["names"].status, found["names"].hint) == (
        Status.FAIL,
        "correct ray.pools or ray.accelerators",
    )
    assert "HCU" in found["names"].message
    assert found["job"].status is Status.FAIL
    assert "ray.python" in found["job"].hint


async def test_a_ray_that_does_not_answer(tmp_path: Path) -> None:
    config = configured(tmp_path, "http://127.0.0.1:1")
    assert config.ray is not None
    (only,) = await ray_checks(config, config.ray)
    assert (only.name, only.status) == ("scheduler", Status.FAIL)
    assert "ray.address" in only.hint
