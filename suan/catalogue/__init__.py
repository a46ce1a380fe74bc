"""The accelerator catalogue: which models there are, what they are called, what they can do.

`load()` reads `accelerators.json`, which ships with the package and carries a source and a
status for every figure. Importing this package reads nothing.
"""

from suan.catalogue.catalogue import Catalogue, load
from suan.catalogue.entry import Entry, Figure, Status

__all__ = ["Catalogue", "Entry", "Figure", "Status", "load"]
