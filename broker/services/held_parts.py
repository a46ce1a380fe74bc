"""Lists of attempts that are too long for one message, whole again before the core sees them."""

from __future__ import annotations

from dataclasses import replace

from broker.core.messages import Held, Reconcile
from suan.errors import InvalidRequest

ATTEMPTS_MAX = 1_000_000  # that one site may name


class HeldParts:
    """The parts of one list. `more`: another one follows."""

    def __init__(self) -> None:
        self._held: list[Held] = []

    def whole(self, part: Reconcile, more: bool) -> Reconcile | None:
        """The list with its last part, None before. Raises InvalidRequest (TooManyAttempts)."""
        self.add(part.held)
        return None if more else replace(part, held=self.take())

    def add(self, held: tuple[Held, ...]) -> None:
        """Raises InvalidRequest (TooManyAttempts)."""
        if len(self._held) + len(held) > ATTEMPTS_MAX:
            message = f"more than {ATTEMPTS_MAX} attempts at one site"
            raise InvalidRequest(message, "", "TooManyAttempts")
        self._held.extend(held)

    def take(self) -> tuple[Held, ...]:
        held, self._held = tuple(self._held), []
        return held
