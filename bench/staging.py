"""How fast an input is staged, beside curl from the same server in the same run.

    python -m bench.staging [--mib 1024] [--rounds 5] [--place DIR]

A server of its own process sends one file over loopback by sendfile. Per round, in turn: curl
writes it, curl writes it and it is made durable (`sync`), the same and it is checked
(`sha256sum`); the agent's staging brings it, which is always durable, without and with a
checksum. Medians of wall seconds; the caches begin empty each time. 0.8 of curl is the aim.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from agent.staging import Limits, Staging
from bench.report import machine
from suan.models import Input

MIB = 1 << 20
AIM = 0.8
READY_SECONDS = 20.0


class Sender(BaseHTTPRequestHandler):
    """Gives the one file to whoever asks."""

    file: Path

    def do_GET(self) -> None:
        size = self.file.stat().st_size
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.flush()
        sent = 0
        with self.file.open("rb") as data:
            while sent < size:
                sent += os.sendfile(self.connection.fileno(), data.fileno(), sent, size - sent)

    def log_message(self, *_said: object) -> None:
        """Nothing is said."""


def serve(file: Path) -> None:
    """For ever; the first line on standard output is the port."""
    Sender.file = file
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sender)
    print(server.server_address[1], flush=True)
    server.serve_forever()


async def staged(url: str, place: Path) -> None:
    """One input, from an empty cache to a job's directory."""
    limits = Limits(private_hosts=frozenset({"127.0.0.1"}))
    staging = Staging(place / "cache", (), limits)
    try:
        await staging.stage((Input("data", url),), {}, place / "job")
    finally:
        await staging.close()


def ways(url: str, digest: str, place: Path) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    curl = ["curl", "-s", "-o", str(place / "file"), url]
    durable = f"curl -s -o '{place}/file' '{url}' && sync '{place}/file'"
    checked = f"{durable} && sha256sum '{place}/file' >/dev/null"
    return {
        "curl": lambda: subprocess.run(curl, check=True),
        "curl, durable": lambda: subprocess.run(durable, check=True, shell=True),  # noqa: S602
        "curl, durable, checked": lambda: subprocess.run(checked, check=True, shell=True),  # noqa: S602
        "staging": lambda: asyncio.run(staged(url, place)),
        "staging, checked": lambda: asyncio.run(staged(f"{url}#sha256={digest}", place)),
    }


def measure(url: str, digest: str, rounds: int, base: Path) -> dict[str, float]:
    """Median seconds of each way."""
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in ways(url, digest, base):
            place = Path(tempfile.mkdtemp(dir=base))
            begun = time.perf_counter()
            ways(url, digest, place)[name]()
            taken.setdefault(name, []).append(time.perf_counter() - begun)
            shutil.rmtree(place)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, help="on which disk; default: that of /tmp")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
    if shutil.which("curl") is None:
        parser.error("curl is not here; it is what staging is compared with")
    if asked.place is not None and not asked.place.is_dir():
        parser.error(f"{asked.place} is no directory; name one on the disk to measure")
    if min(asked.mib, asked.rounds) < 1:
        parser.error("--mib and --rounds are at least 1")
    print(machine())
    with tempfile.TemporaryDirectory(dir=asked.place) as name:
        base = Path(name)
        digest = hashlib.sha256()
        with (base / "served").open("wb") as file:
            for _ in range(asked.mib):
                file.write(part := os.urandom(MIB))
                digest.update(part)
        command = [sys.executable, "-m", "bench.staging", "--serve", str(base / "served")]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/data"
            found = measure(url, digest.hexdigest(), asked.rounds, base)
        finally:
            server.terminate()
            server.wait(READY_SECONDS)
    print(f"{asked.mib} MiB, medians of {asked.rounds}")
    for way, seconds in found.items():
        print(f"  {way:24}{seconds:8.2f} s{asked.mib / seconds:10,.0f} MiB/s")
    for ours, theirs in (
        ("staging", "curl"),
        ("staging", "curl, durable"),
        ("staging, checked", "curl, durable, checked"),
    ):
        print(f"{ours} ÷ {theirs}: {found[theirs] / found[ours]:.2f} (aim {AIM})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
