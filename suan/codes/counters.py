"""What `suan admin counters` counts: what had no effect, then transfers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "SiteUnknown": "of a site that is not registered",
        "OtherSession": "not of the site's present session: late, or replayed",
        "HelloRepeated": "a Hello of a session that was opened before",
        "TermPassed": "the agent has seen a later leader than this one",
        "ProtocolUnknown": "an agent with which no version is common",
        "OtherAgent": "a second agent under one site's name",
        "HeartbeatRepeated": "a heartbeat no newer than the last",
        "CapacityRepeated": "a report of capacity no newer than the last",
        "DigestDiffers": "the site's attempts were not those believed there, and were listed again",
        "AttemptUnknown": "of a job or an attempt that is not known",
        "AttemptForeign": "of an attempt that was granted to another site",
        "AttemptSuperseded": "of an attempt after which another was granted",
        "ReportRepeated": "a report that was heard before",
        "ReportUnreadable": "a report of an unknown kind or outcome",
        "NumberOutOfRange": "with numbers that this protocol never gives out",
        "RoundsDecided": "placement rounds",
        "PlacementsProposed": "placements that rounds proposed",
        "PlacementsGranted": "of them those that still held and were granted",
        "RoundGapPpm": "millionths that the last round missed at most of the best there could be",
        "TransfersBooked": "transfers of inputs that were planned over the network",
        "TransfersRerouted": "of these, those that another way was found for after a change of it",
        "TransfersStranded": "transfers for which the network has no way",
        "TransfersUnbooked": "how often one was not planned, because too many were under way",
    }
)
