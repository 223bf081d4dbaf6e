"""Seals opened and anchors made on a real chain, and what crashes and miners can do to them."""

from dataclasses import replace

import pytest
from coincurve import PrivateKey

from attest.bitcoind import Bitcoind
from attest.core.anchor import Standing
from attest.core.commitment import Kind
from attest.core.errors import (
    AnchorPending,
    ConflictingHeaders,
    FeeTooHigh,
    MainnetRefused,
    NoBackend,
    NotFunded,
    NothingPending,
    Refused,
    RpcError,
    SealAlreadyOpen,
    SealLost,
    SealNotOpen,
    SealNotSpent,
    WrongDigest,
)
from attest.core.header import MAINNET, REGTEST
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import Coin, Fee, anchor_draft, sign
from attest.core.signer import SealSigner
from attest.core.taproot import key_path_sighash
from attest.core.transaction import OutPoint, Transaction, parse_transaction
from attest.state import FileState, MemoryState
from ledger.core import codec
from tests.attest.world import SOUL, World, digest, kernel_node, secret


async def test_open_anchor_bump_prove_verify(world, tmp_path):
    await world.fund(60_000, 40_000)
    with FileState(tmp_path / "seal") as state:
        anchorer = world.anchorer(state)
        opening = await anchorer.propose_opening(recovery_script=world.recovery_script)
        assert await anchorer.propose_opening() == opening
        await anchorer.open(digest(0))
        assert (await anchorer.advance()).links[0].standing is Standing.PENDING
        await world.mine()
        for number in (1, 2, 3):
            await anchorer.anchor(digest(number))
            status = await anchorer.advance()
            assert status.wanted is None
            if number == 2:
                await anchorer.bump()
                status = await anchorer.advance()
                assert (status.links[2].variants, len(status.links)) == (2, 3)
            await world.mine()
        status = await anchorer.advance()
        assert [link.confirmations for link in status.links] == [4, 3, 2, 1]
        assert [link.digest for link in status.links] == [digest(number) for number in range(4)]
        proofs = await world.prove(anchorer, 4)

    data = codec.encode([opening.to_value(), *(proof.to_value() for proof in proofs)])
    first, *rest = codec.decode(data, bytes_max=len(data))
    links = [AnchorProof.from_value(value) for value in rest]
    digests = [digest(number) for number in range(4)]
    result = world.verify(SealOpening.from_value(first), links, digests)
    assert [link.kind for link in result.links] == [Kind.OPENING, *[Kind.ANCHOR] * 3]
    assert [link.confirmations for link in result.links] == [4, 3, 2, 1]
    assert await world.node.unspent(result.seal) is not None
    with pytest.raises(WrongDigest):
        world.verify(opening, links, [*digests[:3], digest("rewritten")])
    with pytest.raises(SealNotSpent):
        world.verify(replace(opening, outpoint=result.seal), links, digests)


async def test_final_after_a_hundred_blocks(world):
    anchorer, opening = await world.opened()
    await world.anchored(anchorer, digest(1))
    await world.mine(98)
    result = world.verify(opening, await world.prove(anchorer, 2), [digest("opening"), digest(1)])
    assert [link.confirmations for link in result.links] == [100, 99]
    assert [link.standing for link in result.links] == [Standing.FINAL, Standing.CONFIRMED]
    await world.mine()
    status = await anchorer.advance()
    assert [link.standing for link in status.links] == [Standing.FINAL, Standing.FINAL]
    assert (await anchorer.prove(1)).headers[100:] == ()


async def test_only_one_spend_is_pending(world):
    anchorer, _ = await world.opened()
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await anchorer.anchor(digest(2))
    await anchorer.anchor(digest(3))
    status = await anchorer.advance()
    assert len(status.links) == 2
    assert (status.wanted, status.waiting) == (digest(3), "a link is not in a block yet")
    await world.mine()
    assert [link.digest for link in (await anchorer.advance()).links[1:]] == [digest(1), digest(3)]
    await anchorer.anchor(digest(1))
    await world.mine()
    assert len((await anchorer.advance()).links) == 3, "an anchored digest is not anchored again"


# ---- miners --------------------------------------------------------------------------------------


async def test_a_reorganisation_puts_an_anchor_back(world):
    anchorer, opening = await world.opened()
    await world.mine(3)
    await world.anchored(anchorer, digest(1))
    before = await world.prove(anchorer, 2)
    await world.mine()
    await world.reorganise(2)
    status = await anchorer.advance()
    assert [link.standing for link in status.links] == [Standing.CONFIRMED, Standing.PENDING]
    with pytest.raises(AnchorPending):
        await anchorer.prove(1)
    await world.mine()
    status = await anchorer.advance()
    assert [link.confirmations for link in status.links][1] == 1
    after = await world.prove(anchorer, 2)
    digests = [digest("opening"), digest(1)]
    assert world.verify(opening, after, digests).links[1].height == status.links[1].height
    assert after[1].height != before[1].height
    # The abandoned block has work too: only headers of the living chain tell it apart.
    with pytest.raises(ConflictingHeaders):
        world.verify(opening, [after[0], before[1]], digests)


async def test_a_reorganisation_while_the_anchorer_is_down(world):
    state = MemoryState()
    anchorer, opening = await world.opened(state)
    await world.anchored(anchorer, digest(1))
    await world.reorganise(3)
    await world.mine()
    anchorer = world.anchorer(state)
    await anchorer.advance()
    await world.mine()
    status = await anchorer.advance()
    assert all(link.confirmations > 0 for link in status.links)
    proofs = await world.prove(anchorer, 2)
    world.verify(opening, proofs, [digest("opening"), digest(1)])


async def variants_of(state: MemoryState, index: int) -> list[Transaction]:
    record = await state.get(f"link-{index:06d}")
    return [parse_transaction(variant["transaction"]) for variant in record["variants"]]


async def test_a_fresher_digest_that_loses_the_race_is_anchored_next(world):
    state = MemoryState()
    anchorer, opening = await world.opened(state)
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await anchorer.bump(digest=digest(2))
    older, newer = await variants_of(state, 1)
    assert await world.node.in_mempool(newer.txid)
    assert not await world.node.in_mempool(older.txid)
    await world.mine_only(older)
    status = await anchorer.advance()
    assert [link.digest for link in status.links[1:]] == [digest(1), digest(2)]
    await world.mine()
    await anchorer.advance()
    digests = [digest("opening"), digest(1), digest(2)]
    world.verify(opening, await world.prove(anchorer, 3), digests)


async def test_a_child_follows_its_parent_into_another_variant(world):
    state = MemoryState()
    anchorer, opening = await world.opened(state)
    await world.mine(2)
    await anchorer.anchor(digest(1))
    await anchorer.advance()
    await anchorer.bump()
    await world.mine()
    await anchorer.advance()
    await world.anchored(anchorer, digest(2))
    older, newer = await variants_of(state, 1)
    await world.reorganise(2)
    await world.mine_only(older)
    status = await anchorer.advance()
    assert [link.txid for link in status.links[1:2]] == [older.txid]
    assert (status.links[2].variants, status.links[2].height) == (2, None)
    await world.mine()
    await anchorer.advance()
    digests = [digest("opening"), digest(1), digest(2)]
    result = world.verify(opening, await world.prove(anchorer, 3), digests)
    assert newer.txid not in {link.txid for link in result.links}


async def test_a_fee_coin_that_vanished_is_replaced(world):
    await world.fund(10_600)
    anchorer = world.anchorer()
    opening = await anchorer.propose_opening()
    await anchorer.open(digest("opening"))
    await anchorer.advance()
    await world.mine(3)
    paid = await world.fund(50_000)
    await world.anchored(anchorer, digest(1))
    await world.reorganise(2)
    # The payment that the anchor spends is replaced by another, in a block.
    await world.mine_only(replace(paid, outputs=paid.outputs[1:]))
    assert "sat are missing" in (await anchorer.advance()).waiting
    await world.fund(40_000)
    status = await anchorer.advance()
    assert (status.links[1].variants, status.waiting) == (2, None)
    await world.mine()
    await anchorer.advance()
    digests = [digest("opening"), digest(1)]
    world.verify(opening, await world.prove(anchorer, 2), digests)


async def test_bumps_add_up_to_the_cap(world):
    anchorer, _ = await world.opened()
    with pytest.raises(NothingPending):
        await anchorer.bump()
    await anchorer.anchor(digest(1))
    first = (await anchorer.advance()).links[1]
    await anchorer.bump()
    second = (await anchorer.advance()).links[1]
    await anchorer.bump(sat_per_kvb=50_000)
    third = (await anchorer.advance()).links[1]
    assert first.fee_sat < second.fee_sat < third.fee_sat
    assert third.fee_sat == pytest.approx(50 * 259, rel=0.01)
    assert await world.node.in_mempool(third.txid)
    with pytest.raises(FeeTooHigh):
        await world.fund(500_000)
        await anchorer.advance()
        await anchorer.anchor(digest(2))
        await anchorer.advance()
        await anchorer.bump(sat_per_kvb=500_000)


# ---- consensus -----------------------------------------------------------------------------------


async def rival(world: World, seal: SealSigner, label: str) -> Transaction:
    """Another anchor on the agent's seal, paid by a stranger and signed by `seal`."""
    stranger = World(world.node)
    await stranger.fund(20_000)
    tip = await world.node.tip()
    fee_coin = (await world.node.coins(stranger.funding.script, height=tip.height))[0]
    seals = await world.node.coins(world.seal.script, height=tip.height)
    draft = anchor_draft(
        seal=seals[0],
        fee_coins=[fee_coin],
        digest=digest(label),
        change_script=stranger.funding.script,
        fee=Fee(sat_per_kvb=2000),
    )
    if seal is world.seal:
        return sign(draft, seal=seal, funding=stranger.funding)
    # A stranger's signature, in the agent's place.
    other = Coin(outpoint=draft.coins[0].outpoint, output=replace(draft.spent[0]))
    honest = sign(draft, seal=world.seal, funding=stranger.funding)
    sighash = key_path_sighash(draft.transaction, 0, [other.output, *draft.spent[1:]])
    forged = PrivateKey(seal.secret).sign_schnorr(sighash, bytes(32))
    first, *rest = honest.inputs
    return replace(honest, inputs=(replace(first, witness=(forged,)), *rest))


async def test_consensus_refuses_another_key(world):
    await world.opened()
    thief = SealSigner(secret=secret(), soul_digest=SOUL)
    forged = await rival(world, thief, "forged")
    before = await world.node.tip()
    with pytest.raises(RpcError) as caught:
        await world.mine_only(forged)
    assert caught.value.code == -25
    assert await world.node.tip() == before
    with pytest.raises(RpcError, match="script-verify"):
        await world.node.send(forged.raw)


async def test_consensus_refuses_a_second_history(world):
    anchorer, _ = await world.opened()
    second = await rival(world, world.seal, "another history")
    await world.anchored(anchorer, digest(1))
    with pytest.raises(RpcError) as caught:
        await world.mine_only(second)
    assert caught.value.code == -25


async def test_a_stolen_seal_is_noticed(world):
    anchorer, _ = await world.opened()
    theft = await rival(world, world.seal, "theft")
    await world.mine_only(theft)
    await anchorer.anchor(digest(1))
    with pytest.raises(SealLost):
        await anchorer.advance()


# ---- refusals ------------------------------------------------------------------------------------


async def test_without_a_node_everything_waits(world):
    state = MemoryState()
    offline = world.anchorer(state, node=None)
    with pytest.raises(NoBackend):
        await offline.propose_opening()
    await world.opened(state)
    offline = world.anchorer(state, node=None)
    await offline.anchor(digest(1))
    status = await offline.advance()
    assert (status.wanted, status.waiting) == (digest(1), "no Bitcoin node is configured")
    status = await world.anchorer(state).advance()
    assert [link.digest for link in status.links] == [digest("opening"), digest(1)]


async def test_without_money_everything_waits(world):
    anchorer = world.anchorer()
    with pytest.raises(NotFunded) as caught:
        await anchorer.propose_opening()
    assert caught.value.hint
    await world.fund(10_700)
    await anchorer.propose_opening()
    await anchorer.open(digest(0))
    await anchorer.advance()
    await world.mine()
    await anchorer.anchor(digest(1))
    status = await anchorer.advance()
    assert len(status.links) == 1
    assert "sat are missing" in status.waiting
    await world.fund(400, 400, 400)
    status = await anchorer.advance()
    assert (len(status.links), status.waiting) == (2, None)


async def test_requests_out_of_order(world):
    anchorer = world.anchorer()
    with pytest.raises(SealNotOpen):
        await anchorer.open(digest(0))
    with pytest.raises(SealNotOpen):
        await anchorer.anchor(digest(1))
    with pytest.raises(Refused, match="31 bytes"):
        await anchorer.anchor(bytes(31))
    assert (await anchorer.advance()).waiting == "the seal is not open"
    anchorer, _ = await world.opened()
    await anchorer.open(digest("opening"))
    with pytest.raises(SealAlreadyOpen):
        await anchorer.open(digest("another"))
    with pytest.raises(SealAlreadyOpen):
        await anchorer.propose_opening()
    with pytest.raises(SealNotOpen, match="no link 1"):
        await anchorer.prove(1)


async def test_a_named_coin_spent_elsewhere_is_replaced_before_the_opening(world):
    await world.fund(50_000)
    anchorer = world.anchorer()
    first = await anchorer.propose_opening()
    other = world.anchorer()
    assert await other.propose_opening() == first
    await other.open(digest("other"))
    await other.advance()
    await world.mine()
    second = await anchorer.propose_opening()
    assert isinstance(second.outpoint, OutPoint)
    assert second.outpoint != first.outpoint


def test_mainnet_only_when_it_is_said():
    world = World(node=None)
    arguments = {"network": MAINNET, "node": None}
    with pytest.raises(MainnetRefused):
        world.anchorer(**arguments)
    assert world.anchorer(**arguments, mainnet_allowed=True)


async def test_a_node_that_cannot_list_coins(tmp_path):
    with kernel_node(tmp_path, "--without", "scantxoutset") as backend:
        async with Bitcoind(url=backend.url, credentials=backend.cookie, network=REGTEST) as node:
            with pytest.raises(NotFunded, match="scantxoutset"):
                await World(node).anchorer().propose_opening()
