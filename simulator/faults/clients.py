"""Clients: they submit until they are answered, cancel, and try to use an id twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from broker.core.messages import (
    Accepted,
    AnnounceMaintenance,
    Cancel,
    Done,
    Event,
    Refused,
    Reply,
    Results,
    SetDrain,
    Submission,
    Submit,
)
from broker.core.rows import Spec
from simulator.faults.broker_node import BrokerNode
from simulator.faults.invariants import Invariants, Violation
from simulator.faults.network import Network
from simulator.faults.shared_store import SharedStore
from simulator.faults.specs import NODES_MAX, Wish

RETRY_SECONDS = 3.0, 20.0
SUBMISSIONS = 7, 12
HIGH_EVERY, HIGH = 3, 200  # each such job is of a higher class: it may stop the others
TENANT = "lab"


@dataclass(frozen=True, slots=True)
class Mix:
    """Which jobs are submitted: lease classes, and within how many seconds."""

    lease_classes: tuple[str, ...]
    seconds: float


class Clients:
    """All that ask something of the federation."""

    def __init__(
        self,
        network: Network,
        brokers: Sequence[BrokerNode],
        store: SharedStore,
        invariants: Invariants,
    ) -> None:
        self.world = network.world
        self.unanswered = 0
        self._accepted: list[Submit] = []
        self._network = network
        self._brokers = brokers
        self._store = store
        self._invariants = invariants

    # --- plans ------------------------------------------------------------------

    def plan(self, mix: Mix) -> None:
        """Draw up all submissions and cancels of the run."""
        world = self.world
        for number in range(int(world.between(*SUBMISSIONS))):
            wish = self._wish(number, mix)
            array = f"array{number}" if wish.parallel_max else ""
            spec = wish.spec()
            items = tuple(
                Submission(f"job{number}.{index}", spec.sha256, array, index)
                for index in range(3 if array else 1)
            )
            submitted = world.between(0.0, mix.seconds)
            self._submit_at(submitted, items, spec)
            if wish.lease_class == "overlap" or world.chance(0.25):
                part = wish.lease_class != "overlap" and world.chance(0.5)
                wanted = items[0].job_id if part else array or items[0].job_id
                moment = submitted + world.between(0.0, mix.seconds * 0.6)
                world.after(moment, partial(self._cancel, wanted))

    def _wish(self, number: int, mix: Mix) -> Wish:
        choice = self.world.choice
        impossible = self.world.chance(0.03)
        return Wish(
            name=f"wish{number}",
            cards=choice((1, 2, 4, 8, 8)),
            nodes=NODES_MAX + 1 if impossible else choice((1, 1, 1, 2)),
            retry_max=choice((0, 1, 2)),
            lease_class=choice(mix.lease_classes),
            lease_seconds=choice((60.0, 90.0, 120.0, 240.0)),
            parallel_max=choice((0, 0, 0, 1, 2)),
            priority=HIGH if number % HIGH_EVERY == HIGH_EVERY - 1 else 0,
        )

    # --- submitting -------------------------------------------------------------

    def _submit_at(self, moment: float, items: tuple[Submission, ...], spec: Spec) -> None:
        for item in items:
            self._invariants.specs[item.job_id] = spec
        self.unanswered += 1
        event = Submit(TENANT, "", "li", items, (spec,))

        def answered(reply: Reply | None) -> bool:
            if not isinstance(reply, Results):
                return False
            for item, result in zip(items, reply.results, strict=True):
                if not isinstance(result, Accepted):
                    raise Violation("I5", item.job_id, f"was not taken: {result}")
                stored = f"job/{item.job_id}" in self._store.rows
                self._invariants.acknowledge(item.job_id, stored)
            self.unanswered -= 1
            self._accepted.append(event)
            if self.world.chance(0.2):
                self._submit_otherwise(items[0], spec)
            return True

        self.world.after(moment, self._until(event, answered))

    def submit_again(self) -> None:
        """A client that has forgotten its answer asks once more: it is the same job."""
        if not self._accepted:
            return
        event = self.world.choice(self._accepted)

        def answered(reply: Reply | None) -> bool:
            for result in reply.results if isinstance(reply, Results) else ():
                if not isinstance(result, Accepted) or not result.existed:
                    raise Violation("I5", result.id, "one submission was taken for two jobs")
            return isinstance(reply, Results)

        self._until(event, answered)()

    def _submit_otherwise(self, item: Submission, spec: Spec) -> None:
        """The same id with another body must be refused, whenever it comes."""
        other = replace(spec, sha256=f"{spec.sha256}-other", name="other")
        event = Submit(TENANT, "", "li", (replace(item, spec_sha256=other.sha256),), (other,))

        def answered(reply: Reply | None) -> bool:
            if isinstance(reply, Results) and not isinstance(reply.results[0], Refused):
                raise Violation("I5", item.job_id, "one id was taken for two jobs")
            return isinstance(reply, Results)

        self.world.after(self.world.between(0.0, 60.0), self._until(event, answered))

    def _cancel(self, wanted: str) -> None:
        """Repeated also while the job is not known: its submission may be on its way."""
        self.world.tell(wanted, "client", "cancels")

        def answered(reply: Reply | None) -> bool:
            return isinstance(reply, Results) and not any(
                isinstance(result, Refused) and result.refusal.code == "JobNotFound"
                for result in reply.results
            )

        self._until(Cancel((wanted,), TENANT, "user/li"), answered)()

    def drain(self, site: str, draining: bool) -> None:
        """An administrator's wish, repeated until it is durable."""
        event = SetDrain(site, draining, "simulated", "admin")
        self._until(event, lambda reply: isinstance(reply, Done))()

    def announce_maintenance(self, seconds: float) -> None:
        event = AnnounceMaintenance(seconds, "admin")
        self._until(event, lambda reply: isinstance(reply, Done))()

    # --- calls ------------------------------------------------------------------

    def _until(self, event: Event, answered: Callable[[Reply | None], bool]) -> Callable[[], None]:
        """Asks one broker after another until the answer is one; a late second one is heard too."""
        done = False
        turn = int(self.world.random() * len(self._brokers))

        def hear(reply: Reply | None) -> None:
            nonlocal done
            if not done:
                done = answered(reply)

        def ask() -> None:
            nonlocal turn
            if done:
                return
            broker = self._brokers[turn % len(self._brokers)]
            turn += 1
            back = self._network.send

            def answer(reply: Reply | None) -> None:
                back(broker.name, "client", lambda: hear(reply))

            self._network.send("client", broker.name, lambda: broker.call(event, answer))
            self.world.after(self.world.between(*RETRY_SECONDS), ask)

        return ask
