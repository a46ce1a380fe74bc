"""What the operator's commands do to a running agent: status, mode, what it would send.

The other end of `agent.control`'s socket. Values in, plain values out.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from agent.cards.failure_rate import PRIOR_CARD_DAYS
from agent.cards.failure_watch import FailureWatch
from agent.cards.shown import rows
from agent.control import Answer, StandingOrder, write_mode
from agent.daemon import Daemon
from agent.supervisor.messages import CardsRecalled, ModeSet, RecallReleased
from agent.supervisor.values import Attempt, Mode
from agent.survey import Surveying
from agent.wire.encode import encode, readable
from suan.errors import InvalidRequest, SuanError

ATTEMPTS_SHOWN_MAX = 1_000


class Operator:
    """Answers the commands of one site's operator."""

    def __init__(
        self, daemon: Daemon, survey: Surveying, failures: FailureWatch, state_dir: Path
    ) -> None:
        self._daemon = daemon
        self._survey = survey
        self._failures = failures
        self._state_dir = state_dir
        self._allowed = daemon.session.profile.tenants_allowed  # by the site's rules

    async def handle(self, request: Answer) -> Answer:
        """Raises InvalidRequest (UnknownCommand)."""
        match request.get("command"):
            case "status":
                return self._status()
            case "cards":
                return {"cards": rows(self._survey.readings, str(request.get("node") or ""))}
            case "show":
                hello = self._daemon.supervisor.hello("", self._daemon.moment())
                return readable(encode(hello, self._daemon.session.profile))
            case "mode":
                return await self._set_mode(request)
            case "recall":
                return self._recall(request)
            case "release":
                return self._release(str(request.get("pool") or ""))
            case command:
                raise InvalidRequest(
                    f"the running agent knows no command {command!r}",
                    "restart the agent, so that both are of one version",
                    "UnknownCommand",
                )

    def stand(self, order: StandingOrder) -> None:
        """Tell the broker, from the next message on, whose jobs the site takes now."""
        session = self._daemon.session
        allowed = order.admitted(self._allowed)
        session.profile = replace(session.profile, tenants_allowed=allowed)

    async def _set_mode(self, request: Answer) -> Answer:
        """Takes effect even when it cannot be made to last."""
        tenants = tuple(map(str, request.get("tenants") or ()))
        order = StandingOrder(Mode(request["mode"]), bool(request.get("stop_jobs")), tenants)
        warning = ""
        try:
            await asyncio.to_thread(write_mode, self._state_dir, order)
        except SuanError as error:
            warning = f"it will not outlast a restart of the agent: {error}"
        self.stand(order)
        self._daemon.inbox.post(ModeSet(order.mode, order.stop_jobs, order.tenants))
        return {"mode": order.mode.value, "warning": warning}

    def _recall(self, request: Answer) -> Answer:
        """Raises InvalidRequest (NoSuchPool, RecallNotDeclared, RecallOutOfRange)."""
        inventory = self._daemon.supervisor.state.inventory
        pool, cards = str(request.get("pool")), int(request.get("cards") or 0)
        declared = inventory.declared(pool)
        if declared is None:
            names = ", ".join(each.name for each in inventory.declared_pools())
            message = f"the site has no pool {pool}"
            raise InvalidRequest(message, f"its pools: {names}", "NoSuchPool")
        if (recall := declared.policy.recall) is None:
            message = f"jobs of pool {pool} were not told that its cards may be recalled"
            hint = "write `recall: {grace_seconds: 600}` into the pool in agent.yaml, and restart"
            raise InvalidRequest(message, hint, "RecallNotDeclared")
        grace = float(request.get("grace_seconds") or recall.grace_seconds)
        if not 1 <= cards <= declared.cards or not grace >= recall.grace_seconds:
            raise InvalidRequest(
                f"{cards} cards within {grace:g} s cannot be recalled from pool {pool}",
                f"it has {declared.cards} cards, and its jobs {recall.grace_seconds:g} s to end",
                "RecallOutOfRange",
            )
        self._daemon.inbox.post(CardsRecalled(pool, cards, grace))
        return {"pool": pool, "cards": cards, "grace_seconds": grace}

    def _release(self, pool: str) -> Answer:
        recalls = self._daemon.supervisor.state.recalls
        self._daemon.inbox.post(RecallReleased(pool))
        return {"pools": [name for name in recalls if pool in ("", name)]}

    def _status(self) -> Answer:
        supervisor, session = self._daemon.supervisor, self._daemon.session
        state, now = supervisor.state, self._daemon.moment()
        problem, heard_at = session.problem, supervisor.heard_at
        live, profile = list(state.live()), session.profile
        return {
            "site": profile.site,
            "agent_version": profile.agent_version,
            "backend": profile.backend,
            "mode": supervisor.mode.value,
            "tenants": list(profile.tenants_allowed),
            "journal": "full" if supervisor.journal_full else "ok",
            "connected": session.connected,
            "heard_seconds_ago": None if heard_at is None else round(now.elapsed - heard_at, 3),
            "problem": None
            if problem is None
            else {"code": problem.code, "message": problem.message, "hint": problem.hint},
            "attempts": len(live),
            "outbox": len(state.outbox),
            "ignored": {reason.value: count for reason, count in supervisor.ignored.items()},
            "recalls": {each.pool: each.cards_max for each in state.recalls.values()},
            "failures": self._counted(),
            "held": [self._shown(attempt, now.elapsed) for attempt in live[:ATTEMPTS_SHOWN_MAX]],
        }

    def _counted(self) -> Answer:
        """Card failures: stated, seen, and what is advertised of both."""
        failures = self._failures
        return {
            "stated_per_card_day": failures.stated,
            "prior_card_days": PRIOR_CARD_DAYS,
            "seen": failures.seen.failures,
            "card_days": round(failures.seen.card_days, 6),
            "advertised_per_card_day": self._daemon.session.profile.failures_per_card_day,
        }

    def _shown(self, attempt: Attempt, elapsed: float) -> Answer:
        remaining = self._daemon.supervisor.state.deadlines[attempt.name] - elapsed
        return {
            "job_id": attempt.job_id,
            "epoch": attempt.epoch,
            "phase": attempt.phase.value,
            "stop_reason": attempt.stop_reason,
            "pool": attempt.pool,
            "nodes": [node.name for node in attempt.nodes],
            "lease_class": attempt.lease_class.value,
            "lease_remaining_seconds": round(remaining, 1) if attempt.fenced else None,
        }
