"""Traces of real clusters: read as they come, checked row by row, chosen from and scaled.

`read_trace` turns a file into `TraceJob` values and a `Report` of every row that was not
used and why. Nothing here knows a federation or a scheduler.
"""

from simulator.traces.job import TraceJob
from simulator.traces.read import read_trace
from simulator.traces.report import Dropped, Reason, Report
from simulator.traces.scaling import copies, stretched, widened
from simulator.traces.selection import Selection

__all__ = [
    "Dropped",
    "Reason",
    "Report",
    "Selection",
    "TraceJob",
    "copies",
    "read_trace",
    "stretched",
    "widened",
]
