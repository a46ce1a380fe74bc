"""Limits and small things that the actors share."""

from __future__ import annotations

import logging

import ray.exceptions

from broker.asks import Part
from broker.config import Config

WATCH_SECONDS = 1.0  # between two looks at the actors
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
LOCK_SECONDS_MAX = 15.0
ATTACH_SECONDS = 0.2  # between two looks of a gateway whether somebody leads
OUTBOUND_WAIT_SECONDS = 5.0
SILENCE_SECONDS_MAX = 15.0  # after which a leader that does not answer is taken for stopped
OUTBOUND_MAX = 100_000  # messages waiting for one gateway; beyond, it is taken for gone
CALLS_MAX = 10_000  # open calls of one actor: watchers wait in one each
OBJECT_STORE_BYTES = 200 << 20
Answer = tuple[str, Part]
GONE = (ray.exceptions.RayActorError, ray.exceptions.RayTaskError, ray.exceptions.GetTimeoutError)


def log_to(config: Config, name: str) -> None:
    logging.basicConfig(
        filename=config.state_dir / f"{name}.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
