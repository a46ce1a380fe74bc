"""The product as a policy of the replay: what the loop tells it becomes events of the core.

A job that arrives is submitted, a run that ended is reported by its site, and what the core
grants starts. A site that goes down only falls silent; the core finds out by itself. A round
is taken at each call of the loop; the replay's own `round_seconds` sets how often that is.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from broker.core.data_messages import Prestages
from broker.core.limits import Limits
from broker.core.messages import Event, Grants, Send, Stops
from scheduler import model
from simulator.federation import Federation, Workload
from simulator.production.ahead import Ahead
from simulator.production.broker import VirtualBroker
from simulator.production.sites import VirtualSite
from simulator.production.specs import Workbook
from simulator.replay.instance import Known
from simulator.replay.view import Decision, Place, View

ROUND_SECONDS = 10.0  # of virtual time between two rounds; mean completion as with none, to 0.1 %

IDLE_SECONDS = 600.0  # a queue that had to wait is looked at again so often
LOOK_SECONDS = 3_600.0  # between two looks at silence while every site is heard
SILENT_LOOK_SECONDS = 30.0  # and while one is not, until the core has given up what ran there
STOP_SECONDS = 1.0  # until a site has reported what it was told to stop
PATIENCE_SECONDS = 2 * 86_400.0  # of rounds without any start while nothing happens


class Suan:
    """The product: its core, its scheduler, and virtual sites around them.

    `networks` are those that an administrator applies, each with its moment, in order.
    """

    def __init__(
        self,
        known: Known,
        federation: Federation,
        workload: Workload,
        policy: model.Policy | None = None,
        limits: Limits | None = None,
        networks: Sequence[tuple[float, model.Network]] = (),
    ) -> None:
        self._known = known
        self._submit = known.submit_seconds.tolist()
        self._tenant = known.tenant.tolist()
        self._workbook = Workbook(federation, workload, known)
        self._networks = list(networks)
        self.broker = VirtualBroker(
            federation, workload, policy or model.Policy(), limits or Limits()
        )
        self._sites = {
            site.name: VirtualSite.of(site, federation.pools) for site in federation.sites
        }
        self._pool_of = {name: at for at, name in enumerate(known.pools.names)}
        self._site_of = [name.partition("/")[0] for name in known.pools.names]
        pools_at = {
            site.name: [at for at, name in enumerate(self._site_of) if name == site.name]
            for site in federation.sites
        }
        self._ahead = Ahead(known, workload, pools_at)
        self._readies: list[tuple[float, int, int]] = []  # (when its data are there, job, pool)
        self._starts: list[Place] = []  # of this call
        self._stops: list[Place] = []
        self._stagings: list[Place] = []
        self._looked_at = -math.inf
        self._moved_at = 0.0  # when anything happened, or was started
        self.broker.hear([said for site in self._sites.values() for said in site.greet()], -1.0)

    def decide(self, view: View) -> Decision:
        """One call of the loop: what happened, a look at silence when it is due, a round."""
        now = view.now
        self._starts, self._stops, self._stagings = [], [], []
        self._take_arrivals(view)
        self._take_ends(view)
        self._take_incidents(view)
        self._hear([event for site in self._up() for event in site.news()], now)
        if now >= self._looked_at + self._look_seconds():
            self._look(now)
        if self.broker.queued:
            self._obey(self.broker.round(now), now)
        if self._starts or view.arrived or view.ended:
            self._moved_at = now
        return Decision(self._starts, self._stagings, self._again_at(now), self._stops)

    def _up(self) -> list[VirtualSite]:
        return [site for site in self._sites.values() if site.up]

    # --- what happened ----------------------------------------------------------------

    def _take_arrivals(self, view: View) -> None:
        tenants = self._known.tenants
        for job in view.arrived:
            spec = self._workbook.spec(job)
            self.broker.submit(tenants[self._tenant[job]], id_of(job), spec, self._submit[job])
            self._stagings += self._ahead.wait(job, view.now)

    def _take_ends(self, view: View) -> None:
        while self._readies and self._readies[0][0] <= view.now:
            at, job, pool = heapq.heappop(self._readies)
            self._sites[self._site_of[pool]].started(id_of(job), at)
        for place, at in zip(view.ended, view.ended_at, strict=True):
            self._sites[self._site_of[place.pool]].ended(id_of(place.job), at)

    def _take_incidents(self, view: View) -> None:
        away = {self._site_of[pool] for pool in view.away}
        for site in self._sites.values():
            if site.up and site.profile.name in away:
                site.fail(view.now)
                self._ahead.forget(site.profile.name)
            elif not site.up and site.profile.name not in away:
                self._hear(site.greet(), view.now)
        for place in view.lost:
            self._stagings += self._ahead.wait(place.job, view.now)
        while self._networks and self._networks[0][0] <= view.now:
            self.broker.rewire(self._networks.pop(0)[1], view.now)

    # --- the broker -------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """All sites that are up are heard, then the core judges silence."""
        self._hear([site.heartbeat() for site in self._up()], now)
        self.broker.look(now)
        self._looked_at = now

    def _look_seconds(self) -> float:
        """While every site is heard, the heartbeats in between would say nothing new."""
        waits = any(self.broker.waits_for(site.profile.name) for site in self._down())
        return SILENT_LOOK_SECONDS if waits else LOOK_SECONDS

    def _down(self) -> list[VirtualSite]:
        return [site for site in self._sites.values() if not site.up]

    def _hear(self, events: Sequence[Event], now: float) -> None:
        if events:
            self._obey(self.broker.hear(events, now), now)

    def _obey(self, sends: Sequence[Send], now: float) -> None:
        """The sites do as they are told."""
        for send in sends:
            if isinstance(send.message, Grants):
                self._accept(self._sites[send.site], send.message, now)
            elif isinstance(send.message, Stops):
                self._stop(self._sites[send.site], send.message, now)
            elif isinstance(send.message, Prestages):
                named = [each.dataset for each in send.message.wanted]
                self._stagings += self._ahead.want(send.site, named, now)

    def _accept(self, site: VirtualSite, message: Grants, now: float) -> None:
        for grant in message.grants:
            if not (site.up and site.accept(grant, now)):
                continue
            pool = self._pool_of[f"{site.profile.name}/{grant.pool}"]
            place = Place(int(grant.job_id), pool)
            heapq.heappush(self._readies, (self._ahead.start(place, now), *place))
            self._starts.append(place)

    def _stop(self, site: VirtualSite, message: Stops, now: float) -> None:
        for job_id, epoch, _ in message.stops:
            pool = site.stop(job_id, epoch, now)
            if pool is not None:
                place = Place(int(job_id), self._pool_of[f"{site.profile.name}/{pool}"])
                self._stops.append(place)
                self._stagings += self._ahead.wait(place.job, now)

    def _again_at(self, now: float) -> float:
        """While jobs wait, even if nothing happens; not for ever."""
        if self._stops:
            return now + STOP_SECONDS
        if self._look_seconds() < LOOK_SECONDS:
            return now + SILENT_LOOK_SECONDS
        waits = self.broker.queued and now - self._moved_at < PATIENCE_SECONDS
        return now + IDLE_SECONDS if waits else math.inf


def id_of(job: int) -> str:
    """The id of a job, by its row; ids sort as the jobs arrive."""
    return f"{job:08d}"
