"""Why a stream ended, in words for the operator, and what that says about the broker."""

from __future__ import annotations

import grpc

from agent.supervisor.values import PROTOCOL_MAX, PROTOCOL_MIN
from agent.wire.decode import Goodbye
from suan.errors import Conflict, SuanError, Unavailable
from suan.status import decode, sent_by_broker

# The broker does not lead, and another soon will.
REFUSALS = frozenset({"NotLeader", "SessionRefused"})
# How a stream ends of which the broker did not say why.
SILENCES = frozenset({"Unavailable", "BrokerSilent", "StreamBroken"})
_HINTS = {
    "SiteUnknown": "ask the administrator whether the site was removed, then join again",
    "ProtocolUnknown": f"this agent speaks versions {PROTOCOL_MIN} to {PROTOCOL_MAX} of the"
    " protocol: update whichever of agent and broker is older; what runs here runs on",
}


def hint_of(code: str) -> str:
    """What the operator can do."""
    return _HINTS.get(code, "")


def refusal(error: grpc.RpcError) -> SuanError:
    """Why the broker, or the road to it, ended the stream."""
    if error.code() is grpc.StatusCode.INTERNAL and not sent_by_broker(error):
        # gRPC's own, among others when a broker refuses before our first word has left.
        return Unavailable("the broker ended the session unheard", "", "SessionRefused")
    return decode(error)


def farewell(goodbye: Goodbye) -> SuanError:
    if goodbye.code == "SiteNameTaken":
        hint = "stop the other agent, or ask the administrator for a site name of your own"
        return Conflict(goodbye.message, hint, goodbye.code)
    return Unavailable(goodbye.message, _HINTS.get(goodbye.code, ""), goodbye.code)
