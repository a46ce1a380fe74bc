"""What cards there are: models of accelerator with their figures."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """Arithmetic precisions that peaks and work are stated in (fp16 counts as bf16)."""

    FP64 = "fp64"
    FP32 = "fp32"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    FP4 = "fp4"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One model of accelerator: figures per card, dense peaks in TFLOP/s (INT8 in TOP/s)."""

    model: str
    vendor: str
    kind: str  # "npu" | "dcu" | "gpu"
    dies_per_card: int = 1
    memory_gib: float = 0.0
    memory_tb_per_second: float = 0.0
    peak_tflops: tuple[tuple[Precision, float], ...] = ()
    supernode_cards: int = 8
    power_watts: float = 0.0

    def peak(self, precision: Precision) -> float:
        """Dense peak in TFLOP/s at `precision`; 0.0 when the catalogue has no figure."""
        return next((value for name, value in self.peak_tflops if name is precision), 0.0)
