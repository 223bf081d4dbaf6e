"""The chain as Bitcoin Core validates it, with the UTXO set kept beside it.

The kernel tells of every block it connects and disconnects, synchronously inside `process_block`;
from that we keep the coins, what each block spent (to undo it), and where each transaction is.
`process_block` does not raise for a block that breaks consensus: the verdict is what the
`block_checked` callback saw.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import pbk
from bitcoin.core import CBlock, CTransaction

MEDIAN_BLOCKS = 11
_OP_RETURN = 0x6A
_TIME_OFFSET = 68

OutPoint = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Coin:
    value_sat: int
    script: bytes
    height: int
    coinbase: bool


@dataclass(slots=True)
class Changes:
    """What one `submit` did to the best chain."""

    connected: list[CTransaction]
    disconnected: list[CTransaction]
    verdict: str | None = None


class KernelChain:
    """A regtest chainstate in a folder. Not for concurrent use."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.coins: dict[OutPoint, Coin] = {}
        self.block_of: dict[bytes, bytes] = {}
        self._undo: dict[bytes, dict[OutPoint, Coin]] = {}
        self._changes = Changes([], [])
        self._callbacks = pbk.ValidationInterfaceCallbacks(
            block_checked=self._on_checked,
            block_connected=self._on_connected,
            block_disconnected=self._on_disconnected,
        )
        self._kernel = pbk.load_chainman(str(folder), pbk.ChainType.REGTEST, self._callbacks)

    # ---- looking -------------------------------------------------------------------------------

    @property
    def height(self) -> int:
        return self._kernel.get_active_chain().height

    def hash_at(self, height: int) -> bytes | None:
        if not 0 <= height <= self.height:
            return None
        return bytes(self._kernel.get_active_chain().block_tree_entries[height].block_hash)

    @property
    def tip(self) -> bytes:
        tip = self.hash_at(self.height)
        assert tip is not None
        return tip

    def height_of(self, block_hash: bytes) -> int:
        """The height of a known block, on the best chain or not. Raises KeyError."""
        return self._entry(block_hash).height

    def header(self, block_hash: bytes) -> bytes:
        return bytes(self._entry(block_hash).block_header)

    def block(self, block_hash: bytes) -> bytes:
        return bytes(self._kernel.blocks[self._entry(block_hash)])

    def parent_of(self, block_hash: bytes) -> bytes:
        return self.header(block_hash)[4:36]

    def confirmations(self, block_hash: bytes) -> int:
        """As Core reports them: -1 off the best chain."""
        height = self.height_of(block_hash)
        return self.height - height + 1 if self.hash_at(height) == block_hash else -1

    def median_time(self, block_hash: bytes) -> int:
        """The median time of a block and the ten before it."""
        times = []
        entry = self._entry(block_hash)
        for _ in range(MEDIAN_BLOCKS):
            times.append(struct.unpack_from("<I", bytes(entry.block_header), _TIME_OFFSET)[0])
            if entry.height == 0:
                break
            entry = entry.previous
        return sorted(times)[len(times) // 2]

    def _entry(self, block_hash: bytes) -> pbk.BlockTreeEntry:
        return self._kernel.block_tree_entries[pbk.BlockHash(block_hash)]

    # ---- changing ------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> Changes:
        """Offer a block; `verdict` is None if it is valid (or waits on a side branch)."""
        self._changes = Changes([], [])
        try:
            self._kernel.process_block(pbk.Block(raw))
        except pbk.KernelException:
            self._changes.verdict = self._changes.verdict or "rejected"
        return self._changes

    def _on_checked(self, _: object, block: pbk.Block, state: pbk.BlockValidationState) -> None:
        if state.validation_mode != pbk.ValidationMode.VALID:
            self._changes.verdict = state.block_validation_result.name.lower()

    def _on_connected(self, _: object, block: pbk.Block, entry: pbk.BlockTreeEntry) -> None:
        block_hash, undo = bytes(entry.block_hash), {}
        if entry.height == 0:
            return  # the genesis coinbase was never spendable: Core keeps no coin of it
        for transaction in CBlock.deserialize(bytes(block)).vtx:
            txid, coinbase = transaction.GetTxid(), transaction.is_coinbase()
            self.block_of[txid] = block_hash
            if not coinbase:
                for outpoint in spends(transaction):
                    undo[outpoint] = self.coins.pop(outpoint)
                self._changes.connected.append(transaction)
            for index, output in enumerate(transaction.vout):
                script = bytes(output.scriptPubKey)
                if script[:1] != bytes([_OP_RETURN]):
                    coin = Coin(output.nValue, script, entry.height, coinbase)
                    self.coins[txid, index] = coin
        self._undo[block_hash] = undo

    def _on_disconnected(self, _: object, block: pbk.Block, entry: pbk.BlockTreeEntry) -> None:
        for transaction in reversed(CBlock.deserialize(bytes(block)).vtx):
            txid = transaction.GetTxid()
            self.block_of.pop(txid, None)
            for index in range(len(transaction.vout)):
                self.coins.pop((txid, index), None)
            if not transaction.is_coinbase():
                self._changes.disconnected.append(transaction)
        created = {transaction.GetTxid() for transaction in CBlock.deserialize(bytes(block)).vtx}
        for outpoint, coin in self._undo.pop(bytes(entry.block_hash)).items():
            if outpoint[0] not in created:  # spent in the block that made it: never was outside
                self.coins[outpoint] = coin


def spends(transaction: CTransaction) -> list[OutPoint]:
    return [(entry.prevout.hash, entry.prevout.n) for entry in transaction.vin]


def parse(raw_hex: str) -> CTransaction:
    """Raises ValueError for what is not a transaction."""
    try:
        return CTransaction.deserialize(bytes.fromhex(raw_hex))
    except Exception as error:
        raise ValueError("TX decode failed. Make sure the tx has at least one input.") from error
