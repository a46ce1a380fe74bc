"""Reports that were lost here must not be acknowledged by those that came after them.

An acknowledgement counts for all reports before it. So when there was no room for some of a
site's reports, those that follow in the same session are passed over too, until the agent
says the lost ones again, which it does when it hears nothing of them, or begins with the
first that is not acknowledged: what was lost was a repetition then. Knows sites, sessions
and numbers.
"""

from __future__ import annotations

from broker.core.messages import Event, Reports


class Gaps:
    """By site, from which report on a session is to say all again. At most one entry a site."""

    def __init__(self) -> None:
        self._lost: dict[str, tuple[str, int]] = {}

    def lose(self, event: Event) -> None:
        """There is no room for this event."""
        if isinstance(event, Reports) and event.reports and self.admit(event):
            self._lost[event.site] = event.session, event.reports[0].report_seq

    def admit(self, event: Event) -> bool:
        """Whether nothing is missing before this event."""
        if not self._lost or not isinstance(event, Reports) or event.site not in self._lost:
            return True
        session, lost = self._lost[event.site]
        if session != event.session:  # a new one begins with all that is left
            del self._lost[event.site]
            return True
        if not event.reports:
            return True
        lost = max(lost, event.report_seq_tail)  # what is acknowledged is not missing
        if event.reports[0].report_seq > lost:
            return False
        if event.reports[-1].report_seq >= lost:  # else it was said before: the gap stays
            del self._lost[event.site]
        return True
