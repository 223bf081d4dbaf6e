"""What a network, a node, a miner or a thief can do to an anchorer: named, no spend, nothing lost."""

from collections.abc import AsyncIterator

import pytest

from attest.anchorer import Anchorer
from attest.bitcoind import Bitcoind
from attest.core.anchor import Standing
from attest.core.errors import (
    FeeTooHigh,
    NodeOnWrongNetwork,
    NodeUnreachable,
    NotFunded,
    SealLost,
)
from attest.core.header import SIGNET
from attest.core.transaction import display
from attest.state import MemoryState
from tests.attest.outage import through_a_wire
from tests.attest.test_anchorer import rival, variants_of
from tests.attest.world import World, a_world, digest, kernel_node


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory):
    """Always the regtest node with Core's consensus: a busy network cannot be asked of bitcoind."""
    with kernel_node(tmp_path_factory.mktemp("busy")) as running:
        yield running


@pytest.fixture
async def busy(kernel) -> AsyncIterator[World]:
    async with a_world(kernel) as world:
        yield world
        await world.node.call("emulateestimate", None)
        await world.node.call("emulatefullmempool", 0)


async def mempool(world: World) -> list[str]:
    return list(await world.node.call("getrawmempool"))


async def check(world: World, anchorer: Anchorer, opening, *digests: bytes) -> None:
    """One block later all of these, in this order, are in a chain that verifies."""
    await anchorer.advance()
    await world.mine()
    status = await anchorer.advance()
    assert status.waiting is None
    assert all(link.confirmations > 0 for link in status.links)
    expected = [digest("opening"), *digests]
    assert [link.digest for link in status.links] == expected
    world.verify(opening, await world.prove(anchorer, len(expected)), expected)


# ---- fees ----------------------------------------------------------------------------------------


async def test_a_fee_spike_above_the_cap_waits(busy):
    anchorer, opening = await busy.opened()
    await anchorer.anchor(digest(1))
    await busy.fund(2_000_000)
    for estimate, message in ((999_000, "at most 100000 are ever paid"), (1_000_001, "believed")):
        await busy.node.call("emulateestimate", estimate)
        status = await anchorer.advance()
        assert message in status.waiting
        assert (len(status.links), status.wanted) == (1, digest(1))
        assert await mempool(busy) == []
    await busy.node.call("emulateestimate", 3_000)
    await check(busy, anchorer, opening, digest(1))


async def test_a_fee_spike_before_the_opening_names_itself(busy):
    await busy.fund(2_000_000)
    anchorer = busy.anchorer()
    await busy.node.call("emulateestimate", 999_000)
    with pytest.raises(FeeTooHigh):
        await anchorer.propose_opening()
    await busy.node.call("emulateestimate", None)
    opening = await anchorer.propose_opening()
    await anchorer.open(digest("opening"))
    await check(busy, anchorer, opening)


async def test_an_anchor_that_a_full_mempool_forgot_pays_more(busy):
    state = MemoryState()
    anchorer, opening = await busy.opened(state)
    await anchorer.anchor(digest(1))
    first = (await anchorer.advance()).links[1]
    await busy.node.call("emulatefullmempool", 20_000)
    assert await mempool(busy) == []
    second = (await anchorer.advance()).links[1]
    assert second.variants == 2
    assert second.fee_sat > 9 * first.fee_sat
    assert await mempool(busy) == [display(second.txid)]
    assert (await anchorer.advance()).links[1].variants == 2, "once is enough"
    older, newer = await variants_of(state, 1)
    assert older.inputs[0].outpoint == newer.inputs[0].outpoint, "one of them at most is mined"
    await check(busy, anchorer, opening, digest(1))


async def test_a_full_mempool_above_the_cap_waits(busy):
    anchorer, opening = await busy.opened()
    await busy.fund(2_000_000)
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await busy.node.call("emulatefullmempool", 900_000)
    status = await anchorer.advance()
    assert "at most 100000 are ever paid" in status.waiting
    assert (status.links[1].variants, status.links[1].height) == (1, None)
    await busy.node.call("emulatefullmempool", 0)
    await check(busy, anchorer, opening, digest(1))


async def test_a_full_mempool_before_anything_is_sent(busy):
    anchorer, opening = await busy.opened()
    await busy.node.call("emulatefullmempool", 30_000)
    await anchorer.anchor(digest(1))
    status = await anchorer.advance()
    assert status.links[1].fee_sat >= 30 * 259
    await check(busy, anchorer, opening, digest(1))


async def test_no_funds_for_a_higher_fee_waits(busy):
    anchorer, opening = await busy.opened()
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await busy.node.call(
        "emulatefullmempool", 420_000
    )  # 216 vbytes: 90,720 sat; the change is 89,000
    status = await anchorer.advance()
    assert "sat are missing" in status.waiting
    with pytest.raises(NotFunded):
        await anchorer.bump(sat_per_kvb=430_000)
    assert await mempool(busy) == []
    await busy.node.call("emulatefullmempool", 0)
    await check(busy, anchorer, opening, digest(1))


async def test_an_evicted_anchor_is_offered_again(busy):
    anchorer, opening = await busy.opened()
    await anchorer.anchor(digest(1))
    first = (await anchorer.advance()).links[1]
    await busy.node.call("emulateeviction", display(first.txid))
    assert await mempool(busy) == []
    again = (await anchorer.advance()).links[1]
    assert (again.txid, again.variants) == (first.txid, 1)
    assert await mempool(busy) == [display(first.txid)]
    await check(busy, anchorer, opening, digest(1))


async def test_the_older_of_two_by_fee_is_mined(busy):
    state = MemoryState()
    anchorer, opening = await busy.opened(state)
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await anchorer.bump()
    await anchorer.bump()
    oldest, *_, newest = await variants_of(state, 1)
    assert await mempool(busy) == [display(newest.txid)]
    await busy.mine_only(oldest)
    status = await anchorer.advance()
    assert (status.links[1].txid, status.links[1].variants) == (oldest.txid, 3)
    assert await mempool(busy) == []
    await anchorer.anchor(digest(2))
    await check(busy, anchorer, opening, digest(1), digest(2))


# ---- the node ------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [False, True], ids=["unheard", "unanswered"])
async def test_the_wire_is_cut_at_each_call_of_an_anchor(kernel, after):
    """Between each two calls, before or after their effect; the same anchorer goes on."""
    async with a_world(kernel) as world, through_a_wire(kernel) as (node, wire):
        owner = World(node)
        anchorer, opening = await owner.opened()
        digests, cut, named, finished = [], 0, 0, False
        while not finished:
            cut += 1
            digests.append(digest(("cut", after, cut)))
            await anchorer.anchor(digests[-1])
            wire.reset(cut, after=after)
            try:
                await anchorer.advance()
                await anchorer.bump()
                await world.mine()
                await anchorer.advance()
                await anchorer.prove(len(digests))
                finished = True
            except NodeUnreachable:
                named += 1
            wire.reset(0, after=False)
            await anchorer.advance()
            assert len(await mempool(world)) <= 1, "one spend of the seal at most"
            await world.mine()
            await anchorer.advance()
        assert cut - 1 == named > 20
        expected = [digest("opening"), *digests]
        owner.verify(opening, await owner.prove(anchorer, len(expected)), expected)


async def test_a_node_that_stays_away(kernel):
    async with through_a_wire(kernel) as (node, wire):
        world = World(node)
        anchorer, opening = await world.opened()
        await anchorer.anchor(digest(1))
        for cut in range(1, 9):
            wire.reset(cut, after=False, down=True)
            for work in (anchorer.advance, anchorer.bump, lambda: anchorer.prove(0)):
                with pytest.raises(NodeUnreachable):
                    await work()
            wire.reset(0, after=False)
        await check(world, anchorer, opening, digest(1))


async def test_a_node_of_another_network(world):
    state = MemoryState()
    anchorer, opening = await world.opened(state)
    await anchorer.anchor(digest(1))
    record = await state.get("link-000000")
    node = world.node
    async with Bitcoind(url=node._url, credentials=node._credentials, network=SIGNET) as elsewhere:
        lost = world.anchorer(state, node=elsewhere, network=SIGNET)
        new = world.anchorer(node=elsewhere, network=SIGNET)
        for work in (lost.advance, lost.bump, lambda: lost.prove(0), new.propose_opening):
            with pytest.raises(NodeOnWrongNetwork, match="'regtest', expected 'signet'"):
                await work()
    assert await state.get("link-000000") == record
    assert await state.get("link-000001") is None
    assert await mempool(world) == []
    await check(world, world.anchorer(state), opening, digest(1))


# ---- miners --------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 6, 101])
async def test_a_reorganisation(world, depth):
    """Three links in the last blocks, two of them final at depth 101, all undone at once."""
    await world.mine(depth)
    anchorer, opening = await world.opened()
    if depth > 1:
        await world.anchored(anchorer, digest(1))
        await world.anchored(anchorer, digest(2))
        await world.mine(depth - 3)
    before = (await anchorer.advance()).links
    assert before[0].confirmations == depth
    assert before[0].standing >= (Standing.FINAL if depth > 100 else Standing.SEEN)
    await world.reorganise(depth)
    await world.pay_again()
    status = await anchorer.advance()
    assert {link.standing for link in status.links} == {Standing.PENDING}
    assert [link.txid for link in status.links] == [link.txid for link in before]
    digests = [digest(1), digest(2)] if depth > 1 else []
    await check(world, anchorer, opening, *digests)


async def test_a_reorganisation_of_101_while_the_anchorer_is_down(world):
    state = MemoryState()
    await world.mine(101)
    anchorer, opening = await world.opened(state)
    await world.anchored(anchorer, digest(1))
    await world.mine(99)
    await anchorer.advance()
    await world.reorganise(101)
    await world.pay_again()
    await world.mine(3)
    await check(world, world.anchorer(state), opening, digest(1))


async def test_a_payment_that_a_reorganisation_undid_is_no_theft(busy):
    """Nobody sends it again: what spends it waits, and the message says for what."""
    anchorer, opening = await busy.opened()
    await busy.mine(2)
    await busy.anchored(anchorer, digest(1))
    await busy.reorganise(5)
    [paid] = busy.paid
    await busy.node.call("emulateeviction", display(paid.txid))
    assert await mempool(busy) == []
    status = await anchorer.advance()
    assert "the coin that the opening names" in status.waiting
    assert [link.height for link in status.links] == [None, None]
    await busy.node.send(paid.raw)
    await check(busy, anchorer, opening, digest(1))


# ---- a thief -------------------------------------------------------------------------------------


async def test_a_stolen_seal_is_named_with_nothing_to_do(world):
    state = MemoryState()
    anchorer, _ = await world.opened(state)
    theft = await rival(world, world.seal, "theft")
    assert (await anchorer.advance()).waiting is None
    await world.node.send(theft.raw)
    for _ in range(2):  # in the mempool, and in a block
        with pytest.raises(SealLost, match="not ours") as caught:
            await anchorer.advance()
        assert "treat the key as stolen" in caught.value.hint
        await world.mine()
    await anchorer.anchor(digest(1))
    with pytest.raises(SealLost):
        await anchorer.advance()
    assert await state.get("link-000001") is None, "nothing is signed on a seal that is gone"
    assert (await world.node.call("getrawmempool")) == []
