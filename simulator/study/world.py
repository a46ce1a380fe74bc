"""From a question to a world to replay: jobs, federation, what goes wrong, and what was made up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scheduler.model import Network
from simulator.bounds import load, loaded
from simulator.federation import Cut, Federation, Workload, instance, load_federation, synthesise
from simulator.federation.instance import stage_seconds
from simulator.replay import Absence, Incidents, Instance, Rewiring
from simulator.study.question import Question
from simulator.study.what_if import altered
from simulator.traces import Report, Selection, read_trace
from suan.errors import InvalidRequest
from suan.network.graph import ends

LINES_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the policies of one study have in common."""

    question: Question
    federation: Federation
    workload: Workload
    instance: Instance
    incidents: Incidents
    networks: tuple[tuple[float, Network], ...]  # that an administrator applies, with its moment
    report: Report
    load: float  # of the fluid program; 0: nothing can run
    said: tuple[str, ...]  # what was read, made up and left out, for people


def world_of(question: Question) -> World:
    """Read the files and complete what they lack. Raises InvalidRequest."""
    federation = altered(load_federation(question.federation), question)
    if not federation.pools:
        message = f"{question.federation} declares no pool"
        raise InvalidRequest(message, "give a site some accelerators", code="FederationEmpty")
    jobs, report = read_trace(question.trace, Selection(first=question.first))
    if not jobs:
        hint = "; ".join(report.words()[1:]) or "name a trace with jobs that have run"
        raise InvalidRequest(f"{question.trace} holds no job to replay", hint, code="TraceEmpty")
    workload = synthesise(jobs, federation, question.seed)
    made = instance(federation, workload)
    if question.load and made.feasible.any():
        made = loaded(made, question.load)
    networks = _networks(federation)
    return World(
        question=question,
        federation=federation,
        workload=workload,
        instance=made,
        incidents=_incidents(federation, workload, made, networks),
        networks=networks,
        report=report,
        load=load(made) if made.feasible.any() else 0.0,
        said=(
            *report.words(),
            *_nowhere(made, workload),
            *(f"{question.federation.name}: {each}" for each in federation.warnings),
            *workload.said,
            *_unpowered(federation),
            *_what_fails(federation),
        ),
    )


def _networks(federation: Federation) -> tuple[tuple[float, Network], ...]:
    """The network after each moment at which a link goes or comes back."""
    moments = {at for cut in federation.cuts for at in (cut.from_seconds, cut.until_seconds)}
    return tuple(
        (at, _without(federation.network, [cut for cut in federation.cuts if _lasts(cut, at)]))
        for at in sorted(at for at in moments if np.isfinite(at))
    )


def _lasts(cut: Cut, at: float) -> bool:
    return cut.from_seconds <= at < cut.until_seconds


def _without(network: Network, cuts: list[Cut]) -> Network:
    gone = {tuple(sorted((cut.a, cut.b))) for cut in cuts}
    left = tuple(link for link in network.links if ends(link) not in gone)
    return replace(network, links=left)


def _incidents(
    federation: Federation,
    workload: Workload,
    made: Instance,
    networks: tuple[tuple[float, Network], ...],
) -> Incidents:
    pools = [pool.site for pool in federation.pools]
    absences = tuple(
        Absence(
            tuple(at for at, site in enumerate(pools) if site == outage.site),
            outage.from_seconds,
            outage.until_seconds,
        )
        for outage in federation.outages
    )
    forbidden = ~np.isfinite(made.known.stage_seconds)
    rewirings = []
    for at, network in networks:
        rewired = replace(federation, network=network)
        stage = stage_seconds(rewired, workload.datasets)[workload.dataset]
        stage[forbidden] = np.inf
        rewirings.append(Rewiring(at, stage))
    return Incidents(absences, tuple(rewirings))


def _nowhere(made: Instance, workload: Workload) -> tuple[str, ...]:
    """What to say of the jobs that no pool could hold."""
    rows = np.flatnonzero(~made.feasible).tolist()
    if not rows:
        return ()
    lines = ", ".join(str(workload.jobs[at].line) for at in rows[:LINES_SHOWN_MAX])
    more = ", …" if len(rows) > LINES_SHOWN_MAX else ""
    widest = max(workload.jobs[at].cards for at in rows)
    return (
        f"{len(rows):,} jobs fit no pool and stay unfinished, the widest of {widest:,} cards "
        f"(line {lines}{more})",
    )


def _unpowered(federation: Federation) -> tuple[str, ...]:
    names = ", ".join(each.model for each in federation.accelerators if not each.power_watts)
    return (f"the catalogue has no power of {names}: 0 kWh is counted",) if names else ()


def _what_fails(federation: Federation) -> tuple[str, ...]:
    said = [
        f"{each.site} is away {_span(each.from_seconds, each.until_seconds)}"
        for each in federation.outages
    ]
    said += [
        f"the link {each.a}-{each.b} is cut {_span(each.from_seconds, each.until_seconds)}"
        for each in federation.cuts
    ]
    if federation.outages:
        said.append(
            "what a failed site held starts anew: by suan elsewhere once its lease is over,"
        )
        said.append("  by the rivals, which have no fail-over, at the same site when it is back")
    return tuple(said)


def _span(begin: float, end: float) -> str:
    until = f"to {end / 3600:g} h" if np.isfinite(end) else "on, for ever"
    return f"from {begin / 3600:g} h {until}"
