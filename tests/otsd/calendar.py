"""What a calendar promises and keeps: submissions, one transaction for many, proofs by block."""

import base64
import hashlib
import hmac
import json
import os
import time
import urllib.request
from pathlib import Path
from threading import Lock
from typing import Any

from bitcoin.core import (
    CBlock,
    CMutableTransaction,
    CMutableTxIn,
    CMutableTxOut,
    COutPoint,
    CTxInWitness,
    CTxWitness,
    lx,
)
from bitcoin.core.script import OP_RETURN, CScript, CScriptWitness
from embit import bech32
from opentimestamps.bitcoin import make_timestamp_from_block
from opentimestamps.core.notary import PendingAttestation
from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import Timestamp, make_merkle_tree

DEPTH = 6
_OP_TRUE = b"\x51"
_PROGRAM = hashlib.sha256(_OP_TRUE).digest()
SCRIPT = b"\x00\x20" + _PROGRAM
ADDRESS = bech32.encode("bcrt", 0, _PROGRAM)
"""Whoever mines to it pays for the calendar: anybody may spend it."""
_FEE_SAT = 10_000


class Calendar:
    def __init__(self, uri: str, rpc: str, cookie: Path) -> None:
        self._uri = uri
        self._rpc = rpc
        self._authorization = "Basic " + base64.b64encode(cookie.read_bytes().strip()).decode()
        self._key = os.urandom(32)
        self._lock = Lock()
        self._waiting: list[Timestamp] = []
        self._promised: dict[bytes, Timestamp] = {}
        self._sent: list[tuple[bytes, Timestamp, int]] = []

    def submit(self, digest: bytes) -> bytes:
        """Promise to stamp it; the bare timestamp that says so."""
        with self._lock:
            root = Timestamp(digest)
            stamp = root.ops.add(OpAppend(os.urandom(8))).ops.add(OpSHA256())
            timed = stamp.ops.add(OpPrepend(int(time.time()).to_bytes(4, "big")))
            mac = hmac.new(self._key, timed.msg, "sha256").digest()[:8]
            promised = timed.ops.add(OpAppend(mac))
            answer = _copy(root)
            _tip(answer).attestations.add(PendingAttestation(self._uri))
            self._promised[promised.msg] = promised
            self._waiting.append(promised)
            return _bytes(answer)

    def look_up(self, message: bytes) -> bytes | None:
        """The finished timestamp of a promised message, None while there is none."""
        with self._lock:
            self._settle()
            stamp = self._promised.get(message)
            done = stamp is not None and any(stamp.all_attestations())
            return _bytes(stamp) if stamp is not None and done else None

    def commit(self) -> str:
        """Send one transaction for all that waits; its txid."""
        with self._lock:
            hashed = [stamp.ops.add(OpSHA256()) for stamp in self._waiting]
            self._waiting = []
            tip = make_merkle_tree(hashed)
            height = self._call("getblockcount")
            txid = self._call("sendrawtransaction", self._transaction(tip.msg).serialize().hex())
            self._sent.append((lx(txid), tip, height))
            return str(txid)

    def _transaction(self, root: bytes) -> CMutableTransaction:
        found = self._call("scantxoutset", "start", [f"raw({SCRIPT.hex()})"])
        height = found["height"]
        coin = max(
            (
                coin for coin in found["unspents"]
                if (not coin["coinbase"] or height - coin["height"] > 100)
                and self._call("gettxout", coin["txid"], coin["vout"]) is not None
            ),
            key=lambda coin: coin["amount"],
        )  # fmt: skip
        change_sat = round(coin["amount"] * 100_000_000) - _FEE_SAT
        transaction = CMutableTransaction(
            [CMutableTxIn(COutPoint(lx(coin["txid"]), coin["vout"]))],
            [
                CMutableTxOut(0, CScript([OP_RETURN, root])),
                CMutableTxOut(change_sat, CScript(SCRIPT)),
            ],
            nVersion=2,
        )
        transaction.wit = CTxWitness([CTxInWitness(CScriptWitness([_OP_TRUE]))])
        return transaction

    def _settle(self) -> None:
        """Finish what stands deep enough."""
        tip = self._call("getblockcount")
        for sent in list(self._sent):
            txid, stamp, since = sent
            for height in range(since + 1, tip - DEPTH + 2):
                raw = self._call("getblock", self._call("getblockhash", height), 0)
                block = CBlock.deserialize(bytes.fromhex(raw))
                if any(transaction.GetTxid() == txid for transaction in block.vtx):
                    stamp.merge(make_timestamp_from_block(stamp.msg, block, height))
                    self._sent.remove(sent)
                    break

    def _call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        request = urllib.request.Request(self._rpc, body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["result"]


def _bytes(stamp: Timestamp) -> bytes:
    out = BytesSerializationContext()
    stamp.serialize(out)
    return out.getbytes()


def _copy(stamp: Timestamp) -> Timestamp:
    """The operations of a chain without forks; attestations stay behind."""
    fresh = Timestamp(stamp.msg)
    for op, after in stamp.ops.items():
        fresh.ops[op] = _copy(after)
    return fresh


def _tip(stamp: Timestamp) -> Timestamp:
    while stamp.ops:
        [stamp] = stamp.ops.values()
    return stamp
