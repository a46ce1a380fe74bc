"""Which broker to dial: those of the federation in turn, until one of them leads.

Knows addresses and the site's identity; that a session over such a channel ended shows in
the next one being asked for.
"""

from __future__ import annotations

from pathlib import Path

import grpc.aio

from suan.channel import diagnose, secure_channel
from suan.errors import SuanError, Unavailable
from suan.identity.address import split_addresses
from suan.turns import Turns


class Dialler:
    """`addresses`: HOST:PORT, several with commas. For one session at a time."""

    def __init__(self, addresses: str, identity: Path) -> None:
        """Raises InvalidRequest (AddressInvalid)."""
        self.addresses = split_addresses(addresses)
        self._identity = identity
        self._turns = Turns(len(self.addresses))
        self._dialled = False
        self._silent = False  # the one that was dialled last
        self._silences = 0  # in a row

    def connect(self) -> grpc.aio.Channel:
        """A channel to the next broker, the first one first."""
        if self._dialled:
            self._turns.pass_on(self._turns.current, silent=self._silent)
            self._silences = self._silences if self._silent else 0
        self._dialled, self._silent = True, False
        return secure_channel(self._address, self._identity)

    def fell_silent(self) -> None:
        """The broker that was dialled last does not speak any more."""
        self._silent = True

    def diagnose(self) -> SuanError:
        """Why the broker that was dialled last does not answer. Blocks for some seconds.

        While another one has still to be tried it is not worth the wait.
        """
        self._silent = True
        self._silences += 1
        if self._silences % len(self.addresses):
            message = f"no answer from the broker at {self._address}"
            return Unavailable(message, "another one is tried", "BrokerPassedOver")
        return diagnose(self._address, self._identity)

    @property
    def _address(self) -> str:
        return self.addresses[self._turns.current]
