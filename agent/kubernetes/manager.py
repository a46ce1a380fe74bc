"""A cluster as `agent.backends.judge` asks for it: what is said of our jobs, and ending them.

A watch of our pods tells that something has happened; what has is then read from the server's
own store, by lists without a version, because a watch may lag behind. Jobs of ours that are of
no run any more are removed on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

from agent.kubernetes.client import ApiFailed, KubernetesApi
from agent.kubernetes.fields import Json, text
from agent.kubernetes.manifest import BATCH, VOLCANO, job_path
from agent.kubernetes.mirror import Mirror
from agent.kubernetes.names import PLACE, SITE, place_label, run_of
from agent.kubernetes.pods import HOPELESS, KubernetesWord, RunPod, by_run, run_pod_of
from agent.kubernetes.settings import KubernetesSettings
from suan.retry import Backoff

NEWS_SECONDS = 1.0  # between two questions when there is news
HOPELESS_SECONDS = 60.0  # that a pod may wait after it was refused its image
BACKOFF_SECONDS, BACKOFF_SECONDS_MAX = 0.5, 30.0
DELETE_OPTIONS: Json = {
    "apiVersion": "v1",
    "kind": "DeleteOptions",
    "propagationPolicy": "Background",
}

log = logging.getLogger(__name__)


class KubernetesManager:
    """See `agent.backends.judge.Manager`."""

    name = "Kubernetes"

    def __init__(
        self,
        api: KubernetesApi,
        settings: KubernetesSettings,
        is_known: Callable[[str], bool],
        clock: Callable[[], float],
        hopeless_seconds: float = HOPELESS_SECONDS,
    ) -> None:
        """`is_known`: whether there is a run of that name."""
        self._api = api
        self._namespaces = settings.namespaces
        self._is_known = is_known
        self._poll_seconds = settings.config.poll_seconds
        self.ranktable = settings.config.ranktable  # its version; "": none
        self._clock = clock
        self._hopeless_seconds = hopeless_seconds
        self._refused_since: dict[str, float] = {}  # by run, that its pods got no image
        self._due = float("-inf")
        self._backoff = Backoff(BACKOFF_SECONDS, BACKOFF_SECONDS_MAX)
        self._failures = 0  # in a row
        self._apis: tuple[str, ...] = ()  # kinds of job that the cluster has
        if settings.config.scheduler == "kubernetes":
            self._apis = (BATCH,)
        self.selector = {"labelSelector": selector_of(settings)}
        self.pods: Mirror[RunPod] = Mirror(api, "/api/v1/pods", run_pod_of, self.selector)

    async def apis(self) -> tuple[str, ...]:
        """The kinds of job there are, Volcano's first. Raises ApiFailed."""
        if not self._apis:
            volcano = await has_volcano(self._api)
            self._apis = (VOLCANO, BATCH) if volcano else (BATCH,)
        return self._apis

    async def words(self, after: float) -> tuple[float, Mapping[str, KubernetesWord]]:
        """When there is news of our pods, or after `poll_seconds`. Raises ApiFailed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll_seconds):
                await self.pods.changed.wait()
        self.pods.changed.clear()
        await asyncio.sleep(max(self._due - self._clock(), 0.0))
        asked_at = self._clock()
        self._due = asked_at + NEWS_SECONDS
        try:
            words = await self._words()
        except ApiFailed:
            self._failures += 1
            self.pods.changed.set()
            self._due = self._clock() + self._backoff.pause_seconds(self._failures)
            raise
        self._failures = 0
        return asked_at, words

    async def cancel(self, words: Sequence[KubernetesWord]) -> None:
        for word in words:
            if word.job:
                await self.delete(word.job)

    async def delete(self, path: str) -> None:
        """Remove a job and, with kubelet's consent, its pods; gone already is fine."""
        try:
            await self._api.call("DELETE", path, body=DELETE_OPTIONS)
        except ApiFailed as failed:
            if failed.status != 404:
                raise

    async def _words(self) -> dict[str, KubernetesWord]:
        # Jobs first: a pod whose job is not in the list has lost it.
        jobs = await self._jobs()
        documents, _ = await self._api.list_all("/api/v1/pods", self.selector)
        pods = by_run(pod for each in documents if (pod := run_pod_of(each)) is not None)
        return {
            run: KubernetesWord(jobs.get(run, ""), pods.get(run, ()), self._hopeless(run, pods))
            for run in {**jobs, **pods}
        }

    async def _jobs(self) -> dict[str, str]:
        """The paths of our jobs by run; those of no run are removed."""
        found: dict[str, str] = {}
        for api in await self.apis():
            for namespace in self._namespaces:
                listed, _ = await self._api.list_all(job_path(api, namespace), self.selector)
                for document in listed:
                    run, name = run_of(document), text(document, "metadata", "name")
                    path = job_path(api, namespace, name)
                    if self._is_known(run):
                        found[run] = path
                    elif name and not text(document, "metadata", "deletionTimestamp"):
                        log.info("removing the job %s of a run that is no more", name)
                        await self.delete(path)
        return found

    def _hopeless(self, run: str, pods: Mapping[str, tuple[RunPod, ...]]) -> str:
        """Why a run will never start, once that has been so for a while."""
        refused = next((pod for pod in pods.get(run, ()) if pod.waits_for in HOPELESS), None)
        if refused is None:
            self._refused_since.pop(run, None)
            return ""
        since = self._refused_since.setdefault(run, self._clock())
        if self._clock() - since < self._hopeless_seconds:
            return ""
        return f"{refused.waits_for}: {refused.message}"


def selector_of(settings: KubernetesSettings) -> str:
    """Of our jobs and pods, and of those of no other agent."""
    return f"{SITE}={settings.site},{PLACE}={place_label(settings.config.shared_dir)}"


async def has_volcano(api: KubernetesApi) -> bool:
    """Whether Volcano's jobs are there. Raises ApiFailed."""
    return await api.has(f"/apis/{VOLCANO}")
