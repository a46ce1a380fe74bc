"""The national network file: read, shown as a table, drawn as a schematic.

`load` checks a file and gives its nodes and links as the scheduler's values, each with its
source. Drawing and tables stand in `svg` and `table`, so that reading pays for neither.
"""

from suan.network.file import NetworkFile, Source, as_file
from suan.network.load import load

__all__ = ["NetworkFile", "Source", "as_file", "load"]
