"""What the node accepts before it is mined: Core v30's numbers, full replacement by fee."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import pbk
from bitcoin.core import CTransaction

from tests.regtest.chain import Coin, KernelChain, OutPoint, spends
from tests.regtest.encoding import display

MIN_RELAY_SAT_PER_KVB = 100
INCREMENTAL_SAT_PER_KVB = 100
DATACARRIER_BYTES_MAX = 100_000
STRIPPED_BYTES_MIN = 65
MATURITY_BLOCKS = 100
DUST_SAT = {22: 294, 34: 330}
DUST_OTHER_SAT = 546
_UNCONFIRMED = 2**31


class Rejected(Exception):
    """With Core's error code: -26 by policy, -25 for missing inputs, -27 if mined already."""

    def __init__(self, reason: str, code: int = -26) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Entry:
    transaction: CTransaction
    txid: bytes
    fee_sat: int
    vsize: int
    time_s: int


class Mempool:
    def __init__(self, chain: KernelChain) -> None:
        self._chain = chain
        self.entries: dict[bytes, Entry] = {}
        self.spent_by: dict[OutPoint, bytes] = {}
        self.min_sat_per_kvb = MIN_RELAY_SAT_PER_KVB

    def fill(self, sat_per_kvb: int) -> None:
        """As if others' transactions had filled it: what pays less is evicted, and refused."""
        self.min_sat_per_kvb = max(sat_per_kvb, MIN_RELAY_SAT_PER_KVB)
        cheap = [e for e in self.entries.values() if e.fee_sat * 1000 < sat_per_kvb * e.vsize]
        for entry in cheap:
            self.evict(entry.txid)

    def add(self, transaction: CTransaction) -> Entry:
        """Accept a transaction, evicting those it replaces. Raises Rejected."""
        entry, conflicts = self.check(transaction)
        for txid in conflicts:
            self.evict(txid)
        self.entries[entry.txid] = entry
        self.spent_by.update(dict.fromkeys(spends(transaction), entry.txid))
        return entry

    def check(self, transaction: CTransaction) -> tuple[Entry, set[bytes]]:
        """Return the entry and what it would replace. Raises Rejected."""
        txid = transaction.GetTxid()
        if txid in self.entries:
            raise Rejected("txn-already-in-mempool", -27)
        if txid in self._chain.block_of:
            raise Rejected("Transaction outputs already in utxo set", -27)
        stripped = len(transaction.serialize({"include_witness": False}))
        if stripped < STRIPPED_BYTES_MIN:
            raise Rejected("tx-size-small")
        vsize = -(-(3 * stripped + len(transaction.serialize())) // 4)
        coins = [self._spendable(outpoint) for outpoint in spends(transaction)]
        _check_outputs(transaction)
        fee_sat = sum(c.value_sat for c in coins) - sum(o.nValue for o in transaction.vout)
        if fee_sat < 0:
            raise Rejected("bad-txns-in-belowout")
        if fee_sat * 1000 < MIN_RELAY_SAT_PER_KVB * vsize:
            raise Rejected(f"min relay fee not met, {fee_sat} sat for {vsize} vbytes")
        if fee_sat * 1000 < self.min_sat_per_kvb * vsize:
            raise Rejected(f"mempool min fee not met, {fee_sat} sat for {vsize} vbytes")
        conflicts = {self.spent_by[o] for o in spends(transaction) if o in self.spent_by}
        self._check_replacement(fee_sat, vsize, self._with_descendants(conflicts), txid)
        _check_scripts(transaction, coins)
        return Entry(transaction, txid, fee_sat, vsize, int(time.time())), conflicts

    def evict(self, txid: bytes) -> None:
        """Drop a transaction and all that spend its outputs."""
        entry = self.entries.pop(txid, None)
        if entry is None:
            return
        for outpoint in spends(entry.transaction):
            self.spent_by.pop(outpoint, None)
        for outpoint, child in list(self.spent_by.items()):
            if outpoint[0] == txid:
                self.evict(child)

    def settle(self, connected: Iterable[CTransaction], orphaned: Iterable[CTransaction]) -> None:
        """Follow the chain: forget what was mined or is now void, take back what was undone."""
        for transaction in connected:
            entry = self.entries.pop(transaction.GetTxid(), None)
            for outpoint in spends(transaction):
                rival = self.spent_by.pop(outpoint, None)
                if entry is None and rival is not None:
                    self.evict(rival)
        for transaction in orphaned:
            try:
                self.add(transaction)
            except Rejected:
                continue

    def template(self) -> list[Entry]:
        """All entries, best feerate first, parents before children."""
        chosen: list[Entry] = []
        left = dict(self.entries)
        while left:
            ready = [
                entry
                for entry in left.values()
                if all(outpoint[0] not in left for outpoint in spends(entry.transaction))
            ]
            best = max(ready, key=lambda entry: entry.fee_sat / entry.vsize)
            chosen.append(left.pop(best.txid))
        return chosen

    def _spendable(self, outpoint: OutPoint) -> Coin:
        txid, index = outpoint
        coin = self._chain.coins.get(outpoint)
        parent = self.entries.get(txid)
        if coin is None and parent is not None and index < len(parent.transaction.vout):
            output = parent.transaction.vout[index]
            coin = Coin(output.nValue, bytes(output.scriptPubKey), _UNCONFIRMED, coinbase=False)
        if coin is None:
            raise Rejected("bad-txns-inputs-missingorspent", -25)
        if coin.coinbase and self._chain.height + 1 - coin.height < MATURITY_BLOCKS:
            raise Rejected("bad-txns-premature-spend-of-coinbase")
        return coin

    def _with_descendants(self, txids: set[bytes]) -> set[bytes]:
        found, queue = set(txids), list(txids)
        while queue:
            parent = queue.pop()
            children = {c for o, c in self.spent_by.items() if o[0] == parent} - found
            found |= children
            queue.extend(children)
        return found

    def _check_replacement(self, fee_sat: int, vsize: int, rivals: set[bytes], txid: bytes) -> None:
        if not rivals:
            return
        entries = [self.entries[rival] for rival in rivals]
        needed_sat = sum(entry.fee_sat for entry in entries)
        needed_sat += -(-INCREMENTAL_SAT_PER_KVB * vsize // 1000)
        beaten = all(fee_sat * e.vsize > e.fee_sat * vsize for e in entries)
        if fee_sat < needed_sat or not beaten:
            raise Rejected(f"insufficient fee, rejecting replacement {display(txid)}")


def _check_outputs(transaction: CTransaction) -> None:
    carried = 0
    for output in transaction.vout:
        script = bytes(output.scriptPubKey)
        if script[:1] == b"\x6a":
            carried += len(script)
        elif output.nValue < DUST_SAT.get(len(script), DUST_OTHER_SAT):
            raise Rejected("dust")
    if carried > DATACARRIER_BYTES_MAX:
        raise Rejected("datacarrier")


def _check_scripts(transaction: CTransaction, coins: list[Coin]) -> None:
    """Core's own interpreter, with every consensus flag."""
    parsed = pbk.Transaction(transaction.serialize())
    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(c.script), c.value_sat) for c in coins]
    prepared = pbk.script.PrecomputedTransactionData(parsed, outputs)
    for index, output in enumerate(outputs):
        flags = pbk.ScriptVerificationFlags.ALL
        if not output.script_pubkey.verify(output.amount, parsed, prepared, index, flags):
            raise Rejected("mempool-script-verify-flag-failed")
