"""`suan site`: what a federation's administrator and a site's operator do with sites."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from suan.cli.options import connected, formatted

if TYPE_CHECKING:
    from suan.cli.output import Output
    from suan.sync import Client


@click.group()
def site() -> None:
    """Look after sites: join, drain, remove."""


@site.command("list")
@formatted
@connected
def list_sites(client: Client, output: Output) -> None:
    """List the sites, their state and their cards."""
    from suan.cli.sites import SITE_COLUMNS

    output.show(client.sites(), SITE_COLUMNS, lambda each: each.name)


@site.command()
@click.argument("name")
@formatted
@connected
def show(client: Client, output: Output, name: str) -> None:
    """Show one site with its pools."""
    from suan.cli.sites import print_site

    found = client.site(name)
    if output.form.value == "name":
        click.echo(found.name)
    elif output.for_people:
        print_site(found)
    else:
        output.dump(found)


@site.command()
@click.argument("name")
@click.option("--ttl", default="", metavar="LENGTH", help="How long it may be used; default 1h.")
@click.option("--broker", "dialled", default="", metavar="HOST:PORT[,…]",
              help="Where the site reaches the broker; default: where we do.")  # fmt: skip
@click.option("--file", "path", type=click.Path(path_type=Path), help="Default: NAME.join.yaml.")
@connected
def token(client: Client, name: str, ttl: str, dialled: str, path: Path | None) -> None:
    """Let a site join: write the file that its operator needs.

    The file holds a token for this site and for one use. It is a secret.
    """
    from suan.cli.times import moment, parse_length
    from suan.identity.directory import load_identity
    from suan.identity.joinfile import JoinFile, write_join_file

    made = client.create_token(name, parse_length(ttl) if ttl else 0.0)
    place = path or Path(f"{name}.join.yaml")
    join = JoinFile(
        federation=load_identity(client.identity).principal.federation,
        site=name,
        broker=dialled or client.address,
        join=_reachable(made.join_address, dialled or client.address),
        expires_at=made.expires_at,
        ca_pem=made.ca_pem.decode(),
        token=made.token,
    )
    write_join_file(place, join)
    click.echo(place)
    click.echo(f"✔ site {name} may join once until {moment(made.expires_at)}", err=True)
    click.echo(f"  Next, at the site:  suan-agent join {place}", err=True)
    click.echo(f"  then here:          suan site approve {name}", err=True)


def _reachable(join: str, brokers: str) -> str:
    """The join address; brokers that listen everywhere are reached where their own ports are."""
    host, _, port = join.rpartition(":")
    if host not in ("0.0.0.0", "[::]", ""):
        return join
    return ",".join(f"{broker.rpartition(':')[0]}:{port}" for broker in brokers.split(","))


@site.command()
@formatted
@connected
def pending(client: Client, output: Output) -> None:
    """List sites that have asked to join and wait for approval."""
    from suan.cli.sites import PENDING_COLUMNS

    output.show(client.pending(), PENDING_COLUMNS, lambda each: each.site)


@site.command()
@click.argument("name")
@click.option("--fingerprint", default="", help="Of the site's key, as its operator reads it out.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask: the fingerprint was compared.")
@connected
def approve(client: Client, name: str, fingerprint: str, yes: bool) -> None:
    """Approve a site that has asked to join.

    Compare the fingerprint with the one that the site's operator sees, by telephone.
    """
    from suan.cli.times import moment
    from suan.errors import NotFound

    waiting = next((each for each in client.pending() if each.site == name), None)
    if waiting is None:
        raise NotFound(
            f"site {name!r} has asked for nothing",
            "run `suan-agent join` at the site first",
            "NothingPending",
        )
    if not fingerprint and not yes:
        click.echo(f"site        {waiting.site}\nfingerprint {waiting.fingerprint}", err=True)
        if not sys.stdin.isatty():
            raise click.UsageError("give --fingerprint, or --yes when it has been compared")
        click.confirm("Does the operator read out the same?", abort=True, err=True)
    until = client.approve(name, fingerprint or waiting.fingerprint)
    click.echo(
        f"✔ site {name} is approved; its certificate is valid until {moment(until)}", err=True
    )


@site.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; it appears with the site.")
@click.option("--deadline", default="", metavar="LENGTH",
              help="Such as 1h: what still runs then is stopped and queued again.")  # fmt: skip
@connected
def drain(client: Client, name: str, reason: str, deadline: str) -> None:
    """Start nothing new at a site; what runs there runs on, or until a deadline.

    What the deadline stops gets SIGTERM and its grace to write a checkpoint.
    """
    from suan.cli.times import moment, parse_length

    found = client.drain(name, reason, parse_length(deadline) if deadline else 0.0)
    until = f" until {moment(found.drain_by)} at the latest" if found.drain_by else ""
    click.echo(f"✔ site {name} is {found.state}: {found.attempts} attempts run on{until}", err=True)


@site.command()
@click.argument("name")
@connected
def resume(client: Client, name: str) -> None:
    """End a drain."""
    click.echo(f"✔ site {name} is {client.resume(name).state}", err=True)


@site.command("confirm-dead")
@click.argument("name")
@click.argument("job")
@click.argument("attempt", type=click.IntRange(1))
@click.option("-y", "--yes", is_flag=True, help="Do not ask: somebody has looked.")
@connected
def confirm_dead(client: Client, name: str, job: str, attempt: int, yes: bool) -> None:
    """Vouch that an ATTEMPT of a JOB does not run at a silent site any more.

    The name of its run at the site is suan-JOB-ATTEMPT.

    For jobs that time never frees (lease classes proof and overlap), and for sites that
    will not come back. The job is then tried again elsewhere at once. If it does run at
    the site all the same, it runs twice: look there first (processes, batch queue, power).
    """
    if not yes:
        click.echo(
            f"If attempt {attempt} of {job} still runs at {name}, it will run twice.", err=True
        )
        if not sys.stdin.isatty():
            raise click.UsageError("give --yes when somebody has looked at the site")
        click.confirm("Has somebody looked, and is it dead?", abort=True, err=True)
    job_id = client.confirm_dead(name, job, attempt)
    click.echo(job_id)
    click.echo(
        f"✔ attempt {attempt} of {job_id} is taken as dead at {name}; the audit log has your name",
        err=True,
    )


@site.command()
@click.argument("name")
@click.option("--orphan", is_flag=True, help="Although attempts live there: give them up.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@connected
def remove(client: Client, name: str, orphan: bool, yes: bool) -> None:
    """Remove a site and revoke its certificate; drain it first.

    Prints the ids of jobs whose attempts were given up.
    """
    if not yes and sys.stdin.isatty():
        click.confirm(f"Remove site {name}?", abort=True, err=True)
    for job_id in client.remove(name, orphan=orphan):
        click.echo(job_id)
    click.echo(f"✔ site {name} is removed", err=True)
