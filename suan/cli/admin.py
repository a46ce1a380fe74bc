"""`suan admin`: founding a federation, issuing identities, reading the audit log.

`init` and `issue` work on the machine that holds the certificate authority, without a
broker, and need the cryptography package.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted
from suan.cli.tenant import tenant

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.sync import Client

ROLES = ("user", "tenant-admin", "operator", "admin", "auditor", "broker")


@click.group()
def admin() -> None:
    """Found a federation, issue identities, audit."""


admin.add_command(tenant)


@admin.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--federation", required=True, metavar="NAME", help="Such as example.cn.")
@click.option("--address", "addresses", multiple=True, required=True, metavar="HOST:PORT",
              help="Under which the broker is reached; may be repeated.")  # fmt: skip
@click.option("--admin", "name", default="admin", help="Name of the first administrator.")
def init(directory: Path, federation: str, addresses: tuple[str, ...], name: str) -> None:
    """Found a federation: authority, broker's identity, first administrator.

    DIRECTORY gets ca/, broker/ and admin/. Keep ca/ safe: its key is the federation.
    """
    made = _issuing().initialise(directory, federation, addresses, admin=name)
    click.echo(directory)
    click.echo(f"✔ federation {made.federation} is founded", err=True)
    click.echo(f"  authority  {made.authority}  {made.fingerprint}", err=True)
    click.echo(f"  broker     {made.broker}", err=True)
    click.echo(f"  {name:<10} {made.admin}", err=True)
    click.echo(
        f"  Next:  suan context set {federation}-admin --address {addresses[0]} "
        f"--identity {made.admin}",
        err=True,
    )


@admin.command()
@click.argument("role", type=click.Choice(ROLES))
@click.argument("name")
@click.option("--ca", required=True, type=click.Path(path_type=Path), help="The authority's.")
@click.option("--out", "directory", required=True, type=click.Path(path_type=Path),
              help="The directory that gets the identity.")  # fmt: skip
@click.option("--tenant", default="", help="Organisation of a user or tenant-admin.")
@click.option("--site", default="", help="Site of an operator.")
@click.option("--address", "addresses", multiple=True, metavar="HOST:PORT", help="Of a broker.")
@click.option("--valid", default="", metavar="LENGTH", help="Default: 30d, a broker 90d.")
@click.option("--force", is_flag=True, help="Replace the identity that is there.")
def issue(
    role: str,
    name: str,
    ca: Path,
    directory: Path,
    tenant: str,
    site: str,
    addresses: tuple[str, ...],
    valid: str,
    force: bool,
) -> None:
    """Issue an identity: a key and a certificate for a ROLE and a NAME."""
    from suan.cli.times import parse_length
    from suan.errors import InvalidRequest
    from suan.identity.principal import Principal, PrincipalInvalid, Role

    issuing = _issuing()
    authority = issuing.load_authority(ca)
    try:
        principal = Principal(authority.federation, Role(role), name, site=site, tenant=tenant)
    except PrincipalInvalid as error:
        raise InvalidRequest(
            str(error), "users have a --tenant, operators a --site", "NameInvalid"
        ) from error
    seconds = parse_length(valid) if valid else None
    issuing.issue(ca, principal, directory, seconds, addresses=addresses, force=force)
    click.echo(directory)
    click.echo(f"✔ {principal} is issued; hand the directory over by a safe way", err=True)


@admin.command()
@click.option("--after", type=click.IntRange(0), default=0, metavar="N", help="After entry N.")
@click.option("-n", "--limit", type=click.IntRange(1), default=1000, help="At most; 1000.")
@formatted
@connected
def audit(client: Client, output: Output, after: int, limit: int) -> None:
    """Print the audit log, oldest first."""
    from suan.cli.output import Column
    from suan.cli.times import moment
    from suan.views import AuditEntry

    columns: list[Column[AuditEntry]] = [
        Column("SEQ", lambda entry: str(entry.seq), right=True),
        Column("AT", lambda entry: moment(entry.at) or ""),
        Column("ACTOR", lambda entry: entry.actor),
        Column("ACTION", lambda entry: entry.action),
        Column("OBJECT", lambda entry: entry.object),
        Column("DETAIL", lambda entry: entry.detail or "–"),
        Column("HASH", lambda entry: entry.hash.hex(), wide=True),
    ]
    entries = list(islice(client.audit(after), limit))
    output.show(entries, columns, lambda entry: str(entry.seq))


@admin.command()
@click.option("--for", "length", default="", metavar="LENGTH",
              help="Such as 2h, at most 24h. Without it, show what is announced.")  # fmt: skip
@click.option("--wait", default="60s", metavar="LENGTH",
              help="For the sites to make their longer leases durable; 60s.")  # fmt: skip
@formatted
@connected
def maintenance(client: Client, output: Output, length: str, wait: str) -> int:
    """Announce that the broker will be away, so that no lease ends meanwhile.

    The leases of all that runs are extended to now + LENGTH; as long, and also after a
    restart, nothing is started again elsewhere. Exit code 1 when a site with attempts has
    not acknowledged in time: what runs there ends with its own lease if the broker is away.
    """
    from suan.cli.maintenance import await_sites, show
    from suan.cli.times import parse_length

    if length:
        client.announce_maintenance(parse_length(length))
        return show(output, await_sites(client, parse_length(wait)))
    return show(output, client.maintenance())


@admin.command()
@formatted
@connected
def counters(client: Client, output: Output) -> None:
    """Count what the broker heard and ignored since its leader began.

    Replayed, late, foreign and senseless messages of agents; none of them had an effect.
    Below them, what became of transfers of inputs and of placement rounds.
    """
    from suan.cli.output import Column
    from suan.codes import COUNTERS
    from suan.views import Counter

    columns: list[Column[Counter]] = [
        Column("NAME", lambda counter: counter.name),
        Column("COUNT", lambda counter: str(counter.count), right=True),
        Column("MEANING", lambda counter: COUNTERS.get(counter.name, "–")),
    ]
    output.show(client.counters(), columns, lambda counter: counter.name)


def _issuing() -> ModuleType:
    """`suan.identity.issue`, which needs more than the bare install."""
    from suan.errors import Unsupported

    try:
        from suan.identity import issue as issuing
    except ImportError as error:
        raise Unsupported(
            f"this needs the package {error.name}",
            "install the broker's extra: pip install 'suan[broker]'",
            "PackageMissing",
        ) from error
    return issuing
