"""Random histories: etcd holds what memory holds, and so does a standby, at any moment."""

from __future__ import annotations

import random
from functools import partial

import pytest
from support_core import Forgetful, parse_spec
from support_etcd import Etcd, Open
from support_standby import Campaign, Mirror, rows_of, until

from broker.core.rows import Bundle, Delete, Job, Put, Record, Tenant
from broker.store import StaleTerm
from broker.store.memory import MemoryStore

COMMITS = 40


def records(chance: random.Random) -> list[Record]:
    """A commit over few keys, so that rows are rewritten, deleted and made again."""
    made: list[Record] = []
    for _ in range(chance.choice((0, 1, 2, 5, 30, 80))):
        name = str(chance.randrange(60))
        kind = chance.randrange(4)
        if kind == 0:
            made.append(Delete(f"job/{name}"))
        elif kind == 1:
            made.append(Put(Job(name, "", "", "", "t", "s", chance.random())))
        elif kind == 2:
            made.append(Put(Tenant(f"租户/{name}", weight=chance.random())))
        else:
            name = str(chance.randrange(3))
            data = chance.randbytes(chance.choice((0, 500, 3_000, 12_000)))
            made.append(chance.choice((Delete(f"bundle/{name}"), Put(Bundle(name, data, "", 0.0)))))
    return made


def _same(mirror: Mirror, memory: MemoryStore) -> bool:
    return mirror.rows == rows_of(memory)


@pytest.mark.parametrize("number", range(10))
def test_random_histories(etcd: Etcd, opened: Open, number: int) -> None:
    chance = random.Random(number)
    settings = etcd.settings(
        operations_max=chance.choice((8, 20, 128)),
        request_bytes_max=4_096 + chance.choice((2_100, 5_000, 500_000)),
    )
    memory = MemoryStore(parse_spec)
    leader = opened(settings)
    terms = memory.campaign(Forgetful()), leader.campaign(Forgetful())
    mirror = Mirror()
    campaign = Campaign(opened(settings), mirror)
    for _ in range(COMMITS):
        commit = records(chance)
        memory.commit(commit, terms[0])
        leader.commit(commit, terms[1])
        event = chance.random()
        if event < 0.15:
            assert list(leader.load()) == list(memory.load())
            last = chance.randrange(1, 70)
            assert list(leader.load("job/", last)) == list(memory.load("job/", last))
        elif event < 0.2:
            until(partial(_same, mirror, memory))
        elif event < 0.3:  # the standby takes over, and another one begins to wait
            leader.close()
            terms = memory.campaign(Forgetful()), campaign.wait()
            assert mirror.rows == rows_of(memory)
            with pytest.raises(StaleTerm):
                campaign.store.commit(commit, terms[1] - 1)
            leader, mirror = campaign.store, Mirror()  # type: ignore[assignment]
            campaign = Campaign(opened(settings), mirror)
    assert list(leader.load()) == list(memory.load())
    leader.close()
    campaign.wait()
    assert mirror.rows == rows_of(memory)
