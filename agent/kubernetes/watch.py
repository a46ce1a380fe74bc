"""The watch over a cluster's runs: as over any queue, but each run asks at a place of its own.

No pod sees the questions of another's, so that no tenant can disturb another's lease. Ascend's
tables of ranks are written here too, once kubelet has chosen the devices: the pods wait for it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from agent.backends import layout
from agent.backends.queue_watch import QueueWatch
from agent.backends.rundir import RunDirectory
from agent.cards.ranktable import FILE
from agent.kubernetes.manager import KubernetesManager
from agent.kubernetes.pod_spec import asks_of, ranktable_of
from agent.kubernetes.pods import KubernetesWord
from agent.kubernetes.ranktable import table_of


class KubernetesWatch(QueueWatch[KubernetesWord]):
    """The live runs of one cluster."""

    _manager: KubernetesManager

    def works(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return (*super().works(), self._manager.pods.run())

    def submitted(self, name: str) -> None:
        super().submitted(name)
        self._manager.pods.changed.set()

    async def _answer(self) -> None:
        if not self._live:
            return
        loop, runs = asyncio.get_running_loop(), self.live_runs()
        answered = await loop.run_in_executor(self._answering, self._answer_all, runs)
        for name, seconds in answered.items():
            self._alive_until[name] = self._clock() + seconds

    def _answer_all(self, runs: tuple[RunDirectory, ...]) -> dict[str, float]:
        answered: dict[str, float] = {}
        for run in runs:
            try:
                found = layout.answer_asks(asks_of(run), self._state.runs)
            except FileNotFoundError:
                continue  # being laid out or removed
            answered |= {name: seconds for name, seconds in found.items() if name == run.name}
        return answered

    async def _query(self) -> None:
        await super()._query()
        for name, word in self._words.items():
            if name in self._live and any(pod.devices for pod in word.pods):
                run, version = self._state.run(name), self._manager.ranktable
                await asyncio.to_thread(_write_ranktable, run, word, version)


def _write_ranktable(run: RunDirectory, word: KubernetesWord, version: str) -> None:
    """For a run that wants one and has none yet, when every pod has its devices."""
    place: Path = ranktable_of(run)
    if not place.is_dir() or (place / FILE).exists():
        return
    names = json.loads((run.path / "nodes.json").read_text("utf-8"))["names"]
    by_node = {pod.node: pod.devices for pod in word.pods}
    if table := table_of([by_node.get(name, "") for name in names], version):
        new = place / f"{FILE}.new"
        new.write_text(table, "utf-8")
        new.replace(place / FILE)
