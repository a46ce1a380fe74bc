"""What an administrator may say of a tenant: weights and quotas that mean something."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from broker.core.rows import Tenant
from scheduler.model import Quota
from suan.errors import InvalidRequest
from suan.jobspec.limits import ACCOUNT, Fault

KINDS = ("", "npu", "dcu", "gpu")
UNITS = ("cards", "compute")
WEIGHT_MAX = 1e6
CARDS_MAX = 1e9
PROJECTS_MAX = 1_000  # of one tenant, with a weight or a quota of their own
QUOTAS_MAX = 16  # of one tenant or project


def verify_tenant(row: Tenant) -> None:
    """Raises InvalidRequest (TenantInvalid) with everything that is wrong."""
    problems = [*_problems("the tenant", row.weight, row.quotas)]
    names = [project.name for project in row.projects]
    if len(names) > PROJECTS_MAX:
        problems.append(f"{len(names)} projects; at most {PROJECTS_MAX}")
    if len(set(names)) < len(names):
        problems.append("a project stands twice")
    for project in row.projects[:PROJECTS_MAX]:
        try:
            ACCOUNT.verify(project.name)
        except Fault as fault:
            problems.append(f"project {project.name[:80]!r}: {fault.message}")
        problems += _problems(f"project {project.name[:80]}", project.weight, project.quotas)
    if problems:
        raise InvalidRequest(
            "; ".join(problems[:10]), "see `suan admin tenant set --help`", "TenantInvalid"
        )


def _problems(whose: str, weight: float, quotas: tuple[Quota, ...]) -> Iterator[str]:
    if not (isfinite(weight) and 0 < weight <= WEIGHT_MAX):
        yield f"{whose}: the weight {weight:g} is not above 0 and up to {WEIGHT_MAX:g}"
    if len(quotas) > QUOTAS_MAX:
        yield f"{whose}: {len(quotas)} quotas; at most {QUOTAS_MAX}"
    if len({(quota.kind, quota.unit) for quota in quotas}) < len(quotas):
        yield f"{whose}: two quotas for one kind in one unit"
    for quota in quotas[:QUOTAS_MAX]:
        if quota.kind not in KINDS:
            yield f"{whose}: {quota.kind[:20]!r} is no kind of accelerator; npu, dcu, gpu or none"
        if quota.unit not in UNITS:
            yield f"{whose}: the unit {quota.unit[:20]!r} is neither cards nor compute"
        for figure in (quota.guaranteed, quota.borrow_max or 0.0):
            if not 0 <= figure <= CARDS_MAX:
                yield f"{whose}: {figure:g} cards; 0 to {CARDS_MAX:g}"
