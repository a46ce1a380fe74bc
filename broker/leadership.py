"""Waiting for the lead with the state at hand, so that taking over costs no load.

The lead is the store's to give. Where the leader can be reached is not kept there: what a
broker would write of itself is not what others dial (an own name, a port that is passed
on), everybody has the list of brokers anyway, and one that stands by says so at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from broker.core.rows import Put, Record
from broker.core.state import State, replay
from broker.store import Store
from suan.errors import Unavailable


def not_leader() -> Unavailable:
    """What a broker answers that does not lead, or not any more."""
    return Unavailable(
        "this broker does not lead now: it stands by, or has just started",
        "name all brokers of the federation in the context or in SUAN_ADDRESS",
        "NotLeader",
    )


class StandbyState:
    """The state of whoever leads, as far as the store has told it."""

    def __init__(self) -> None:
        self.state = State()

    def load(self, rows: Iterator[Put]) -> None:
        self.state = replay(rows)

    def apply(self, records: Sequence[Record]) -> None:
        for record in records:
            self.state.apply(record)


@dataclass(frozen=True, slots=True)
class Lead:
    """What a leader begins with: its term, and all that is durable."""

    term: int
    state: State


async def win(store: Store) -> Lead:
    """Stand by until this broker leads. Raises StoreError, UnreadableRow.

    The wait is on a thread of its own; whoever cancels it closes the store, and so ends it.
    """
    standby = StandbyState()
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="campaign")
    campaign = asyncio.get_running_loop().run_in_executor(thread, store.campaign, standby)
    campaign.add_done_callback(_hear)
    thread.shutdown(wait=False)
    return Lead(await asyncio.shield(campaign), standby.state)


def _hear(campaign: asyncio.Future[int]) -> None:
    """How a wait ended that nobody waits for any more."""
    if not campaign.cancelled():
        campaign.exception()
