"""One URL into its entry of the cache: conditional, resumed after a cut, verified, durable.

Runs in a thread of its own and blocks; `Interrupt` ends it. Whoever calls holds the entry and
lets only one download at a time work on it.
"""

from __future__ import annotations

import hashlib
import os
import re

from agent.clock import boot_id
from agent.staging.cache import Cache, Entry, Origin
from agent.staging.disk_files import FileAnswer
from agent.staging.interrupt import Interrupt
from agent.staging.pace import Pace
from agent.staging.refusals import StagingRefused, unreachable
from agent.staging.sftp import SftpAnswer
from agent.staging.transport import CHUNK_BYTES, Answer, Transport, Unreachable
from agent.staging.values import Limits, Progress, UrlSource

PROMISE_BYTES = 64 * 1024 * 1024  # asked ahead while the server does not say how much comes
PROGRESS_BYTES = 4 * 1024 * 1024  # between two words of progress
Answered = Answer | SftpAnswer | FileAnswer
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_LATER = (408, 425, 429)  # and all of 5xx


class Download:
    """Brings one file, whatever it takes within the limits."""

    def __init__(
        self,
        source: UrlSource,
        cache: Cache,
        transport: Transport,
        limits: Limits,
        interrupt: Interrupt,
        progress: Progress,
        pace: Pace,
    ) -> None:
        self._source = source
        self._cache = cache
        self._transport = transport
        self._limits = limits
        self._interrupt = interrupt
        self._progress = progress
        self._pace = pace
        self._resumed = False

    def run(self) -> None:
        """Returns once the whole file is in the cache, durably.

        Raises StagingRefused, and OSError of the cache's disk as it comes.
        """
        entry = self._cache.open_entry(self._source.key)
        if self._source.sha256 and entry.whole:
            return
        try:
            self._try_on(entry)
        except (OSError, StagingRefused) as error:
            if isinstance(error, OSError) or error.code == "DiskFull":
                entry.drop()  # a full disk needs it more
            raise
        finally:
            self._cache.withdraw(self._source.key)

    def _try_on(self, entry: Entry) -> None:
        """Try until it is there; give up after some tries in a row that bring nothing new."""
        furthest, tries, pause = entry.partial_bytes, 0, self._limits.retry_seconds
        while True:
            try:
                self._check_interrupt()
                self._pull(entry)
                return
            except Unreachable as error:
                self._check_interrupt()
                if entry.partial_bytes > furthest:
                    furthest, tries, pause = entry.partial_bytes, 0, self._limits.retry_seconds
                tries += 1
                if tries >= self._limits.tries_max:
                    raise self._unreachable(f"{error} ({tries} tries)") from error
                self._interrupt.wait(pause)
                pause = min(2 * pause, self._limits.retry_seconds_max)

    def _pull(self, entry: Entry) -> None:
        """One request and what it brings."""
        offset, headers = self._conditions(entry)
        with self._transport.get(self._source.url, headers, self._interrupt) as answer:
            if answer.status == 304 and entry.whole:
                return
            if not self._is_all(answer, offset):
                self._check_status(entry, answer)
                total = self._accept(entry, answer, offset)
                self._receive(entry, answer, total)
        self._finish(entry)

    def _conditions(self, entry: Entry) -> tuple[int, dict[str, str]]:
        """From which byte on to ask, and on what conditions."""
        origin = entry.origin()
        if entry.whole:
            known = {"If-None-Match": origin.etag, "If-Modified-Since": origin.last_modified}
            return 0, {name: value for name, value in known.items() if value}
        offset = entry.partial_bytes
        weak = origin.etag.startswith("W/")
        validator = origin.last_modified if weak or not origin.etag else origin.etag
        # After a power cut a file may have its length and not its bytes.
        trusted = validator and origin.boot_id == boot_id()
        if not offset or not (trusted or self._source.sha256):
            return 0, {}
        headers = {"Range": f"bytes={offset}-"}
        return offset, {**headers, "If-Range": validator} if validator else headers

    def _is_all(self, answer: Answered, offset: int) -> bool:
        """Whether the server has no more than what was brought before a crash."""
        return (
            answer.status == 416
            and offset > 0
            and answer.header("Content-Range") == f"bytes */{offset}"
        )

    def _check_status(self, entry: Entry, answer: Answered) -> None:
        status, shown = answer.status, self._source.shown
        if status in (200, 206):
            return
        if status == 416:  # what we have is not a beginning of what is there
            entry.drop()
            raise Unreachable("the server has fewer bytes than before")
        if status in _LATER or status >= 500:
            raise Unreachable(f"{shown} answers with HTTP status {status}")
        if status in (404, 410):
            hint = "correct the URL, or put the data there"
            raise StagingRefused("DataMissing", f"there is nothing at {shown}", hint)
        message = f"{shown} answers with HTTP status {status}"
        hint = "the agent has no account there: use a URL that anybody may read, or a signed one"
        raise StagingRefused("DataRefused", message, hint)

    def _accept(self, entry: Entry, answer: Answered, offset: int) -> int | None:
        """Make `entry` ready for the body; the file's length, or None if nobody says it."""
        total = None if answer.body_bytes is None else offset + answer.body_bytes
        if answer.status == 206:
            found = _RANGE.fullmatch(answer.header("Content-Range"))
            if not found or int(found[1]) != offset or not offset:
                entry.drop()
                raise Unreachable("the server answers with another range")
            if found[2] != "*":
                total = int(found[2])
            self._resumed = True
        else:
            total = answer.body_bytes
            entry.begin(Origin(answer.header("ETag"), answer.header("Last-Modified"), boot_id()))
        if total is None and not (answer.chunked or self._source.sha256):
            message = f"{self._source.shown} does not say how long it is; a cut would not be seen"
            hint = "add #sha256=<its checksum> to the URL"
            raise StagingRefused("SourceUnsupported", message, hint)
        return total

    def _receive(self, entry: Entry, answer: Answered, total: int | None) -> None:
        with entry.partial.open("ab") as file:
            done = told = file.tell()
            promised = self._promise(done, total)
            self._progress(done, total or 0)
            while chunk := answer.read():
                self._check_interrupt()
                done += len(chunk)
                if total is not None and done > total:
                    entry.drop()
                    raise Unreachable(f"{self._source.shown} sends more than it said")
                if done > promised:
                    promised = self._promise(done, total)
                file.write(chunk)
                self._pace.take(len(chunk))
                if done - told >= PROGRESS_BYTES:
                    told = done
                    self._progress(done, total or 0)
        self._check_interrupt()
        if total is not None and done < total:
            raise Unreachable(f"{self._source.shown} broke off after {done:,} bytes")
        self._progress(done, done)

    def _finish(self, entry: Entry) -> None:
        wanted = self._source.sha256
        if wanted and (found := self._digest(entry)) != wanted:
            entry.drop()
            message = f"{self._source.shown} has the SHA-256 {found}, not {wanted}"
            if self._resumed:  # perhaps the parts do not belong together: once more, from 0
                self._resumed = False
                raise Unreachable(message)
            hint = "correct the checksum, or the file at that URL"
            raise StagingRefused("DataCorrupt", message, hint)
        with entry.partial.open("rb") as file:
            os.fsync(file.fileno())
        entry.finish()

    def _digest(self, entry: Entry) -> str:
        digest = hashlib.sha256()
        with entry.partial.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                self._check_interrupt()
                digest.update(chunk)
        return digest.hexdigest()

    def _promise(self, done: int, total: int | None) -> int:
        """Have room kept for the whole file, or for some bytes more; up to which byte."""
        bytes_max = self._limits.file_bytes_max
        if (done if total is None else total) > bytes_max:
            message = f"{self._source.shown} has more than the {bytes_max:,} bytes that a file may"
            hint = "use a dataset that lies at a site, or ask the operator for a larger limit"
            raise StagingRefused("DataRefused", message, hint)
        step = min(done + PROMISE_BYTES, bytes_max)
        wanted = step if total is None else total
        eased = self._pace.eased
        spare_bytes = round(self._limits.cache_bytes_max * self._limits.ahead_spare) if eased else 0
        self._cache.promise(self._source.key, wanted, spare_bytes)
        return min(wanted, step) if eased else wanted  # what no job waits for asks again and again

    def _check_interrupt(self) -> None:
        if self._interrupt.is_set():
            raise self._unreachable(self._interrupt.why)

    def _unreachable(self, why: str) -> StagingRefused:
        return unreachable(self._source.shown, why)
