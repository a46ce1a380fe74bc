"""The first look at a user's archive: its size and that it is a gzip file at all.

What is in it is judged where it is unpacked, at the site.
"""

from __future__ import annotations

from hashlib import sha256

from broker.core.limits import Limits
from suan.errors import InvalidRequest, ResourceExhausted

_GZIP = b"\x1f\x8b"


def checked_bundle(data: bytes) -> str:
    """The digest of a bundle that may be kept. Raises InvalidRequest, ResourceExhausted."""
    most = Limits().bundle_bytes_max
    if len(data) > most:
        raise ResourceExhausted(
            f"the bundle has {len(data):,} bytes; at most {most:,} are taken",
            "keep large files in a dataset, or list them in .suanignore",
            "BundleTooLarge",
        )
    if not data.startswith(_GZIP):
        raise InvalidRequest("the bundle is not a gzip file", "", "BundleInvalid")
    return sha256(data).hexdigest()
