"""From a job file to the spec that is submitted: `load`.

Three steps: the source becomes a bounded tree (`source`), the tree becomes a draft by
the table of fields (`fields`), and here the draft becomes a spec with one variant for
each acceptable way to run the job. All problems are reported at once, each with its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from scheduler.model import Accelerator, Precision
from suan.errors import InvalidSpec, Problem
from suan.jobspec import rules
from suan.jobspec.catalogue import Catalogue
from suan.jobspec.check import check
from suan.jobspec.draft import Draft
from suan.jobspec.fields import JOB_FILE
from suan.jobspec.limits import CARDS, VARIANTS_MAX, Fault
from suan.jobspec.reader import Reader
from suan.jobspec.source import parse
from suan.jobspec.wants import Want
from suan.models import AcceleratorClass, JobSpec, Launch, Variant


@dataclass(frozen=True, slots=True)
class Reading:
    """A spec, and what its author should know although nothing is wrong."""

    spec: JobSpec
    notes: tuple[Problem, ...]


def load(text: str | bytes, *, given: Mapping[str, str], catalogue: Catalogue) -> JobSpec:
    """The spec that a job file states. Raises InvalidSpec with every problem.

    `given` holds values for the variables and secrets that the file leaves open (null).
    """
    return read(text, given=given, catalogue=catalogue).spec


def read(text: str | bytes, *, given: Mapping[str, str], catalogue: Catalogue) -> Reading:
    """As `load`, with notes: variants that were left out, and why."""
    reader = Reader(catalogue, given)
    draft = JOB_FILE.read(parse(text), "", reader)
    if draft is None:
        raise InvalidSpec(problems=reader.problems)
    _verify_together(draft, reader)
    variants = tuple(_variants(draft, reader))
    if not variants and reader.sound("resources", "image", "run"):
        _report_none_left(reader)
    spec = _spec(draft, variants)
    # The server's own check, so that nothing accepted here is refused there; it has no lines.
    problems = reader.problems or check(spec)
    if problems:
        raise InvalidSpec(problems=problems)
    return Reading(spec, tuple(reader.notes))


def _verify_together(draft: Draft, reader: Reader) -> None:
    """The rules that bind values of several records, where those values are sound."""
    topology = draft.resources.topology

    def apply(path: str, other: str, verify: Callable[..., None], *values: object) -> None:
        if reader.sound(path, other):
            try:
                verify(*values)
            except Fault as fault:
                reader.report(path, fault)

    nodes_least = min(
        (want.num_nodes or draft.num_nodes for want in draft.resources.accelerators),
        default=draft.num_nodes,
    )
    if topology is not None:
        apply("resources.topology", "num_nodes", rules.verify_topology, topology, nodes_least)
    for want in draft.resources.accelerators:
        cards = want.cards * (want.num_nodes or draft.num_nodes)
        apply("resources.accelerators", "num_nodes", CARDS.verify, cards)
    apply("secrets", "envs", rules.verify_names, draft.environment, draft.secrets)
    apply("outputs", "inputs", rules.verify_paths, draft.inputs, draft.outputs)
    apply("outputs", "outputs", rules.verify_destinations, draft.outputs)


def _report_none_left(reader: Reader) -> None:
    if not reader.notes:  # nothing was left out: a class that no model reaches
        message = "no accelerator of the catalogue reaches these figures"
        fault = Fault("NoVariant", message, "lower them; `suan accelerators` lists what there is")
        reader.report("resources.accelerators", fault)
        return
    message = "no accelerator is left: each lacks an image or a command"
    fault = Fault("NoVariant", message, "add an entry for one of the accelerators")
    reader.report(reader.notes[0].path, fault)


def _variants(draft: Draft, reader: Reader) -> Iterator[Variant]:
    """The acceptable ways to run it; a model without image or command is left out, noted."""
    catalogue = reader.catalogue
    for want in _spelled_out(draft, catalogue):
        model = want.accelerator
        if isinstance(model, AcceleratorClass):
            image, setup, run = draft.image.default, draft.setup.default, draft.run.default
            software = draft.resources.software.default
        else:
            picked = {
                name: texts.pick(model, catalogue)
                for name, texts in (("image", draft.image), ("run", draft.run))
            }
            if lacking := [name for name, value in picked.items() if value is None]:
                message = f"{model} is left out: {lacking[0]} has no entry for it"
                reader.note(lacking[0], Fault("VariantLeftOut", message, "add one to use it"))
                continue
            image, run = picked["image"] or "", picked["run"] or ""
            setup = draft.setup.pick(model, catalogue) or ""
            software = draft.resources.software.pick(model, catalogue) or ""
        yield Variant(
            accelerator=model,
            num_nodes=want.num_nodes or draft.num_nodes,
            accelerators_per_node=want.cards,
            cpus_per_node=draft.resources.cpus_per_node,
            memory_gib_per_node=draft.resources.memory_gib_per_node,
            topology=draft.resources.topology,
            image=image,
            setup=setup,
            run=run,
            software=software,
        )


def _spelled_out(draft: Draft, catalogue: Catalogue) -> list[Want]:
    """The wants; a class becomes its models where texts differ from model to model."""
    texts = (draft.image, draft.setup, draft.run, draft.resources.software)
    differs = any(text.cases for text in texts)
    wants: list[Want] = []
    for want in draft.resources.accelerators:
        figures = want.accelerator
        if isinstance(figures, AcceleratorClass) and differs:
            wants += [
                replace(want, accelerator=model)
                for model in catalogue.models()
                if _reaches(catalogue.get(model), figures)
            ]
        else:
            wants.append(want)
    return list(dict.fromkeys(wants))[: VARIANTS_MAX + 1]


def _reaches(accelerator: Accelerator, figures: AcceleratorClass) -> bool:
    """Whether a card has the figures; an unknown one (0) reaches nothing but 0."""
    peak = accelerator.peak(Precision(figures.precision))
    return peak >= figures.tflops_min and accelerator.memory_gib >= figures.memory_gib_min


def _spec(draft: Draft, variants: tuple[Variant, ...]) -> JobSpec:
    return JobSpec(
        variants=variants,
        name=draft.name,
        environment=draft.environment,
        secrets=draft.secrets,
        working_directory=draft.working_directory,
        inputs=draft.inputs,
        outputs=draft.outputs,
        work=draft.work,
        time_limit_seconds=draft.time_limit_seconds,
        grace_seconds=draft.grace_seconds,
        retry=draft.retry,
        lease=draft.lease,
        where=draft.where,
        priority=draft.priority,
        deadline_at=draft.deadline_at,
        preemptible=draft.preemptible,
        account=draft.account,
        funding=draft.funding,
        array=draft.array,
        launch=Launch(draft.launch),
        checkpoint=draft.checkpoint,
    )
