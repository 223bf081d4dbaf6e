"""The calls, shaped and numbered as Bitcoin Core v30's, as far as our clients use them."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from bitcoin.core import COIN, CBlock, CTransaction

from tests.regtest.chain import Changes, Coin, KernelChain, parse
from tests.regtest.encoding import display, double_sha256, internal, script_of
from tests.regtest.mempool import (
    INCREMENTAL_SAT_PER_KVB,
    MIN_RELAY_SAT_PER_KVB,
    Mempool,
    Rejected,
)
from tests.regtest.miner import build_block

_HEADER_BYTES = 80


class RpcFailure(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Calls:
    """One method a call, its name and parameters Core's."""

    def __init__(self, chain: KernelChain, *, without: Sequence[str] = ()) -> None:
        self._chain = chain
        self._mempool = Mempool(chain)
        self._without = frozenset(without)
        self._estimate_sat_per_kvb: int | None = None
        self._extra_nonce = 0

    def find(self, method: str) -> Callable[..., Any]:
        """Raises RpcFailure -32601 for a method that is not there (or was left out)."""
        call = None if method.startswith("_") else getattr(self, method, None)
        if call is None or method == "find" or method in self._without:
            raise RpcFailure(-32601, "Method not found")
        return call

    # ---- chain ---------------------------------------------------------------------------------

    def getblockchaininfo(self) -> dict[str, Any]:
        return {
            "chain": "regtest",
            "blocks": self._chain.height,
            "headers": self._chain.height,
            "bestblockhash": display(self._chain.tip),
            "initialblockdownload": False,
            "pruned": False,
            "warnings": [],
        }

    def getblockcount(self) -> int:
        return self._chain.height

    def getbestblockhash(self) -> str:
        return display(self._chain.tip)

    def getblockhash(self, height: int) -> str:
        block_hash = self._chain.hash_at(height)
        if block_hash is None:
            raise RpcFailure(-8, "Block height out of range")
        return display(block_hash)

    def getblockheader(self, blockhash: str, verbose: bool = True) -> Any:
        block_hash = self._known(blockhash)
        raw = self._chain.header(block_hash)
        if not verbose:
            return raw.hex()
        time_s, bits, nonce = struct.unpack_from("<III", raw, 68)
        return {
            "hash": blockhash,
            "confirmations": self._chain.confirmations(block_hash),
            "height": self._chain.height_of(block_hash),
            "version": struct.unpack_from("<i", raw)[0],
            "merkleroot": display(raw[36:68]),
            "time": time_s,
            "nonce": nonce,
            "bits": f"{bits:08x}",
            "previousblockhash": display(raw[4:36]),
        }

    def getblock(self, blockhash: str, verbosity: int = 1) -> Any:
        raw = self._chain.block(self._known(blockhash))
        if verbosity == 0:
            return raw.hex()
        txids = [display(transaction.GetTxid()) for transaction in CBlock.deserialize(raw).vtx]
        return {**self.getblockheader(blockhash), "tx": txids, "nTx": len(txids)}

    # ---- transactions --------------------------------------------------------------------------

    def sendrawtransaction(self, hexstring: str) -> str:
        transaction = _parse(hexstring)
        txid = transaction.GetTxid()
        if txid not in self._mempool.entries:
            self._checked(self._mempool.add, transaction)
        return display(txid)

    def testmempoolaccept(self, rawtxs: list[str]) -> list[dict[str, Any]]:
        answers = []
        for raw in rawtxs:
            transaction = _parse(raw)
            answer: dict[str, Any] = {"txid": display(transaction.GetTxid())}
            try:
                entry, _ = self._mempool.check(transaction)
                answer |= {"allowed": True, "vsize": entry.vsize}
            except Rejected as rejected:
                answer |= {"allowed": False, "reject-reason": str(rejected)}
            answers.append(answer)
        return answers

    def getrawmempool(self) -> list[str]:
        return [display(txid) for txid in self._mempool.entries]

    def getmempoolentry(self, txid: str) -> dict[str, Any]:
        entry = self._mempool.entries.get(internal(txid))
        if entry is None:
            raise RpcFailure(-5, "Transaction not in mempool")
        fees = {"base": entry.fee_sat / COIN}
        return {"vsize": entry.vsize, "fees": fees, "time": entry.time_s}

    def getmempoolinfo(self) -> dict[str, Any]:
        return {
            "loaded": True,
            "size": len(self._mempool.entries),
            "mempoolminfee": self._mempool.min_sat_per_kvb / COIN,
            "minrelaytxfee": MIN_RELAY_SAT_PER_KVB / COIN,
            "incrementalrelayfee": INCREMENTAL_SAT_PER_KVB / COIN,
        }

    def estimatesmartfee(self, conf_target: int) -> dict[str, Any]:
        if self._estimate_sat_per_kvb is not None:
            return {"feerate": self._estimate_sat_per_kvb / COIN, "blocks": conf_target}
        return {"errors": ["Insufficient data or no feerate found"], "blocks": conf_target}

    def gettxout(self, txid: str, n: int, include_mempool: bool = True) -> dict[str, Any] | None:
        outpoint = (internal(txid), n)
        coin = self._chain.coins.get(outpoint)
        if include_mempool:
            if outpoint in self._mempool.spent_by:
                return None
            entry = self._mempool.entries.get(outpoint[0])
            if coin is None and entry is not None and n < len(entry.transaction.vout):
                output = entry.transaction.vout[n]
                height = self._chain.height + 1
                coin = Coin(output.nValue, bytes(output.scriptPubKey), height, coinbase=False)
        if coin is None:
            return None
        return {
            "bestblock": display(self._chain.tip),
            "confirmations": self._chain.height - coin.height + 1,
            "value": coin.value_sat / COIN,
            "scriptPubKey": {"hex": coin.script.hex()},
            "coinbase": coin.coinbase,
        }

    def scantxoutset(self, action: str, scanobjects: Sequence[str] = ()) -> dict[str, Any]:
        if action != "start":
            raise RpcFailure(-8, "only start is supported")
        scripts = {_script(item): item for item in scanobjects}
        unspents = [
            {
                "txid": display(txid),
                "vout": index,
                "scriptPubKey": coin.script.hex(),
                "desc": scripts[coin.script],
                "amount": coin.value_sat / COIN,
                "coinbase": coin.coinbase,
                "height": coin.height,
            }
            for (txid, index), coin in self._chain.coins.items()
            if coin.script in scripts
        ]
        total = sum(unspent["amount"] for unspent in unspents)
        return {
            "success": True,
            "height": self._chain.height,
            "bestblock": display(self._chain.tip),
            "unspents": unspents,
            "total_amount": total,
        }

    # ---- a busy network: no calls of Core's ----------------------------------------------------

    def emulateestimate(self, sat_per_kvb: int | None) -> None:
        """From now on the fee estimator says this; None: it knows nothing again."""
        self._estimate_sat_per_kvb = sat_per_kvb

    def emulatefullmempool(self, sat_per_kvb: int) -> None:
        """Others pay so much: what pays less is evicted and refused. 0 empties it again."""
        self._mempool.fill(sat_per_kvb)

    def emulateeviction(self, txid: str) -> None:
        """This transaction and its children are forgotten, as after two weeks or a restart."""
        self._mempool.evict(internal(txid))

    # ---- mining --------------------------------------------------------------------------------

    def generatetoaddress(self, nblocks: int, address: str) -> list[str]:
        script = _script(address)
        mined = []
        for _ in range(nblocks):
            entries = self._mempool.template()
            transactions = [entry.transaction for entry in entries]
            fees_sat = sum(entry.fee_sat for entry in entries)
            mined.append(self._mine(self._chain.tip, script, transactions, fees_sat))
        return mined

    def generateblock(self, output: str, transactions: list[str]) -> dict[str, str]:
        """A block of exactly these transactions: txids of the mempool, or raw."""
        chosen = [
            self._mempool.entries[internal(item)].transaction
            if internal(item) in self._mempool.entries
            else _parse(item)
            for item in transactions
        ]
        return {"hash": self._mine(self._chain.tip, _script(output), chosen, 0)}

    def submitblock(self, hexdata: str) -> str | None:
        return self._submit(bytes.fromhex(hexdata)).verdict

    def invalidateblock(self, blockhash: str) -> None:
        """Emulated: a branch of empty blocks from the block's parent overtakes it."""
        block_hash = self._known(blockhash)
        blocks = self._chain.height - self._chain.height_of(block_hash) + 2
        parent = self._chain.parent_of(block_hash)
        for _ in range(blocks):
            parent = internal(self._mine(parent, b"\x51", [], 0))

    def _mine(
        self, parent: bytes, script: bytes, transactions: list[CTransaction], fees_sat: int
    ) -> str:
        self._extra_nonce += 1
        raw = build_block(
            self._chain,
            parent,
            script,
            transactions,
            fees_sat=fees_sat,
            extra_nonce=self._extra_nonce,
        )
        verdict = self._submit(raw).verdict
        if verdict is not None:
            raise RpcFailure(-25, f"TestBlockValidity failed: {verdict}")
        return display(_block_hash(raw))

    def _submit(self, raw: bytes) -> Changes:
        changes = self._chain.submit(raw)
        self._mempool.settle(changes.connected, reversed(changes.disconnected))
        return changes

    def _known(self, text: str) -> bytes:
        block_hash = internal(text)
        try:
            self._chain.height_of(block_hash)
        except KeyError:
            raise RpcFailure(-5, "Block not found") from None
        return block_hash

    def _checked(self, action: Callable[[CTransaction], Any], transaction: CTransaction) -> None:
        try:
            action(transaction)
        except Rejected as rejected:
            raise RpcFailure(rejected.code, str(rejected)) from rejected


def _parse(raw_hex: str) -> CTransaction:
    try:
        return parse(raw_hex)
    except ValueError as error:
        raise RpcFailure(-22, str(error)) from error


def _script(destination: str) -> bytes:
    try:
        return script_of(destination)
    except ValueError as error:
        raise RpcFailure(-5, "Invalid address or descriptor") from error


def _block_hash(raw: bytes) -> bytes:
    return double_sha256(raw[:_HEADER_BYTES])
