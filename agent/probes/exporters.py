"""The vendors' Prometheus exporters: which series say what of a card, and what that means. Pure.

Names by the exporters' own sources and documents: npu-exporter (MindCluster's
`prometheus_metrics_api.md`), hcu-exporter (`metrics_define.go`) and the older dcu-exporter,
dcgm-exporter (`etc/default-counters.csv`). A series that is absent says nothing: ECC counters
are off by default with DCGM, and one of XIDs begins with the first XID. What an old sample says
is not so any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from agent.probes.exposition import Exposition, Series
from agent.probes.reading import CardReading, Readings

STALE_SECONDS = 120.0  # a sample with an older time of its own says nothing
MIB = 2.0**-20  # of a byte
DCGM_FAIL = 20.0  # DCGM_HEALTH_RESULT_FAIL
# NVIDIA's Xid catalogue: those whose first remedy is to reset the GPU or its machine. Others
# are a program's own, such as 13, 31, 43 and 45.
FATAL_XIDS = frozenset((46, 48, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143, 155, 158))


class Measure(Enum):
    """What a series tells of a card."""

    HEALTH = auto()  # 1 good, 0 bad, else unknown
    WATCH = auto()  # DCGM's own checks: 0 pass, 10 warning, 20 failure
    UTILISATION = auto()  # percent
    POWER = auto()  # watts
    TEMPERATURE = auto()  # °C
    MEMORY_USED = auto()  # after its factor: MiB
    MEMORY_FREE = auto()
    MEMORY_TOTAL = auto()
    UNCORRECTED = auto()  # ECC errors; the parts of a card are summed
    ERROR_CODE = auto()
    XID = auto()
    REMAP_FAILURE = auto()
    NETWORK = auto()  # 0: down. Told, no fault of the card: many have no cable


@dataclass(frozen=True, slots=True)
class Exporter:
    """One vendor's exporter."""

    name: str
    tool: str  # that prints the same names of cards
    kinds: tuple[str, ...]  # of accelerators
    card_labels: tuple[str, ...]  # the first that is a number is the card's
    model_labels: tuple[str, ...]
    busy: str  # what its utilisation means
    series: Mapping[str, tuple[Measure, float]]  # of one measure the first that is there counts
    parts_label: str = ""  # on series of a part of a card, which say nothing of the whole


def _table(
    *rows: tuple[Measure, str] | tuple[Measure, str, float],
) -> Mapping[str, tuple[Measure, float]]:
    return MappingProxyType({row[1]: (row[0], row[2] if len(row) == 3 else 1.0) for row in rows})


NPU_EXPORTER = Exporter(
    "npu-exporter",
    "npu-smi",
    ("npu",),
    ("id",),
    ("model_name", "modelName", "name"),
    "AI Core busy",
    _table(
        (Measure.HEALTH, "npu_chip_info_health_status"),
        (Measure.NETWORK, "npu_chip_info_network_status"),
        (Measure.UTILISATION, "npu_chip_info_utilization"),
        (Measure.POWER, "npu_chip_info_power"),
        (Measure.TEMPERATURE, "npu_chip_info_temperature"),
        (Measure.MEMORY_USED, "npu_chip_info_hbm_used_memory"),
        (Measure.MEMORY_TOTAL, "npu_chip_info_hbm_total_memory"),
        (Measure.MEMORY_USED, "npu_chip_info_used_memory"),  # DDR, of chips without HBM
        (Measure.MEMORY_TOTAL, "npu_chip_info_total_memory"),
        (Measure.UNCORRECTED, "npu_chip_info_hbm_ecc_double_bit_error_cnt"),
        (Measure.ERROR_CODE, "npu_chip_info_error_code"),
        *((Measure.ERROR_CODE, f"npu_chip_info_error_code_{n}") for n in range(1, 10)),
    ),
)
HCU_EXPORTER = Exporter(
    "hcu-exporter",
    "hy-smi",
    ("dcu",),
    ("minor_number", "device_id"),
    ("name",),
    "CU busy",
    _table(
        (Measure.HEALTH, "hcu_health_status"),
        (Measure.UTILISATION, "hcu_utilizationrate"),
        (Measure.POWER, "hcu_power_usage"),
        (Measure.TEMPERATURE, "hcu_temp"),
        (Measure.MEMORY_USED, "hcu_usedmemory_bytes", MIB),
        (Measure.MEMORY_TOTAL, "hcu_memorycap_bytes", MIB),
        (Measure.UNCORRECTED, "hcu_ue_count_total"),
        (Measure.UNCORRECTED, "hcu_ue_count"),
        (Measure.UTILISATION, "dcu_utilizationrate"),  # dcu_…: before version 3
        (Measure.POWER, "dcu_power_usage"),
        (Measure.TEMPERATURE, "dcu_temp"),
        (Measure.MEMORY_USED, "dcu_usedmemory_bytes", MIB),
        (Measure.MEMORY_TOTAL, "dcu_memorycap_bytes", MIB),
        (Measure.UNCORRECTED, "dcu_ue_count"),
    ),
)
DCGM_EXPORTER = Exporter(
    "dcgm-exporter",
    "nvidia-smi",
    ("gpu",),
    ("gpu",),
    ("modelName",),
    "a kernel active",
    _table(
        (Measure.WATCH, "DCGM_EXP_GPU_HEALTH_STATUS"),
        (Measure.XID, "DCGM_FI_DEV_XID_ERRORS"),
        (Measure.REMAP_FAILURE, "DCGM_FI_DEV_ROW_REMAP_FAILURE"),
        (Measure.UTILISATION, "DCGM_FI_DEV_GPU_UTIL"),
        (Measure.POWER, "DCGM_FI_DEV_POWER_USAGE"),
        (Measure.TEMPERATURE, "DCGM_FI_DEV_GPU_TEMP"),
        (Measure.MEMORY_USED, "DCGM_FI_DEV_FB_USED"),
        (Measure.MEMORY_FREE, "DCGM_FI_DEV_FB_FREE"),
        (Measure.MEMORY_TOTAL, "DCGM_FI_DEV_FB_TOTAL"),
        (Measure.UNCORRECTED, "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"),
    ),
    parts_label="GPU_I_ID",
)
EXPORTERS: Mapping[str, Exporter] = MappingProxyType(
    {each.name: each for each in (NPU_EXPORTER, HCU_EXPORTER, DCGM_EXPORTER)}
)


def wanted(exporter: Exporter, names: Mapping[str, str]) -> Mapping[str, str]:
    """Series as printed -> as in our table; `names`: what the site has renamed, to our names."""
    renamed = {printed: known for printed, known in names.items() if known in exporter.series}
    return {**{name: name for name in exporter.series}, **renamed}


def readings(
    exporter: Exporter, said: Exposition, now: float, names: Mapping[str, str]
) -> Readings:
    """One reading for each card. `now`: by the clock of `said`; `names` as in `wanted`."""
    known = wanted(exporter, names)
    ranks = {name: rank for rank, name in enumerate(exporter.series)}
    cards: dict[int, _Card] = {}
    strange = 0
    for series in said.series:
        labels = {names.get(label, label): value for label, value in series.labels.items()}
        if exporter.parts_label and labels.get(exporter.parts_label):
            continue
        index = next((labels[x] for x in exporter.card_labels if _is_number(labels.get(x))), None)
        if index is None:
            strange += 1
            continue
        measure, factor = exporter.series[known[series.name]]
        card = cards.setdefault(int(index), _Card())
        card.take(series, measure, factor, ranks[known[series.name]], now)
        card.word = labels.get("health", card.word)
        if not card.model:
            card.model = next((labels[x] for x in exporter.model_labels if labels.get(x)), "")
    warnings = [f"{strange} samples without a card's number"] if strange else []
    found = tuple(card.reading(index, exporter) for index, card in sorted(cards.items()))
    return Readings(exporter.name, found, tuple(warnings), said.others)


def _is_number(label: str | None) -> bool:
    return label is not None and label.isdecimal() and len(label) < 6


@dataclass(slots=True)
class _Card:
    """What is said of one card, while it is gathered."""

    model: str = ""
    stale: bool = False
    word: str = ""  # that goes with its health
    raw: list[tuple[str, str]] = field(default_factory=list)
    values: dict[Measure, dict[int, list[float]]] = field(default_factory=dict)  # by rank

    def take(
        self,
        series: Series,
        measure: Measure,
        factor: float,
        rank: int,
        now: float,
    ) -> None:
        self.raw.append((series.name, f"{series.value:g}"))
        if series.at is not None and abs(now - series.at) > STALE_SECONDS:
            self.stale = True
        elif math.isfinite(series.value):
            by_rank = self.values.setdefault(measure, {})
            by_rank.setdefault(rank, []).append(series.value * factor)

    def told(self, measure: Measure) -> list[float]:
        """All values of that series that goes first of those that tell it."""
        by_rank = self.values.get(measure)
        return by_rank[min(by_rank)] if by_rank else []

    def most(self, measure: Measure) -> float | None:
        return max(self.told(measure), default=None)

    def reading(self, index: int, exporter: Exporter) -> CardReading:
        used, free = self.most(Measure.MEMORY_USED), self.most(Measure.MEMORY_FREE)
        total = self.most(Measure.MEMORY_TOTAL)
        if total is None and used is not None and free is not None:
            total = used + free
        errors = self.told(Measure.UNCORRECTED)
        healthy, health = self._verdict(sum(errors) if errors else None)
        return CardReading(
            index=index,
            raw_name=self.model,
            kind=exporter.kinds[0],
            healthy=healthy,
            health=health,
            power_watts=self.most(Measure.POWER),
            temperature_celsius=self.most(Measure.TEMPERATURE),
            utilisation_percent=self.most(Measure.UTILISATION),
            memory_used_mib=used,
            memory_total_mib=total,
            uncorrected_errors=sum(errors) if errors else None,
            errors=tuple(self._errors()),
            raw=tuple(self.raw),
        )

    def _verdict(self, uncorrected: float | None) -> tuple[bool | None, str]:
        """A fault that anything tells is one; else the vendor's own word on health goes first."""
        health = self.told(Measure.HEALTH)
        xids = [int(value) for value in self.told(Measure.XID)]
        if 0.0 in health:
            return False, self.word or "unhealthy"
        if fatal := sorted(FATAL_XIDS.intersection(xids)):
            return False, f"XID {fatal[0]}"
        if self.most(Measure.REMAP_FAILURE):
            return False, "row remapping failed"
        if (self.most(Measure.WATCH) or 0.0) >= DCGM_FAIL:
            return False, "DCGM: failed"
        if health and all(value == 1.0 for value in health):
            return True, "OK"
        if uncorrected:
            return False, "uncorrected ECC errors"
        if health:
            return None, "unknown"
        told = (Measure.WATCH, Measure.XID, Measure.REMAP_FAILURE, Measure.UNCORRECTED)
        if any(self.told(measure) for measure in told):
            return True, "OK"
        return None, "stale" if self.stale else "not told"

    def _errors(self) -> Iterable[str]:
        codes = self.values.get(Measure.ERROR_CODE, {}).values()
        yield from dict.fromkeys(f"0x{int(c):X}" for each in codes for c in each if c > 0)
        yield from dict.fromkeys(f"XID {int(x)}" for x in self.told(Measure.XID) if x > 0)
        if 0.0 in self.told(Measure.NETWORK):
            yield "network down"
