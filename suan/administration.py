"""The half of the SDK that administrators and site operators use: `Admin` of the wire.

A base of `suan.client.Client`, so that one connection serves both. Everything here is
audited by the broker under the caller's name.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from scheduler.model import Link, Network, NetworkNode
from suan.network.file import NetworkFile
from suan.reading import read, read_all, write
from suan.transport import Transport
from suan.v1 import admin_service_pb2 as pb
from suan.v1 import dataset_pb2, network_pb2, tenant_pb2
from suan.v1.admin_service_pb2_grpc import AdminStub
from suan.views import (
    AuditEntry,
    Counter,
    Dataset,
    JoinToken,
    Maintenance,
    NetworkChange,
    PendingJoin,
    Site,
    Tenant,
)

PAGE_AUDIT = 1_000


class Administration:
    """Sites, their joining, the network, data, tenants and the audit log."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._admin: Any = AdminStub(transport.channel)

    # --- sites --------------------------------------------------------------

    async def sites(self) -> tuple[Site, ...]:
        """All registered sites, by name."""
        response = await self.transport.call(self._admin.ListSites, pb.ListSitesRequest())
        return read_all(Site, response.sites)

    async def site(self, name: str) -> Site:
        """One site. Raises NotFound."""
        response = await self.transport.call(self._admin.GetSite, pb.GetSiteRequest(name=name))
        return read(Site, response.site)

    async def create_token(self, site: str, ttl_seconds: float = 0.0) -> JoinToken:
        """A new token for one site to join with, once; `ttl_seconds` 0: one hour."""
        request = pb.CreateTokenRequest(site=site, ttl_seconds=ttl_seconds)
        response = await self.transport.call(self._admin.CreateToken, request, repeatable=False)
        return read(JoinToken, response)

    async def pending(self) -> tuple[PendingJoin, ...]:
        """Sites that have asked to join and wait for approval."""
        response = await self.transport.call(self._admin.ListPending, pb.ListPendingRequest())
        return read_all(PendingJoin, response.pending)

    async def approve(self, site: str, fingerprint: str) -> float:
        """Issues a certificate for the key with this fingerprint; answers when it expires."""
        request = pb.ApproveRequest(site=site, fingerprint=fingerprint)
        response = await self.transport.call(self._admin.Approve, request)
        return float(response.certificate_expires_at)

    async def drain(self, site: str, reason: str = "", deadline_seconds: float = 0.0) -> Site:
        """Sends nothing new to a site; what runs there runs on, or until the deadline, if any.

        What the deadline stops may write a checkpoint and is queued again elsewhere.
        """
        request = pb.DrainSiteRequest(name=site, reason=reason, deadline_seconds=deadline_seconds)
        return read(Site, (await self.transport.call(self._admin.DrainSite, request)).site)

    async def resume(self, site: str) -> Site:
        """Ends a drain."""
        request = pb.ResumeSiteRequest(name=site)
        return read(Site, (await self.transport.call(self._admin.ResumeSite, request)).site)

    async def remove(self, site: str, *, orphan: bool = False) -> tuple[str, ...]:
        """Removes a site and revokes its certificate; answers the ids of orphaned jobs.

        Refused while attempts live there, unless `orphan`.
        """
        request = pb.RemoveSiteRequest(name=site, orphan=orphan)
        response = await self.transport.call(self._admin.RemoveSite, request)
        return tuple(response.orphaned_jobs)

    async def confirm_dead(self, site: str, job_id: str, epoch: int) -> str:
        """Vouches that an attempt does not run at a silent site any more; answers the job's id.

        Whoever says so wrongly makes the job run twice. Refused while the site answers.
        """
        request = pb.ConfirmDeadRequest(site=site, job_id=job_id, epoch=epoch)
        return str((await self.transport.call(self._admin.ConfirmDead, request)).job_id)

    # --- the broker itself ----------------------------------------------------

    async def announce_maintenance(self, seconds: float) -> Maintenance:
        """Extends the leases of all that runs, so that the broker may be away for `seconds`."""
        request = pb.AnnounceMaintenanceRequest(seconds=seconds)
        response = await self.transport.call(self._admin.AnnounceMaintenance, request)
        return read(Maintenance, response.maintenance)

    async def maintenance(self) -> Maintenance | None:
        """What was announced, and which sites have made their longer leases durable."""
        response = await self.transport.call(self._admin.GetMaintenance, pb.GetMaintenanceRequest())
        told = response.HasField("maintenance")
        return read(Maintenance, response.maintenance) if told else None

    async def counters(self) -> tuple[Counter, ...]:
        """How often the broker heard something that had no effect."""
        response = await self.transport.call(self._admin.ListCounters, pb.ListCountersRequest())
        return read_all(Counter, response.counters)

    # --- network and data ---------------------------------------------------

    async def network(self) -> NetworkFile:
        """The national network model in force, with the sources of its links."""
        response = await self.transport.call(self._admin.GetNetwork, pb.GetNetworkRequest())
        message = response.network
        network = Network(read_all(NetworkNode, message.nodes), read_all(Link, message.links))
        return NetworkFile(network, link_sources=tuple(link.source for link in message.links))

    async def apply_network(self, network: NetworkFile, *, dry_run: bool = False) -> NetworkChange:
        """Replaces the network model as a whole."""
        sources = network.link_sources or ("",) * len(network.network.links)
        links = [write(network_pb2.Link, link) for link in network.network.links]
        for link, source in zip(links, sources, strict=True):
            link.source = source
        nodes = [write(network_pb2.NetworkNode, node) for node in network.network.nodes]
        request = pb.ApplyNetworkRequest(
            network=network_pb2.Network(nodes=nodes, links=links), dry_run=dry_run
        )
        return read(NetworkChange, await self.transport.call(self._admin.ApplyNetwork, request))

    async def datasets(self) -> tuple[Dataset, ...]:
        """Registered datasets and where their replicas lie."""
        response = await self.transport.call(self._admin.ListDatasets, pb.ListDatasetsRequest())
        return read_all(Dataset, response.datasets)

    async def put_dataset(self, dataset: Dataset) -> Dataset:
        """Registers a dataset, or replaces what is said of it."""
        request = pb.PutDatasetRequest(dataset=write(dataset_pb2.Dataset, dataset))
        response = await self.transport.call(self._admin.PutDataset, request)
        return read(Dataset, response.dataset)

    async def remove_dataset(self, name: str) -> None:
        """Forgets a dataset; its bytes stay where they are. Raises NotFound, PermissionDenied."""
        request = pb.DeleteDatasetRequest(name=name)
        await self.transport.call(self._admin.DeleteDataset, request, repeatable=False)

    # --- tenants and audit --------------------------------------------------

    async def tenants(self) -> tuple[Tenant, ...]:
        response = await self.transport.call(self._admin.ListTenants, pb.ListTenantsRequest())
        return read_all(Tenant, response.tenants)

    async def put_tenant(self, tenant: Tenant) -> Tenant:
        """Registers a tenant, or replaces its limits."""
        request = pb.PutTenantRequest(tenant=write(tenant_pb2.Tenant, tenant))
        return read(Tenant, (await self.transport.call(self._admin.PutTenant, request)).tenant)

    async def audit(self, after_seq: int = 0) -> AsyncGenerator[AuditEntry, None]:
        """The audit log after entry `after_seq`, oldest first, fetched page by page."""
        while True:
            request = pb.ListAuditRequest(after_seq=after_seq, limit=PAGE_AUDIT)
            page = await self.transport.call(self._admin.ListAudit, request)
            for entry in read_all(AuditEntry, page.entries):
                yield entry
                after_seq = entry.seq
            if len(page.entries) < PAGE_AUDIT:
                return
