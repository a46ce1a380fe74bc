"""Between the core's values and the messages about sites, pools, network and data."""

from __future__ import annotations

import math
from collections.abc import Sequence

from broker.core.messages import SiteFacts
from broker.core.rows import Audit, Dataset, NetworkMap, Project, Replica, Tenant
from broker.queries import MaintenanceView, SiteView
from scheduler.model import Link, NetworkNode, Pool, Quota, Release, Site, Supernode
from suan.v1 import admin_service_pb2, dataset_pb2, network_pb2, site_pb2, tenant_pb2
from suan.wire import pool_to_wire

RELEASES_MAX = 256  # of a pool that are kept
RULES_MAX = 64  # of a site that are kept …
RULE_CHARACTERS_MAX = 200  # … and how long each may be
SOFTWARE_MAX = 100  # stacks of one pool


def finite(value: float, default: float = 0.0) -> float:
    """A site may send anything: neither zero-meaning-unset nor infinity nor NaN goes on."""
    return value if value and math.isfinite(value) else default


def pool_from_wire(site: str, message: site_pb2.Pool) -> Pool:
    return Pool(
        site=site,
        name=message.name,
        accelerator=message.accelerator,
        cards_per_node=message.cards_per_node,
        cards_total=message.cards_total,
        cards_usable=message.cards_usable,
        supernodes=tuple(
            Supernode(node.name, tuple(node.nodes_by_free)) for node in message.supernodes
        ),
        cpus_per_node=message.cpus_per_node,
        memory_gib_per_node=finite(message.memory_gib_per_node),
        yuan_per_card_hour=finite(message.yuan_per_card_hour),
        utilisation=finite(message.utilisation, 0.4),
        linearity=tuple(sorted((n, finite(part, 1.0)) for n, part in message.linearity.items())),
        software=tuple(message.software[:SOFTWARE_MAX]),
        time_limit_seconds_max=finite(message.time_limit_seconds_max),
        releases=tuple(
            Release(release.cards, finite(release.ends_at))
            for release in message.releases[:RELEASES_MAX]
        ),
    )


def facts_from_wire(site: str, message: site_pb2.SiteFacts) -> SiteFacts:
    profile = Site(
        name=site,
        city=message.city,
        region=message.region,
        pue=finite(message.pue, 1.3),
        grid_kg_per_kwh=finite(message.grid_kg_per_kwh, 0.5703),
        failures_per_card_day=finite(message.failures_per_card_day),
        restart_seconds=finite(message.restart_seconds, 120.0),
        checkpoint_gb_per_second=finite(message.checkpoint_gb_per_second),
        egress_yuan_per_gb=finite(message.egress_yuan_per_gb),
        tenants_allowed=tuple(message.tenants_allowed),
        tenants_denied=tuple(message.tenants_denied),
        time_limit_seconds_max=finite(message.time_limit_seconds_max),
        runs_images=message.runs_images,
        has_store=message.has_store,
    )
    rules = tuple(rule[:RULE_CHARACTERS_MAX] for rule in message.rules[:RULES_MAX])
    return SiteFacts(profile, message.agent_version, message.backend, message.paused, rules)


def facts_to_wire(facts: SiteFacts) -> site_pb2.SiteFacts:
    profile = facts.profile
    return site_pb2.SiteFacts(
        city=profile.city,
        region=profile.region,
        pue=profile.pue,
        grid_kg_per_kwh=profile.grid_kg_per_kwh,
        failures_per_card_day=profile.failures_per_card_day,
        restart_seconds=profile.restart_seconds,
        checkpoint_gb_per_second=profile.checkpoint_gb_per_second,
        egress_yuan_per_gb=profile.egress_yuan_per_gb,
        runs_images=profile.runs_images,
        has_store=profile.has_store,
        tenants_allowed=profile.tenants_allowed,
        tenants_denied=profile.tenants_denied,
        time_limit_seconds_max=profile.time_limit_seconds_max,
        agent_version=facts.agent_version,
        backend=facts.backend,
        paused=facts.paused,
        rules=facts.rules,
    )


def site_to_wire(view: SiteView) -> site_pb2.Site:
    return site_pb2.Site(
        name=view.row.name,
        state=view.state.value,
        facts=facts_to_wire(view.facts) if view.facts else None,
        pools=[pool_to_wire(pool) for pool in view.pools],
        last_heard_at=view.heard_at,
        cards_leased=view.cards_leased,
        attempts=view.attempts,
        reason=view.row.reason,
        registered_at=view.row.registered_at,
        certificate_fingerprint=view.row.certificate_fingerprint,
        drain_by=view.row.drain_by,
    )


def maintenance_to_wire(view: MaintenanceView) -> admin_service_pb2.Maintenance:
    return admin_service_pb2.Maintenance(
        seconds=view.row.seconds,
        announced_at=view.row.announced_at,
        announced_by=view.row.announced_by,
        extension_seconds=view.extension_seconds,
        takeback_seconds=view.takeback_seconds,
        sites=[
            admin_service_pb2.MaintenanceSite(
                name=site.name,
                state=site.state.value,
                attempts=site.attempts,
                extended=site.extended,
            )
            for site in view.sites
        ],
    )


def network_from_wire(message: network_pb2.Network) -> NetworkMap:
    return NetworkMap(
        nodes=tuple(
            NetworkNode(
                node.name, node.kind or "city", node.latitude, node.longitude, node.hub, node.title
            )
            for node in message.nodes
        ),
        links=tuple(
            Link(
                link.a,
                link.b,
                link.bandwidth_gbps,
                link.latency_ms,
                link.yuan_per_gb,
                down=link.down,
            )
            for link in message.links
        ),
        sources=tuple(link.source for link in message.links),
    )


def network_to_wire(row: NetworkMap, carried_gbps: Sequence[float] = ()) -> network_pb2.Network:
    """The network, with what transfers take of each link now where that is known."""
    carried = carried_gbps or (0.0,) * len(row.links)
    return network_pb2.Network(
        nodes=[
            network_pb2.NetworkNode(
                name=node.name,
                kind=node.kind,
                latitude=node.latitude,
                longitude=node.longitude,
                hub=node.hub,
                title=node.title,
            )
            for node in row.nodes
        ],
        links=[
            network_pb2.Link(
                a=link.a,
                b=link.b,
                bandwidth_gbps=link.bandwidth_gbps,
                latency_ms=link.latency_ms,
                yuan_per_gb=link.yuan_per_gb,
                source=source,
                down=link.down,
                carried_gbps=taken,
            )
            for link, source, taken in zip(row.links, row.sources, carried, strict=True)
        ],
    )


def dataset_from_wire(message: dataset_pb2.Dataset) -> Dataset:
    return Dataset(
        name=message.name,
        size_bytes=message.size_bytes,
        replicas=tuple(Replica(item.site, item.path) for item in message.replicas),
        regions_allowed=tuple(message.regions_allowed),
    )


def dataset_to_wire(row: Dataset) -> dataset_pb2.Dataset:
    return dataset_pb2.Dataset(
        name=row.name,
        size_bytes=row.size_bytes,
        replicas=[dataset_pb2.Replica(site=item.site, path=item.path) for item in row.replicas],
        regions_allowed=row.regions_allowed,
    )


def tenant_from_wire(message: tenant_pb2.Tenant) -> Tenant:
    return Tenant(
        message.name,
        message.queued_jobs_max,
        message.weight or 1.0,
        message.suspended,
        tuple(map(_quota_from_wire, message.quotas)),
        tuple(
            Project(each.name, each.weight or 1.0, tuple(map(_quota_from_wire, each.quotas)))
            for each in message.projects
        ),
    )


def _quota_from_wire(message: tenant_pb2.Quota) -> Quota:
    borrow_max = message.borrow_max if message.HasField("borrow_max") else None
    return Quota(message.kind, message.guaranteed, borrow_max, message.unit or "cards")


def _quota_to_wire(quota: Quota) -> tenant_pb2.Quota:
    return tenant_pb2.Quota(
        kind=quota.kind,
        guaranteed=quota.guaranteed,
        borrow_max=quota.borrow_max,
        unit=quota.unit,
    )


def tenant_to_wire(row: Tenant) -> tenant_pb2.Tenant:
    return tenant_pb2.Tenant(
        name=row.name,
        queued_jobs_max=row.queued_jobs_max,
        weight=row.weight,
        suspended=row.suspended,
        quotas=map(_quota_to_wire, row.quotas),
        projects=[
            tenant_pb2.Project(
                name=each.name, weight=each.weight, quotas=map(_quota_to_wire, each.quotas)
            )
            for each in row.projects
        ],
    )


def audit_to_wire(row: Audit) -> admin_service_pb2.AuditEntry:
    return admin_service_pb2.AuditEntry(
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        action=row.action,
        object=row.object,
        detail=row.detail,
        hash=bytes.fromhex(row.hash),
    )
