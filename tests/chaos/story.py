"""The story of a violation: the faults and what happened to the job, in one order of time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.chaos.evidence import (
    CLIENT_FILE,
    FAULTS_FILE,
    WITNESS_FOLDER,
    Sign,
    read_lines,
    read_signs,
)

Line = tuple[float, str]


def story(folder: Path, job_id: str = "") -> list[str]:
    """Lines for people: seconds since the first event, then what happened.

    Without a job: the faults alone.
    """
    lines = [(line["at"], _fault(line)) for line in read_lines(folder / FAULTS_FILE)]
    if job_id:
        lines += _of_client(folder, job_id)
        lines += _of_job([s for s in read_signs(folder / WITNESS_FOLDER) if s.job_id == job_id])
    lines.sort()
    return [f"{at - lines[0][0]:7.2f} s  {text}" for at, text in lines]


def _fault(line: dict[str, Any]) -> str:
    words = [line["event"], line.get("kind", ""), line.get("target", "")]
    hit = line.get("hit")
    return "FAULT   " + " ".join(filter(None, words)) + ("" if hit is None else f" ({hit} hit)")


def _of_client(folder: Path, job_id: str) -> Iterator[Line]:
    for line in read_lines(folder / CLIENT_FILE):
        if job_id in line.get("ids", ()):
            yield line["at"], f"client  {line['event']} {line.get('code', '')}".rstrip()
        elif line.get("job") == job_id:
            yield line["at"], f"broker  {line['state']} (revision {line['revision']})"


def _of_job(signs: list[Sign]) -> Iterator[Line]:
    """Of each process its start, its last sign, and the sign before a silence within."""

    def process(sign: Sign) -> tuple[int, int, int]:
        return sign.epoch, sign.rank, sign.pid

    for (epoch, rank, pid), group in groupby(sorted(signs, key=process), key=process):
        own = sorted(group, key=lambda sign: sign.at)
        who = f"job     attempt {epoch} rank {rank} at {own[0].site}, pid {pid}:"
        yield own[0].at, f"{who} {own[0].event}"
        yield own[-1].at, f"{who} {own[-1].event}, its last sign of {len(own)}"
