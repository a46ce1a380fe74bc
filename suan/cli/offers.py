"""`suan offers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted

if TYPE_CHECKING:
    from suan.cli.output import Column, Output
    from suan.sync import Client
    from suan.views import Offer


@click.command()
@click.option("--gpus", "--accelerators", "wanted", default="", metavar="TYPE[:N]",
              help="Only this model; N cards per node.")  # fmt: skip
@click.option("-n", "--num-nodes", type=click.IntRange(1), default=1, help="Nodes; default 1.")
@formatted
@connected
def offers(client: Client, output: Output, wanted: str, num_nodes: int) -> None:
    """List what the sites offer now.

    Counts are of physical cards. FREE: idle now. USABLE: less the faulty and what the site
    keeps back. FITS: the shape that was asked for could start now.
    """
    import time

    from suan.cli.output import note
    from suan.cli.times import length

    model, cards = _wanted(wanted)
    found = client.offers(model, num_nodes, cards)
    found = tuple(sorted(found, key=lambda each: (not each.fits_now, each.yuan_per_card_hour)))
    output.show(found, _columns(), lambda each: f"{each.site}/{each.pool}")
    if output.for_people:
        now = time.time()
        ages = [now - each.reported_at for each in found if each.reported_at]
        stale = sorted({each.site for each in found if each.site_state in ("suspect", "lost")})
        age = f" · data {length(max(ages))} old" if ages else ""
        note(f"{len(found)} offers{age} · stale sites: {', '.join(stale) or 'none'}")


def _wanted(text: str) -> tuple[str, int]:
    """The model and the cards per node of TYPE[:N]."""
    from suan.jobspec.limits import Fault
    from suan.jobspec.units import type_count

    if not text:
        return "", 1
    try:
        model, cards = type_count(text)
    except Fault as fault:
        raise click.BadParameter(fault.message, param_hint="--gpus") from fault
    if not cards:
        raise click.BadParameter(f"{text!r} asks for no card", param_hint="--gpus")
    return model, cards


def _columns() -> list[Column[Offer]]:
    import time

    from suan.cli.output import Column
    from suan.cli.times import length

    def age(offer: Offer) -> str:
        return length(time.time() - offer.reported_at) if offer.reported_at else "–"

    def cards(offer: Offer) -> str:
        return f"{offer.cards_free}/{offer.cards_usable}/{offer.cards_total} card"

    return [
        Column("SITE", lambda offer: offer.site),
        Column("POOL", lambda offer: offer.pool),
        Column("ACCELERATOR", lambda offer: offer.accelerator),
        Column("FREE/USABLE/TOTAL", cards, right=True),
        Column("PER NODE", lambda offer: str(offer.cards_per_node), right=True),
        Column("FITS", lambda offer: "now" if offer.fits_now else "later"),
        Column("CNY/card·h", lambda offer: f"{offer.yuan_per_card_hour:.2f}", right=True),
        Column("SITE STATE", lambda offer: offer.site_state),
        Column("DATA AGE", age, right=True),
        Column("CITY", lambda offer: offer.city or "–", wide=True),
        Column("SUPERNODES", lambda offer: str(offer.supernodes), wide=True, right=True),
    ]
