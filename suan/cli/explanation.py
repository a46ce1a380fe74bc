"""An explanation as text: why, what next, the conditions counted out, the candidates.

The counts add up: what a condition leaves is what the one before left, less what it
rejects. Everything that stands against a job is shown, not only the last reason. Lines in,
lines out; what is shown was decided by the scheduler.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from scheduler.model import Candidate, Verdict
from suan.cli.basis import basis_lines
from suan.cli.output import Format, Output, plain_lines
from suan.cli.times import length
from suan.codes import MEANINGS
from suan.errors import ExitCode
from suan.models import AcceleratorClass, JobSpec, Variant
from suan.views import Explanation

CODES_NAMED = 3  # in the first line: the weightiest
POOLS_NAMED = 3  # in a cell
CHOICES = frozenset({"WrongAccelerator", "SiteNotAllowed"})

EXIT_CODES = {
    Verdict.PLACED: ExitCode.OK,
    Verdict.WAIT: ExitCode.CANNOT_PLACE_NOW,
    Verdict.NEVER: ExitCode.CANNOT_PLACE_EVER,
}


def show_plan(output: Output, spec: JobSpec, explanation: Explanation) -> int:
    """Prints where a job would go and answers the exit code for it."""
    if output.form is Format.NAME:
        click.echo(explanation.verdict)
    elif not output.for_people:
        output.dump(explanation)
    else:
        click.echo(f"plan  {spec.name or 'job'}  {shapes(spec.variants)}")
        print_explanation(explanation, spec.variants)
    return EXIT_CODES[explanation.verdict]


def print_explanation(
    explanation: Explanation, variants: Sequence[Variant], *, queued: bool = False
) -> None:
    """Everything below the headline; `queued`: of a job that waits."""
    for line in explanation_lines(explanation, variants, queued=queued):
        click.echo(line)


def explanation_lines(
    explanation: Explanation, variants: Sequence[Variant], *, queued: bool = False
) -> Iterator[str]:
    yield f"WHY    {_why(explanation, queued)}"
    if following := _next(explanation, queued):
        yield f"NEXT   {following}"
    yield ""
    age = f" · decided {length(time.time() - explanation.decided_at)} ago"
    yield (
        f"{explanation.examined_pools} pools · {explanation.examined_cards} physical cards "
        f"examined{age if explanation.decided_at else ''}"
    )
    if explanation.rejections:
        yield from _cascade(explanation)
    if explanation.candidates:
        yield ""
        yield from _candidates(explanation.candidates, variants)
        yield from basis_lines(explanation.candidates[0])
    if explanation.suggestions:
        yield ""
        yield "WHAT IF (each solved again just now)"
        for item in explanation.suggestions:
            yield f"  {item.change}  →  {item.pool}, starts {item.starts}"


def shapes(variants: Sequence[Variant]) -> str:
    """What a job asks for: its variants, most wanted first."""
    return " or ".join(dict.fromkeys(map(shape, variants)))


def shape(variant: Variant) -> str:
    want = variant.accelerator
    if isinstance(want, AcceleratorClass):
        want = f"any with {want.precision} ≥ {want.tflops_min:g} TFLOP/s"
    nodes = f"{variant.num_nodes} × " if variant.num_nodes > 1 else ""
    return f"{nodes}{variant.accelerators_per_node} {want}"


def blocking_codes(explanation: Explanation) -> list[str]:
    """The conditions that stand against a job, the weightiest first.

    What the job itself chose not to have comes last: it is seldom what one wants to know.
    """
    weightiest = sorted(
        explanation.rejections, key=lambda item: (item.code in CHOICES, -item.cards)
    )
    return list(dict.fromkeys(item.code for item in weightiest))


def _why(explanation: Explanation, queued: bool) -> str:
    if explanation.verdict is Verdict.PLACED:
        pools = ", ".join(item.pool for item in explanation.candidates if item.chosen) or "a pool"
        if queued:
            return f"Jobs like it were placed in the last round, at {pools}; it comes after them."
        return f"{pools} is the best place for it."
    codes = blocking_codes(explanation)[:CODES_NAMED]
    start = {
        Verdict.WAIT: "It can run, but not now.",
        Verdict.NEVER: "No site of the federation could ever run it as it stands.",
    }[explanation.verdict]
    if not codes:
        return f"{start} No round has looked at it yet."
    first = MEANINGS.get(codes[0])
    return f"{start} {first.text if first else ''} [{', '.join(codes)}]"


def _next(explanation: Explanation, queued: bool) -> str:
    if explanation.verdict is Verdict.NEVER:
        return "change what FIX calls yours, or `suan explain --code CODE` for what it means"
    if not queued:
        return ""
    if explanation.position:
        return f"{explanation.position} job(s) are ahead of it in the queue"
    return "it is the first of its kind in the queue"


def _cascade(explanation: Explanation) -> Iterator[str]:
    left = explanation.examined_cards
    rows: list[list[str]] = []
    for item in explanation.rejections:
        left -= item.cards
        rows.append(
            [item.code, str(left), str(item.cards), _named(item.pools), item.fix_by, item.detail]
        )
    titles = ("HARD CONDITION", "LEFT", "REJECTED", "POOLS", "FIX", "DETAIL")
    return iter(list(plain_lines(titles, rows, (False, True, True, False, False, False))))


def _named(pools: Sequence[str]) -> str:
    more = len(pools) - POOLS_NAMED
    return ", ".join(pools[:POOLS_NAMED]) + (f" +{more}" if more > 0 else "")


def _candidates(candidates: Sequence[Candidate], variants: Sequence[Variant]) -> Iterator[str]:
    titles = ("", "CANDIDATE", "AS", "START", "STAGE", "RUN", "FINISH", "CNY", "kWh", "WHY NOT")
    rows = [_candidate_row(item, variants) for item in candidates]
    right = (False, False, False, *[True] * 6, False)
    return iter(list(plain_lines(titles, rows, right)))


def _stage(item: Candidate) -> str:
    """How long its data take; said apart where the site has kept some from before."""
    seconds = item.score.stage_seconds
    if item.cached and seconds < 1:
        return "cached"
    return length(seconds) + (" (part cached)" if item.cached else "")


def _candidate_row(item: Candidate, variants: Sequence[Variant]) -> list[str]:
    score = item.score
    return [
        "✔" if item.chosen else " ",
        item.pool,
        shape(variants[item.variant]) if item.variant < len(variants) else f"way {item.variant}",
        "now" if score.wait_seconds < 1 else length(score.wait_seconds),
        _stage(item),
        length(score.run_seconds),
        length(score.finish_seconds),
        f"{score.yuan:,.2f}",
        f"{score.kwh:,.1f}",
        item.lost_because,
    ]
