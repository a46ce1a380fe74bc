"""What `suan admin maintenance` shows, and how it waits for the sites."""

from __future__ import annotations

import time

from suan.cli.output import Column, Output, note
from suan.cli.times import length
from suan.sync import Client
from suan.views import Maintenance, MaintenanceSite

POLL_SECONDS = 1.0


def _leases(site: MaintenanceSite) -> str:
    if not site.attempts:
        return "none"
    return "extended" if site.extended else "not extended"


COLUMNS: list[Column[MaintenanceSite]] = [
    Column("SITE", lambda site: site.name),
    Column("STATE", lambda site: site.state),
    Column("ATTEMPTS", lambda site: str(site.attempts), right=True),
    Column("LEASES", _leases),
]


def await_sites(client: Client, wait_seconds: float) -> Maintenance | None:
    """What is announced, once every site with attempts has acknowledged or time is up."""
    until = time.monotonic() + wait_seconds
    while True:
        found = client.maintenance()
        if found is None or not missing(found) or time.monotonic() >= until:
            return found
        time.sleep(POLL_SECONDS)


def missing(announced: Maintenance) -> list[str]:
    """The sites whose attempts would not outlast the broker's absence."""
    return [site.name for site in announced.sites if site.attempts and not site.extended]


def show(output: Output, announced: Maintenance | None) -> int:
    """Print it; the exit code: 1 while a site with attempts is missing."""
    if not output.for_people:
        output.dump(announced)
        return 1 if announced and missing(announced) else 0
    if announced is None:
        note("no maintenance is announced")
        return 0
    output.show(announced.sites, COLUMNS, lambda site: site.name)
    note(
        f"announced by {announced.announced_by} for {length(announced.seconds)}; "
        f"nothing is taken back for {length(announced.takeback_seconds)}"
    )
    late = missing(announced)
    if late:
        note(f"✘ not acknowledged: {', '.join(late)}; what runs there may end with its lease")
    elif announced.extension_seconds:
        note(f"✔ the broker may be away for {length(announced.extension_seconds)}")
    return 1 if late else 0
