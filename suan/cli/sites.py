"""Sites as text: the columns of lists and the page of one site."""

from __future__ import annotations

import time

import click

from suan.cli.output import Column, print_table
from suan.cli.times import length, moment
from suan.views import PendingJoin, Pool, Site


def _age(at: float) -> str:
    return length(time.time() - at) if at else "never"


def _cards(site: Site) -> str:
    free = sum(pool.cards_free for pool in site.pools)
    usable = sum(pool.cards_usable for pool in site.pools)
    return f"{free}/{usable}/{sum(pool.cards_total for pool in site.pools)} card"


def _models(site: Site) -> str:
    return ", ".join(dict.fromkeys(pool.accelerator for pool in site.pools)) or "–"


SITE_COLUMNS: list[Column[Site]] = [
    Column("SITE", lambda site: site.name),
    Column("STATE", lambda site: site.state),
    Column("CITY", lambda site: site.facts.city or "–"),
    Column("ACCELERATORS", _models),
    Column("FREE/USABLE/TOTAL", _cards, right=True),
    Column("ATTEMPTS", lambda site: str(site.attempts), right=True),
    Column("HEARD", lambda site: _age(site.last_heard_at), right=True),
    Column("REASON", lambda site: site.reason or "–"),
    Column("LEASED", lambda site: f"{site.cards_leased} card", wide=True, right=True),
    Column("BACKEND", lambda site: site.facts.backend or "–", wide=True),
    Column("AGENT", lambda site: site.facts.agent_version or "–", wide=True),
    Column("REGION", lambda site: site.facts.region or "–", wide=True),
]
PENDING_COLUMNS: list[Column[PendingJoin]] = [
    Column("SITE", lambda join: join.site),
    Column("ASKED", lambda join: _age(join.requested_at), right=True),
    Column("FINGERPRINT", lambda join: join.fingerprint),
]
POOL_TITLES = (
    "POOL", "ACCELERATOR", "FREE", "USABLE", "TOTAL", "PER NODE", "SUPERNODES", "CNY/card·h",
)  # fmt: skip


def print_site(site: Site) -> None:
    """One site with its facts and pools."""
    facts = site.facts
    longest = facts.time_limit_seconds_max
    lines = (
        ("site", site.name),
        ("state", f"{site.state}: {site.reason}" if site.reason else site.state),
        ("stops at", moment(site.drain_by) or ""),
        ("city", facts.city),
        ("region", facts.region),
        ("heard", moment(site.last_heard_at) or "not since the broker started"),
        ("agent", f"{facts.agent_version} on {facts.backend}" if facts.backend else ""),
        ("attempts", f"{site.attempts} on {site.cards_leased} cards"),
        (
            "jobs up to",
            length(longest) if longest else "",
        ),
        *(("rule", rule) for rule in facts.rules),
        ("store", "outputs can become datasets" if facts.has_store else ""),
        ("only", ", ".join(facts.tenants_allowed)),
        ("not", ", ".join(facts.tenants_denied)),
        ("PUE", f"{facts.pue:g}" if facts.pue else ""),
        ("joined", moment(site.registered_at) or ""),
        ("certificate", site.certificate_fingerprint),
    )
    for title, value in lines:
        if value:
            click.echo(f"{title:<12} {value}")
    if site.pools:
        click.echo()
        print_table(POOL_TITLES, [_pool_row(pool) for pool in site.pools])


def _pool_row(pool: Pool) -> list[str]:
    return [
        pool.name,
        pool.accelerator,
        str(pool.cards_free),
        str(pool.cards_usable),
        str(pool.cards_total),
        str(pool.cards_per_node),
        str(len(pool.supernodes)),
        f"{pool.yuan_per_card_hour:.2f}",
    ]
