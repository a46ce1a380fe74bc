"""The digest of an attempt set that agent and broker compare at each heartbeat."""

from __future__ import annotations

from hashlib import blake2b


def attempt_digest(job_id: str, epoch: int) -> int:
    """64 bits for one attempt; a set's digest is the XOR of its members'."""
    return int.from_bytes(blake2b(f"{job_id}/{epoch}".encode(), digest_size=8).digest(), "big")
