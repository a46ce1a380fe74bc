"""The network between the sites and the broker, and how each direction of it is cut.

Two of them, with the same face. Namespaces: each site's agent and jobs live in a network
of their own, joined to the broker's by a pair of virtual interfaces; a cut sends the packets
of one direction to a hardware address that nobody has. They end with the processes in them,
so nothing is left behind however a run ends. Where namespaces are not allowed a proxy of
our own (`proxy`) stands before the broker, one port for each site.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.chaos.faults import CUTS, SITES, Kind
from tests.chaos.proxy import Proxy

BROKER_HOST = "10.77.0.1"
NOBODY = "02:00:00:00:00:77"  # a hardware address that no interface has
ENTER_SECONDS = 10.0
INTO_SITE = frozenset({Kind.CUT_BOTH, Kind.CUT_IN})  # kinds that cut this direction …
OUT_OF_SITE = frozenset({Kind.CUT_BOTH, Kind.CUT_OUT})  # … and this
assert INTO_SITE | OUT_OF_SITE == CUTS


class Network(Protocol):
    """What lies between the broker and each site."""

    host: str  # where the broker listens

    def address(self, site: str, broker: str) -> str:
        """Where the site dials, when the broker serves at `broker`."""

    def enter(self, site: str) -> tuple[str, ...]:
        """What stands before a command that is to run in the site's network."""

    def cut(self, site: str, kind: Kind) -> None:
        """From now on nothing passes in the directions of `kind`."""

    def heal(self, site: str) -> None:
        """Everything passes again."""

    def close(self) -> None:
        """Take it down."""


def namespaces_allowed() -> bool:
    """Whether this process may make networks of its own."""
    probe = "ip link add probe0 type veth peer name probe1"
    command = ["unshare", "--net", "--mount", "sh", "-c", probe]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def open_network(name: str) -> Network:
    """`netns` (in a network namespace that is ours alone) or `proxy`."""
    return Namespaces() if name == "netns" else Proxies()


# --- namespaces -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """The pair of interfaces between the broker and one site, seen from both ends."""

    holder: subprocess.Popen[bytes]  # keeps the namespace while nothing else lives in it
    device: str  # at the broker's end; the site's is `eth0`
    here: tuple[str, str]  # address and hardware address at the broker's end
    there: tuple[str, str]

    @property
    def enter(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--")

    def pass_out(self, mac: str) -> None:
        """The site sends its packets for the broker to `mac`."""
        _run(*self.enter, *_neighbour(self.here[0], mac, "eth0"))

    def pass_in(self, mac: str) -> None:
        _run(*_neighbour(self.there[0], mac, self.device))


class Namespaces:
    """One network for the broker, which is this process's own, and one for each site."""

    host = BROKER_HOST

    def __init__(self) -> None:
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "address", "add", f"{BROKER_HOST}/32", "dev", "lo")
        self._lines = {site: _line(number) for number, site in enumerate(SITES, 1)}

    def address(self, site: str, broker: str) -> str:
        return broker

    def enter(self, site: str) -> tuple[str, ...]:
        return self._lines[site].enter

    def cut(self, site: str, kind: Kind) -> None:
        line = self._lines[site]
        if kind in INTO_SITE:
            line.pass_in(NOBODY)
        if kind in OUT_OF_SITE:
            line.pass_out(NOBODY)

    def heal(self, site: str) -> None:
        line = self._lines[site]
        line.pass_in(line.there[1])
        line.pass_out(line.here[1])

    def close(self) -> None:
        for line in self._lines.values():
            line.holder.kill()
            line.holder.wait()


def _line(number: int) -> _Line:
    # It ends by itself when we do: then nobody holds the other end of its input.
    holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
    _wait_entered(holder.pid)
    device, subnet = f"site{number}", f"10.77.{number}"
    here, there = (f"{subnet}.1", _mac(number, 1)), (f"{subnet}.2", _mac(number, 2))
    line = _Line(holder, device, here, there)
    pair = ["ip", "link", "add", device, "address", here[1], "type", "veth"]
    _run(*pair, "peer", "name", "eth0", "address", there[1], "netns", str(holder.pid))
    _run("ip", "address", "add", f"{here[0]}/30", "dev", device)
    _run("ip", "link", "set", device, "up")
    _run(*line.enter, "ip", "link", "set", "lo", "up")
    _run(*line.enter, "ip", "address", "add", f"{there[0]}/30", "dev", "eth0")
    _run(*line.enter, "ip", "link", "set", "eth0", "up")
    _run(*line.enter, "ip", "route", "add", BROKER_HOST, "via", here[0])
    line.pass_in(there[1])
    line.pass_out(here[1])
    return line


def _mac(number: int, end: int) -> str:
    return f"02:77:00:00:{number:02x}:{end:02x}"


def _neighbour(address: str, mac: str, device: str) -> Sequence[str]:
    return ("ip", "neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")


def _wait_entered(pid: int) -> None:
    end = time.monotonic() + ENTER_SECONDS
    own = Path("/proc/self/ns/net").readlink()
    while Path(f"/proc/{pid}/ns/net").readlink() == own:
        if time.monotonic() > end:
            raise TimeoutError(f"no network of its own after {ENTER_SECONDS:g} s")
        time.sleep(0.01)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


# --- proxies ----------------------------------------------------------------------


class Proxies:
    """A port on loopback for each site, with a proxy behind it that can be cut."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._proxies: dict[str, Proxy] = {}

    def address(self, site: str, broker: str) -> str:
        if site not in self._proxies:
            self._proxies[site] = Proxy(broker)
        return self._proxies[site].address

    def enter(self, site: str) -> tuple[str, ...]:
        return ()

    def cut(self, site: str, kind: Kind) -> None:
        self._proxies[site].pass_only(into=kind not in INTO_SITE, out=kind not in OUT_OF_SITE)

    def heal(self, site: str) -> None:
        self._proxies[site].pass_only(into=True, out=True)

    def close(self) -> None:
        for proxy in self._proxies.values():
            proxy.close()
