"""Images and local accounts down the whole road: SDK, broker, agents, real containers and users.

Two sites with the same cards, one of which runs images; its jobs are its tenants' own users.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from campaign import require_no_traceback

from bench.federation import GPU, Federation, SiteSpec, wait_until
from bench.image_files import NO_CHARLIECLOUD, charliecloud_runs, make_image
from bench.local_users import WHY_NOT, can_make_users, crossable_place, local_users
from suan.models import Job, JobSpec, JobState, Variant

pytestmark = [
    pytest.mark.skipif(not charliecloud_runs(), reason=NO_CHARLIECLOUD),
    pytest.mark.skipif(not can_make_users(), reason=WHY_NOT),
]


@dataclass(frozen=True)
class Road:
    federation: Federation
    user: pwd.struct_passwd  # of team-a at jinan

    def ended(self, wish: JobSpec) -> Job:
        with self.federation.client() as client:
            (item,) = client.submit(wish)

            def over() -> Job | None:
                job = client.get(item.id)
                return job if job.state.terminal else None

            ended: Job = wait_until(over, f"{item.id} to end")
            return ended

    def text(self, job: Job) -> str:
        with self.federation.client() as client:
            return b"".join(part.data for part in client.logs(job.id)).decode()


@pytest.fixture(scope="module")
def road() -> Iterator[Road]:
    with crossable_place() as folder, local_users("suan-team-a") as (user,):
        state = folder / "sites" / "jinan" / "state"
        make_image(folder / "images" / "lab%torch+2.4", state)
        make_image(folder / "images" / "other", state)
        containers = {
            "runtime": "charliecloud",
            "image_dir": str(folder / "images"),
            "images_allowed": ["lab/*"],
        }
        accounts = {"team-a": {"user": user.pw_name}}
        federation = Federation(folder, limits={"heartbeat_seconds": 1.0, "hold_seconds": 1.0})
        try:
            federation.start_broker()
            federation.join(
                SiteSpec("harbin", GPU),
                SiteSpec("jinan", GPU, settings={"containers": containers, "accounts": accounts}),
            )
            yield Road(federation, user)
            require_no_traceback(federation)
        finally:
            federation.stop()


def wish(run: str, image: str = "", **fields: object) -> JobSpec:
    variant = Variant("nvidia-h20", run=run, image=image)
    return JobSpec((variant,), name="test", **fields)  # type: ignore[arg-type]


def test_a_job_with_an_image_goes_where_images_run(road: Road) -> None:
    jobs = [road.ended(wish("cat /etc/mark; id -u", "lab/torch:2.4")) for _ in range(3)]
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {attempt.site for job in jobs for attempt in job.attempts} == {"jinan"}
    assert {road.text(job) for job in jobs} == {f"lab%torch+2.4{road.user.pw_uid}\n"}


def test_a_site_that_runs_none_is_told_apart(road: Road) -> None:
    here = wish("true", "lab/torch:2.4")
    with road.federation.client() as client:
        told = client.plan(here)
    barred = {rejection.code: rejection.pools for rejection in told.rejections}
    assert barred["ImagesUnsupported"] == ("harbin/gpu",)


def test_an_image_that_is_not_allowed_or_not_there(road: Road) -> None:
    for image, code in (("other", "ImageNotAllowed"), ("lab/absent", "ImageMissing")):
        job = road.ended(wish("true", image))
        assert job.state is JobState.FAILED
        assert job.failure is not None and job.failure.code == code


def test_only_who_has_an_account_is_invited(road: Road) -> None:
    other = road.federation.identity("wang", "team-b")
    with road.federation.client(other) as client:
        told = client.plan(wish("true"))
    barred = {rejection.code: rejection.pools for rejection in told.rejections}
    assert barred["TenantNotAllowed"] == ("jinan/gpu",)


def test_the_agents_own_stays_closed(road: Road) -> None:
    state: Path = road.federation.folder / "sites" / "jinan" / "state"
    script = f"cat {state}/journal.sqlite {state}/identity/key.pem; ls {state} {state}/runs; true"
    job = road.ended(wish(f"({script}) 2>&1", "lab/torch:2.4"))
    assert job.state is JobState.SUCCEEDED
    assert road.text(job).count("ermission denied") == 4
