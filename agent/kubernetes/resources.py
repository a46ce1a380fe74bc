"""What a resource of a node is in the catalogue's words, by its name and the node's labels.

Names and labels as the vendors' device plugins and labellers have them (sites.md 2.1):
MindCluster's Ascend Device Plugin, HYGON-AI/k8s-hcu-device-plugin and k8s-hcu-label-node, and
NVIDIA's. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from suan.catalogue import Catalogue

# Resource -> labels of the node that tell the model, best first.
WHOLE_CARDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "huawei.com/Ascend910": ("node.kubernetes.io/npu.chip.name", "accelerator-type"),
        "huawei.com/Ascend310P": ("node.kubernetes.io/npu.chip.name",),
        "huawei.com/Ascend310": ("node.kubernetes.io/npu.chip.name",),
        "huawei.com/npu": ("node.kubernetes.io/npu.chip.name", "accelerator-type"),
        "hygon.com/hcu": ("hygon.com/hcu.name",),  # of card 0; wrong on mixed nodes
        "hygon.com/dcu": ("hygon.com/dcu.name", "hygon.com/hcu.name"),
        "nvidia.com/gpu": ("nvidia.com/gpu.product",),
    }
)
_TOOLS: Mapping[str, str] = MappingProxyType(
    {"huawei.com": "chip", "hygon.com": "hy-smi", "nvidia.com": "nvidia-smi"}
)
# Parts of cards, and counts that go with them: never offered as cards.
_PARTS = re.compile(
    r"huawei\.com/(Ascend[0-9A-Za-z-]+-\d+c.*|npu-core|vnpu.*|scheduler\..*|.*-(memory|core))"
    r"|hygon\.com/(hcu-(share|mig)-.*|[dh]cu(num|cores|mem))"
    r"|nvidia\.com/(mig-.*|gpumem.*|gpucores|gpu\.shared)"
    r"|volcano\.sh/.*"
)
_A3 = "module-a3-"  # accelerator-type of a server with 910C


@dataclass(frozen=True, slots=True)
class CardType:
    """What a resource of a node counts, in the catalogue's words."""

    accelerator: str  # canonical model
    kind: str  # "npu" | "dcu" | "gpu"
    dies_per_card: int = 1  # the resource counts dies


def is_part(resource: str) -> bool:
    """Whether it counts parts of cards."""
    return _PARTS.fullmatch(resource) is not None


class Namer:
    """Says what resources are: by the operator's word, else by the catalogue where that is clear.

    `mapped`: a resource ("hygon.com/dcu"), a resource on nodes whose label says so
    ("huawei.com/npu=950PR"), or such a label alone ("BW3000") -> canonical model.
    """

    def __init__(self, catalogue: Catalogue, mapped: Mapping[str, str]) -> None:
        self._catalogue = catalogue
        self._mapped = mapped

    def card(self, resource: str, labels: Mapping[str, str]) -> CardType | None:
        """None for what is no whole card, or has no name in the catalogue."""
        chips = [labels[key] for key in WHOLE_CARDS.get(resource, ()) if labels.get(key)]
        model = self._operators(resource, chips)
        if model is None and not is_part(resource):
            model = self._catalogues(resource, chips)
        if model is None:
            return None
        known = self._catalogue.get(model)
        return CardType(known.model, known.kind, known.dies_per_card)

    def _operators(self, resource: str, chips: list[str]) -> str | None:
        keys = (*(f"{resource}={chip}" for chip in chips), *chips, resource)
        return next((self._mapped[key] for key in keys if key in self._mapped), None)

    def _catalogues(self, resource: str, chips: list[str]) -> str | None:
        domain, _, suffix = resource.partition("/")
        tool = _TOOLS.get(domain)
        if tool is None:
            return None
        for chip in chips:
            found = self._catalogue.resolve_reported(tool, chip)
            if found is not None:
                return found
            if chip.startswith(_A3):
                return self._catalogue.resolve("910C")
        return self._catalogue.resolve_reported("kubernetes", resource) or (
            self._catalogue.resolve(suffix) if resource not in WHOLE_CARDS else None
        )
