"""What a session says of data, between the core's messages and those on the stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from broker.core.data_messages import (
    KEYS_MAX,
    CacheReport,
    Prestages,
    StagingProgress,
    StagingReport,
)
from broker.core.rows import Commit
from suan.v1 import job_pb2, session_pb2

KEY_CHARACTERS_MAX = 80  # "sha256-" and 64 digits, and some more
PROGRESS_MAX = 1_000  # attempts of one message


def cache_report_from_wire(site: str, message: session_pb2.CacheReport) -> CacheReport:
    keys, refused = _keys(message.keys), _keys(message.refused)
    return CacheReport(site, message.session, message.seq, keys, message.bytes_max, refused)


def _keys(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key for key in islice(keys, KEYS_MAX) if len(key) <= KEY_CHARACTERS_MAX)


def staging_report_from_wire(site: str, message: session_pb2.StagingReport) -> StagingReport:
    progress = tuple(
        StagingProgress(each.id.job_id, each.id.epoch, each.done_bytes, each.total_bytes)
        for each in islice(message.progress, PROGRESS_MAX)
    )
    return StagingReport(site, message.session, message.seq, progress)


def commit_from_wire(message: job_pb2.Commit) -> Commit:
    """Whose it is and when, the core knows better."""
    return Commit(
        kind=message.kind,
        epoch=message.epoch,
        number=message.number,
        url=message.url,
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        files=message.files,
        site="",
        at=0.0,
        path=message.path,
    )


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
        site=commit.site,
        at=commit.at,
        dataset=commit.dataset,
    )


def prestages_to_wire(session: str, message: Prestages) -> Iterator[session_pb2.BrokerMessage]:
    """In one message: the core bounds how many there are."""
    wanted = [
        session_pb2.Prestage(
            dataset=each.dataset,
            location=each.location,
            size_bytes=each.size_bytes,
            bytes_per_second=each.bytes_per_second,
            expires_seconds=each.expires_seconds,
        )
        for each in message.wanted
    ]
    yield session_pb2.BrokerMessage(
        prestages=session_pb2.Prestages(session=session, term=message.term, wanted=wanted)
    )
