"""The blocking SDK: `with Client.connect() as client: …`, the asynchronous one on a thread.

Each method is that of `suan.client.Client`, run on a private event loop; signatures,
answers and errors are the same. An iterator that is left early ends its call.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from suan.client import Client as AsyncClient
from suan.errors import SuanError
from suan.transport import DEADLINE_SECONDS, ignore

P = ParamSpec("P")
T = TypeVar("T")
list_of = list  # within the class, `list` is a method

CANCEL_SECONDS = 5.0  # how long an interrupted call may take to end
_END: Any = object()


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Client, P], T]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._client, *args, **kwargs))

    functools.update_wrapper(call, method)
    return call


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Client, P], Generator[T, None, None]]:
    def iterate(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        items = method(self._client, *args, **kwargs)
        try:
            while (item := self._run(_following(items))) is not _END:
                yield item
        finally:
            if not self._loop.is_closed():
                self._run(items.aclose())

    functools.update_wrapper(iterate, method)
    return iterate


class Client:
    """One connection to a federation's broker, as one identity. For one thread at a time."""

    def __init__(self, make: Callable[[], AsyncClient]) -> None:
        """`make` is called on the private loop."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="suan-client", daemon=True
        )
        self._thread.start()
        try:
            self._client: AsyncClient = self._run(_made(make))
        except BaseException:
            self._stop()
            raise

    @classmethod
    def connect(
        cls,
        context: str | None = None,
        address: str | None = None,
        identity: str | os.PathLike[str] | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        on_wait: Callable[[SuanError], None] = ignore,
    ) -> Self:
        """As `suan.client.Client.connect`; `on_wait` is called on another thread."""
        return cls(
            lambda: AsyncClient.connect(
                context, address, identity, deadline_seconds=deadline_seconds, on_wait=on_wait
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """HOST:PORT of the broker; of several, a list with commas."""
        return self._client.transport.address

    @property
    def identity(self) -> Path:
        """The directory of the identity."""
        return self._client.transport.identity

    @property
    def deadline_seconds(self) -> float:
        """How long a call, and a stream without contact to a broker, is tried again."""
        return self._client.transport.deadline_seconds

    @deadline_seconds.setter
    def deadline_seconds(self, seconds: float) -> None:
        self._client.transport.deadline_seconds = seconds

    def close(self) -> None:
        """Ends the connection and the thread; a second time does nothing."""
        if not self._loop.is_closed():
            self._run(_finished(self._client))
            self._stop()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; an interrupt of the calling thread cancels it."""
        if self._loop.is_closed():
            work.close()
            raise RuntimeError("the client is closed")
        finished = threading.Event()
        tasks: list_of[asyncio.Task[T]] = []

        def launch() -> None:
            tasks.append(self._loop.create_task(work))
            tasks[0].add_done_callback(lambda _: finished.set())

        def cancel() -> None:
            if tasks:
                tasks[0].cancel()
            else:  # interrupted even before it was launched
                work.close()
                finished.set()

        try:  # an interrupt may come between any two steps
            self._loop.call_soon_threadsafe(launch)
            finished.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(cancel)
            finished.wait(CANCEL_SECONDS)
            raise
        return tasks[0].result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    submit = _blocking(AsyncClient.submit)
    put_bundle = _blocking(AsyncClient.put_bundle)
    plan = _blocking(AsyncClient.plan)
    get = _blocking(AsyncClient.get)
    spec = _blocking(AsyncClient.spec)
    list = _iterating(AsyncClient.list)
    watch = _iterating(AsyncClient.watch)
    starting = _iterating(AsyncClient.starting)
    wait = _blocking(AsyncClient.wait)
    logs = _iterating(AsyncClient.logs)
    files = _iterating(AsyncClient.files)
    read_file = _iterating(AsyncClient.read_file)
    copy = _blocking(AsyncClient.copy)
    execute = _iterating(AsyncClient.execute)
    cancel = _blocking(AsyncClient.cancel)
    explain = _blocking(AsyncClient.explain)
    offers = _blocking(AsyncClient.offers)
    accelerators = _blocking(AsyncClient.accelerators)

    sites = _blocking(AsyncClient.sites)
    site = _blocking(AsyncClient.site)
    create_token = _blocking(AsyncClient.create_token)
    pending = _blocking(AsyncClient.pending)
    approve = _blocking(AsyncClient.approve)
    drain = _blocking(AsyncClient.drain)
    resume = _blocking(AsyncClient.resume)
    remove = _blocking(AsyncClient.remove)
    confirm_dead = _blocking(AsyncClient.confirm_dead)
    announce_maintenance = _blocking(AsyncClient.announce_maintenance)
    maintenance = _blocking(AsyncClient.maintenance)
    counters = _blocking(AsyncClient.counters)
    network = _blocking(AsyncClient.network)
    apply_network = _blocking(AsyncClient.apply_network)
    datasets = _blocking(AsyncClient.datasets)
    put_dataset = _blocking(AsyncClient.put_dataset)
    remove_dataset = _blocking(AsyncClient.remove_dataset)
    tenants = _blocking(AsyncClient.tenants)
    put_tenant = _blocking(AsyncClient.put_tenant)
    audit = _iterating(AsyncClient.audit)


async def _made(make: Callable[[], AsyncClient]) -> AsyncClient:
    return make()


async def _finished(client: AsyncClient) -> None:
    """Closes the connection and lets what it leaves behind end."""
    await client.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    loop = asyncio.get_running_loop()
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


async def _following(items: AsyncGenerator[Any, None]) -> Any:
    return await anext(items, _END)
