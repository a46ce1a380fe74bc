"""The inventory: what is offered, what is given out, and that the two never disagree."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.backends import NodeShare
from agent.inventory import (
    DeclaredNode,
    DeclaredPool,
    Inventory,
    NodeCondition,
    Refusal,
    changes,
)
from scheduler.model import Pool, Slice, Supernode


def pool(
    nodes: int = 4, cards: int = 4, per_supernode: int = 2, dies: int = 1, name: str = "p"
) -> DeclaredPool:
    declared = tuple(
        DeclaredNode(f"n{i}", f"10.0.0.{i}", f"s{i // per_supernode}") for i in range(nodes)
    )
    return DeclaredPool(name, "ascend-910b", "npu", declared, cards, dies)


def inventory(*pools: DeclaredPool, conditions: Iterable[NodeCondition] = ()) -> Inventory:
    return Inventory("shenzhen", pools or (pool(),), conditions)


def only(of: Inventory) -> Pool:
    (advertised,) = of.pools()
    return advertised


def take(of: Inventory, *slices: Slice) -> tuple[NodeShare, ...]:
    nodes = of.allocate("p", slices)
    assert not isinstance(nodes, Refusal)
    of.occupy("p", nodes)
    return nodes


def test_what_is_declared_is_offered() -> None:
    declared = DeclaredPool(
        "p", "ascend-910b", "npu", pool().nodes, 4, 1, 192, 1536.0, 6.2, 0.5, ((8, 0.99),)
    )
    assert only(inventory(declared)) == Pool(
        site="shenzhen",
        name="p",
        accelerator="ascend-910b",
        cards_per_node=4,
        cards_total=16,
        cards_usable=16,
        supernodes=(Supernode("s0", (0, 0, 0, 0, 2)), Supernode("s1", (0, 0, 0, 0, 2))),
        cpus_per_node=192,
        memory_gib_per_node=1536.0,
        yuan_per_card_hour=6.2,
        utilisation=0.5,
        linearity=((8, 0.99),),
    )


def test_faulty_and_kept_back_cards_are_not_offered() -> None:
    condition = NodeCondition("p", "n0", frozenset({0, 99}), frozenset({0, 3}))
    offered = only(inventory(conditions=[condition]))
    assert (offered.cards_total, offered.cards_usable) == (16, 14)
    assert offered.supernodes[0].nodes_by_free == (0, 0, 1, 0, 1)
    nodes = inventory(conditions=[condition]).allocate("p", [Slice("s0", 1, 2)])
    assert nodes == (NodeShare("n0", "10.0.0.0", (1, 2)),)


def test_a_grant_names_nodes_and_devices() -> None:
    stock = inventory()
    assert take(stock, Slice("s0", 2, 3)) == (
        NodeShare("n0", "10.0.0.0", (0, 1, 2)),
        NodeShare("n1", "10.0.0.1", (0, 1, 2)),
    )
    assert only(stock).supernodes[0].nodes_by_free == (0, 2, 0, 0, 0)
    assert stock.occupied("p", "n1") == {0, 1, 2}


def test_the_fullest_node_that_fits_is_taken() -> None:
    stock = inventory()
    take(stock, Slice("s0", 1, 3))
    assert take(stock, Slice("s0", 1, 1)) == (NodeShare("n0", "10.0.0.0", (3,)),)
    assert only(stock).supernodes[0].nodes_by_free == (1, 0, 0, 0, 1)


def test_slices_of_one_gang_never_share_a_node() -> None:
    stock = inventory()
    nodes = take(stock, Slice("s0", 1, 2), Slice("s0", 1, 2), Slice("s1", 1, 1))
    assert [node.name for node in nodes] == ["n0", "n1", "n2"]
    assert stock.allocate("p", [Slice("s1", 1, 1)] * 3) is Refusal.CAPACITY_GONE


def test_dies_of_a_card_go_together() -> None:
    stock = inventory(pool(dies=2))
    assert take(stock, Slice("s0", 1, 2))[0].devices == (0, 1, 2, 3)
    assert take(stock, Slice("s0", 1, 1))[0].devices == (4, 5)
    assert only(stock).cards_free == 13


def test_refusals() -> None:
    stock = inventory()
    assert stock.allocate("q", [Slice("s0", 1, 1)]) is Refusal.UNKNOWN_POOL
    assert stock.allocate("p", [Slice("s9", 1, 1)]) is Refusal.UNKNOWN_SUPERNODE
    assert stock.allocate("p", [Slice("s0", 1, 5)]) is Refusal.BAD_SHAPE
    assert stock.allocate("p", [Slice("s0", 0, 1)]) is Refusal.BAD_SHAPE
    assert stock.allocate("p", []) is Refusal.BAD_SHAPE
    assert stock.allocate("p", [Slice("s0", 3, 1)]) is Refusal.CAPACITY_GONE
    take(stock, Slice("s0", 2, 4))
    assert stock.allocate("p", [Slice("s0", 1, 1)]) is Refusal.CAPACITY_GONE


def test_asking_takes_nothing() -> None:
    stock = inventory()
    before = stock.pools()
    stock.allocate("p", [Slice("s0", 2, 4)])
    assert stock.pools() == before


def test_release_gives_back_what_is_in_order() -> None:
    """A card that became faulty while it was held does not come back."""
    held = (NodeShare("n0", "10.0.0.0", (0, 1)),)
    stock = inventory(conditions=[NodeCondition("p", "n0", frozenset({1}))])
    stock.occupy("p", held)
    assert only(stock).supernodes[0].nodes_by_free == (0, 0, 1, 0, 1)
    stock.release("p", held)
    assert only(stock).supernodes[0].nodes_by_free == (0, 0, 0, 1, 1)


def test_what_the_site_no_longer_has_is_passed_over() -> None:
    stock = inventory()
    before = stock.pools()
    for gone in ("q", "p"):
        stock.occupy(gone, (NodeShare("n99", "", (0,)),))
        stock.release(gone, (NodeShare("n99", "", (0,)),))
    assert stock.pools() == before
    assert stock.occupied("q", "n0") == stock.occupied("p", "n99") == frozenset()
    assert stock.declared("q") is None


def test_changes_between_two_reports() -> None:
    stock = inventory(pool(name="p"), pool(name="q"))
    before = stock.pools()
    assert not changes(before, stock.pools())
    take(stock, Slice("s0", 1, 1))
    found = changes(before, stock.pools())
    assert ([changed.name for changed in found.pools], found.removed) == (["p"], ())
    assert changes(before, before[:1]).removed == ("q",)
    assert changes((), before).pools == before


SLICES = st.lists(
    st.builds(Slice, st.sampled_from(["s0", "s1", "s2"]), st.integers(1, 3), st.integers(1, 4)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(SLICES, st.booleans()), max_size=25), st.integers(1, 2))
def test_what_is_offered_is_always_true(steps: list[tuple[list[Slice], bool]], dies: int) -> None:
    """No device twice, nothing lost, and the broker's own reckoning agrees with ours."""
    conditions = [NodeCondition("p", "n1", frozenset({2}))]
    declared = pool(nodes=6, dies=dies)
    stock = inventory(declared, conditions=conditions)
    held: list[tuple[NodeShare, ...]] = []
    for slices, release_first in steps:
        if release_first and held:
            stock.release("p", held.pop(0))
        before = {supernode.name: supernode for supernode in only(stock).supernodes}
        nodes = stock.allocate("p", slices)
        if isinstance(nodes, Refusal):
            continue
        stock.occupy("p", nodes)
        held.append(nodes)
        if len({wish.supernode for wish in slices}) == len(slices):
            after = {supernode.name: supernode for supernode in only(stock).supernodes}
            for wish in slices:
                reckoned = before[wish.supernode].take(wish.nodes, wish.cards)
                assert after[wish.supernode] == reckoned
        devices = [
            (share.name, device) for shares in held for share in shares for device in share.devices
        ]
        assert len(devices) == len(set(devices))
        assert ("n1", 2 * dies) not in devices
        assert only(stock).cards_free == 23 - len(devices) // dies
    for shares in held:
        stock.release("p", shares)
    assert stock.pools() == inventory(declared, conditions=conditions).pools()
