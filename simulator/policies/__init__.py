"""Rival policies: what others do, each with its source, to be measured beside the product.

Real and whole, but of this compact world only: the product's own scheduler is no part of
it and uses none of it. `RIVALS` names them all.
"""

from simulator.policies.rivals import RIVALS, Rival, make, reference
from simulator.policies.staying import Staying

__all__ = ["RIVALS", "Rival", "Staying", "make", "reference"]
