"""What the client is made of, each part alone: ids, retry, statuses, views, the job's context."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

import suan
from scheduler import model
from scheduler.model import Quota
from suan import errors, views
from suan.errors import NotFound, SuanError, Unavailable
from suan.ids import new_id, short_id
from suan.job_context import context
from suan.reading import read, write
from suan.retry import Backoff, call_until
from suan.status import HINT_CHARACTERS_MAX, MESSAGE_CHARACTERS_MAX, decode, encode, sent_by_broker
from suan.v1 import (
    accelerator_pb2,
    admin_service_pb2,
    dataset_pb2,
    jobs_service_pb2,
    site_pb2,
    tenant_pb2,
)

# --- public names -----------------------------------------------------------


def test_the_public_names_are_these() -> None:
    assert sorted(suan.__all__) == [
        "AsyncClient", "Client", "Job", "JobSpec", "JobState", "SuanError", "context", "load_job",
    ]  # fmt: skip
    assert all(getattr(suan, name) for name in suan.__all__)
    with pytest.raises(AttributeError):
        suan.nothing_of_the_kind  # noqa: B018


def test_a_job_can_use_the_bare_standard_library() -> None:
    script = (
        "import sys, suan; suan.context(); "
        "assert not {'yaml', 'grpc', 'click', 'google', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


# --- ids --------------------------------------------------------------------


def test_ids_are_uuids_of_version_seven_in_order_of_time() -> None:
    ids = [new_id() for _ in range(1000)]
    parsed = [uuid.UUID(each) for each in ids]
    assert all(each.version == 7 and each.variant == uuid.RFC_4122 for each in parsed)
    assert len(set(ids)) == 1000
    moments = [each.int >> 80 for each in parsed]
    assert moments == sorted(moments)
    assert short_id("01a2035f-24f9-7a58-b2d7-4ba38399dad2") == "8399dad2"


# --- retry ------------------------------------------------------------------


class Time:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def backoff(self, chance: float) -> Backoff:
        return Backoff(0.1, 1.0, lambda: chance, lambda: self.now, self.sleep)


def tries(time: Time, chance: float, deadline_seconds: float, errors: list[Exception]) -> Any:
    async def work(seconds_left: float) -> str:
        time.now += 0.01
        assert seconds_left > 0
        if errors:
            raise errors.pop(0)
        return "done"

    return asyncio.run(
        call_until(
            work,
            lambda error: isinstance(error, Unavailable),
            deadline_seconds=deadline_seconds,
            backoff=time.backoff(chance),
        )
    )


def test_pauses_double_up_to_a_limit_and_have_full_jitter() -> None:
    time = Time()
    assert tries(time, 1.0, 60.0, [Unavailable("")] * 6) == "done"
    assert time.slept == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    calm = Time()
    tries(calm, 0.0, 60.0, [Unavailable("")] * 3)
    assert calm.slept == [0.0, 0.0, 0.0]


def test_what_cannot_be_tried_again_is_not() -> None:
    left: list[Exception] = [Unavailable(""), NotFound("gone"), Unavailable("")]
    with pytest.raises(NotFound):
        tries(Time(), 0.5, 60.0, left)
    assert len(left) == 1


def test_the_deadline_ends_it_without_a_last_sleep() -> None:
    time = Time()
    with pytest.raises(Unavailable):
        tries(time, 1.0, 2.0, [Unavailable("")] * 100)
    assert time.now < 102.0


# --- statuses ---------------------------------------------------------------


class Ended(grpc.RpcError):
    """A failed call as gRPC hands it over."""

    def __init__(self, code: Any, details: str, metadata: Any) -> None:
        self._parts = (code, details, metadata)

    def code(self) -> Any:
        return self._parts[0]

    def details(self) -> Any:
        return self._parts[1]

    def trailing_metadata(self) -> Any:
        return self._parts[2]


KINDS = [getattr(errors, name) for name in errors.GRPC_STATUS]


@given(
    st.sampled_from(KINDS),
    st.text(max_size=200),
    st.text(max_size=100),
    st.sampled_from(["", "JobNotFound", "QueueFull"]),
)
def test_an_error_survives_the_wire(kind: type[SuanError], text: str, hint: str, code: str) -> None:
    sent = kind(text, hint, code)
    status, details, metadata = encode(sent)
    assert all(value.isascii() and value.isprintable() for _, value in metadata)
    met = decode(Ended(status, details, metadata))
    assert (met.message, met.hint, met.code) == (sent.message, sent.hint, sent.code)
    if not code or errors.ERROR_BY_STATUS[sent.grpc_status] is kind:  # else the code decides
        assert met.exit_code == sent.exit_code


def test_long_words_are_cut_to_what_metadata_may_hold() -> None:
    status, details, metadata = encode(NotFound("字" * 9000, "说" * 9000))
    assert len(details) <= MESSAGE_CHARACTERS_MAX + len("NotFound: ")
    assert sum(len(key) + len(value) for key, value in metadata) < 6000
    assert len(decode(Ended(status, details, metadata)).hint) == HINT_CHARACTERS_MAX


def test_a_status_of_the_transport_is_told_from_a_brokers() -> None:
    status, details, metadata = encode(Unavailable("not the leader"))
    assert sent_by_broker(Ended(status, details, metadata))
    broken = Ended(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses", ())
    assert not sent_by_broker(broken)
    assert isinstance(decode(broken), Unavailable)


# --- views ------------------------------------------------------------------

MIRRORS = [
    (views.Explanation, jobs_service_pb2.Explanation),
    (model.Rejection, jobs_service_pb2.Rejection),
    (model.Candidate, jobs_service_pb2.Candidate),
    (model.Score, jobs_service_pb2.Score),
    (model.Suggestion, jobs_service_pb2.Suggestion),
    (views.Offer, jobs_service_pb2.Offer),
    (views.Accelerator, accelerator_pb2.Accelerator),
    (views.Site, site_pb2.Site),
    (views.SiteFacts, site_pb2.SiteFacts),
    (views.Pool, site_pb2.Pool),
    (views.Release, site_pb2.Release),
    (views.Supernode, site_pb2.Supernode),
    (views.JoinToken, admin_service_pb2.CreateTokenResponse),
    (views.PendingJoin, admin_service_pb2.PendingJoin),
    (views.AuditEntry, admin_service_pb2.AuditEntry),
    (views.NetworkChange, admin_service_pb2.ApplyNetworkResponse),
    (views.Tenant, tenant_pb2.Tenant),
    (views.Project, tenant_pb2.Project),
    (Quota, tenant_pb2.Quota),
    (views.Dataset, dataset_pb2.Dataset),
    (views.Replica, dataset_pb2.Replica),
]


@pytest.mark.parametrize(("kind", "message"), MIRRORS)
def test_a_view_has_the_fields_of_its_message(kind: Any, message: Any) -> None:
    assert {field.name for field in fields(kind)} == set(message.DESCRIPTOR.fields_by_name)


def test_maps_and_nested_messages_are_read() -> None:
    pool = site_pb2.Pool(name="npu", linearity={1024: 0.5, 8: 1.0})
    pool.supernodes.add(name="s0", nodes_by_free=[0, 2, 3])
    pool.releases.add(cards=8, ends_at=5.0)
    site = site_pb2.Site(name="a", pools=[pool], facts=site_pb2.SiteFacts(tenants_allowed=["x"]))
    found = read(views.Site, site)
    assert found.pools[0].linearity == ((8, 1.0), (1024, 0.5))
    assert found.pools[0].cards_free == 8
    assert found.pools[0].releases == (views.Release(8, 5.0),)
    assert found.facts.tenants_allowed == ("x",)


def test_writing_and_reading_are_each_others_inverse() -> None:
    quotas = Quota("npu", 8.0, None), Quota("", 8.0, 0.0, "compute")  # "no limit" is not 0
    projects = (views.Project("p", 1.0, quotas[:1]),)
    tenant = views.Tenant("team-a", 5, 2.0, suspended=True, quotas=quotas, projects=projects)
    assert read(views.Tenant, write(tenant_pb2.Tenant, tenant)) == tenant
    dataset = views.Dataset("d", 7, (views.Replica("a", "/x"), views.Replica("b")), ("r", "s"))
    assert read(views.Dataset, write(dataset_pb2.Dataset, dataset)) == dataset


# --- in a job ---------------------------------------------------------------


def test_outside_a_job_the_context_is_of_one_process_here() -> None:
    here = context({})
    assert not here.in_job and here.is_main
    assert (here.rank, here.world_size, here.num_nodes) == (0, 1, 1)
    assert here.output_path == Path.cwd() / "output"


def test_in_a_job_the_context_is_what_the_agent_says() -> None:
    inside = context(
        {
            "SUAN_JOB_ID": "j",
            "SUAN_NUM_NODES": "2",
            "SUAN_NODE_RANK": "1",
            "SUAN_NODE_IPS": "10.0.0.1\n10.0.0.2",
            "SUAN_DATA_DIR": "/data",
            "SUAN_DEADLINE": "1800000000",
            "RANK": "11",
            "WORLD_SIZE": "16",
            "LOCAL_RANK": "3",
        }
    )
    assert inside.in_job and not inside.is_main
    assert (inside.rank, inside.local_rank, inside.world_size) == (11, 3, 16)
    assert inside.node_addresses == ("10.0.0.1", "10.0.0.2")
    assert (inside.dataset_path, inside.deadline) == (Path("/data"), 1.8e9)


def test_without_a_process_per_card_ranks_count_nodes() -> None:
    inside = context({"SUAN_NUM_NODES": "4", "SUAN_NODE_RANK": "3"})
    assert (inside.rank, inside.world_size) == (3, 4)


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="SUAN_NUM_NODES is 'four'"):
        context({"SUAN_NUM_NODES": "four"})
