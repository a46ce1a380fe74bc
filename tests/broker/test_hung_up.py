"""gRPC's log of callers who are gone."""

from __future__ import annotations

import logging

import pytest
from grpc._cython import cygrpc

from broker.hung_up import LOGGER, tell_shortly


@pytest.mark.parametrize("error", [cygrpc.ExecuteBatchError("Failed"), ValueError("other")])
def test_who_is_gone_is_told_in_a_line(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    tell_shortly()
    tell_shortly()
    try:
        raise error
    except Exception:
        logging.getLogger(LOGGER).exception("%s raised in core by servicer method [/x]", error)
    gone = not isinstance(error, ValueError)
    assert ("Traceback" in caplog.text) is not gone
    assert caplog.text.count("a caller is gone") == int(gone)
    assert "raised in core by servicer method [/x]" in caplog.text
