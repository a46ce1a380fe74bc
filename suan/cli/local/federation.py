"""Bringing a federation up and down on this machine, step by step, each step repeatable.

What is there already is used again: identities, ports, joined sites, running daemons.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import yaml

from suan.cli.local.processes import Daemon, recorded, start, wait_until
from suan.cli.local.samples import NETWORK_FILE, SAMPLES, Sample
from suan.contexts import Context, delete_context, load_contexts, save_context, use_context
from suan.errors import InternalError, NotFound
from suan.identity.joinfile import JoinFile, write_join_file
from suan.network import load
from suan.sync import Client

FEDERATION = "local"
TENANT = "local"
CONTEXT, ADMIN_CONTEXT = "local", "local-admin"
START_SECONDS = 120.0  # Ray takes its time on a small machine
STOP_JOBS_SECONDS = 60.0
LOG_LINES = 15  # of a daemon that ended, in the error
ANY_PORT = "127.0.0.1:0"

Tell = Callable[[str], None]


class LocalFederation:
    """The federation in `folder`; `tell` hears of each step."""

    def __init__(self, folder: Path, tell: Tell) -> None:
        self.folder = folder.absolute()
        self._tell = tell

    # --- up -----------------------------------------------------------------

    def up(self, sites: int, runtime: str) -> None:
        """Starts whatever does not run, and returns when all sites are open."""
        samples = SAMPLES[:sites]
        self._found()
        address = self._start_broker(runtime)
        with Client.connect(address=address, identity=self._identity("admin")) as admin:
            admin.apply_network(load(NETWORK_FILE.read_bytes()))
            self._join([each for each in samples if not self._joined(each)], admin)
            for sample in samples:
                self._start_agent(sample, address)
            for sample in samples:
                open_now = partial(_is_open, admin, sample.site)
                wait_until(open_now, f"site {sample.site}", START_SECONDS)
                self._tell(f"✔ site {sample.site}: {_cards(sample)}")
        self._write_contexts(address)

    def _found(self) -> None:
        from suan.identity.issue import initialise, issue
        from suan.identity.principal import Principal, Role

        founded = self.folder / "federation"
        if not founded.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            initialise(founded, FEDERATION, ["127.0.0.1:1"])  # any port: the host counts
            self._tell(f"✔ federation {FEDERATION}, with throw-away keys, in {self.folder}")
        if not self._identity("user").exists():
            user = Principal(FEDERATION, Role.USER, _user_name(), tenant=TENANT)
            issue(founded / "ca", user, self._identity("user"))

    def _identity(self, who: str) -> Path:
        return self.folder / "user" if who == "user" else self.folder / "federation" / who

    def _start_broker(self, runtime: str) -> str:
        """Its address."""
        ready = self.folder / "broker" / "ready"
        daemon = recorded(self._record("broker"))
        if not (daemon and daemon.alive()):
            ready.unlink(missing_ok=True)
            config = self._broker_config(runtime)
            daemon = self._start("broker", "broker", "run", "--config", str(config))
        self._wait_for(ready.exists, "broker", daemon)
        listen = json.loads(ready.read_text(encoding="utf-8"))
        (self.folder / "listen.json").write_text(json.dumps(listen), encoding="utf-8")
        self._tell(f"✔ broker at {listen['main']}")
        return str(listen["main"])

    def _broker_config(self, runtime: str) -> Path:
        """The ports of the last time are taken again, so that agents find them."""
        last = self.folder / "listen.json"
        listen = json.loads(last.read_text(encoding="utf-8")) if last.exists() else {}
        path = self.folder / "broker.yaml"
        settings = {
            "state_dir": "broker",
            "identity": "federation/broker",
            "ca": "federation/ca",
            "listen": listen.get("main", ANY_PORT),
            "join_listen": listen.get("join", ANY_PORT),
            "health_listen": listen.get("health", ANY_PORT),
            "runtime": runtime,
        }
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        return path

    def _joined(self, sample: Sample) -> bool:
        return (self._site(sample) / "state" / "identity").exists()

    def _site(self, sample: Sample) -> Path:
        return self.folder / "sites" / sample.site

    def _join(self, samples: Sequence[Sample], admin: Client) -> None:
        """All at once: each asks, is approved, and has its certificate."""
        asking = {sample.site: self._ask_to_join(sample, admin) for sample in samples}
        for site, daemon in asking.items():
            name = f"join-{site}"

            def asks(site: str = site) -> bool:
                return any(each.site == site for each in admin.pending())

            self._wait_for(asks, name, daemon)
            (waiting,) = (each for each in admin.pending() if each.site == site)
            admin.approve(site, waiting.fingerprint)
        for sample in samples:
            ended = partial(_has_ended, asking[sample.site])
            wait_until(ended, f"{sample.site} to join", START_SECONDS)
            if not self._joined(sample):
                raise self._ended(f"join-{sample.site}")
            self._record(f"join-{sample.site}").unlink(missing_ok=True)

    def _ask_to_join(self, sample: Sample, admin: Client) -> Daemon:
        place = self._site(sample)
        place.mkdir(parents=True, exist_ok=True)
        token = admin.create_token(sample.site)
        file = place / "join.yaml"
        join = JoinFile(
            federation=FEDERATION,
            site=sample.site,
            broker=admin.address,
            join=token.join_address,
            expires_at=token.expires_at,
            ca_pem=token.ca_pem.decode(),
            token=token.token,
        )
        write_join_file(file, join, force=True)
        state = str(place / "state")
        return self._start(f"join-{sample.site}", "agent", "join", str(file), "--state-dir", state)

    def _start_agent(self, sample: Sample, address: str) -> None:
        name = f"agent-{sample.site}"
        daemon = recorded(self._record(name))
        if daemon and daemon.alive():
            return
        config = self._site(sample) / "agent.yaml"
        text = yaml.safe_dump(sample.config(address), sort_keys=False)
        config.write_text(text, encoding="utf-8")
        self._start(name, "agent", "--config", str(config), "run")

    def _write_contexts(self, address: str) -> None:
        known = load_contexts(os.environ)
        for name, who in ((CONTEXT, "user"), (ADMIN_CONTEXT, "admin")):
            save_context(Context(name, address, str(self._identity(who))), os.environ)
        use_context(CONTEXT, os.environ)
        if known.current and known.current not in (CONTEXT, ADMIN_CONTEXT):
            self._tell(f"  the context was {known.current}; back: suan context use {known.current}")

    # --- down ---------------------------------------------------------------

    def down(self, *, delete: bool) -> None:
        """Stops the broker, the jobs and the agents; with `delete` nothing is left of them.

        The broker comes first: with it gone, nothing new can start meanwhile.
        """
        records = sorted((self.folder / "run").glob("*.json"), key=_broker_first)
        if not records and not self.folder.exists():
            raise NotFound(
                f"there is no federation in {self.folder}", "start one: suan up", "NothingToStop"
            )
        for record in records:
            daemon = recorded(record)
            if daemon and daemon.alive():
                self._stop(record.stem, daemon)
                self._tell(f"✔ {record.stem} has ended")
            record.unlink()
        if delete:
            self._delete()

    def _stop(self, name: str, daemon: Daemon) -> None:
        """An agent's end would leave its jobs running, as it should be at a real site."""
        config = self.folder / "sites" / name.removeprefix("agent-") / "agent.yaml"
        busy = name.startswith("agent-") and _attempts(config) > 0
        if busy:
            self._tell(f"  {name} stops its jobs")
            _agent(config, "pause", "--stop-jobs")
            wait_until(lambda: not _attempts(config), "the jobs to end", STOP_JOBS_SECONDS)
        daemon.stop()
        if busy:
            _agent(config, "resume")  # for the next time

    def _delete(self) -> None:
        for name in (CONTEXT, ADMIN_CONTEXT):
            if name in load_contexts(os.environ).contexts:
                delete_context(name, os.environ)
        shutil.rmtree(self.folder)
        self._tell(f"✔ {self.folder} is deleted")

    # --- processes ----------------------------------------------------------

    def _record(self, name: str) -> Path:
        return self.folder / "run" / f"{name}.json"

    def _log(self, name: str) -> Path:
        return self.folder / "log" / f"{name}.log"

    def _start(self, name: str, module: str, *arguments: str) -> Daemon:
        for path in (self._record(name), self._log(name)):
            path.parent.mkdir(parents=True, exist_ok=True)
        return start([*_python(module), *arguments], self._record(name), self._log(name))

    def _wait_for(self, condition: Callable[[], object], name: str, daemon: Daemon) -> None:
        """Until `condition` holds. Raises InternalError when the daemon ends before."""

        def settled() -> bool:
            if condition():
                return True
            if not daemon.alive():
                raise self._ended(name)
            return False

        wait_until(settled, name, START_SECONDS)

    def _ended(self, name: str) -> InternalError:
        log = self._log(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        told = "\n".join(f"    {line}" for line in lines)
        return InternalError(f"{name} ended at once:\n{told}", f"all of it: {log}", "DaemonEnded")


def _python(module: str) -> list[str]:
    """-P: a file in the current directory must not stand in for the module."""
    return [sys.executable, "-P", "-m", module]


def _agent(config: Path, *arguments: str) -> str:
    """What a command of the site's operator prints."""
    command = [*_python("agent"), "--config", str(config), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InternalError(done.stderr.strip(), "", "AgentCommandFailed")
    return done.stdout


def _attempts(config: Path) -> int:
    """How many attempts run at a site, by its own account."""
    return int(json.loads(_agent(config, "status", "-o", "json"))["attempts"])


def _has_ended(daemon: Daemon) -> bool:
    return not daemon.alive()


def _is_open(admin: Client, site: str) -> bool:
    return admin.site(site).state == "open"


def _cards(sample: Sample) -> str:
    return f"{sample.nodes} × {sample.cards_per_node} {sample.accelerator} (declared)"


def _broker_first(record: Path) -> tuple[bool, str]:
    return record.stem != "broker", record.stem


def _user_name() -> str:
    """This machine's user as a name of the federation."""
    name = re.sub(r"[^a-z0-9._-]", "", getpass.getuser().lower()).strip("._-")
    return name[:63] or "user"
