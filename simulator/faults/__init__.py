"""Faults: a whole federation under them in virtual time, one seed a run, judged at every step.

The real core, supervisor, inventory and scheduler; the rest is simulated here. A run begins
in `federation`; many of them in `campaign`, and against mutants in `hunt`.
"""
