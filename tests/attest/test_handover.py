"""A seal handed over, or recovered, on a real chain, whatever miners, crashes and thieves do."""

from dataclasses import replace

import pytest

from attest.core import limits
from attest.core.anchor import Standing, Step, verify_chain
from attest.core.commitment import Kind
from attest.core.errors import NothingPending, Refused, SealLost, SealNotOpen, SigningRefused
from attest.core.header import REGTEST
from attest.core.signer import FundingSigner, RecoverySigner, SealSigner
from attest.core.transaction import TxOut
from attest.keyring import Keys
from attest.state import FileState, MemoryState
from tests.attest.test_anchor_crash import Countdown, Crash, Mortal
from tests.attest.test_anchorer import rival
from tests.attest.world import SOUL, World, digest, secret

HANDOFF = digest("the old key's last head")


def keys() -> Keys:
    return Keys(
        seal=SealSigner(secret=secret(), soul_digest=SOUL), funding=FundingSigner(secret=secret())
    )


def old_keys(world: World) -> Keys:
    return Keys(seal=world.seal, funding=world.funding)


def heir_of(world, new, state, *, past=None, **changes):
    """The anchorer of the new tenure."""
    past = [old_keys(world)] if past is None else past
    return world.anchorer(state, seal=new.seal, funding=new.funding, past=past, **changes)


async def wanting(world, new, state, **changes):
    """The same, with the handoff wanted."""
    anchorer = heir_of(world, new, state, **changes)
    await anchorer.hand_over(HANDOFF, old=world.seal.script, new=new.seal.script)
    return anchorer


async def rounds(world, anchorer, count):
    for _ in range(count):
        await anchorer.advance()
        await world.mine()
    return await anchorer.advance()


async def check(opening, anchorer, *steps):
    """Verify the whole chain: digest and seal key of each link."""
    proofs = [await anchorer.prove(index) for index in range(len(steps))]
    return verify_chain(
        opening=opening,
        links=proofs,
        steps=[Step(digest=one, seal_key=key.seal.public) for one, key in steps],
        soul_digest=SOUL,
        network=REGTEST,
    )


async def coins_of(world, signer):
    tip = await world.node.tip()
    found = await world.node.coins(signer.script, height=tip.height)
    return sorted(coin.output.value_sat for coin in found)


async def test_a_seal_is_handed_over_with_all_the_money_and_anchors_go_on(world):
    old, new, state = old_keys(world), keys(), MemoryState()
    anchorer, opening = await world.opened(state)
    await world.anchored(anchorer, digest(1))
    await world.fund(20_000, 30_000)
    anchorer = await wanting(world, new, state)
    status = await anchorer.advance()
    assert "enrolment is not in a block" in status.waiting
    assert status.wanted == HANDOFF
    assert (await anchorer.advance()).links[1:] == status.links[1:]
    await world.mine()
    await anchorer.anchor(digest(2))
    status = await anchorer.advance()
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.ANCHOR, Kind.HANDOFF]
    assert status.links[2].digest == HANDOFF
    await rounds(world, anchorer, 2)
    status = await anchorer.advance()
    assert (status.wanted, status.waiting) == (None, None)
    result = await check(
        opening,
        anchorer,
        (digest("opening"), old),
        (digest(1), old),
        (HANDOFF, new),
        (digest(2), new),
    )
    assert [link.kind for link in result.links][2:] == [Kind.HANDOFF, Kind.ANCHOR]
    assert await coins_of(world, old.funding) == []
    [moved] = await coins_of(world, new.funding)
    assert 100_000 + 50_000 - 10_000 - moved < 4_000
    assert await world.node.unspent(result.seal) is not None


async def test_a_stranger_may_pay_for_the_enrolment(world):
    new, state = keys(), MemoryState()
    _, opening = await world.opened(state)
    stranger = World(world.node)
    stranger.funding = replace(stranger.funding)
    paid = World(world.node)
    paid.funding = new.seal  # whose script is paid
    await paid.fund(700)
    anchorer = await wanting(world, new, state)
    status = await rounds(world, anchorer, 1)
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.HANDOFF]
    await check(opening, anchorer, (digest("opening"), old_keys(world)), (HANDOFF, new))


async def test_the_new_address_pays_where_the_old_one_is_empty(world):
    old, new, state = old_keys(world), keys(), MemoryState()
    await world.fund(10_500)
    anchorer = world.anchorer(state)
    opening = await anchorer.propose_opening()
    await anchorer.open(digest("opening"))
    await rounds(world, anchorer, 1)
    assert await coins_of(world, old.funding) == []
    anchorer = await wanting(world, new, state)
    assert (await anchorer.advance()).waiting == "no coins to spend"
    funded = World(world.node)
    funded.funding = new.funding
    await funded.fund(30_000)
    await rounds(world, anchorer, 2)
    await check(opening, anchorer, (digest("opening"), old), (HANDOFF, new))


async def test_fees_of_a_handoff_are_bumped(world):
    new, state = keys(), MemoryState()
    _, opening = await world.opened(state)
    anchorer = await wanting(world, new, state)
    await rounds(world, anchorer, 1)
    first = (await anchorer.advance()).links[1]
    await anchorer.bump()
    second = (await anchorer.advance()).links[1]
    assert (second.variants, second.kind) == (2, Kind.HANDOFF)
    assert second.fee_sat > first.fee_sat
    assert await world.node.in_mempool(second.txid)
    await world.mine()
    with pytest.raises(NothingPending):
        await anchorer.bump()
    await check(opening, anchorer, (digest("opening"), old_keys(world)), (HANDOFF, new))


@pytest.mark.parametrize("depth", [1, 2, 6, 101])
async def test_a_handoff_survives_a_reorganisation(world, depth):
    """One block: the handoff goes back. Two: its enrolment too. 101: the opening as well."""
    old, new, state = old_keys(world), keys(), MemoryState()
    _, opening = await world.opened(state)
    anchorer = await wanting(world, new, state)
    await rounds(world, anchorer, 2)
    await check(opening, anchorer, (digest("opening"), old), (HANDOFF, new))
    await world.mine(max(0, depth - 4))
    await world.reorganise(depth)
    anchorer = heir_of(world, new, state)  # started anew
    await rounds(world, anchorer, 4)
    await anchorer.anchor(digest(1))
    await rounds(world, anchorer, 1)
    steps = [(digest("opening"), old), (HANDOFF, new), (digest(1), new)]
    assert len((await check(opening, anchorer, *steps)).links) == 3


async def test_an_enrolment_whose_coins_are_gone_is_paid_again(world):
    new, state = keys(), MemoryState()
    await world.opened(state)
    await world.mine(12)
    paid = await world.fund(40_000)
    anchorer = await wanting(world, new, state)
    await rounds(world, anchorer, 2)
    tip = await world.node.tip()
    await world.reorganise(3)
    await world.mine_only(replace(paid, outputs=paid.outputs[1:]))
    assert (await world.node.tip()).height > tip.height
    status = await rounds(world, anchorer, 4)
    assert [link.standing > Standing.PENDING for link in status.links] == [True, True]
    assert status.links[1].kind is Kind.HANDOFF


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_step_of_a_handoff_hands_over_once(world, after):
    step, finished = 0, False
    while not finished:
        step += 1
        world = World(world.node)
        old, new, state = old_keys(world), keys(), MemoryState()
        _, opening = await world.opened(state)
        countdown = Countdown(step, after=after)
        mortal = heir_of(world, new, Mortal(state, countdown), node=Mortal(world.node, countdown))
        try:
            await mortal.hand_over(HANDOFF, old=world.seal.script, new=new.seal.script)
            for _ in range(3):
                await mortal.advance()
                await world.mine()
            finished = True
        except Crash:
            pass
        anchorer = await wanting(world, new, state)
        status = await rounds(world, anchorer, 3)
        assert [link.kind for link in status.links] == [Kind.OPENING, Kind.HANDOFF]
        await check(opening, anchorer, (digest("opening"), old), (HANDOFF, new))
        assert len(await coins_of(world, new.seal)) == 1, "no second enrolment was paid"
    assert step > 15


async def test_what_waited_under_the_old_key_is_under_its_last_head(world):
    old, new, state = old_keys(world), keys(), MemoryState()
    anchorer, opening = await world.opened(state)
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await anchorer.anchor(digest("waits, and would be signed by the wrong key"))
    anchorer = await wanting(world, new, state)
    await rounds(world, anchorer, 3)
    await check(opening, anchorer, (digest("opening"), old), (digest(1), old), (HANDOFF, new))


async def test_an_anchor_of_the_old_key_is_signed_again_by_the_new_instance(world):
    old, new, state = old_keys(world), keys(), MemoryState()
    await world.fund(10_600)
    anchorer = world.anchorer(state)
    opening = await anchorer.propose_opening()
    await anchorer.open(digest("opening"))
    await rounds(world, anchorer, 1)
    await world.mine(2)
    paid = await world.fund(50_000)
    await world.anchored(anchorer, digest(1))
    await world.reorganise(2)
    await world.mine_only(replace(paid, outputs=paid.outputs[1:]))
    await world.fund(40_000)
    anchorer = await wanting(world, new, state)
    status = await rounds(world, anchorer, 4)
    assert status.links[1].variants == 2
    await check(opening, anchorer, (digest("opening"), old), (digest(1), old), (HANDOFF, new))


async def test_two_handoffs_before_the_first_is_in_a_block(world):
    old, middle, new, state = old_keys(world), keys(), keys(), MemoryState()
    _, opening = await world.opened(state)
    second = digest("the second key's last head")
    anchorer = heir_of(world, new, state, past=[old, middle])
    await anchorer.hand_over(HANDOFF, old=old.seal.script, new=middle.seal.script)
    await anchorer.hand_over(second, old=middle.seal.script, new=new.seal.script)
    await rounds(world, anchorer, 4)
    await check(opening, anchorer, (digest("opening"), old), (HANDOFF, middle), (second, new))


async def test_without_the_old_keys_it_says_what_can_be_done(world):
    new, state = keys(), MemoryState()
    await world.opened(state)
    stranger = heir_of(world, keys(), state, past=[])
    assert "no handoff leads" in (await stranger.advance()).waiting
    anchorer = await wanting(world, new, state, past=[])
    assert "old key is not here" in (await anchorer.advance()).waiting


def test_the_funding_key_enrols_nobody_else():
    from attest.core.seal import Fee, enrolment_draft, sign_enrolment
    from tests.attest.test_handoff_chain import FUNDING, NEW, OLD, coin

    draft = enrolment_draft(
        coins=[coin(1)],
        seal_script=NEW.script,
        change_script=FUNDING.script,
        fee=Fee(sat_per_kvb=1000),
    )
    assert sign_enrolment(draft, seal_script=NEW.script, funding=FUNDING)
    first, change = draft.transaction.outputs
    for outputs in (
        (first, replace(change, script=OLD.script)),
        (replace(first, script=OLD.script), change),
        (replace(first, value_sat=first.value_sat + 1), change),
        (first, change, TxOut(value_sat=1, script=OLD.script)),
    ):
        bad = replace(draft, transaction=replace(draft.transaction, outputs=outputs))
        with pytest.raises(SigningRefused, match="somebody else"):
            sign_enrolment(bad, seal_script=NEW.script, funding=FUNDING)


# ---- recovery --------------------------------------------------------------------------------------

RECOVERED = digest("the first head after the recovery")


async def opened_for_recovery(world, state):
    """An open seal with a recovery seal, and the kit's key."""
    kit = RecoverySigner(secret=secret())
    await world.fund(100_000)
    anchorer = world.anchorer(state)
    opening = await anchorer.propose_opening(recovery_script=kit.script)
    await anchorer.open(digest("opening"))
    await rounds(world, anchorer, 1)
    return anchorer, opening, kit


async def funded(world, new, *amounts):
    payer = World(world.node)
    payer.funding = new.funding
    await payer.fund(*amounts)


async def test_a_stolen_seal_is_left_behind_and_the_chain_goes_on(world):
    old, new, state = old_keys(world), keys(), MemoryState()
    anchorer, opening, kit = await opened_for_recovery(world, state)
    await world.anchored(anchorer, digest(1))
    theft = await rival(world, world.seal, "theft")
    await anchorer.anchor(digest("never mined"))
    await anchorer.advance()
    await world.mine_only(theft)
    with pytest.raises(SealLost) as lost:
        await anchorer.advance()
    assert "--new-keys" in lost.value.hint
    anchorer = heir_of(world, new, state, past=[])
    await funded(world, new, 50_000)
    await anchorer.recover(RECOVERED, kit)
    status = await anchorer.advance()
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.ANCHOR, Kind.RECOVERY]
    await world.mine()
    await anchorer.anchor(digest(2))
    await rounds(world, anchorer, 1)
    steps = [(digest("opening"), old), (digest(1), old), (RECOVERED, new), (digest(2), new)]
    result = await check(opening, anchorer, *steps)
    assert [link.kind for link in result.links][2:] == [Kind.RECOVERY, Kind.ANCHOR]
    with pytest.raises(Refused, match="serves once"):
        await anchorer.recover(digest("again"), kit)


async def test_a_recovery_climbs_its_ladder_without_the_kit(world, tmp_path):
    new = keys()
    with FileState(tmp_path) as state:
        _, opening, kit = await opened_for_recovery(world, state)
        anchorer = heir_of(world, new, state, past=[])
        await funded(world, new, 60_000)
        await anchorer.recover(RECOVERED, kit)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("*.cbor"))
    assert kit.secret not in stored
    fees = []
    with FileState(tmp_path) as state:
        anchorer = heir_of(world, new, state, past=[])  # started anew: no kit
        for rung in limits.RECOVERY_RUNGS:
            link = (await anchorer.advance()).links[-1]
            assert await world.node.in_mempool(link.txid)
            fees.append(link.fee_sat)
            if rung != limits.RECOVERY_RUNGS[-1]:
                await anchorer.bump()
        assert [round(fee / fees[0]) for fee in fees] == list(limits.RECOVERY_RUNGS)
        with pytest.raises(Refused, match="has been sent") as caught:
            await anchorer.bump()
        assert "--kit" in caught.value.hint
        await anchorer.recover(RECOVERED, kit)
        again = (await anchorer.advance()).links[-1]
        assert again.fee_sat > fees[-1]
        assert again.variants == len(fees) + 1
        await world.mine()
        old = old_keys(world)
        await check(opening, anchorer, (digest("opening"), old), (RECOVERED, new))


@pytest.mark.parametrize("depth", [1, 6, 101])
async def test_a_recovery_survives_a_reorganisation(world, depth):
    old, new, state = old_keys(world), keys(), MemoryState()
    _, opening, kit = await opened_for_recovery(world, state)
    await funded(world, new, 60_000)
    await world.mine(101)
    anchorer = heir_of(world, new, state, past=[])
    await anchorer.recover(RECOVERED, kit)
    await rounds(world, anchorer, depth)
    await world.reorganise(depth)
    await rounds(world, anchorer, 2)
    await check(opening, anchorer, (digest("opening"), old), (RECOVERED, new))


async def test_what_cannot_be_recovered_is_named(world):
    new, state = keys(), MemoryState()
    kit = RecoverySigner(secret=secret())
    with pytest.raises(SealNotOpen, match="never opened"):
        await heir_of(world, new, MemoryState(), past=[]).recover(RECOVERED, kit)
    await world.opened(state)
    with pytest.raises(Refused, match="no recovery seal"):
        await heir_of(world, new, state, past=[]).recover(RECOVERED, kit)
    world = World(world.node)
    state = MemoryState()
    _, _, mine = await opened_for_recovery(world, state)
    anchorer = heir_of(world, new, state, past=[])
    with pytest.raises(Refused, match="not of this kit"):
        await anchorer.recover(RECOVERED, kit)
    with pytest.raises(Refused, match="sat are missing"):
        await anchorer.recover(RECOVERED, mine)


async def test_a_seal_that_is_delegated_is_returned_before_it_is_handed_over(world):
    """No verifier takes a handoff right after a delegation: the old key would sign in vain."""
    new, state = keys(), MemoryState()
    anchorer, _ = await world.opened(state)
    await anchorer.anchor(digest(1), kind=Kind.DELEGATION)
    await rounds(world, anchorer, 1)
    status = await rounds(world, await wanting(world, new, state), 2)
    assert "its key returns it before it is handed over" in status.waiting
    assert [link.kind for link in status.links] == [Kind.OPENING, Kind.DELEGATION]
    await anchorer.anchor(digest(2))
    await rounds(world, anchorer, 1)
    status = await rounds(world, await wanting(world, new, state), 3)
    assert [link.kind for link in status.links][2:] == [Kind.ANCHOR, Kind.HANDOFF]
