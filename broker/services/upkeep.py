"""The half of `Admin` that keeps a running federation: drains, removals, maintenance, counters."""

from __future__ import annotations

from typing import Any

from broker.core.messages import (
    AnnounceMaintenance,
    ConfirmDead,
    Done,
    Removed,
    RemoveSite,
    SetDrain,
)
from broker.leader import Port
from broker.queries import Counters, GetJob, GetMaintenance, JobFound, ListSites, SiteView
from broker.services import sites_wire
from broker.services.answers import Context, granted, unary
from broker.services.auth import principal_of
from broker.services.roles import governs_site
from suan.errors import NotFound, PermissionDenied
from suan.identity.principal import Principal
from suan.v1 import admin_service_pb2, admin_service_pb2_grpc

REASON_MAX = 500  # characters


class Upkeep(admin_service_pb2_grpc.AdminServicer):
    """Bound to a leader's port."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def _site(self, name: str) -> Any:
        views: tuple[SiteView, ...] = await self._port.read(ListSites(name)) if name else ()
        if not views:
            raise NotFound(f"no site {name[:63]!r}", "see `suan site list`", "SiteNotFound")
        return sites_wire.site_to_wire(views[0])

    @unary
    async def DrainSite(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = _operator(context, request.name)
        reason, deadline = request.reason[:REASON_MAX], request.deadline_seconds
        event = SetDrain(request.name, True, reason, caller.uri, deadline)
        granted(await self._port.post(event), Done)
        return admin_service_pb2.DrainSiteResponse(site=await self._site(request.name))

    @unary
    async def ResumeSite(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = _operator(context, request.name)
        granted(await self._port.post(SetDrain(request.name, False, "", caller.uri)), Done)
        return admin_service_pb2.ResumeSiteResponse(site=await self._site(request.name))

    @unary
    async def RemoveSite(self, request: Any, context: Context) -> Any:  # noqa: N802
        event = RemoveSite(request.name, request.orphan, principal_of(context).uri)
        removed = granted(await self._port.post(event), Removed)
        return admin_service_pb2.RemoveSiteResponse(orphaned_jobs=removed.orphaned_jobs)

    @unary
    async def ConfirmDead(self, request: Any, context: Context) -> Any:  # noqa: N802
        caller = _operator(context, request.site)
        found: JobFound = await self._port.read(GetJob(request.job_id, ""))
        if found.job is None or request.site not in {a.site for a in found.job.attempts}:
            # An operator learns nothing of jobs that were never at the site.
            raise NotFound(
                f"no job {request.job_id[:80]!r} was at {request.site[:63]}",
                "give the whole id; see `suan ps -a`",
                "JobNotFound",
            )
        event = ConfirmDead(request.site, found.job.id, request.epoch, caller.uri)
        granted(await self._port.post(event), Done)
        return admin_service_pb2.ConfirmDeadResponse(job_id=found.job.id)

    @unary
    async def AnnounceMaintenance(self, request: Any, context: Context) -> Any:  # noqa: N802
        event = AnnounceMaintenance(request.seconds, principal_of(context).uri)
        granted(await self._port.post(event), Done)
        return admin_service_pb2.AnnounceMaintenanceResponse(maintenance=await self._maintenance())

    @unary
    async def GetMaintenance(self, request: Any, context: Context) -> Any:  # noqa: N802
        return admin_service_pb2.GetMaintenanceResponse(maintenance=await self._maintenance())

    async def _maintenance(self) -> admin_service_pb2.Maintenance | None:
        view = await self._port.read(GetMaintenance())
        return sites_wire.maintenance_to_wire(view) if view is not None else None

    @unary
    async def ListCounters(self, request: Any, context: Context) -> Any:  # noqa: N802
        counted = await self._port.read(Counters())
        return admin_service_pb2.ListCountersResponse(
            counters=[admin_service_pb2.Counter(name=name, count=count) for name, count in counted]
        )


def _operator(context: Context, site: str) -> Principal:
    """The caller, who operates `site`. Raises PermissionDenied (NotYourSite)."""
    caller = principal_of(context)
    if not governs_site(caller, site):
        raise PermissionDenied(f"{caller} does not operate {site[:63]}", "", "NotYourSite")
    return caller
