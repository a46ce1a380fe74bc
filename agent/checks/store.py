"""Can outputs and checkpoints be published here? Asked by preflight, by publishing something.

A small object is written, read, kept from being overwritten, and removed again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading

from agent.assembly import limits_of
from agent.checks.check import Check, Status
from agent.config.file import AgentConfig
from agent.publishing.store import Store, StoreFailed
from agent.publishing.stores import Stores
from agent.staging.interrupt import Interrupt
from suan.errors import InvalidRequest

STORE_SECONDS_MAX = 20.0  # for the whole trial
HINT = "correct `store` and its account in agent.yaml; jobs' outputs and checkpoints go there"
PROBE, OTHER = b"suan-agent preflight\n", b"another\n"


async def check_store(config: AgentConfig, seconds: float = STORE_SECONDS_MAX) -> Check:
    """Whether the site's store takes, gives back and keeps what is written."""
    if not config.store:
        return Check("store", Status.OK, "none: outputs and checkpoints stay at this site")
    end = Interrupt()
    try:
        store = Stores(config.store, limits_of(config)).at("")
        async with asyncio.timeout(seconds):
            await _tried(store, end)
    except InvalidRequest as error:
        return Check("store", Status.FAIL, error.message, error.hint)
    except StoreFailed as failed:
        return Check("store", Status.FAIL, f"{config.store}: {failed.message}", HINT)
    except TimeoutError:
        message = f"{config.store} has not answered for {seconds:g} s"
        return Check("store", Status.FAIL, message, HINT)
    finally:
        end.set("it takes too long")
    return Check("store", Status.OK, f"{config.store}: written, read, kept and removed")


async def _tried(store: Store, end: Interrupt) -> None:
    """`_try` in a thread that nothing waits for: a file system may never answer."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[StoreFailed | None] = loop.create_future()

    def tell(failed: StoreFailed | None) -> None:
        if not answer.done():
            answer.set_result(failed)

    def work() -> None:
        failed: StoreFailed | None = None
        try:
            _try(store, end)
        except StoreFailed as error:
            failed = error
        except Exception as error:  # of a client library: it must not look like silence
            failed = StoreFailed(repr(error))
        with contextlib.suppress(RuntimeError):  # nobody listens any more
            loop.call_soon_threadsafe(tell, failed)

    threading.Thread(target=work, name="store trial", daemon=True).start()
    if (failed := await answer) is not None:
        raise failed


def _try(store: Store, end: Interrupt) -> None:
    """Raises StoreFailed."""
    key = f".suan-probe-{secrets.token_hex(8)}"
    try:
        if store.create(key, PROBE, end) != PROBE:
            raise StoreFailed("it does not give back what was written")
        if store.create(key, OTHER, end) != PROBE:
            raise StoreFailed("it lets one commit be written over another")
    except StoreFailed:
        with contextlib.suppress(StoreFailed):
            store.remove(key, end)
        raise
    store.remove(key, end)
    if store.size(key, end) is not None:
        raise StoreFailed("it keeps what was removed")
