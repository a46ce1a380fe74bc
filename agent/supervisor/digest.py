"""The digest of the attempts held, by which the broker sees that both sides agree.

XOR over the attempts, so that one more or one less costs one hash. The broker computes the
same from its own tables.
"""

from __future__ import annotations

from hashlib import blake2b


def attempt_digest(job_id: str, epoch: int) -> int:
    """64 bits of one attempt: the first 8 bytes of BLAKE2b over `job/epoch`, big-endian."""
    hashed = blake2b(f"{job_id}/{epoch}".encode(), digest_size=8)
    return int.from_bytes(hashed.digest(), "big")
