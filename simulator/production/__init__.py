"""The product in virtual time: the real core and the real scheduler replay a trace.

`Suan` is a policy of the replay like its rivals; behind it stand `broker.core` and
`scheduler.placement`, fed by virtual sites with the core's own events. Nothing of either
is written a second time here.
"""

from simulator.production.policy import ROUND_SECONDS, Suan
from simulator.production.specs import Workbook

__all__ = ["ROUND_SECONDS", "Suan", "Workbook"]
