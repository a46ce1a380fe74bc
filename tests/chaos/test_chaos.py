"""Three schedules of faults on real processes, and the proof that a broken promise is seen.

`python -m tests.chaos --schedules 0:200` does as many as wanted.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.chaos.series import Order, campaign, choose_network, line_of, summary, tell

SCHEDULES_AT_A_TIME = 4  # all: most of the time they wait for leases to end


@pytest.mark.timeout(600)  # of which a quiet machine needs the sixth part
def test_every_promise_is_kept() -> None:
    """And not by a federation without its guard: there the judge must see two executions."""
    usual = choose_network("auto")
    control = Order(0, usual, control=True)
    orders = [control, *(Order(seed, usual) for seed in range(2)), Order(4, "proxy")]
    with tempfile.TemporaryDirectory(prefix="suan-chaos-") as name:
        verdicts = {}
        for order, verdict in campaign(orders, SCHEDULES_AT_A_TIME, Path(name)):
            verdicts[order] = verdict
            print(order.name, line_of(verdict))
            if verdict.violations and order is not control:
                tell(order, verdict, Path(name), print)
    unguarded = verdicts.pop(control)
    print(summary(list(verdicts.values()), 0.0))
    assert not any(verdict.violations for verdict in verdicts.values())
    assert all(verdict.starts and verdict.faults for verdict in verdicts.values())
    assert {violation.promise for violation in unguarded.violations} == {"overlap"}
