"""What gRPC's own log says of callers who are gone while they are answered: a line, no traceback.

A stream is written to in the moment in which its caller hangs up; nothing is lost, and nobody
can do anything about it.
"""

from __future__ import annotations

import logging

LOGGER = "grpc._cython.cygrpc"
_GONE = "ExecuteBatchError"  # has no public name


def tell_shortly() -> None:
    """From now on, in this process. Again: nothing changes."""
    logging.getLogger(LOGGER).addFilter(shorten)


def shorten(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if type(error).__name__ == _GONE:
        record.msg, record.args = f"a caller is gone: {record.getMessage()}", None
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
