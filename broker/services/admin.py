"""`Admin`: what administrators and site operators use."""

from __future__ import annotations

import re
import time
from math import inf
from typing import Any

from broker import pki
from broker.core.data_messages import DeleteDataset
from broker.core.messages import Approve, CreateToken, Done, PutRow
from broker.core.rows import Dataset, JoinToken
from broker.leader import Port
from broker.queries import GetCarried, GetPending, ListAudit, ListSites, SiteView, Table
from broker.services import sites_wire
from broker.services.answers import Context, granted, unary
from broker.services.auth import principal_of
from broker.services.roles import sees_dataset
from broker.services.tenancy import verify_tenant
from broker.services.upkeep import Upkeep
from suan.errors import InvalidRequest, NotFound
from suan.identity.authority import Authority
from suan.identity.certificate import read_certificate
from suan.v1 import admin_service_pb2

AUDIT_PAGE_MAX = 1_000
DATASET_CHARACTERS_MAX = 200  # of a name: tenant, name and version
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


class Admin(Upkeep):
    """Bound to a leader's port; signs approved requests with the federation's authority."""

    def __init__(self, port: Port, authority: Authority, join_address: str) -> None:
        super().__init__(port)
        self._authority = authority
        self._join_address = join_address

    # --- sites ------------------------------------------------------------

    @unary
    async def ListSites(self, request: Any, context: Context) -> Any:  # noqa: N802
        views: tuple[SiteView, ...] = await self._port.read(ListSites())
        return admin_service_pb2.ListSitesResponse(
            sites=[sites_wire.site_to_wire(view) for view in views]
        )

    @unary
    async def GetSite(self, request: Any, context: Context) -> Any:  # noqa: N802
        return admin_service_pb2.GetSiteResponse(site=await self._site(request.name))

    @unary
    async def CreateToken(self, request: Any, context: Context) -> Any:  # noqa: N802
        site = _name(request.site, "site")
        text, token = pki.mint_token(
            site, time.time(), request.ttl_seconds or pki.TOKEN_LIFETIME_SECONDS
        )
        row = JoinToken(token.id, token.secret_sha256, site, token.expires_at, _actor(context))
        granted(await self._port.post(CreateToken(row, _actor(context))), Done)
        return admin_service_pb2.CreateTokenResponse(
            token=text,
            expires_at=token.expires_at,
            ca_pem=self._authority.certificate_pem,
            join_address=self._join_address,
        )

    @unary
    async def ListPending(self, request: Any, context: Context) -> Any:  # noqa: N802
        rows = await self._port.read(Table("pending"))
        return admin_service_pb2.ListPendingResponse(
            pending=[
                admin_service_pb2.PendingJoin(
                    site=row.site, fingerprint=row.fingerprint, requested_at=row.requested_at
                )
                for row in rows
            ]
        )

    @unary
    async def Approve(self, request: Any, context: Context) -> Any:  # noqa: N802
        row = await self._port.read(GetPending(request.site))
        if row is None:
            raise NotFound(
                f"site {request.site[:63]!r} has asked for nothing",
                "run `suan-agent join` at the site first",
                "NothingPending",
            )
        approved = pki.approve(row, request.fingerprint, self._authority, time.time())
        certificate = approved.certificate_pem
        event = Approve(row.site, row.fingerprint, certificate, _actor(context))
        granted(await self._port.post(event), Done)
        return admin_service_pb2.ApproveResponse(
            certificate_expires_at=read_certificate(certificate).not_after
        )

    # --- network, tenants, data -------------------------------------------

    @unary
    async def ApplyNetwork(self, request: Any, context: Context) -> Any:  # noqa: N802
        row = sites_wire.network_from_wire(request.network)
        names = {node.name for node in row.nodes}
        unknown = sorted({end for link in row.links for end in (link.a, link.b)} - names)
        if unknown:
            raise InvalidRequest(f"links name unknown nodes: {', '.join(unknown[:10])}")
        if not all(
            0 < link.bandwidth_gbps < inf and 0 <= link.latency_ms < inf for link in row.links
        ):
            raise InvalidRequest("a link needs a bandwidth above 0 and a latency of at least 0")
        changed = row != await self._port.read(Table("network"))
        if changed and not request.dry_run:
            granted(await self._port.post(PutRow(row, _actor(context))), Done)
        return admin_service_pb2.ApplyNetworkResponse(
            nodes=len(row.nodes), links=len(row.links), changed=changed
        )

    @unary
    async def GetNetwork(self, request: Any, context: Context) -> Any:  # noqa: N802
        row = await self._port.read(Table("network"))
        carried = await self._port.read(GetCarried())
        if len(carried) != len(row.links):  # nothing is, or the network changed in between
            carried = ()
        network = sites_wire.network_to_wire(row, carried)
        return admin_service_pb2.GetNetworkResponse(network=network)

    @unary
    async def PutTenant(self, request: Any, context: Context) -> Any:  # noqa: N802
        _name(request.tenant.name, "tenant")
        row = sites_wire.tenant_from_wire(request.tenant)
        verify_tenant(row)
        granted(await self._port.post(PutRow(row, _actor(context))), Done)
        return admin_service_pb2.PutTenantResponse(tenant=sites_wire.tenant_to_wire(row))

    @unary
    async def ListTenants(self, request: Any, context: Context) -> Any:  # noqa: N802
        rows = await self._port.read(Table("tenants"))
        return admin_service_pb2.ListTenantsResponse(
            tenants=[sites_wire.tenant_to_wire(row) for row in rows]
        )

    @unary
    async def PutDataset(self, request: Any, context: Context) -> Any:  # noqa: N802
        name, at, version = request.dataset.name.partition("@")
        _name(name, "dataset")
        if at:
            _name(version, "version of a dataset")
        row = sites_wire.dataset_from_wire(request.dataset)
        if not row.replicas:
            raise InvalidRequest("a dataset needs a site that holds it", "", "NoReplica")
        granted(await self._port.post(PutRow(row, _actor(context))), Done)
        return admin_service_pb2.PutDatasetResponse(dataset=sites_wire.dataset_to_wire(row))

    @unary
    async def ListDatasets(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = principal_of(context)
        rows: tuple[Dataset, ...] = await self._port.read(Table("datasets"))
        return admin_service_pb2.ListDatasetsResponse(
            datasets=[sites_wire.dataset_to_wire(row) for row in rows if sees_dataset(caller, row)]
        )

    @unary
    async def DeleteDataset(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller, name = principal_of(context), request.name[:DATASET_CHARACTERS_MAX]
        granted(await self._port.post(DeleteDataset(name, caller.tenant, caller.uri)), Done)
        return admin_service_pb2.DeleteDatasetResponse()

    @unary
    async def ListAudit(self, request: Any, context: Context) -> Any:  # noqa: N802
        query = ListAudit(request.after_seq, min(request.limit or 100, AUDIT_PAGE_MAX))
        rows = await self._port.read(query)
        return admin_service_pb2.ListAuditResponse(
            entries=[sites_wire.audit_to_wire(row) for row in rows]
        )


def _actor(context: Context) -> str:
    return principal_of(context).uri


def _name(text: str, what: str) -> str:
    if not _NAME.fullmatch(text):
        raise InvalidRequest(
            f"{text[:80]!r} cannot name a {what}",
            "1 to 63 characters of a-z, 0-9, '.', '_' and '-'",
            "NameInvalid",
        )
    return text
