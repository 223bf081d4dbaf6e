"""Our seal chain on two nodes that share no code: Bitcoin Core's consensus, and bcoin's.

bcoin cannot check Taproot signatures, holds no spend of a Taproot output in its mempool and never
replaces by fee (second_node.py says why): a forged signature and the choice between two variants are
Core's to judge, in tests/attest.
"""

import hashlib
from dataclasses import dataclass, replace

import pytest
from bitcoin.core import CTransaction
from embit import bech32

from attest.bitcoind import Bitcoind, View
from attest.collect import collect
from attest.core.commitment import Kind
from attest.core.header import REGTEST, verify_headers
from attest.core.proof import SealOpening
from attest.core.seal import Coin, Draft, Fee, anchor_draft, opening_draft, sign
from attest.core.transaction import OutPoint, Transaction, TxOut, display
from attest.records import LinkRecord, Mined, Variant
from attest.state import MemoryState
from tests.attest.test_anchorer import rival
from tests.attest.test_handover import (
    HANDOFF,
    RECOVERED,
    check,
    funded,
    heir_of,
    keys,
    old_keys,
    opened_for_recovery,
    rounds,
    wanting,
)
from tests.attest.world import FAUCET_SCRIPT, World, digest, kernel_node
from tests.bcoin.second_node import HRP, SEGWIT_HEIGHT, Bcoin, absence, second_node
from tests.regtest.miner import build_block

if why := absence():
    pytest.skip(f"no second Bitcoin node: {why}", allow_module_level=True)

FAUCET = bech32.encode(HRP, 0, hashlib.sha256(b"\x51").digest())
"""The tests' faucet, as bcoin writes its address."""
BEGINNING = SEGWIT_HEIGHT + 20


class TalksToBcoin(Bitcoind):
    """bcoin takes true and false where Core takes the numbers 1 and 0 too."""

    async def call(self, method, *parameters, **named):
        if method == "getblock":
            parameters = (parameters[0], bool(parameters[1]))
        return await super().call(method, *parameters, **named)


@pytest.fixture(scope="module")
def bcoin(tmp_path_factory):
    with second_node(tmp_path_factory.mktemp("bcoin")) as bcoin:
        bcoin("generatetoaddress", BEGINNING, FAUCET)
        yield bcoin


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with kernel_node(tmp_path_factory.mktemp("kernel")) as backend:
        yield backend


@pytest.fixture
async def world(kernel, bcoin):
    """Core's node, on the chain that bcoin began."""
    async with Bitcoind(url=kernel.url, credentials=kernel.cookie, network=REGTEST) as node:
        world = World(node)
        await give(world, bcoin)
        yield world


async def give(world: World, bcoin) -> None:
    """Every block that bcoin has and Core's node has not; Core must take them all."""
    height = (await world.node.tip()).height
    for number in range(height + 1, bcoin("getblockcount") + 1):
        raw = bcoin("getblock", bcoin("getblockhash", number), False)
        assert await world.node.call("submitblock", raw) is None
    assert display((await world.node.tip()).block_hash) == bcoin("getbestblockhash")


async def take(world: World, bcoin) -> None:
    """Every block that Core's node has and bcoin has not; bcoin must take them all."""
    tip = await world.node.tip()
    for number in range(bcoin("getblockcount") + 1, tip.height + 1):
        block_hash = await world.node.call("getblockhash", number)
        assert bcoin("submitblock", await world.node.call("getblock", block_hash, 0)) is None
    assert bcoin("getbestblockhash") == display(tip.block_hash)


def has_mined(bcoin, links) -> None:
    """bcoin finds each link where Core's node has it."""
    for link in links:
        block = bcoin("getblock", bcoin("getblockhash", link.height), True)
        assert display(link.txid) in block["tx"]
        assert bcoin("getrawtransaction", display(link.txid), False)


async def test_bcoin_takes_our_opening_anchors_and_a_replacement(world, bcoin):
    state = MemoryState()
    anchorer, opening = await world.opened(state)
    await world.anchored(anchorer, digest(1))
    await anchorer.anchor(digest(2))
    await anchorer.advance()
    await anchorer.bump()
    await world.mine()
    status = await anchorer.advance()
    assert status.links[2].variants == 2
    await take(world, bcoin)
    has_mined(bcoin, status.links)
    digests = [digest("opening"), digest(1), digest(2)]
    found = world.verify(opening, await world.prove(anchorer, 3), digests)
    assert bcoin("gettxout", display(found.seal.txid), found.seal.index)["value"] == 0.0001
    for link in found.links[:-1]:
        assert bcoin("gettxout", display(link.txid), 1) is None, "each seal is spent once"


@dataclass
class Known:
    """What the miner asks of a chain, out of bcoin's answers."""

    bcoin: Bcoin

    def height_of(self, block_hash: bytes) -> int:
        return int(self.bcoin("getblockheader", display(block_hash), True)["height"])

    def median_time(self, block_hash: bytes) -> int:
        return int(self.bcoin("getblockheader", display(block_hash), True)["mediantime"])


async def test_both_refuse_a_second_history(world, bcoin):
    anchorer, _ = await world.opened()
    second = await rival(world, world.seal, "another history")
    await world.anchored(anchorer, digest(1))
    await take(world, bcoin)
    await both_refuse(world, bcoin, second)


async def both_refuse(world: World, bcoin, second: Transaction) -> None:
    """A block with this double spend; the same block without it they take."""
    tip = bcoin("getbestblockhash")
    for transaction, verdict in (
        (second, "rejected: bad-txns-inputs-missingorspent"),
        (None, None),
    ):
        spends = [] if transaction is None else [CTransaction.deserialize(transaction.raw)]
        block = build_block(Known(bcoin), bytes.fromhex(tip)[::-1], b"\x51", spends, extra_nonce=7)
        assert bcoin("submitblock", block.hex()) == verdict
        assert (bcoin("getbestblockhash") == tip) is (verdict is not None)
        refused = await world.node.call("submitblock", block.hex())
        assert (refused is None) is (verdict is None)


async def test_bcoin_takes_a_handoff_and_a_recovery_and_no_second_spend_of_what_they_close(
    world, bcoin
):
    """Of the links it judges amounts, places and double spends; the two signatures are Core's."""
    old, new, later, state = old_keys(world), keys(), keys(), MemoryState()
    anchorer, opening, kit = await opened_for_recovery(world, state)
    await world.anchored(anchorer, digest(1))
    goes_on = await rival(world, world.seal, "the old key goes on")
    handing = await wanting(world, new, state)
    await rounds(world, handing, 2)  # the enrolment, then the handoff
    await handing.anchor(digest(2))
    await rounds(world, handing, 1)
    await take(world, bcoin)
    await both_refuse(world, bcoin, goes_on)

    await funded(world, later, 50_000)
    recovering = heir_of(world, later, state, past=[])
    await recovering.recover(RECOVERED, kit)
    await rounds(world, recovering, 1)
    await recovering.anchor(digest(3))
    links = (await rounds(world, recovering, 1)).links
    await take(world, bcoin)
    kinds = [Kind.OPENING, Kind.ANCHOR, Kind.HANDOFF, Kind.ANCHOR, Kind.RECOVERY, Kind.ANCHOR]
    assert [link.kind for link in links] == kinds
    has_mined(bcoin, links)
    steps = [(digest("opening"), old), (digest(1), old), (HANDOFF, new), (digest(2), new)]
    steps += [(RECOVERED, later), (digest(3), later)]
    found = await check(opening, recovering, *steps)
    spent = [bcoin("gettxout", display(link.txid), 1) is None for link in links]
    assert spent == [True, True, True, False, True, False], "the recovery leaves the lost seal"
    assert bcoin("gettxout", display(links[0].txid), 2) is None, "a recovery seal serves once"
    assert bcoin("gettxout", display(found.seal.txid), found.seal.index)["value"] == 0.0001


async def test_a_chain_that_bcoin_mined_is_proven_from_its_answers(world, bcoin):
    """Its mempool takes T_0, on a coin of SegWit's first version; no spend of a Taproot output,
    so the anchor's block is of the other miner, and the blocks around it are bcoin's."""
    await world.fund(20_000)
    await take(world, bcoin)
    opened, raw = await opening_on_a_faucet_coin(world)
    assert bcoin("sendrawtransaction", raw.hex()) == display(opened.txid)
    bcoin.until_mempool(display(opened.txid))
    [opening_block] = bcoin("generatetoaddress", 1, FAUCET)
    assert display(opened.txid) in bcoin("getblock", opening_block, True)["tx"]
    await give(world, bcoin)
    anchor = await anchor_on(world, opened)
    await world.mine_only(anchor.transaction)
    await take(world, bcoin)
    bcoin("generatetoaddress", 3, FAUCET)

    proofs = []
    async with TalksToBcoin(url=bcoin.url, credentials=bcoin.credentials, network=REGTEST) as node:
        tip = await node.tip()
        for kind, variant, height in (
            (Kind.OPENING, opened, tip.height - 4),
            (Kind.ANCHOR, anchor, tip.height - 3),
        ):
            block_hash = await node.block_hash(height)
            mined = Mined(txid=variant.txid, height=height, block_hash=block_hash)
            record = LinkRecord(
                kind=kind, variants=(variant,), since_height=1, since_hash=bytes(32), mined=mined
            )
            proofs.append(await collect(View(node=node, tip=tip), record, mined))
        assert await node.unspent(record.seal.outpoint) == record.seal.output
    opening = SealOpening(
        network="regtest", outpoint=opened.coins[0].outpoint, seal_sat=10_000, recovery=None
    )
    result = world.verify(opening, proofs, [digest("opening"), digest(1)])
    assert [link.confirmations for link in result.links] == [5, 4]
    assert proofs[0].path.siblings, "it stands beside a coinbase"


async def opening_on_a_faucet_coin(world: World) -> tuple[Variant, bytes]:
    tip = await world.node.tip()
    coin = (await world.node.coins(FAUCET_SCRIPT, height=tip.height))[0]
    draft = opening_draft(
        coins=[coin],
        digest=digest("opening"),
        seal=TxOut(value_sat=10_000, script=world.seal.script),
        recovery=None,
        change_script=FAUCET_SCRIPT,
        fee=Fee(sat_per_kvb=2000),
    )
    [entry] = draft.transaction.inputs
    transaction = replace(draft.transaction, inputs=(replace(entry, witness=(b"\x51",)),))
    return variant_of(draft, transaction, digest("opening")), transaction.raw


async def anchor_on(world: World, opened: Variant) -> Variant:
    tip = await world.node.tip()
    draft = anchor_draft(
        seal=Coin(
            outpoint=OutPoint(txid=opened.txid, index=1), output=opened.transaction.outputs[1]
        ),
        fee_coins=await world.node.coins(world.funding.script, height=tip.height),
        digest=digest(1),
        change_script=world.funding.script,
        fee=Fee(sat_per_kvb=2000),
    )
    return variant_of(draft, sign(draft, seal=world.seal, funding=world.funding), digest(1))


def variant_of(draft: Draft, transaction: Transaction, value: bytes) -> Variant:
    return Variant(transaction=transaction, digest=value, coins=draft.coins, txid=transaction.txid)


async def test_both_chains_are_one_run_of_headers(world, bcoin):
    tip = await world.node.tip()
    hashes = await world.node.block_hashes(range(1, tip.height + 1))
    run = verify_headers(REGTEST, 1, b"".join(await world.node.headers(hashes)))
    assert list(run.hashes) == hashes
    theirs = [bcoin("getblockhash", number) for number in (1, BEGINNING, tip.height)]
    assert theirs == [display(hashes[number - 1]) for number in (1, BEGINNING, tip.height)]
    chainwork = int(bcoin("getblockchaininfo")["chainwork"], 16)
    assert chainwork == run.work + 2, "the genesis block's is not in the run"
