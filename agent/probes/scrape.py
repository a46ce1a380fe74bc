"""Asks an exporter over HTTP: once, bounded in time and in what it answers, following nobody.

What comes back is one moment of the exporter's own clock: its answer's date, so that the
machines' clocks need not agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from agent.probes.exporters import EXPORTERS, readings, wanted
from agent.probes.exposition import parse
from agent.probes.reading import ExporterProbe, Readings
from agent.probes.tools import ProbeFailed

SECONDS_MAX = 10.0  # of one exporter; npu-exporter answers from its cache
BYTES_MAX = 16 * 1024 * 1024  # of one answer; a full node prints about one MiB
CHUNK_BYTES = 64 * 1024
SCRAPES_MAX = 16  # at a time
ACCEPT = "text/plain;version=0.0.4"
HINT = "see that the exporter runs and that `url` of the probe leads to its metrics"


class Scraper:
    """The way to exporters, for one event loop. Its threads begin with the first question."""

    def __init__(self, seconds_max: float = SECONDS_MAX) -> None:
        self._seconds_max = seconds_max
        self._threads = ThreadPoolExecutor(SCRAPES_MAX, "exporters")
        self._free = asyncio.Semaphore(SCRAPES_MAX)

    async def read(self, probe: ExporterProbe, node: str, address: str) -> Readings:
        """What the exporter of a node says of its cards. Raises ProbeFailed.

        `code`: "ToolMissing" when nobody listens, "ToolTimedOut", "ToolFailed" when what it
        says is no exposition, or names no card.
        """
        url = probe.url_of(node, address)
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        async with self._free:
            way = kind(parts.hostname or "", parts.port, timeout=self._seconds_max)
            path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._threads, _ask, way, path, probe)
            try:
                async with asyncio.timeout(self._seconds_max):
                    return await asking
            except TimeoutError:
                message = f"{url} gave no whole answer within {self._seconds_max:g} s"
                raise ProbeFailed("ToolTimedOut", message, HINT) from None
            except ConnectionRefusedError as error:
                raise ProbeFailed("ToolMissing", f"nobody listens at {url}", HINT) from error
            except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
                why = str(error) or type(error).__name__
                code = "ToolMissing" if isinstance(error, socket.gaierror) else "ToolFailed"
                raise ProbeFailed(code, f"{url} cannot be used: {why}"[:1000], HINT) from error
            finally:
                _cut(way)


def _ask(way: http.client.HTTPConnection, path: str, probe: ExporterProbe) -> Readings:
    """In a thread: asking and parsing. Raises ValueError, OSError, HTTPException."""
    headers = {"Accept": ACCEPT, "Accept-Encoding": "identity", "Connection": "close"}
    way.request("GET", path, headers=headers)
    answer = way.getresponse()
    _require_exposition(answer)
    text = _body(answer).decode("utf-8")
    exporter, names = EXPORTERS[probe.exporter], dict(probe.names)
    found = readings(exporter, parse(text, wanted(exporter, names)), _clock(answer), names)
    if not found.cards:
        raise ValueError(f"it names no card as {probe.exporter} does: has the site renamed them?")
    return found


def _require_exposition(answer: http.client.HTTPResponse) -> None:
    if 300 <= answer.status < 400:
        where = (answer.headers.get("Location") or "somewhere else")[:200]
        raise ValueError(f"it sends us to {where}: name the final URL")
    if answer.status != 200:
        raise ValueError(f"it answered {answer.status}")
    if answer.headers.get_content_type() != "text/plain" or "Content-Type" not in answer.headers:
        raise ValueError(f"its answer is {answer.headers.get('Content-Type', 'of no type')!r}")
    if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise ValueError(f"its answer is packed ({coding!r}), which we did not ask for")
    if answer.length is not None and answer.length > BYTES_MAX:
        raise ValueError(f"its answer has {answer.length} bytes, more than {BYTES_MAX}")


def _body(answer: http.client.HTTPResponse) -> bytes:
    said = bytearray()
    while part := answer.read1(CHUNK_BYTES):
        said += part
        if len(said) > BYTES_MAX:
            raise ValueError(f"its answer has more than {BYTES_MAX} bytes")
    if answer.length:
        raise ValueError("its answer breaks off")
    return bytes(said)


def _clock(answer: http.client.HTTPResponse) -> float:
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return parsedate_to_datetime(answer.headers["Date"]).timestamp()
    return time.time()


def _cut(way: http.client.HTTPConnection) -> None:
    """Whoever still waits for an answer in its thread need not."""
    with contextlib.suppress(OSError, AttributeError):
        way.sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        way.close()
