"""What our objects are called in a cluster, and how they are found again. Pure.

An object carries its run's name in an annotation. Its own name is the run's name where that
is a name of Kubernetes, else one that is made of it, always the same.
"""

from __future__ import annotations

import hashlib
import re

from agent.kubernetes.fields import Json, text

SITE = "suan/site"  # label: whose runs these are …
PLACE = "suan/place"  # … and by which agent of that name
OBJECT = "suan/object"  # label of pods: the name of their job
JOB = "suan/job"  # label, where the id can be one
EPOCH = "suan/epoch"  # label
RUN = "suan/run"  # annotation: the run's name

NAME_CHARACTERS_MAX = 52  # of a job, so that the names of its pods are host names (63)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def object_name(run: str) -> str:
    """The name of a run's job: a DNS label (RFC 1123) with room for an index behind it."""
    if len(run) <= NAME_CHARACTERS_MAX and _LABEL.fullmatch(run):
        return run
    return f"suan-{hashlib.sha256(run.encode()).hexdigest()[:40]}"


def run_of(document: Json) -> str:
    """The run that an object or pod is of; "" when it is of none of ours."""
    run = text(document, "metadata", "annotations", RUN)
    name = text(document, "metadata", "labels", OBJECT) or text(document, "metadata", "name")
    return run if run and object_name(run) == name else ""


def place_label(shared_dir: str) -> str:
    """Tells two agents apart that go by one name."""
    return hashlib.sha256(shared_dir.encode()).hexdigest()[:16]


def labels_of(site: str, place: str, run: str, job_id: str, epoch: int) -> dict[str, str]:
    labels = {SITE: site, PLACE: place, OBJECT: object_name(run), EPOCH: str(epoch)}
    if _LABEL_VALUE.fullmatch(job_id):
        labels[JOB] = job_id
    return labels
