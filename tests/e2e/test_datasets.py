"""A job's output is another job's input, by name: written at one site, read at another.

Real processes; two sites that see one store. Names are their tenant's own, and what was damaged
in the store is told at the job that reads it.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from campaign import require_no_traceback
from commands import Desk

from bench.federation import ASCEND, GPU, Federation, SiteSpec
from scheduler.model import Link, Network, NetworkNode
from suan.errors import SuanError
from suan.models import Input, Job, JobSpec, JobState, Output, Variant, Where
from suan.network.file import NetworkFile
from suan.sync import Client
from suan.views import Dataset, Replica

LINE = Network(
    (NetworkNode("shenzhen"), NetworkNode("guiyang")), (Link("shenzhen", "guiyang", 10.0, 5.0),)
)
NAME = "ds://team-a/model@2"
WRITE = """
import suan
place = suan.context().output_path / "model"
(place / "deep").mkdir(parents=True)
(place / "deep" / "weights").write_bytes(b"w" * 3_000_000)
(place / "模型.json").write_text("{}")
(place / "latest").symlink_to("deep/weights")
"""
READ = """
import os, pathlib
place = pathlib.Path(os.environ["SUAN_DATA_DIR"]) / "model"
assert (place / "latest").read_bytes() == b"w" * 3_000_000
print(sorted(str(each.relative_to(place)) for each in place.rglob("*")))
print((place / "模型.json").read_text(), oct((place / "deep" / "weights").stat().st_mode & 0o777))
"""


@dataclass(frozen=True)
class Road:
    federation: Federation

    def spec(self, script: str, site: str, **settings: object) -> JobSpec:
        program = self.federation.folder / f"{abs(hash(script))}.py"
        program.write_text(script)
        model = "ascend-910b" if site == "shenzhen" else "nvidia-h20"
        variant = Variant(model, run=f"exec {sys.executable} {program}")
        return JobSpec((variant,), name="test", where=Where((site,)), **settings)  # type: ignore[arg-type]

    def ended(self, client: Client, wish: JobSpec) -> Job:
        (one,) = client.submit(wish)
        assert one.accepted, one
        return client.wait([one.id])[0]

    def write(self, client: Client, letter: str = "w") -> Job:
        script = WRITE.replace('b"w"', f'b"{letter}"')
        wish = self.spec(script, "shenzhen", outputs=(Output("model", NAME),))
        job = self.ended(client, wish)
        assert job.state is JobState.SUCCEEDED, job
        return job


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    with tempfile.TemporaryDirectory(prefix="suan-e2e-") as name:
        limits = {"heartbeat_seconds": 0.5, "hold_seconds": 1.0}
        federation = Federation(Path(name), limits=limits)
        store = federation.folder / "store"
        store.mkdir()
        offered = {"store": str(store)}
        try:
            federation.start_broker()
            with federation.client(federation.admin) as admin:
                admin.apply_network(NetworkFile(LINE))
            federation.join(
                SiteSpec("shenzhen", ASCEND, settings=offered),
                SiteSpec("guiyang", GPU, settings=offered),
                SiteSpec("harbin", GPU),
            )
            yield Road(federation)
            require_no_traceback(federation)
        finally:
            federation.stop()


def test_what_one_job_writes_another_reads_elsewhere(road: Road) -> None:
    with road.federation.client() as client:
        written = road.write(client)
        (output,) = written.outputs
        assert (output.dataset, output.files) == ("team-a/model@2", 2)
        reader = road.spec(READ, "guiyang", inputs=(Input("/model", NAME),))
        read = road.ended(client, reader)
        assert read.state is JobState.SUCCEEDED, read
        text = b"".join(part.data for part in client.logs(read.id)).decode()
        assert text.splitlines() == [
            "['deep', 'deep/weights', 'latest', '模型.json']",
            "{} 0o444",
        ]
        (row,) = [each for each in client.datasets() if each.name == "team-a/model@2"]
        assert row.size_bytes == 3_000_002 and row.replicas[0].site == "shenzhen"
        again = road.write(client)
        (row,) = [each for each in client.datasets() if each.name == "team-a/model@2"]
        assert again.id in row.replicas[0].path


def test_another_organisation_neither_reads_nor_writes_sees_nor_removes_it(road: Road) -> None:
    other = road.federation.identity("wang", "team-b")
    with road.federation.client() as client:
        road.write(client)
    with road.federation.client(other) as client:
        for wish in (
            road.spec(READ, "guiyang", inputs=(Input("/model", NAME),)),
            road.spec(WRITE, "shenzhen", outputs=(Output("model", NAME),)),
        ):
            for ask in (client.submit, client.plan):
                with pytest.raises(SuanError) as refused:
                    ask(wish)
                assert refused.value.code == "NotYourDataset" and refused.value.hint
        assert client.datasets() == ()
        with pytest.raises(SuanError) as removed:
            client.remove_dataset("team-a/model@2")
        assert removed.value.code == "NotYourDataset"


def test_a_site_without_a_store_is_passed_over(road: Road) -> None:
    wish = road.spec(WRITE, "harbin", outputs=(Output("model", NAME),))
    with road.federation.client() as client:
        told = client.plan(wish)
    barred = {rejection.code: rejection.pools for rejection in told.rejections}
    assert barred["StoreMissing"] == ("harbin/gpu",)


@pytest.mark.parametrize("part", ["manifest.json", "files/deep/weights"])
def test_damage_in_the_store_is_told_at_the_job(road: Road, part: str) -> None:
    with road.federation.client() as client:
        (output,) = road.write(client, letter=part[0]).outputs  # that no cache has
        place = Path(unquote(urlsplit(output.url).path)).parent / part
        place.chmod(0o600)
        place.write_bytes(b"v" * place.stat().st_size)
        job = road.ended(client, road.spec(READ, "guiyang", inputs=(Input("/model", NAME),)))
    assert job.state is JobState.FAILED and job.failure is not None
    assert job.failure.code == "DataCorrupt", job.failure


def test_administrators_write_the_federation_s_names_and_no_others(road: Road) -> None:
    here = (Replica("shenzhen", "/data/wudao"),)
    with road.federation.client(road.federation.admin) as admin:
        admin.put_dataset(Dataset("wudao@v3", 1, here))
        for name in ("team-a/wudao", "wudao@", "wudao@v3@v4"):
            with pytest.raises(SuanError) as refused:
                admin.put_dataset(Dataset(name, 1, here))
            assert refused.value.code == "NameInvalid"
        with road.federation.client() as client:
            assert "wudao@v3" in {each.name for each in client.datasets()}
            with pytest.raises(SuanError) as foreign:
                client.remove_dataset("wudao@v3")
            assert foreign.value.code == "NotYourDataset"
        admin.remove_dataset("wudao@v3")


def test_it_is_listed_and_removed_at_the_command_line(road: Road) -> None:
    federation = road.federation
    desk = Desk(
        federation.folder,
        {"SUAN_ADDRESS": federation.address, "SUAN_IDENTITY": str(federation.user)},
    )
    with federation.client() as client:
        road.write(client)
    assert "team-a/model@2" in desk.suan("dataset", "list").out
    assert desk.suan("dataset", "remove", "team-a/model@2").status == 0
    missing = desk.suan("dataset", "remove", "team-a/model@2")
    assert missing.status == 3 and "suan dataset list" in missing.err
    with federation.client(federation.admin) as admin:
        actions = [each.action for each in admin.audit()]
    assert actions.count("dataset.delete") >= 1
