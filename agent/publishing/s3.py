"""A store that is a prefix in a bucket of an S3-compatible server.

Small files in one request, larger ones in parts: of an upload that was cut, the parts that the
server has are not sent again by this process. What must never be overwritten is written with
If-None-Match (Amazon S3 API reference, "Conditional writes"). Every body is signed with its
checksum, so the server refuses what was changed on the way.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256 as new_sha256
from urllib.parse import quote, urlsplit
from xml.sax.saxutils import escape, unescape

from agent.publishing.store import StoreFailed, check
from agent.staging.interrupt import Interrupt
from agent.staging.manifest import quoted_key
from agent.staging.refusals import StagingRefused
from agent.staging.s3 import S3Store
from agent.staging.transport import Answer, Transport, Unreachable
from suan.errors import Category

PART_BYTES = 16 * 1024 * 1024  # at least; the server wants 5 MiB …
PARTS_MAX = 9_000  # … and at most 10,000 parts
ANSWER_BYTES_MAX = 1024 * 1024
UPLOADS_MAX = 1_000  # cut ones that are remembered
_LATER = (408, 409, 425, 429)  # and all of 5xx
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")


@dataclass(slots=True)
class _Upload:
    """A file on its way in parts."""

    id: str
    sha256: str
    tags: dict[int, str] = field(default_factory=dict)  # part -> what the server calls it


class ObjectStore:
    """See `agent.publishing.stores.Store`."""

    def __init__(self, place: str, account: S3Store, transport: Transport) -> None:
        """`place`: s3://bucket[/prefix]."""
        self._place = place.rstrip("/")
        self._account = account
        self._transport = transport
        self._uploads: dict[str, _Upload] = {}
        self._lock = threading.Lock()

    def put(self, key: str, descriptor: int, size_bytes: int, sha256: str, end: Interrupt) -> None:
        if size_bytes > PART_BYTES:
            self._put_parts(key, descriptor, size_bytes, sha256, end)
            return
        body = os.pread(descriptor, PART_BYTES + 1, 0)
        if len(body) != size_bytes or new_sha256(body).hexdigest() != sha256:
            raise StoreFailed(f"{key} was changed while it was read")
        with self._ask("PUT", key, end, body=body) as answer:
            self._expect(answer, key, 200)

    def size(self, key: str, end: Interrupt) -> int | None:
        with self._ask("HEAD", key, end) as answer:
            if answer.status == 404:
                return None
            self._expect(answer, key, 200)
            return int(answer.header("Content-Length") or 0)

    def create(self, key: str, data: bytes, end: Interrupt) -> bytes:
        with self._ask("PUT", key, end, body=data, headers={"If-None-Match": "*"}) as answer:
            if answer.status == 200:
                return data
            if answer.status != 412:
                self._expect(answer, key, 200)
        with self._ask("GET", key, end) as answer:
            self._expect(answer, key, 200)
            return answer.read_all(max(len(data), ANSWER_BYTES_MAX))

    def remove(self, key: str, end: Interrupt) -> None:
        with self._ask("DELETE", key, end) as answer:
            if answer.status not in (200, 404):
                self._expect(answer, key, 204)

    def url(self, key: str) -> str:
        return f"{self._place}/{quoted_key(key)}"

    # --- in parts -----------------------------------------------------------------------

    def _put_parts(
        self, key: str, descriptor: int, size_bytes: int, sha256: str, end: Interrupt
    ) -> None:
        upload = self._upload(key, sha256, end)
        part_bytes = max(PART_BYTES, -(-size_bytes // PARTS_MAX))
        whole, offset, number = new_sha256(), 0, 0
        while body := os.pread(descriptor, part_bytes, offset):
            check(end)
            number += 1
            offset += len(body)
            whole.update(body)
            if number not in upload.tags:
                query = f"partNumber={number}&uploadId={quote(upload.id, safe='')}"
                with self._ask("PUT", key, end, query, body) as answer:
                    if answer.status == 404:
                        self._forget(key)
                        raise StoreFailed(f"the upload of {key} is gone", passing=True)
                    self._expect(answer, key, 200)
                    upload.tags[number] = answer.header("ETag")
        if offset != size_bytes or whole.hexdigest() != sha256:
            self._abort(key, upload, end)
            raise StoreFailed(f"{key} was changed while it was read")
        self._complete(key, upload, end)

    def _upload(self, key: str, sha256: str, end: Interrupt) -> _Upload:
        with self._lock:
            known = self._uploads.get(key)
        if known is not None and known.sha256 == sha256:
            return known
        with self._ask("POST", key, end, "uploads=") as answer:
            self._expect(answer, key, 200)
            found = _UPLOAD_ID.search(answer.read_all(ANSWER_BYTES_MAX))
        if found is None:
            raise StoreFailed(f"{self.url(key)}: the server does not begin an upload")
        upload = _Upload(unescape(found[1].decode()), sha256)
        with self._lock:
            self._uploads[key] = upload
            while len(self._uploads) > UPLOADS_MAX:
                del self._uploads[next(iter(self._uploads))]
        return upload

    def _complete(self, key: str, upload: _Upload, end: Interrupt) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(tag)}</ETag></Part>"
            for number, tag in sorted(upload.tags.items())
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        with self._ask("POST", key, end, f"uploadId={quote(upload.id, safe='')}", body) as answer:
            self._forget(key)
            self._expect(answer, key, 200)
            if b"<Error>" in answer.read_all(ANSWER_BYTES_MAX):
                raise StoreFailed(f"{self.url(key)}: its parts do not fit together", passing=True)

    def _abort(self, key: str, upload: _Upload, end: Interrupt) -> None:
        self._forget(key)
        query = f"uploadId={quote(upload.id, safe='')}"
        with contextlib.suppress(StoreFailed), self._ask("DELETE", key, end, query):
            pass

    def _forget(self, key: str) -> None:
        with self._lock:
            self._uploads.pop(key, None)

    # --- one request ----------------------------------------------------------------------

    @contextlib.contextmanager
    def _ask(
        self,
        method: str,
        key: str,
        end: Interrupt,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Answer]:
        address = self._account.address(self.url(key)) + (f"?{query}" if query else "")
        try:
            with self._transport.send(method, address, body, headers or {}, end) as answer:
                yield answer
        except Unreachable as error:
            host = urlsplit(address).netloc
            message = end.why or f"the store at {host} cannot be reached: {error}"
            raise StoreFailed(message, passing=True, category=Category.NETWORK) from error
        except StagingRefused as error:
            raise StoreFailed(str(error), category=error.category) from error

    def _expect(self, answer: Answer, key: str, status: int) -> None:
        if answer.status == status:
            return
        passing = answer.status in _LATER or answer.status >= 500
        message = f"the store answers with HTTP status {answer.status} for {self.url(key)}"
        raise StoreFailed(message, passing=passing)
