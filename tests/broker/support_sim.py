"""A whole federation in virtual time, from one seed: the real core and scheduler, model agents.

`Federation(seed).run()` plays one history with faults and raises `Violation`, with the
story of the job, when an invariant breaks. What is real: the core, its tables, the memory
store with its codec, the scheduler's rounds. What is a model: agents, guards, network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from support_core import spec_of
from support_sim_agent import Agent
from support_sim_broker import BrokerModel
from support_sim_rules import Violation
from support_sim_world import World

from broker.core.limits import Limits
from broker.core.messages import (
    Accepted,
    Cancel,
    Refused,
    Reply,
    Results,
    SetDrain,
    Submission,
    Submit,
)
from broker.core.rows import Spec

LIMITS = replace(
    Limits(), kill_seconds=10.0, clock_drift=0.02, lost_seconds=60.0, hold_seconds=15.0
)
FAULT_SECONDS = 400.0  # faults happen until then
PATIENCE_SECONDS = 3_000.0  # and by so much later every job has ended
STEPS_MAX = 200_000
SITES = ("east", "west", "north")


class Federation:
    """One history. `limits` may be those of a mutant; faults named `likely` come more often."""

    def __init__(
        self, seed: int, limits: Limits = LIMITS, release_early: bool = False, likely: str = ""
    ) -> None:
        self.likely = likely
        self.world = World(seed)
        drift = LIMITS.clock_drift
        self.broker = BrokerModel(self.world, limits, drift, release_early)
        for site in SITES:
            self.broker.register(site)
        self.agents = {
            site: Agent(self.world, self.broker, site, nodes=2, drift=drift) for site in SITES
        }
        self.proof_too = self.world.chance(0.3)  # then no site loses its disk for good
        self.faults = 0
        self._unanswered = 0
        self._cancels: list[str] = []

    def run(self) -> Federation:
        """Play it to its end. Raises Violation."""
        world = self.world
        self._plan_jobs()
        self._plan_faults()
        for agent in self.agents.values():
            agent.start()
        end = FAULT_SECONDS + PATIENCE_SECONDS
        for _ in range(STEPS_MAX):
            world.step()
            if world.now > FAULT_SECONDS and self._over():
                break
            if world.now > end:
                self._say_what_is_stuck()
        world.rules.finish(self.broker.state.jobs)
        return self

    def _over(self) -> bool:
        jobs = self.broker.state.jobs.values()
        quiet = not self._unanswered and all(job.terminal for job in jobs)
        return quiet and not any(agent.busy for agent in self.agents.values())

    def _say_what_is_stuck(self) -> None:
        for job in self.broker.state.jobs.values():
            if not job.terminal:
                raise Violation(job.id, f"still {job.state} {PATIENCE_SECONDS:.0f} s after faults")
        for agent in self.agents.values():
            for job_id, _ in agent.busy:
                raise Violation(job_id, f"{agent.site} still holds it")
        raise Violation("", f"{self._unanswered} submissions were never answered")

    # --- clients ------------------------------------------------------------------

    def _plan_jobs(self) -> None:
        world = self.world
        for number in range(world.random.randint(5, 9)):
            spec = self._spec(number)
            array = f"array{number}" if spec.parallel_max else ""
            for index in range(3 if array else 1):
                item = Submission(f"job{number}.{index}", spec.sha256, array, index)
                self._unanswered += 1
                world.after(world.between(0.0, FAULT_SECONDS * 0.7), self._submitter(item, spec))
                if world.chance(0.25):
                    moment = world.between(0.0, FAULT_SECONDS)
                    world.after(moment, self._canceller(item.job_id))

    def _spec(self, number: int) -> Spec:
        choice = self.world.random.choice
        return spec_of(
            name=f"s{number}",
            cards=choice((1, 2, 4, 8)),
            nodes=choice((1, 1, 1, 2)),
            retry_max=choice((0, 1, 2)),
            lease_class="proof" if self.proof_too and self.world.chance(0.3) else "restart",
            lease_seconds=choice((60.0, 90.0, 120.0)),
            parallel_max=choice((0, 0, 0, 1, 2)),
        )

    def _submitter(self, item: Submission, spec: Spec) -> Callable[[], None]:
        """Sends the same submission until it is answered, as the client does."""
        answered = False

        def reply(reply: Reply | None) -> None:
            nonlocal answered
            if isinstance(reply, Results) and not answered:
                assert isinstance(reply.results[0], Accepted)
                answered = True
                self._unanswered -= 1
                self.world.rules.accept(item.job_id)

        def submit() -> None:
            if not answered:
                self.broker.call(Submit("lab", "", "li", (item,), (spec,)), reply)
                self.world.after(self.world.between(2.0, 20.0), submit)

        return submit

    def _canceller(self, job_id: str) -> Callable[[], None]:
        def reply(reply: Reply | None) -> None:
            if isinstance(reply, Results) and isinstance(reply.results[0], Refused):
                return

        return lambda: self.broker.call(Cancel((job_id,), "lab", "user/li"), reply)

    # --- faults -------------------------------------------------------------------

    def _plan_faults(self) -> None:
        moment = 5.0
        while moment < FAULT_SECONDS:
            self.world.after(moment, self._fault)
            moment += self.world.random.expovariate(1 / 16.0)
        self.world.after(FAULT_SECONDS, self._heal)

    def _fault(self) -> None:
        self.faults += 1
        world = self.world
        agent = self.agents[world.random.choice(SITES)]
        kinds: dict[str, tuple[float, Callable[[], None]]] = {
            "break": (3.0, agent.break_stream),
            "partition": (4.0, lambda: agent.partition(world.between(5.0, 200.0))),
            "crash": (3.0, lambda: agent.crash(world.between(1.0, 120.0))),
            "pause": (2.0, lambda: agent.pause(world.between(5.0, 200.0))),
            "reboot": (1.0, lambda: agent.reboot(world.between(5.0, 90.0))),
            "move": (1.5, lambda: agent.move(world.between(5.0, 90.0))),
            "local": (2.0, agent.local_change),
            "broker": (3.0, lambda: self.broker.crash(world.between(1.0, 60.0))),
            "commit": (2.0, self.broker.crash_at_commit),
            "stall": (1.0, lambda: self.broker.stall(world.between(2.0, 90.0))),
            "drain": (1.0, lambda: self._drain(agent.site, world.chance(0.5))),
        }
        if self.proof_too:
            del kinds["move"]
        weights = [
            weight * (5 if name == self.likely else 1) for name, (weight, _) in kinds.items()
        ]
        ((_, chosen),) = world.random.choices(list(kinds.values()), weights)
        chosen()

    def _drain(self, site: str, draining: bool) -> None:
        self.broker.call(SetDrain(site, draining, "test", "admin"), lambda _: None)

    def _heal(self) -> None:
        """No more faults; and sites are opened until it is durable."""
        for agent in self.agents.values():
            agent.heal()
        for site in SITES:
            for moment in (0.0, 90.0, 180.0):
                self.world.after(moment, partial(self._drain, site, False))
