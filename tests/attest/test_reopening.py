"""An opening whose coin is spent elsewhere: named anew, and never while its T_0 may still be mined."""

import pytest

from attest.book import Book
from attest.core import limits
from attest.core.anchor import Standing
from attest.core.errors import SealAlreadyOpen, SealNotOpen, StateDamaged
from attest.core.seal import Fee, enrolment_draft, sign_enrolment
from attest.state import MemoryState
from tests.attest.test_anchor_crash import Countdown, Crash, Mortal
from tests.attest.world import World, digest


async def spent_elsewhere(world, opening):
    """The coin that the opening names pays for something else, in a block."""
    tip = await world.node.tip()
    coins = await world.node.coins(world.funding.script, height=tip.height)
    [coin] = [coin for coin in coins if coin.outpoint == opening.outpoint]
    script = world.seal.script
    draft = enrolment_draft(
        coins=[coin],
        seal_script=script,
        change_script=world.funding.script,
        fee=Fee(sat_per_kvb=2000),
    )
    await world.mine_only(sign_enrolment(draft, seal_script=script, funding=world.funding))


async def robbed(world, state=None):
    """An anchorer whose T_0 is signed and sent, and whose coin is then spent elsewhere."""
    await world.fund(60_000)
    anchorer = world.anchorer(state)
    opening = await anchorer.propose_opening()
    await anchorer.open(digest("first"))
    assert (await anchorer.advance()).links[0].standing is Standing.PENDING
    await spent_elsewhere(world, opening)
    return anchorer, opening


async def test_another_coin_is_named_once_the_first_is_gone_for_good(world):
    state = MemoryState()
    anchorer, first = await robbed(world, state)
    status = await anchorer.advance()
    assert "is not on the chain any more" in status.waiting
    assert f"after {limits.FINAL_BLOCKS} blocks: timmy anchor open" in status.hint
    await anchorer.anchor(digest("a wish from before"))
    for ask in (anchorer.propose_opening, lambda: anchorer.reopens(first)):
        with pytest.raises(SealAlreadyOpen, match=r"is gone for 1 blocks; another .* after 100"):
            await ask()
    await world.mine(limits.FINAL_BLOCKS - 2)
    with pytest.raises(SealAlreadyOpen, match="is gone for 99 blocks"):
        await anchorer.propose_opening()
    await world.mine()
    anchorer = world.anchorer(state)  # and a start does not begin to count anew
    assert await anchorer.reopens(first)
    second = await anchorer.propose_opening()
    assert second.outpoint != first.outpoint
    assert await anchorer.propose_opening() == second
    assert await anchorer.reopens(first), "until the second one is named"
    assert not await anchorer.reopens(second)
    with pytest.raises(SealNotOpen):
        await anchorer.anchor(digest("too early"))
    await anchorer.open(digest("second"))
    await anchorer.advance()
    await world.mine()
    status = await anchorer.advance()
    assert [link.digest for link in status.links] == [digest("second")]
    assert status.wanted is None, "what was wanted before the second name is not anchored after it"
    with pytest.raises(SealAlreadyOpen, match="the seal is open"):
        await anchorer.propose_opening()
    assert not await anchorer.reopens(second)
    await world.anchored(anchorer, digest("next"))
    proofs = await world.prove(anchorer, 2)
    world.verify(second, proofs, [digest("second"), digest("next")])


async def test_a_block_that_is_abandoned_gives_the_coin_back(world):
    state = MemoryState()
    anchorer, first = await robbed(world, state)
    await world.mine(3)
    with pytest.raises(SealAlreadyOpen, match="is gone for 1 blocks"):  # first seen now
        await anchorer.reopens(first)
    await world.reorganise(4)  # what spent the coin is in the mempool again, and T_0 is not
    assert not await anchorer.reopens(first)
    with pytest.raises(SealAlreadyOpen, match="the seal is open"):
        await anchorer.propose_opening()
    await world.mine_only((await Book(state).links())[0].current.transaction)
    assert (await anchorer.advance()).links[0].height is not None
    world.verify(first, await world.prove(anchorer, 1), [digest("first")])


async def test_the_count_begins_anew_where_the_coin_is_spent_anew(world):
    anchorer, first = await robbed(world)
    await anchorer.advance()
    await world.mine(2)
    with pytest.raises(SealAlreadyOpen, match="is gone for 3 blocks"):
        await anchorer.reopens(first)
    await world.reorganise(3)
    await spent_elsewhere(world, first)
    with pytest.raises(SealAlreadyOpen, match="is gone for 1 blocks"):
        await anchorer.reopens(first)


async def test_what_was_never_signed_needs_no_blocks(world):
    await world.fund(60_000)
    anchorer = world.anchorer()
    first = await anchorer.propose_opening()
    assert not await anchorer.reopens(first)
    await anchorer.open(digest("first"))
    assert not await anchorer.reopens(first)
    await spent_elsewhere(world, first)
    assert await anchorer.reopens(first)
    second = await anchorer.propose_opening()
    assert second.outpoint != first.outpoint
    assert not await world.anchorer(node=None).reopens(first), "without a node nobody can tell"
    assert not await world.anchorer().reopens(first), "nothing is known of it here"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_of_it_opens_one_seal(world, after, monkeypatch):
    monkeypatch.setattr(limits, "FINAL_BLOCKS", 2)  # each step mines them
    step, finished = 0, False
    while not finished:
        step += 1
        world = World(world.node)
        state = MemoryState()
        anchorer, first = await robbed(world, state)
        await anchorer.advance()
        await world.mine(limits.FINAL_BLOCKS - 1)
        countdown = Countdown(step, after=after)
        mortal = world.anchorer(Mortal(state, countdown), node=Mortal(world.node, countdown))
        try:
            assert await mortal.reopens(first)
            named = await mortal.propose_opening()
            finished = True
        except Crash:
            pass
        anchorer = world.anchorer(state)
        await anchorer.advance()
        assert await anchorer.reopens(first)
        second = await anchorer.propose_opening()
        assert not finished or named == second
        await anchorer.open(digest(step))
        await anchorer.advance()
        await world.mine()
        assert [link.digest for link in (await anchorer.advance()).links] == [digest(step)]
        world.verify(second, await world.prove(anchorer, 1), [digest(step)])
    assert step > 8


async def test_a_damaged_record_of_it_is_said(world):
    state = MemoryState()
    anchorer, _ = await robbed(world, state)
    await state.put("lost", {"outpoint": [b"x", 0], "height": 1, "block": b""})
    with pytest.raises(StateDamaged, match="lost coin"):
        await anchorer.advance()
