"""Tenants with quotas: from the wire to rows to bytes and back, and what is refused."""

from __future__ import annotations

import math

import pytest

from broker.core.rows import Attempt, Job, Project, Row, Tenant, Usage, Yielding
from broker.services.sites_wire import tenant_from_wire, tenant_to_wire
from broker.services.specs import demand_of
from broker.services.tenancy import verify_tenant
from broker.store.codec import decode, encode
from scheduler.model import Quota
from suan.errors import InvalidRequest
from suan.models import JobSpec

QUOTAS = Quota("npu", 64.0, 32.0), Quota("", 10.0, None, "compute"), Quota("dcu", 8.0, 0.0)
TENANT = Tenant("lab", 5, 2.0, True, QUOTAS, (Project("nlp/big", 3.0, QUOTAS[:1]),))


def no_spec(_sha256: str, _data: bytes) -> Row:
    raise AssertionError("no specification here")


def test_a_tenant_is_the_same_on_the_wire_and_in_the_store() -> None:
    verify_tenant(TENANT)
    assert tenant_from_wire(tenant_to_wire(TENANT)) == TENANT
    assert decode(TENANT.key, encode(TENANT), no_spec) == TENANT  # type: ignore[arg-type]


def test_usage_is_the_same_in_the_store() -> None:
    usage = Usage("lab", "nlp/big", 1.5, (("ascend-910b", 7.25), ("hygon-bw1000", 1.0)))
    assert usage.key == "usage/lab/nlp/big"
    assert decode(usage.key, encode(usage), no_spec) == usage  # type: ignore[arg-type]


def test_an_old_tenant_row_has_no_quotas() -> None:
    old = b'{"name":"lab","queued_jobs_max":0,"weight":1.0,"suspended":false}'
    assert decode("tenant/lab", old, no_spec) == Tenant("lab")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (Tenant("lab", weight=math.nan), "weight"),
        (Tenant("lab", weight=-1.0), "weight"),
        (Tenant("lab", quotas=(Quota("tpu", 1.0),)), "tpu"),
        (Tenant("lab", quotas=(Quota("npu", math.inf),)), "inf cards"),
        (Tenant("lab", quotas=(Quota("npu", 1.0, -1.0),)), "-1 cards"),
        (Tenant("lab", quotas=(Quota("npu", 1.0, unit="racks"),)), "racks"),
        (Tenant("lab", quotas=(Quota("npu", 1.0), Quota("npu", 2.0))), "two quotas"),
        (Tenant("lab", quotas=tuple(Quota() for _ in range(17))), "at most 16"),
        (Tenant("lab", projects=(Project("p"), Project("p"))), "twice"),
        (Tenant("lab", projects=(Project("no name"),)), "no name"),
        (Tenant("lab", projects=(Project("p", weight=0.0),)), "project p"),
        (Tenant("lab", projects=tuple(Project(f"p{n}") for n in range(1_001))), "1001 projects"),
    ],
)
def test_nonsense_is_refused_with_its_reason(wrong: Tenant, word: str) -> None:
    with pytest.raises(InvalidRequest, match=word) as refused:
        verify_tenant(wrong)
    assert refused.value.code == "TenantInvalid"


def test_what_a_job_says_of_deadline_and_preemption_reaches_the_scheduler() -> None:
    told = demand_of(JobSpec((), deadline_at=5.0, preemptible=False))
    assert (told.deadline_at, told.preemptible) == (5.0, False)
    assert demand_of(JobSpec(())).preemptible


def test_an_attempt_keeps_for_whom_it_made_room() -> None:
    yields = Yielding(9.0, "wish", "lab", "priority", 60.0)
    attempt = Attempt(1, "east", "east/main", "m", 0, (), 1.0, yielding=yields)
    job = Job("a", "lab", "", "li", "", "sha", 0.0, attempts=(attempt,))
    assert decode(job.key, encode(job), no_spec) == job  # type: ignore[arg-type]
