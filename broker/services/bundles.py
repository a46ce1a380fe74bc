"""The first look at a user's archive: its size and that it is a gzip file at all.

What is in it is judged where it is unpacked, at the site.
"""

from __future__ import annotations

from hashlib import sha256

from suan.errors import InvalidRequest, ResourceExhausted

BUNDLE_BYTES_MAX = 2 << 20
_GZIP = b"\x1f\x8b"


def checked_bundle(data: bytes) -> str:
    """The digest of a bundle that may be kept. Raises InvalidRequest, ResourceExhausted."""
    if len(data) > BUNDLE_BYTES_MAX:
        raise ResourceExhausted(
            f"the bundle has {len(data):,} bytes; at most {BUNDLE_BYTES_MAX:,} are taken",
            "keep large files in a dataset, or list them in .suanignore",
            "BundleTooLarge",
        )
    if not data.startswith(_GZIP):
        raise InvalidRequest("the bundle is not a gzip file", "", "BundleInvalid")
    return sha256(data).hexdigest()
