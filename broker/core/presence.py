"""The soft state of sites: sessions, silence and capacity. Nothing of it is stored.

After a restart the next Hello of each site rebuilds it. Capacity seen by the
scheduler is what the site reported less what was granted after that report.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from broker.core.messages import PROTOCOL_MAX, AttemptKey, CapacityReport, SiteFacts
from scheduler.model import Pool, SiteState, Slice, Supernode


class PoolUse:
    """One pool as reported, less the grants that the report does not reflect yet."""

    __slots__ = ("_outstanding", "_placeable", "_supernodes", "reported")

    def __init__(self, reported: Pool) -> None:
        self.reported = reported
        self._placeable: Pool | None = None  # as of the last change, when it was asked for
        self._outstanding: dict[AttemptKey, tuple[int, tuple[Slice, ...]]] = {}
        self._supernodes = {node.name: node for node in reported.supernodes}

    def take(self, key: AttemptKey, grant_seq: int, slices: tuple[Slice, ...]) -> bool:
        """Book `slices` for a grant; False, and nothing taken, when they are not free."""
        taken: dict[str, Supernode] = {}
        for part in slices:
            node = taken.get(part.supernode) or self._supernodes.get(part.supernode)
            if node is None or node.nodes_fitting(part.cards) < part.nodes:
                return False
            taken[part.supernode] = node.take(part.nodes, part.cards)
        self._placeable = None
        self._supernodes.update(taken)
        self._outstanding[key] = grant_seq, slices
        return True

    def report(self, pool: Pool, reflects_grant_seq: int) -> None:
        """Take over a newer report and book again what it does not reflect."""
        self.reported, self._placeable = pool, None
        self._supernodes = {node.name: node for node in pool.supernodes}
        waiting = self._outstanding
        self._outstanding = {}
        for key, (grant_seq, slices) in waiting.items():
            # What no longer fits was overtaken by local jobs: the site will refuse it.
            if grant_seq > reflects_grant_seq and not self.take(key, grant_seq, slices):
                self._outstanding[key] = grant_seq, slices

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    def placeable(self) -> Pool:
        """The pool with the free cards that may be granted now."""
        if self._placeable is None:
            supernodes = tuple(self._supernodes.values())
            self._placeable = replace(self.reported, supernodes=supernodes)
        return self._placeable


@dataclass(slots=True)
class SitePresence:
    """One site's session and silence. `heard_*`: when its last heartbeat was handled."""

    site: str
    session: str
    gateway: str
    agent_id: str
    boot_id: str
    facts: SiteFacts
    heard_at_clock: float  # seconds of the lease clock
    heard_wall: float
    connected: bool = True
    silence: SiteState = SiteState.OPEN  # OPEN, SUSPECT or LOST
    heartbeat_seq: int = 0
    grant_seq: int = 0
    capacity_seq: int = 0
    report_seq: int = 0  # highest that was handled in this session
    pools: dict[str, PoolUse] = field(default_factory=dict)
    specs_sent: set[str] = field(default_factory=set)
    protocol: int = PROTOCOL_MAX
    heartbeat_seconds: float = 0.0  # the longest interval that it was told in this session
    earlier: tuple[str, ...] = ()  # sessions before this one, newest first
    extension_seq: int = 0  # first heartbeat whose answer extended leases for maintenance
    extended: bool = False  # and the site has made that durable
    # What its data plane said in this session (see `prestaging`).
    cache_seq: int = 0  # of its last report; 0: it has none, and brings nothing ahead of need
    cache_bytes_max: int = 0
    staging_seq: int = 0
    staging: dict[AttemptKey, tuple[int, int]] = field(default_factory=dict)  # bytes done, all
    # What it was told to bring: by location, bytes per second and until when (elapsed).
    told_ahead: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take_report(self, report: CapacityReport) -> bool:
        """Replace the named pools; a full report also drops the others.

        False, and nothing changed, when a newer one was taken before.
        """
        if report.seq <= self.capacity_seq and self.capacity_seq:
            return False
        self.capacity_seq = report.seq
        if report.facts is not None:
            self.facts = report.facts
        for pool in report.pools:
            known = self.pools.get(pool.name)
            if known is None:
                self.pools[pool.name] = PoolUse(pool)
            else:
                known.report(pool, min(report.reflects_grant_seq, self.grant_seq))
        if report.full:
            named = {pool.name for pool in report.pools}
            for name in [name for name in self.pools if name not in named]:
                del self.pools[name]
        return True

    def state(self, draining: bool) -> SiteState:
        """What may be done with the site now."""
        if self.silence is not SiteState.OPEN:
            return self.silence
        if not self.connected:
            return SiteState.SUSPECT
        if draining:
            return SiteState.DRAINING
        return SiteState.PAUSED if self.facts.paused else SiteState.OPEN
