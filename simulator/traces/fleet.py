"""Lists of nodes that lie beside traces: what the cluster was made of.

Reads the node lists of openb (2023) and of Alibaba's spot cluster (2026). Models are
named as the list names them; who uses them maps them to the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simulator.traces import values
from simulator.traces.lines import lines
from simulator.traces.report import BadRow, Reason, Report, Tally
from suan.errors import InvalidRequest

_OPENB = ("sn", "gpu", "model", "cpu_milli", "memory_mib")
_SPOT = ("node_name", "gpu_capacity_num", "gpu_model", "cpu_num", "")


@dataclass(frozen=True, slots=True)
class FleetNode:
    """One node: `cards` of one model, which may be none."""

    name: str
    cards: int
    model: str
    cpus: float
    memory_gib: float = 0.0  # 0: not stated


def read_fleet(path: Path) -> tuple[tuple[FleetNode, ...], Report]:
    """The nodes of a list and what was dropped. Raises InvalidRequest for another table."""
    tally = Tally()
    numbered = lines(path, tally)
    header = [name.strip() for name in next(numbered, (0, ""))[1].split(",")]
    columns = next((each for each in (_OPENB, _SPOT) if set(filter(None, each)) <= {*header}), None)
    if columns is None:
        hint = "a list of nodes names sn,gpu,model or node_name,gpu_model,gpu_capacity_num"
        raise InvalidRequest(f"{path} is no list of nodes", hint, code="UnknownTraceFormat")
    nodes: list[FleetNode] = []
    for line, text in numbered:
        tally.rows += 1
        try:
            nodes.append(_node(columns, header, text))
        except BadRow as bad:
            tally.drop(bad.reason, line)
    return tuple(nodes), tally.report(path.name, "nodes", len(nodes), 0)


def _node(columns: tuple[str, ...], header: list[str], text: str) -> FleetNode:
    fields = text.split(",")
    if len(fields) != len(header):
        raise BadRow(Reason.MISSING_FIELD if len(fields) < len(header) else Reason.BAD_ROW)
    row = dict(zip(header, fields, strict=True))
    name, cards, model, cpus, memory = columns
    count = values.number(values.field(row, cards))
    if not 0 <= count <= values.CARDS_MAX or count != int(count):
        raise BadRow(Reason.OUT_OF_RANGE)
    milli = 1000.0 if cpus.endswith("milli") else 1.0
    return FleetNode(
        name=values.field(row, name),
        cards=int(count),
        model=row[model].strip(),
        cpus=values.number(values.field(row, cpus)) / milli,
        memory_gib=values.number(values.field(row, memory)) / 1024.0 if memory else 0.0,
    )
