"""Runs as jobs of Kubernetes: each one Indexed Job or Volcano Job, with one pod on each node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.backends import BackendRefused, RunOrder
from agent.backends.queued import QueuedRuns, QueuedSettings
from agent.backends.rundir import RunDirectory
from agent.kubernetes.client import ApiFailed, KubernetesApi
from agent.kubernetes.fields import Json, text
from agent.kubernetes.manager import HOPELESS_SECONDS, KubernetesManager
from agent.kubernetes.manifest import BATCH, VOLCANO, job_of, job_path, place_of
from agent.kubernetes.names import object_name
from agent.kubernetes.pod_spec import asks_of, ranktable_of
from agent.kubernetes.settings import KubernetesSettings
from agent.kubernetes.watch import KubernetesWatch
from agent.probes.tools import ProbeFailed

POD = Path(__file__).with_name("pod.py")
_UNWILLING = ("KubernetesUnreachable", "KubernetesTimedOut", "KubernetesBusy", "KubernetesFailed")


class KubernetesBackend(QueuedRuns[Json]):
    """See `agent.backends.Backend` for what each method promises.

    `state_directory` lies on a volume that agent and pods share; `settings` gives the site's
    rules as they were read last. A run's directory has two more in it:

        asks/       where its nodes ask for their lease
        ranktable/  hccl.json, where Ascend jobs get one
    """

    def __init__(
        self,
        state_directory: Path,
        queued: QueuedSettings,
        settings: Callable[[], KubernetesSettings],
        api: KubernetesApi,
        hopeless_seconds: float = HOPELESS_SECONDS,
    ) -> None:
        manager = KubernetesManager(
            api,
            settings(),
            lambda run: bool(run) and self._state.run(run).path.is_dir(),
            queued.clock,
            hopeless_seconds,
        )
        super().__init__(state_directory, queued, manager, (POD,))
        self._watch = KubernetesWatch(
            self._state,
            self._asks,
            manager,
            queued.clock,
            queued.wait_seconds_max,
            self._take_end,
        )
        self._manager = manager
        self._settings = settings
        self._api = api

    async def close(self) -> None:
        await super().close()
        await self._api.close()

    async def forget(self, name: str) -> None:
        await super().forget(name)
        self._manager.pods.changed.set()  # its job goes with the next question

    async def remove_job(self, name: str) -> None:
        """Take a run's job away at once, whatever it does. Raises ApiFailed."""
        settings = self._settings()
        namespace = settings.tenant("").namespace
        await self._manager.delete(job_path(self._kind(), namespace, object_name(name)))

    # --- starting ---------------------------------------------------------

    def _asked(self, order: RunOrder) -> Json:
        return job_of(order, self._state, self._settings(), self._kind())

    def _container(self, order: RunOrder) -> None:
        """Pods are in images already: see `pod_spec`."""

    def _kind(self) -> str:
        wish = self._settings().config.scheduler
        if wish == "auto":
            return VOLCANO if self._settings().has_volcano else BATCH
        return VOLCANO if wish == "volcano" else BATCH

    def _lay_out(self, order: RunOrder, deadline: float, port: int) -> None:
        super()._lay_out(order, deadline, port)
        run, settings = self._state.run(order.name), self._settings()
        try:
            asks_of(run).mkdir(mode=0o700)
            if settings.config.ranktable and place_of(order, settings).kind == "npu":
                ranktable_of(run).mkdir(mode=0o700)
        except OSError as error:
            self._state.remove(run)
            message = f"the run could not be laid out: {error}"
            raise BackendRefused("Unavailable", message, "check the shared volume") from error

    async def _put(self, run: RunDirectory, asked: Json) -> None:
        path = job_path(asked["apiVersion"], text(asked, "metadata", "namespace"))
        try:
            await self._api.call("POST", path, body=asked)
        except ApiFailed as failed:
            if failed.status == 409:
                return  # an agent before us has put it
            if failed.is_doubtful:
                raise ProbeFailed("ToolTimedOut", failed.message, failed.hint) from failed
            raise

    def _refused(self, failed: ProbeFailed) -> BackendRefused:
        code = {"SiteQuotaExceeded": "SiteQuotaExceeded"}.get(failed.code, "LaunchFailed")
        if failed.code in _UNWILLING:
            code = "Unavailable"
        return BackendRefused(code, f"Kubernetes: {failed.message}", failed.hint)
