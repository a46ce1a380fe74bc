"""Which models a variant runs on: the one it names, or all that reach the figures of its class."""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.model import Accelerator, AcceleratorClass, Demand


def accepts(want: str | AcceleratorClass, model: str, accelerator: Accelerator | None) -> bool:
    """Whether a variant that asks for `want` runs on `model`, of which the catalogue says that."""
    if isinstance(want, str):
        return model == want
    return (
        accelerator is not None
        and accelerator.peak(want.precision) >= want.tflops_min
        and accelerator.memory_gib >= want.memory_gib_min
    )


class Matching:
    """The models among `models` that variants accept, each looked up once."""

    def __init__(self, models: Iterable[str], accelerators: Iterable[Accelerator]) -> None:
        """`accelerators`: of the catalogue, by which classes are judged."""
        self._models = tuple(models)
        self._known = {each.model: each for each in accelerators}
        self._accepted: dict[str | AcceleratorClass, tuple[str, ...]] = {}

    def accepted(self, want: str | AcceleratorClass) -> tuple[str, ...]:
        """In the order of `models`."""
        if want not in self._accepted:
            self._accepted[want] = tuple(
                model for model in self._models if accepts(want, model, self._known.get(model))
            )
        return self._accepted[want]

    def models(self, demand: Demand) -> list[str]:
        """Of all variants, in order of name, each once."""
        found = (self.accepted(variant.accelerator) for variant in demand.variants)
        return sorted({model for accepted in found for model in accepted})
