"""Whose submission goes next: shares, order, and a clear no to who has too much waiting."""

from __future__ import annotations

import asyncio

import pytest
from support_loop import until

from broker.services import tenant_queues
from broker.services.tenant_queues import TenantQueues
from suan.errors import ResourceExhausted


class Clients:
    """Tenants that submit parts; each part stays under way until it is let go."""

    def __init__(self) -> None:
        self.now = 0.0
        self.queues = TenantQueues(lambda: self.now)
        self.begun: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def submit(self, tenant: str, name: str, jobs: int) -> None:
        self.gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._part(tenant, name, jobs))

    async def _part(self, tenant: str, name: str, jobs: int) -> None:
        async with self.queues.request(tenant, jobs, jobs), self.queues.turn(tenant, jobs):
            self.begun.append(name)
            await self.gates[name].wait()

    async def settle(self) -> list[str]:
        """What has begun since the last look."""
        for _ in range(20):
            await asyncio.sleep(0)
        begun, self.begun = self.begun, []
        return begun

    async def let_go(self, *names: str) -> list[str]:
        for name in names:
            self.gates[name].set()
        await asyncio.gather(*(self.tasks[name] for name in names))
        return await self.settle()


async def test_alone_a_tenant_has_it_all() -> None:
    clients = Clients()
    for number in range(10):
        clients.submit("lab", f"p{number}", 64)
    assert await clients.settle() == [f"p{number}" for number in range(8)]  # of 512 jobs
    assert await clients.let_go("p3") == ["p8"]
    assert await clients.let_go("p0", "p1") == ["p9"]


async def test_beside_others_it_has_a_share() -> None:
    clients = Clients()
    for number in range(20):
        clients.submit("greedy", f"g{number}", 64)
    assert len(await clients.settle()) == 8
    clients.submit("modest", "m0", 1)
    assert await clients.settle() == ["m0"], "nobody stands before it in its own queue"
    assert await clients.let_go(*(f"g{number}" for number in range(7))) == []
    assert await clients.let_go("g7") == ["g8"], "one part at a time from now on"
    clients.now += tenant_queues.ACTIVE_SECONDS + 0.1
    clients.submit("greedy", "late", 64)
    assert len(await clients.let_go("g8")) == 8, "the other has gone quiet"


async def test_a_part_larger_than_the_share_has_its_turn() -> None:
    clients = Clients()
    clients.submit("modest", "m", 1)
    clients.submit("greedy", "huge", 900)
    clients.submit("greedy", "next", 900)
    assert await clients.settle() == ["m", "huge"]
    assert await clients.let_go("huge") == ["next"]


@pytest.mark.parametrize(
    ("limit", "jobs"),
    [("REQUESTS_WAITING_MAX", 0), ("JOBS_WAITING_MAX", 2), ("BYTES_WAITING_MAX", 2)],
)
async def test_a_full_queue_says_when_to_come_again(
    limit: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_queues, limit, 4)
    queues = TenantQueues()
    async with (
        queues.request("lab", 2, 2),
        queues.request("lab", 2, 2),
        queues.request("other", 2, 2),
    ):
        held = [queues.request("lab", 0, 0) for _ in range(0 if jobs else 2)]
        for request in held:
            await request.__aenter__()
        with pytest.raises(ResourceExhausted) as raised:
            async with queues.request("lab", 1, 1):
                pass
        assert raised.value.code == "TooManySubmissions"
        assert 0 < raised.value.retry_after_seconds <= tenant_queues.RETRY_SECONDS_MAX
        async with queues.request("other", 1, 1):
            pass
        for request in held:
            await request.__aexit__(None, None, None)
    async with queues.request("lab", 1, 1):
        pass


async def test_all_together_have_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_queues, "REQUESTS_WAITING_MAX", 2)
    monkeypatch.setattr(tenant_queues, "TENANTS_WAITING_MAX", 2)
    queues = TenantQueues()
    requests = [queues.request(f"t{number}", 1, 1) for number in range(4)]
    for request in requests:
        await request.__aenter__()
    with pytest.raises(ResourceExhausted) as raised:
        async with queues.request("late", 1, 1):
            pass
    assert raised.value.code == "BrokerBusy"
    for request in requests:
        await request.__aexit__(None, None, None)


async def test_who_gives_up_leaves_its_turn_to_the_next() -> None:
    clients = Clients()
    for number in range(4):
        clients.submit("lab", f"p{number}", 500)
    assert await clients.settle() == ["p0"]
    clients.tasks["p1"].cancel()
    await until(clients.tasks["p1"].done)
    assert await clients.let_go("p0") == ["p2"]
    clients.gates["p2"].set()
    await asyncio.sleep(0)  # p3's turn has come, and it does not know yet
    clients.tasks["p3"].cancel()
    await until(clients.tasks["p3"].done)
    clients.submit("lab", "p4", 500)
    assert await clients.settle() == ["p4"]
