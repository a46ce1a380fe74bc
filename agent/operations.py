"""What the operator's commands do to a running agent: status, mode, what it would send.

The other end of `agent.control`'s socket. Values in, plain values out.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.control import Answer, StandingOrder, write_mode
from agent.daemon import Daemon
from agent.supervisor.messages import ModeSet
from agent.supervisor.values import Attempt, Mode
from agent.wire.encode import SiteProfile, encode, readable
from suan.errors import InvalidRequest, SuanError

ATTEMPTS_SHOWN_MAX = 1_000


class Operator:
    """Answers the commands of one site's operator."""

    def __init__(self, daemon: Daemon, profile: SiteProfile, state_dir: Path) -> None:
        self._daemon = daemon
        self._profile = profile
        self._state_dir = state_dir

    async def handle(self, request: Answer) -> Answer:
        """Raises InvalidRequest (UnknownCommand)."""
        match request.get("command"):
            case "status":
                return self._status()
            case "show":
                hello = self._daemon.supervisor.hello("", self._daemon.moment())
                return readable(encode(hello, self._profile))
            case "mode":
                return await self._set_mode(request)
            case command:
                raise InvalidRequest(
                    f"the running agent knows no command {command!r}",
                    "restart the agent, so that both are of one version",
                    "UnknownCommand",
                )

    async def _set_mode(self, request: Answer) -> Answer:
        """Takes effect even when it cannot be made to last."""
        order = StandingOrder(Mode(request["mode"]), bool(request.get("stop_jobs")))
        warning = ""
        try:
            await asyncio.to_thread(write_mode, self._state_dir, order)
        except SuanError as error:
            warning = f"it will not outlast a restart of the agent: {error}"
        self._daemon.inbox.post(ModeSet(order.mode, order.stop_jobs))
        return {"mode": order.mode.value, "warning": warning}

    def _status(self) -> Answer:
        supervisor, session = self._daemon.supervisor, self._daemon.session
        state, now = supervisor.state, self._daemon.moment()
        problem, heard_at = session.problem, supervisor.heard_at
        live = list(state.live())
        return {
            "site": self._profile.site,
            "agent_version": self._profile.agent_version,
            "backend": self._profile.backend,
            "mode": supervisor.mode.value,
            "journal": "full" if supervisor.journal_full else "ok",
            "connected": session.connected,
            "heard_seconds_ago": None if heard_at is None else round(now.elapsed - heard_at, 3),
            "problem": None
            if problem is None
            else {"code": problem.code, "message": problem.message, "hint": problem.hint},
            "attempts": len(live),
            "outbox": len(state.outbox),
            "ignored": {reason.value: count for reason, count in supervisor.ignored.items()},
            "held": [self._shown(attempt, now.elapsed) for attempt in live[:ATTEMPTS_SHOWN_MAX]],
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
