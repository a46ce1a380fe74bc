"""The data plane's values and the messages that carry them."""

from __future__ import annotations

import math
from itertools import islice

from agent.data_messages import Prestage, PrestagesWanted, SendCache, SendStaging
from agent.supervisor.values import Commit
from suan.v1 import job_pb2, session_pb2

PRESTAGES_MAX = 64  # of one message; beyond, the rest waits for the next
EXPIRES_SECONDS_MAX = 86_400.0


def prestages_from_wire(body: session_pb2.Prestages) -> PrestagesWanted:
    """What is wanted; what makes no sense is taken as not said."""
    wanted = tuple(
        Prestage(
            each.location,
            _sane(each.bytes_per_second, math.inf),
            _sane(each.expires_seconds, EXPIRES_SECONDS_MAX),
        )
        for each in islice(body.wanted, PRESTAGES_MAX)
    )
    return PrestagesWanted(body.session, wanted)


def _sane(figure: float, most: float) -> float:
    return min(figure, most) if math.isfinite(figure) and figure > 0 else 0.0


def commit_to_wire(commit: Commit) -> job_pb2.Commit:
    return job_pb2.Commit(
        kind=commit.kind,
        number=commit.number,
        path=commit.path,
        url=commit.url,
        sha256=commit.sha256,
        size_bytes=commit.size_bytes,
        files=commit.files,
        epoch=commit.epoch,
    )


def commit_from_wire(message: job_pb2.Commit) -> Commit:
    return Commit(
        kind=message.kind,
        epoch=message.epoch,
        number=message.number,
        url=message.url,
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        files=message.files,
        path=message.path,
    )


def cache_to_wire(send: SendCache) -> session_pb2.AgentMessage:
    return session_pb2.AgentMessage(
        cache_report=session_pb2.CacheReport(
            session=send.session,
            seq=send.seq,
            keys=send.keys,
            bytes_max=send.bytes_max,
            refused=send.refused,
        )
    )


def staging_to_wire(send: SendStaging) -> session_pb2.AgentMessage:
    progress = [
        session_pb2.StagingProgress(
            id=session_pb2.AttemptId(job_id=id.job_id, epoch=id.epoch),
            done_bytes=done,
            total_bytes=total,
        )
        for id, done, total in send.progress
    ]
    return session_pb2.AgentMessage(
        staging_report=session_pb2.StagingReport(
            session=send.session, seq=send.seq, progress=progress
        )
    )
