"""What Kubernetes says of a run's pods; `agent.backends.judge` weighs it. Pure.

Kubernetes is asked where a fence cannot know: a pod never began, its node is lost, or a
process was killed from outside. Reasons by the API's reference (PodStatus, ContainerState,
DisruptionTarget) and by kubelet's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.backends import Reason
from agent.backends.judge import SITE_PREEMPTED, SITE_STOPPED, Meaning
from agent.kubernetes.fields import Json, items, table, text, words
from agent.kubernetes.names import run_of

OVER = ("Succeeded", "Failed")
ASCEND_CONFIGURATION = "ascend.kubectl.kubernetes.io/ascend-910-configuration"
LOST = ("NodeLost", "DeletionByTaintManager", "DeletionByPodGC")
_LOST: Meaning = (Reason.MACHINE_REBOOTED, "Kubernetes: a node of it was lost")
_SHUT: Meaning = (Reason.MACHINE_REBOOTED, "Kubernetes: a node of it was shut down")

# A reason of a pod, its container or its disruption -> why the run ended, and what to tell.
_ENDS: Mapping[str, Meaning] = MappingProxyType(
    {
        "OOMKilled": (Reason.OUT_OF_MEMORY, "Kubernetes: out of memory"),
        "DeadlineExceeded": (Reason.TIME_LIMIT, "Kubernetes: it ran longer than its time limit"),
        "Evicted": (Reason.STOPPED, SITE_PREEMPTED),
        "Preempting": (Reason.STOPPED, SITE_PREEMPTED),
        "PreemptionByScheduler": (Reason.STOPPED, SITE_PREEMPTED),
        "TerminationByKubelet": (Reason.STOPPED, SITE_PREEMPTED),
        "EvictionByEvictionAPI": (Reason.STOPPED, SITE_STOPPED),  # a drain
        **dict.fromkeys(LOST, _LOST),
        "NodeShutdown": _SHUT,
        "Terminated": _SHUT,
    }
)
# A container that waits for one of these waits in vain.
HOPELESS = (
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
UNPROVEN = ("ContainerStatusUnknown",)  # kubelet does not know what became of it


@dataclass(frozen=True, slots=True)
class RunPod:
    """One pod of a run."""

    run: str
    namespace: str
    name: str
    node: str  # "": not on one yet
    phase: str
    address: str  # "": none yet
    reasons: tuple[str, ...]  # of pod, disruption and container, in this order
    message: str  # what was said with them
    waits_for: str  # why its container does not start; "": it need not wait
    ended: bool  # its containers have ended, and kubelet says so
    going: bool  # it is being deleted
    devices: str  # the Ascend device plugin's word on its devices, JSON; "": none

    @property
    def is_lost(self) -> bool:
        """Whether Kubernetes gave it up with its node, and nobody saw it end."""
        return self.going and not self.ended and any(each in LOST for each in self.reasons)


@dataclass(frozen=True, slots=True)
class KubernetesWord:
    """What Kubernetes says of a run's job and pods; see `agent.backends.judge.Word`.

    A gang of which one pod is over, or can never start, is over: the others wait for it.
    """

    job: str  # its path on the API server; "": it is gone, and its pods go too
    pods: tuple[RunPod, ...]
    hopeless: str = ""  # why one of them will never start; "": all may

    @property
    def state(self) -> str:
        return self._first.phase if self.pods else "NoPods"

    @property
    def reason(self) -> str:
        if self.hopeless:
            return self.hopeless
        first = self._first if self.pods else None
        said = (*first.reasons, first.message) if first else ()
        return " ".join(part for part in said if part) or "no reason"

    @property
    def may_wait(self) -> bool:
        return not (self.pods and all(pod.phase in OVER for pod in self.pods))

    @property
    def is_over(self) -> bool:
        if self.hopeless or any(pod.phase == "Failed" or pod.is_lost for pod in self.pods):
            return True
        return bool(self.pods) and not self.may_wait

    @property
    def is_proof(self) -> bool:
        """Whether kubelet itself saw all of them end, or never began them."""
        return bool(self.pods) and all(pod.ended for pod in self.pods)

    @property
    def meaning(self) -> Meaning | None:
        for pod in self.pods:
            for reason in pod.reasons:
                if reason in _ENDS:
                    return _ENDS[reason]
        return None

    @property
    def _first(self) -> RunPod:
        """The one that tells most: lost or failed before pending before the others."""
        ranks = {"Failed": 1, "Pending": 2}
        return min(self.pods, key=lambda pod: 0 if pod.is_lost else ranks.get(pod.phase, 3))


def run_pod_of(document: Json) -> RunPod | None:
    """None for a pod that is of none of our runs."""
    run = run_of(document)
    if not run:
        return None
    status = table(document, "status")
    states = [table(each, "state") for each in items(status, "containerStatuses")]
    phase = text(status, "phase") or "Pending"
    ended = [state for state in states if "terminated" in state]
    disruptions = [
        entry
        for entry in items(status, "conditions")
        if text(entry, "type") == "DisruptionTarget" and text(entry, "status") == "True"
    ]
    finished = [text(state, "terminated", "reason") for state in ended]
    reasons = (text(status, "reason"), *(text(each, "reason") for each in disruptions), *finished)
    waiting = next((table(state, "waiting") for state in states if "waiting" in state), {})
    unscheduled: Json = next(
        (
            entry
            for entry in items(status, "conditions")
            if text(entry, "type") == "PodScheduled" and text(entry, "status") == "False"
        ),
        {},
    )
    messages = (
        text(status, "message"),
        text(waiting, "message"),
        *(text(each, "message") for each in disruptions),
        *(text(state, "terminated", "message") for state in ended),
        text(unscheduled, "message"),
    )
    return RunPod(
        run=run,
        namespace=text(document, "metadata", "namespace"),
        name=text(document, "metadata", "name"),
        node=text(document, "spec", "nodeName"),
        phase=phase,
        address=text(status, "podIP"),
        reasons=tuple(r for r in reasons if r and r not in ("Completed", "Error")),
        message=" ".join(next((said for said in messages if said), "").split())[:300],
        waits_for=text(waiting, "reason") or text(unscheduled, "reason"),
        ended=phase in OVER
        and len(ended) == len(states)
        and not any(reason in UNPROVEN for reason in finished)
        and _seen(document, bool(states)),
        going=bool(text(document, "metadata", "deletionTimestamp")),
        devices=words(document, "metadata", "annotations").get(ASCEND_CONFIGURATION, ""),
    )


def _seen(document: Json, has_states: bool) -> bool:
    """A pod that is over without a container's end: only one that never began is proof."""
    if has_states:
        return True
    status = table(document, "status")
    return not text(document, "spec", "nodeName") or text(status, "reason").startswith(
        ("OutOf", "Outof", "UnexpectedAdmissionError", "NodeAffinity")
    )


def by_run(pods: Iterable[RunPod]) -> dict[str, tuple[RunPod, ...]]:
    """The pods of each run, in order of name."""
    found: dict[str, list[RunPod]] = {}
    for pod in pods:
        found.setdefault(pod.run, []).append(pod)
    return {run: tuple(sorted(of, key=lambda pod: pod.name)) for run, of in found.items()}
