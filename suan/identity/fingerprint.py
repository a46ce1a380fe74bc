"""Fingerprints that two people can compare over the telephone.

Knows bytes only: what they are (a public key, a certificate) is the caller's matter.
"""

import hashlib
import hmac
import re
from typing import Final

_PREFIX: Final = "SHA256:"
_GROUP: Final = 4  # hexadecimal digits read out at a time


def fingerprint(data: bytes) -> str:
    """`SHA256:9F86-D081-…`: all 256 bits of the digest in 16 groups of four digits."""
    digits = hashlib.sha256(data).hexdigest().upper()
    return _PREFIX + "-".join(re.findall("." * _GROUP, digits))


def same_fingerprint(typed: str, expected: str) -> bool:
    """Whether a typed fingerprint is the expected one; case, spaces, '-' and ':' do not count."""
    return hmac.compare_digest(_digits(typed), _digits(expected))


def _digits(text: str) -> bytes:
    plain = re.sub(r"[\s:-]", "", text).upper()
    return plain.removeprefix(_PREFIX.rstrip(":")).encode()
