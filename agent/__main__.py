"""`suan-agent`: the command line of a site's operator, and where an agent is put together.

Imports click alone before a command is known. Data goes to standard output, all else to
standard error; every error has a code and a hint, and the exit codes are those of `suan`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suan.cli.faults import report
from suan.errors import ExitCode, SuanError

if TYPE_CHECKING:
    from agent.config.file import AgentConfig

CONFIG_FILE = "agent.yaml"
DRAIN_LOOK_SECONDS = 1.0


def main() -> None:
    """Runs `suan-agent` with the process's arguments and exits."""
    from suan.identity.tls import raise_tls_floor

    raise_tls_floor()
    try:
        outcome = cli.main(prog_name="suan-agent", standalone_mode=False)
    except BaseException as error:
        sys.exit(report(error))
    sys.exit(outcome if isinstance(outcome, int) else ExitCode.OK)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    default=Path(CONFIG_FILE),
    show_default=True,
    envvar="SUAN_AGENT_CONFIG",
    help="What the site declares.",
)
@click.version_option(package_name="suan", prog_name="suan-agent")
@click.pass_context
def cli(context: click.Context, config: Path) -> None:
    """The agent of one site: it dials the broker and runs jobs through the site's own means."""
    context.obj = config


@cli.command()
@click.option("-v", "--verbose", is_flag=True, help="Tell more on standard error.")
@click.pass_obj
def run(config_path: Path, verbose: bool) -> None:
    """Run the agent until SIGTERM; jobs outlive it."""
    config = _config(config_path)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    from agent.service import run_agent

    asyncio.run(run_agent(config))


@cli.command()
@click.pass_obj
def preflight(config_path: Path) -> int:
    """Check whether this machine is fit to be the site's agent; changes nothing."""
    config = _config(config_path)
    from agent.checks.check import Status
    from agent.checks.preflight import preflight as look
    from agent.checks.preflight import worst
    from suan import catalogue

    signs = {Status.OK: "ok", Status.WARN: "!!", Status.FAIL: "NO"}
    checks = asyncio.run(look(config, catalogue.load()))
    width = max(len(check.name) for check in checks)
    for check in checks:
        click.echo(f"{signs[check.status]}  {check.name:<{width}}  {check.message}")
        if check.hint and check.status is not Status.OK:
            click.echo(f"    {'':<{width}}  hint: {check.hint}")
    return ExitCode.ERROR if worst(checks) is Status.FAIL else ExitCode.OK


@cli.command()
@click.argument("joinfile", type=click.Path(path_type=Path))
@click.option("--state-dir", type=click.Path(path_type=Path), help="Where the identity will lie.")
@click.option("--no-wait", is_flag=True, help="Ask once; run it again after the approval.")
@click.option(
    "--timeout", "wait_seconds", default=3600.0, show_default=True, help="Seconds to wait."
)
@click.pass_obj
def join(
    config_path: Path, joinfile: Path, state_dir: Path | None, no_wait: bool, wait_seconds: float
) -> None:
    """Join the federation with the file that its administrator gave.

    Makes the site's key on this machine, asks for a certificate and waits until an
    administrator has compared the fingerprint and approved.
    """
    identity = _identity_of(config_path, state_dir)
    from agent.join import Waiting, join
    from suan.identity.joinfile import read_join_file

    file = read_join_file(joinfile)

    def tell(waiting: Waiting) -> None:
        click.echo(f"site         {file.site}", err=True)
        click.echo(f"fingerprint  {waiting.fingerprint}", err=True)
        click.echo(
            "waiting for an administrator, who compares it and runs\n"
            f"  suan site approve {file.site} --fingerprint {waiting.fingerprint}",
            err=True,
        )

    wait = 0.0 if no_wait else wait_seconds
    fingerprint = asyncio.run(join(file, identity, wait_seconds=wait, tell=tell))
    click.echo(f"{file.site} has joined {file.federation}: {identity} ({fingerprint})", err=True)
    click.echo(f"next: suan-agent --config {config_path} preflight, then run", err=True)


@cli.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def status(config_path: Path, output: str) -> None:
    """Say what the agent does now, whether or not the broker is there."""
    config = _config(config_path)
    answer = _ask(config.state_dir, {"command": "status"})
    answer["certificate"] = _certificate(config)
    if output == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    from agent.render import status_lines

    for line in status_lines(answer):
        click.echo(line)


@cli.command()
@click.option("--node", default="", help="Of this node alone.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def cards(config_path: Path, node: str, output: str) -> None:
    """Say what tools and exporters said last of each card; with -o json in their own names."""
    found = _ask(_config(config_path).state_dir, {"command": "cards", "node": node})["cards"]
    if output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    from agent.cards.shown import lines

    for line in lines(found):
        click.echo(line)
    if not found:
        click.echo("no pool has a probe that has spoken; see docs/sites/probes.md", err=True)


@cli.command()
@click.option("--no-wait", is_flag=True, help="Return at once, not when the last job has ended.")
@click.pass_obj
def drain(config_path: Path, no_wait: bool) -> None:
    """Take nothing new, and wait until what runs has ended."""
    state_dir = _config(config_path).state_dir
    if not _set_mode(state_dir, "draining", False) or no_wait:
        return
    shown = -1
    while left := _ask(state_dir, {"command": "status"})["attempts"]:
        if left != shown:
            click.echo(f"{left} attempts run; Ctrl-C leaves it draining", err=True)
            shown = left
        time.sleep(DRAIN_LOOK_SECONDS)
    click.echo("the site is empty", err=True)


@cli.command()
@click.pass_obj
def resume(config_path: Path) -> None:
    """Take jobs again."""
    _set_mode(_config(config_path).state_dir, "open", False)


@cli.command()
@click.pass_obj
def shadow(config_path: Path) -> None:
    """Report, and take nothing yet: how a new site begins."""
    _set_mode(_config(config_path).state_dir, "shadow", False)


@cli.command()
@click.option("--tenant", "tenants", multiple=True, required=True, help="Whose jobs; repeatable.")
@click.pass_obj
def canary(config_path: Path, tenants: tuple[str, ...]) -> None:
    """Take the jobs of these tenants only, until `resume` opens the site to all."""
    _set_mode(_config(config_path).state_dir, "canary", False, tenants)


@cli.command()
@click.option("--stop-jobs", is_flag=True, help="Also end what runs: SIGTERM, grace, SIGKILL.")
@click.pass_obj
def pause(config_path: Path, stop_jobs: bool) -> None:
    """The kill switch: take nothing new. Works with the broker gone."""
    _set_mode(_config(config_path).state_dir, "paused", stop_jobs)


@cli.command()
@click.option("--pool", default="", help="Whose cards.")
@click.option("--cards", type=int, help="How many fewer the federation may hold than now.")
@click.option(
    "--grace", "grace_seconds", type=float, help="Seconds until all are back; default: the pool's."
)
@click.option("--release", is_flag=True, help="Offer them again; of all pools without --pool.")
@click.pass_obj
def recall(
    config_path: Path, pool: str, cards: int | None, grace_seconds: float | None, release: bool
) -> None:
    """Take cards back for the site's own jobs, and keep them back. Works with the broker gone."""
    if release == bool(cards) or not (pool or release):
        raise click.UsageError("say --pool and --cards, or --release")
    state_dir = _config(config_path).state_dir
    if release:
        pools = _ask(state_dir, {"command": "release", "pool": pool})["pools"]
        click.echo(f"offered again: {', '.join(pools) or 'nothing was recalled'}", err=True)
        return
    request = {"command": "recall", "pool": pool, "cards": cards, "grace_seconds": grace_seconds}
    within = _ask(state_dir, request)["grace_seconds"]
    click.echo(f"{cards} cards of {pool} come back within {within:g} s", err=True)
    click.echo("they stay yours until suan-agent recall --release; see suan-agent status", err=True)


@cli.command("show-what-we-send")
@click.pass_obj
def show_what_we_send(config_path: Path) -> None:
    """Print the exact message with which a session begins: all that leaves the site."""
    config = _config(config_path)
    try:
        answer = _ask(config.state_dir, {"command": "show"})
    except SuanError as error:
        if error.code != "AgentNotRunning":
            raise
        click.echo("the agent does not run; this is what it would say with no jobs", err=True)
        from agent.render import first_hello

        answer = first_hello(config)
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))


# --- helpers --------------------------------------------------------------------


def _config(path: Path) -> AgentConfig:
    from agent.config.file import load_config
    from suan import catalogue

    return load_config(path, catalogue.load())


def _identity_of(config_path: Path, state_dir: Path | None) -> Path:
    return state_dir.absolute() / "identity" if state_dir else _config(config_path).identity_dir


def _ask(state_dir: Path, request: dict[str, Any]) -> dict[str, Any]:
    from agent.control import ask

    return asyncio.run(ask(state_dir, request))


def _set_mode(state_dir: Path, mode: str, stop_jobs: bool, tenants: tuple[str, ...] = ()) -> bool:
    """Tell the agent, or leave word for when it runs again; whether it runs."""
    from agent.control import StandingOrder, write_mode
    from agent.supervisor.values import Mode

    try:
        wish = {"command": "mode", "mode": mode, "stop_jobs": stop_jobs, "tenants": tenants}
        answer = _ask(state_dir, wish)
    except SuanError as error:
        if error.code != "AgentNotRunning":
            raise
        write_mode(state_dir, StandingOrder(Mode(mode), stop_jobs, tenants))
        click.echo(f"the site is {mode} as soon as its agent runs; now it does not", err=True)
        return False
    if answer.get("warning"):
        click.echo(f"warning: {answer['warning']}", err=True)
    click.echo(f"the site is {mode}", err=True)
    return True


def _certificate(config: AgentConfig) -> dict[str, Any]:
    from suan.identity.directory import load_identity

    try:
        identity = load_identity(config.identity_dir)
    except SuanError as error:
        return {"problem": error.message}
    not_after = identity.certificate.not_after
    return {"principal": str(identity.principal), "not_after": not_after}


if __name__ == "__main__":
    main()
