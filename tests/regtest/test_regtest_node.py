"""The test node itself: Core's verdicts come through, and its own bookkeeping follows them."""

import struct
from pathlib import Path

import pytest
from bitcoin.core import CBlock, CMutableTransaction, CMutableTxIn, CMutableTxOut, COutPoint
from bitcoin.core.script import CScript

from tests.regtest.chain import KernelChain
from tests.regtest.encoding import internal
from tests.regtest.miner import build_block
from tests.regtest.rpc import Calls, RpcFailure

ANYONE = b"\x51"


@pytest.fixture
def chain(tmp_path: Path) -> KernelChain:
    return KernelChain(tmp_path)


def grow(chain: KernelChain, blocks: int) -> list[bytes]:
    hashes = []
    for number in range(blocks):
        raw = build_block(chain, chain.tip, ANYONE, [], extra_nonce=number)
        assert chain.submit(raw).verdict is None
        hashes.append(chain.tip)
    return hashes


def test_blocks_and_coins(chain):
    hashes = grow(chain, 3)
    assert chain.height == 3
    assert [chain.hash_at(height) for height in (1, 2, 3)] == hashes
    assert chain.hash_at(4) is None
    assert sorted(coin.height for coin in chain.coins.values()) == [1, 2, 3]
    assert {coin.value_sat for coin in chain.coins.values()} == {50 * 10**8}


def test_core_refuses_what_breaks_consensus(chain):
    grow(chain, 1)
    greedy = build_block(chain, chain.tip, ANYONE, [], fees_sat=1)
    assert chain.submit(greedy).verdict == "consensus"
    raw = bytearray(build_block(chain, chain.tip, ANYONE, []))
    struct.pack_into("<I", raw, 68, chain.median_time(chain.tip))
    assert chain.submit(bytes(raw)).verdict is not None
    assert chain.height == 1
    [coinbase] = chain.coins
    early = CMutableTransaction(
        [CMutableTxIn(COutPoint(*coinbase))], [CMutableTxOut(1, CScript(ANYONE))]
    )
    assert chain.submit(build_block(chain, chain.tip, ANYONE, [early])).verdict == "consensus"
    assert (chain.height, list(chain.coins)) == (1, [coinbase])


def test_a_longer_branch_moves_the_coins(chain):
    hashes = grow(chain, 5)
    before = dict(chain.coins)
    calls = Calls(chain)
    calls.invalidateblock(hashes[3][::-1].hex())
    assert chain.height == 6
    assert chain.hash_at(3) == hashes[2]
    assert chain.hash_at(4) not in hashes
    assert chain.confirmations(hashes[4]) == -1
    kept = {point: coin for point, coin in before.items() if coin.height <= 3}
    assert kept.items() <= chain.coins.items()
    assert len(chain.coins) == 6


def test_a_spend_is_undone_and_comes_back_to_the_mempool(chain):
    grow(chain, 101)
    calls = Calls(chain)
    first = next(point for point, coin in chain.coins.items() if coin.height == 1)
    spend = CMutableTransaction(
        [CMutableTxIn(COutPoint(*first))],
        [CMutableTxOut(49 * 10**8, CScript(b"\x51\x20" + b"\x01" * 32))],
    )
    txid = calls.sendrawtransaction(spend.serialize().hex())
    [block_hash] = calls.generatetoaddress(1, f"raw({ANYONE.hex()})")
    assert txid in calls.getblock(block_hash)["tx"]
    assert calls.getrawmempool() == []
    assert first not in chain.coins
    reward = CBlock.deserialize(chain.block(internal(block_hash))).vtx[0].vout[0].nValue
    assert reward == 51 * 10**8, "the fee is claimed"
    calls.invalidateblock(block_hash)
    assert calls.getrawmempool() == [txid]
    assert first in chain.coins


def test_calls_that_do_not_exist(chain):
    calls = Calls(chain, without=["scantxoutset"])
    for method in ("nothing", "scantxoutset", "_mine", "__init__", "find"):
        with pytest.raises(RpcFailure) as caught:
            calls.find(method)
        assert caught.value.code == -32601
