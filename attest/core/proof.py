"""Consensus-critical: the values a seal chain is proven with, and their CBOR maps.

`SealOpening` goes into the ledger event that opens a seal, before any transaction exists.
`AnchorProof` is one link, complete for an offline verifier. Both are maps of the ledger's CBOR
profile (text keys, ints, bytes, lists); `from_value` takes nothing it would not write.
"""

from dataclasses import dataclass
from typing import Any

from attest.core import limits
from attest.core.errors import InvalidRecord
from attest.core.header import HEADER_BYTES, HEIGHT_MAX, network_by_name
from attest.core.merkle import MerklePath
from attest.core.taproot import SCRIPT_BYTES
from attest.core.transaction import HASH_BYTES, OutPoint, TxOut


@dataclass(frozen=True, slots=True, kw_only=True)
class SealOpening:
    """What a ledger event says to open a seal: the coin T_0 will spend, and the amounts.

    Naming the outpoint beforehand makes the opening unique: a second T_0 under the same identity,
    funded by a stranger, spends another coin. `recovery` is the one-shot recovery seal, or None.
    """

    network: str
    outpoint: OutPoint
    seal_sat: int
    recovery: TxOut | None = None

    def __post_init__(self) -> None:
        network_by_name(self.network)
        amounts = [self.seal_sat]
        if self.recovery is not None:
            amounts.append(self.recovery.value_sat)
            if len(self.recovery.script) != SCRIPT_BYTES:
                raise InvalidRecord(
                    f"recovery script of {len(self.recovery.script)} bytes, expected {SCRIPT_BYTES}"
                )
        for amount_sat in amounts:
            if not limits.DUST_SAT <= amount_sat <= limits.MONEY_SAT_MAX:
                raise InvalidRecord(f"seal of {amount_sat} sat, at least {limits.DUST_SAT} needed")

    def to_value(self) -> dict[str, Any]:
        """A map of network, outpoint, seal_sat and recovery."""
        return {
            "network": self.network,
            "outpoint": outpoint_to_value(self.outpoint),
            "seal_sat": self.seal_sat,
            "recovery": None if self.recovery is None else output_to_value(self.recovery),
        }

    @classmethod
    def from_value(cls, value: Any) -> "SealOpening":
        """Read the map back. Raises InvalidRecord, InvalidTransaction or WrongNetwork."""
        fields = take(value, network=str, outpoint=list, seal_sat=int, recovery=(list, type(None)))
        recovery = fields["recovery"]
        return cls(
            network=fields["network"],
            outpoint=outpoint_from_value(fields["outpoint"]),
            seal_sat=fields["seal_sat"],
            recovery=None if recovery is None else output_from_value(recovery),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorProof:
    """One link: the raw transaction, what its fee inputs spend, its path, and headers.

    `spent` are the outputs spent by vin[1:], which the seal's signature covers; an opening needs
    none. `headers[0]` is the block at `height`, the rest follow it; each has 80 bytes.
    """

    transaction: bytes
    spent: tuple[TxOut, ...]
    path: MerklePath
    height: int
    headers: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.headers) <= limits.LINK_HEADERS_MAX:
            raise InvalidRecord(
                f"{len(self.headers)} headers, 1 to {limits.LINK_HEADERS_MAX} expected"
            )
        if not 0 < self.height <= HEIGHT_MAX:
            raise InvalidRecord(f"height {self.height} out of range")
        if len(self.transaction) > limits.TRANSACTION_BYTES_MAX:
            raise InvalidRecord(
                f"transaction of {len(self.transaction)} bytes, "
                f"at most {limits.TRANSACTION_BYTES_MAX} allowed"
            )

    def to_value(self) -> dict[str, Any]:
        """A map of transaction, spent, index, siblings, height and headers (joined)."""
        return {
            "transaction": self.transaction,
            "spent": [output_to_value(output) for output in self.spent],
            "index": self.path.index,
            "siblings": list(self.path.siblings),
            "height": self.height,
            "headers": b"".join(self.headers),
        }

    @classmethod
    def from_value(cls, value: Any) -> "AnchorProof":
        """Read the map back. Raises InvalidRecord, InvalidTransaction or BadPath."""
        fields = take(
            value,
            transaction=bytes,
            spent=list,
            index=int,
            siblings=list,
            height=int,
            headers=bytes,
        )
        joined: bytes = fields["headers"]
        if len(joined) % HEADER_BYTES or len(joined) > HEADER_BYTES * limits.LINK_HEADERS_MAX:
            raise InvalidRecord(f"{len(joined)} bytes are no run of {HEADER_BYTES}-byte headers")
        if not all(isinstance(sibling, bytes) for sibling in fields["siblings"]):
            raise InvalidRecord("a sibling is not bytes")
        return cls(
            transaction=fields["transaction"],
            spent=tuple(output_from_value(output) for output in fields["spent"]),
            path=MerklePath(index=fields["index"], siblings=tuple(fields["siblings"])),
            height=fields["height"],
            headers=tuple(
                joined[start : start + HEADER_BYTES]
                for start in range(0, len(joined), HEADER_BYTES)
            ),
        )


def take(value: Any, **kinds: type | tuple[type, ...]) -> dict[str, Any]:
    """Return `value` if it is a map of exactly these keys and types. Raises InvalidRecord."""
    if not isinstance(value, dict) or value.keys() != kinds.keys():
        raise InvalidRecord(f"expected a map of {', '.join(kinds)}")
    for key, kind in kinds.items():
        # bool is an int to Python, not to CBOR
        if not isinstance(value[key], kind) or isinstance(value[key], bool):
            raise InvalidRecord(f"{key} is {type(value[key]).__name__}")
    return value


def outpoint_to_value(outpoint: OutPoint) -> list[Any]:
    """A list of txid (internal order) and index."""
    return [outpoint.txid, outpoint.index]


def outpoint_from_value(value: Any) -> OutPoint:
    """Read the list back. Raises InvalidRecord or InvalidTransaction."""
    match value:
        case [bytes(txid), int(index)] if not isinstance(index, bool):
            return OutPoint(txid=txid, index=index)
    raise InvalidRecord(f"an outpoint is a txid of {HASH_BYTES} bytes and an index")


def output_to_value(output: TxOut) -> list[Any]:
    """A list of amount in satoshi and script."""
    return [output.value_sat, output.script]


def output_from_value(value: Any) -> TxOut:
    """Read the list back. Raises InvalidRecord or InvalidTransaction."""
    match value:
        case [int(value_sat), bytes(script)] if not isinstance(value_sat, bool):
            return TxOut(value_sat=value_sat, script=script)
    raise InvalidRecord("an output is an amount and a script")
