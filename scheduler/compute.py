"""One currency for unlike accelerators: cards counted in reference cards.

A reference card computes 320 TFLOP/s in bf16 and has 64 GiB of memory (an Ascend 910B).
A card of a model counts as many as its peak allows (`compute`), and as many as its memory
(`memory`): so an Ascend hour and a DCU hour compare, and a card with little arithmetic but
much memory is not had for nothing. A figure that the catalogue lacks counts as one.
"""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.model import Accelerator, Precision
from scheduler.speed import peak_tflops

REFERENCE_TFLOPS = 320.0  # bf16, dense
REFERENCE_MEMORY_GIB = 64.0


@dataclass(frozen=True, slots=True)
class CardWorth:
    """One card of a model, in reference cards."""

    kind: str = ""  # "npu" | "dcu" | "gpu"; empty: not in the catalogue
    compute: float = 1.0
    memory: float = 1.0


UNKNOWN = CardWorth()


def worths(accelerators: tuple[Accelerator, ...]) -> dict[str, CardWorth]:
    """What a card of each model of the catalogue is worth."""
    return {each.model: _worth(each) for each in accelerators}


def _worth(accelerator: Accelerator) -> CardWorth:
    peak = peak_tflops(accelerator, Precision.BF16)
    return CardWorth(
        kind=accelerator.kind,
        compute=peak / REFERENCE_TFLOPS if peak > 0 else 1.0,
        memory=accelerator.memory_gib / REFERENCE_MEMORY_GIB if accelerator.memory_gib > 0 else 1.0,
    )
