"""What each role may do: the one table of methods, and the two questions of whose it is.

Pure. What the table does not list, nobody may call; a servicer that hands out an object asks
`sight_of_job`, `sees_dataset` or `governs_site` about that object.
"""

from collections.abc import Mapping, Set
from enum import Enum
from types import MappingProxyType
from typing import Final

from broker.core.datasets import may_read
from broker.core.rows import Dataset
from suan.identity.principal import Principal, Role

_TENANTS: Final = frozenset({Role.USER, Role.TENANT_ADMIN})
_READERS: Final = frozenset({Role.OPERATOR, Role.ADMIN, Role.AUDITOR})
_PEOPLE: Final = _TENANTS | _READERS
_ADMIN: Final = frozenset({Role.ADMIN})
_SITE: Final = frozenset({Role.SITE})
_ANYBODY: Final = frozenset(Role)
_NOBODY: Final[frozenset[Role]] = frozenset()

# Every method that is served, with the roles that may call it. What is not here, nobody may.
ROLES: Final[Mapping[str, frozenset[Role]]] = MappingProxyType(
    {
        "/suan.v1.Jobs/Submit": _TENANTS,
        "/suan.v1.Jobs/Get": _PEOPLE,
        "/suan.v1.Jobs/List": _PEOPLE,
        "/suan.v1.Jobs/Watch": _PEOPLE,
        "/suan.v1.Jobs/Cancel": _TENANTS | _ADMIN,
        "/suan.v1.Jobs/Logs": _TENANTS,
        "/suan.v1.Jobs/ListFiles": _TENANTS,
        "/suan.v1.Jobs/ReadFile": _TENANTS,
        "/suan.v1.Jobs/Exec": _TENANTS,
        "/suan.v1.Jobs/SendInput": _TENANTS,
        "/suan.v1.Jobs/Explain": _PEOPLE,
        "/suan.v1.Jobs/Plan": _TENANTS,
        "/suan.v1.Jobs/Offers": _PEOPLE,
        "/suan.v1.Jobs/Accelerators": _PEOPLE,
        "/suan.v1.Jobs/PutBundle": _TENANTS,
        "/suan.v1.Agents/Join": _NOBODY,  # on the join port only, see JOIN_METHODS
        "/suan.v1.Agents/Renew": _SITE,
        "/suan.v1.Agents/Session": _SITE,
        "/suan.v1.Agents/GetBundle": _SITE,
        "/suan.v1.Admin/ListSites": _PEOPLE,
        "/suan.v1.Admin/GetSite": _PEOPLE,
        "/suan.v1.Admin/CreateToken": _ADMIN,
        "/suan.v1.Admin/ListPending": _ADMIN,
        "/suan.v1.Admin/Approve": _ADMIN,
        "/suan.v1.Admin/DrainSite": _ADMIN | {Role.OPERATOR},
        "/suan.v1.Admin/ResumeSite": _ADMIN | {Role.OPERATOR},
        "/suan.v1.Admin/RemoveSite": _ADMIN,
        "/suan.v1.Admin/ConfirmDead": _ADMIN | {Role.OPERATOR},
        "/suan.v1.Admin/AnnounceMaintenance": _ADMIN,
        "/suan.v1.Admin/GetMaintenance": _READERS,
        "/suan.v1.Admin/ListCounters": _ADMIN | {Role.AUDITOR},
        "/suan.v1.Admin/ApplyNetwork": _ADMIN,
        "/suan.v1.Admin/GetNetwork": _PEOPLE,
        "/suan.v1.Admin/PutTenant": _ADMIN,
        "/suan.v1.Admin/ListTenants": _ADMIN | {Role.AUDITOR},
        "/suan.v1.Admin/PutDataset": _ADMIN,
        "/suan.v1.Admin/ListDatasets": _PEOPLE,
        "/suan.v1.Admin/DeleteDataset": _TENANTS | _ADMIN,
        "/suan.v1.Admin/ListAudit": _ADMIN | {Role.AUDITOR},
        "/grpc.health.v1.Health/Check": _ANYBODY,
        "/grpc.health.v1.Health/Watch": _ANYBODY,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _ANYBODY,
    }
)
JOIN_METHODS: Final = frozenset({"/suan.v1.Agents/Join"})


class Sight(Enum):
    """How much of an object a principal may see."""

    NONE = "none"
    METADATA = "metadata"  # state, times, cards; never spec, environment or logs
    WHOLE = "whole"


def sight_of_job(principal: Principal, tenant: str, sites: Set[str]) -> Sight:
    """What `principal` sees of a job of `tenant` that was granted to `sites` so far."""
    match principal.role:
        case Role.USER | Role.TENANT_ADMIN:
            return Sight.WHOLE if principal.tenant == tenant else Sight.NONE
        case Role.ADMIN | Role.AUDITOR:
            return Sight.METADATA
        case Role.OPERATOR:
            return Sight.METADATA if principal.site in sites else Sight.NONE
    return Sight.NONE


def sees_dataset(principal: Principal, dataset: Dataset) -> bool:
    """Whether `principal` is told of a dataset: its own tenant's, and the federation's."""
    everything = principal.role in (Role.ADMIN, Role.AUDITOR)
    return everything or may_read(principal.tenant, dataset.name)


def governs_site(principal: Principal, site: str) -> bool:
    """Whether `principal` may drain and resume `site`, and vouch that an attempt there is dead."""
    own = principal.role is Role.OPERATOR and principal.site == site
    return own or principal.role is Role.ADMIN
