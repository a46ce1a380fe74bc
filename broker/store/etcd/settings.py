"""Where etcd is and how it is used; every bound with its unit and its default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from broker.store import StoreError
from suan.identity.address import is_loopback

MIB = 1 << 20
OPERATIONS_MIN = 8
REQUEST_BYTES_MIN = 6_144


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """One etcd cluster, and the rows of one federation in it.

    Raises StoreError ("StoreFailed") for what cannot work.
    """

    endpoints: tuple[str, ...]  # HOST:PORT each, or https://HOST:PORT
    federation: str  # its rows lie under suan/FEDERATION/
    # PEM files. With the first the wire is TLS, with all three etcd knows who we are.
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    # Plaintext beyond this machine: whoever is on the line can read, and lead.
    insecure: bool = False
    # Of etcd's own accounts, where it has them; without a user the certificate's name counts.
    user: str = ""
    password_file: Path | None = None
    lease_seconds: int = 9  # of the lead; etcd may give more, and its word counts
    renew_seconds: float = 3.0  # between two renewals of the lead
    clock_drift: float = 0.001  # bound on the relative rate error of either clock
    call_seconds: float = 3.0  # deadline of one call
    connect_seconds: float = 10.0  # so long an endpoint is looked for at the start
    watch_seconds: float = 30.0  # one watch; its successor goes on where it ended
    compact_seconds: float = 300.0  # history younger than this is kept for slow standbys
    compact_bytes: int = 256 * MIB  # but after so much was written it may go earlier
    heal_seconds: float = 5.0  # between two attempts to make room in a full etcd
    # What etcd takes at once: its --max-txn-ops, --max-request-bytes; above them it is told so
    # at each start, and less is sent.
    operations_max: int = 128
    request_bytes_max: int = 1_572_864

    def __post_init__(self) -> None:
        problems = {
            "no endpoint of etcd is named": not self.endpoints,
            "no federation is named": not self.federation,
            "a certificate needs its key, and both need ca_file": (
                (self.certificate_file is None) != (self.key_file is None)
                or (self.certificate_file is not None and self.ca_file is None)
            ),
            "https:// needs ca_file": self.ca_file is None and any(map(_is_https, self.endpoints)),
            "an etcd on another machine needs ca_file, or insecure": (
                self.ca_file is None
                and not self.insecure
                and not all(is_loopback(_host(endpoint)) for endpoint in self.endpoints)
            ),
            "insecure and ca_file contradict each other": (
                self.insecure and self.ca_file is not None
            ),
            "a user needs its password_file, and the other way round": (
                bool(self.user) != (self.password_file is not None)
            ),
            "renew_seconds must be below half of lease_seconds": (
                not 0 < 2 * self.renew_seconds < self.lease_seconds
            ),
            f"operations_max must be {OPERATIONS_MIN} or more": self.operations_max
            < OPERATIONS_MIN,
            f"request_bytes_max must be {REQUEST_BYTES_MIN} or more": (
                self.request_bytes_max < REQUEST_BYTES_MIN
            ),
        }
        for problem, holds in problems.items():
            if holds:
                raise StoreError("StoreFailed", problem)

    @property
    def prefix(self) -> bytes:
        return f"suan/{self.federation}/".encode()


def _is_https(endpoint: str) -> bool:
    return endpoint.startswith("https://")


def _host(endpoint: str) -> str:
    return endpoint.removeprefix("https://").rpartition(":")[0].strip("[]")
