"""What each pool puts at the federation's disposal now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from broker.queries import SiteView
from scheduler.model import Pool, SiteState
from suan import catalogue
from suan.errors import InvalidRequest
from suan.v1 import jobs_service_pb2


def offers_of(sites: Sequence[SiteView], request: Any) -> Iterator[jobs_service_pb2.Offer]:
    """An offer per pool of the wanted model; `fits_now` for the wanted gang."""
    model = ""
    if request.accelerator:
        known = catalogue.load()
        model = known.resolve(request.accelerator) or ""
        if not model:
            near = ", ".join(known.suggest(request.accelerator))
            raise InvalidRequest(
                f"no accelerator model {request.accelerator[:80]!r}",
                f"did you mean {near}?" if near else "see `suan accelerators`",
                "UnknownAccelerator",
            )
    nodes, cards = request.num_nodes or 1, request.accelerators_per_node or 1
    return (
        _offer(site, pool, nodes, cards)
        for site in sites
        for pool in site.pools
        if model in ("", pool.accelerator)
    )


def _offer(site: SiteView, pool: Pool, nodes: int, cards: int) -> jobs_service_pb2.Offer:
    fitting = sum(node.nodes_fitting(cards) for node in pool.supernodes)
    return jobs_service_pb2.Offer(
        site=site.row.name,
        pool=pool.name,
        accelerator=pool.accelerator,
        cards_free=pool.cards_free,
        cards_usable=pool.cards_usable,
        cards_total=pool.cards_total,
        cards_per_node=pool.cards_per_node,
        yuan_per_card_hour=pool.yuan_per_card_hour,
        site_state=site.state.value,
        reported_at=site.heard_at,
        fits_now=site.state is SiteState.OPEN and fitting >= nodes,
        city=site.facts.profile.city if site.facts else "",
        supernodes=len(pool.supernodes),
    )
