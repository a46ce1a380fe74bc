"""An S3-compatible store that the site has an account at: addresses, and signed requests.

AWS Signature Version 4 (Amazon S3 API reference, "Authenticating Requests: Using the
Authorization Header"), whose bodies are in memory. Buckets are named in the path, as every
compatible store understands. Opens no connection.
"""

from __future__ import annotations

import hmac
from configparser import ConfigParser, Error
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from suan.errors import InvalidRequest

SCHEME = "s3"
REGION = "us-east-1"  # what stores take where they have no regions
_ALGORITHM = "AWS4-HMAC-SHA256"
_SIGNED = "host;x-amz-content-sha256;x-amz-date"


@dataclass(frozen=True, slots=True)
class S3Store:
    """One endpoint and one account."""

    endpoint: str  # scheme://host[:port]
    access_key_id: str
    secret_access_key: str = field(repr=False)
    region: str = REGION

    def address(self, url: str) -> str:
        """Where `s3://bucket/key` is read; what the key has as %XX stays the same byte."""
        parts = urlsplit(url)
        path = quote(unquote(f"/{parts.netloc}{parts.path}"), safe="/~")
        return f"{self.endpoint.rstrip('/')}{path}"

    def signed(
        self, address: str, now: datetime, method: str = "GET", body: bytes = b""
    ) -> dict[str, str]:
        """Headers of a request for `address` at `now` (UTC); others may be sent beside them.

        What the address has behind "?" is spelt as it is signed: name=value, in order of name.
        """
        content = sha256(body).hexdigest()
        parts = urlsplit(address)
        at = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{at[:8]}/{self.region}/s3/aws4_request"
        wanted = "\n".join(
            (
                method,
                parts.path,
                parts.query,
                f"host:{parts.netloc}",
                f"x-amz-content-sha256:{content}",
                f"x-amz-date:{at}",
                "",
                _SIGNED,
                content,
            )
        )
        hashed = sha256(wanted.encode()).hexdigest()
        signature = self._sign(at[:8], f"{_ALGORITHM}\n{at}\n{scope}\n{hashed}")
        credential = f"{self.access_key_id}/{scope}"
        return {
            "X-Amz-Content-SHA256": content,
            "X-Amz-Date": at,
            "Authorization": f"{_ALGORITHM} Credential={credential}, "
            f"SignedHeaders={_SIGNED}, Signature={signature}",
        }

    def _sign(self, day: str, text: str) -> str:
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()


def store_of(endpoint: str, credentials: Path, region: str = "") -> S3Store:
    """The store with the account in `credentials`, a file as of the AWS tools, section default.

    Raises InvalidRequest.
    """
    told = ConfigParser(interpolation=None)
    try:
        told.read_string(credentials.read_text("utf-8"))
        account = told["default"]
        return S3Store(
            endpoint,
            account["aws_access_key_id"],
            account["aws_secret_access_key"],
            region or REGION,
        )
    except (OSError, UnicodeDecodeError, Error, KeyError) as error:
        raise InvalidRequest(
            f"{credentials} cannot be read as the site's account at {endpoint}: {error}",
            "write [default], aws_access_key_id = … and aws_secret_access_key = … into it",
            "ConfigUnreadable",
        ) from error
