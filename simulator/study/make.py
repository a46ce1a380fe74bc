"""Making a study as it was asked for, with its progress, and showing what came of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from scheduler.model import Policy
from simulator.study.page import page
from simulator.study.policy_file import load_policy
from simulator.study.question import Question
from simulator.study.record import record
from simulator.study.study import Progress, checked, study
from simulator.study.table import lines
from simulator.study.world import world_of
from suan.cli.output import Format, Output, note
from suan.identity.files import PUBLIC, write_file


def make(asked: argparse.Namespace) -> None:
    """Answer the question. Raises SuanError."""
    question = Question(
        trace=asked.trace,
        federation=asked.federation,
        policy=asked.policy,
        load=float(asked.load),
        seed=asked.seed,
        first=asked.first,
        compare=checked(tuple(name.strip() for name in asked.compare.split(","))),
        round_seconds=asked.round,
        cut_links=tuple(asked.cut_link),
        fail_sites=tuple(asked.fail_site),
        prices=tuple(asked.price),
        report=asked.report,
    )
    policy = load_policy(question.policy) if question.policy else Policy()
    world = world_of(question)
    for said in world.said:
        note(said)
    with _shown() as progress:
        found = study(world, policy, progress)
    if question.report:
        write_file(question.report, page(found).encode(), mode=PUBLIC, force=True)
        note(f"✔ report written into {question.report}")
    if asked.output == "table":
        print("\n".join(lines(found)))
    else:
        Output(Format(asked.output)).dump(record(found))


@contextmanager
def _shown() -> Iterator[Progress]:
    """A progress bar on a terminal; a line per step elsewhere."""
    if not sys.stderr.isatty():
        yield lambda name, total, done: note(f"{name} …") if not done else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<17}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(name: str, total: int, done: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        yield show
