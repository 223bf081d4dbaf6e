"""What the anchorer remembers of each link, as frozen values and CBOR maps.

A link has one or more signed variants (replacements by fee, or by a fresher digest), all of which
spend the same seal, so that at most one can ever be mined. None is ever forgotten: whichever a
miner takes, its digest and the coins it spent must be known for the proof.
"""

from dataclasses import dataclass
from typing import Any

from attest.core.commitment import Kind
from attest.core.errors import InvalidProof, StateDamaged
from attest.core.proof import (
    SealOpening,
    outpoint_from_value,
    outpoint_to_value,
    output_from_value,
    output_to_value,
    take,
)
from attest.core.seal import SEAL_INDEX, Coin
from attest.core.transaction import OutPoint, Transaction, parse_transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A signed transaction, the digest it commits to, and the coins it spends, in order."""

    transaction: Transaction
    digest: bytes
    coins: tuple[Coin, ...]
    txid: bytes

    @property
    def fee_sat(self) -> int:
        """What the miner gets."""
        paid = sum(output.value_sat for output in self.transaction.outputs)
        return sum(coin.output.value_sat for coin in self.coins) - paid


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Where a variant was last seen in a block. Believed only while that block stands there."""

    txid: bytes
    height: int
    block_hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRecord:
    """One link. `since_*` is the node's tip when its newest variant was signed."""

    kind: Kind
    variants: tuple[Variant, ...]
    since_height: int
    since_hash: bytes
    mined: Mined | None = None

    @property
    def current(self) -> Variant:
        """The mined variant, or else the newest."""
        if self.mined is not None:
            for variant in self.variants:
                if variant.txid == self.mined.txid:
                    return variant
            raise StateDamaged("a link was mined with a transaction that is not recorded")
        return self.variants[-1]

    @property
    def seal(self) -> Coin:
        """The next seal, at vout[1] of the current variant."""
        variant = self.current
        return Coin(
            outpoint=OutPoint(txid=variant.txid, index=SEAL_INDEX),
            output=variant.transaction.outputs[SEAL_INDEX],
        )

    def to_value(self) -> dict[str, Any]:
        """A map of the ledger's CBOR profile."""
        mined = self.mined
        return {
            "kind": int(self.kind),
            "variants": [
                {
                    "transaction": variant.transaction.raw,
                    "digest": variant.digest,
                    "coins": [coin_to_value(coin) for coin in variant.coins],
                }
                for variant in self.variants
            ],
            "since": [self.since_height, self.since_hash],
            "mined": None if mined is None else [mined.txid, mined.height, mined.block_hash],
        }

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> "LinkRecord":
        """Read the map back. Raises StateDamaged."""
        try:
            fields = take(value, kind=int, variants=list, since=list, mined=(list, type(None)))
            if not fields["variants"]:
                raise ValueError("no transaction")  # noqa: TRY301 - one place names the record
            since_height, since_hash = _exact(fields["since"], int, bytes)
            return cls(
                kind=Kind(fields["kind"]),
                variants=tuple(_variant_from_value(variant) for variant in fields["variants"]),
                since_height=since_height,
                since_hash=since_hash,
                mined=None if fields["mined"] is None else _mined_from_value(fields["mined"]),
            )
        except (InvalidProof, ValueError, TypeError) as error:
            raise StateDamaged(f"a link's record is damaged: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningRecord:
    """The proposed opening, the coins meant for it (the named one first), and its digest."""

    opening: SealOpening
    coins: tuple[Coin, ...]
    digest: bytes | None = None

    def to_value(self) -> dict[str, Any]:
        """A map of the ledger's CBOR profile."""
        return {
            "opening": self.opening.to_value(),
            "coins": [coin_to_value(coin) for coin in self.coins],
            "digest": self.digest,
        }

    @classmethod
    def from_value(cls, value: dict[str, Any]) -> "OpeningRecord":
        """Read the map back. Raises StateDamaged."""
        try:
            fields = take(value, opening=dict, coins=list, digest=(bytes, type(None)))
            return cls(
                opening=SealOpening.from_value(fields["opening"]),
                coins=tuple(coin_from_value(coin) for coin in fields["coins"]),
                digest=fields["digest"],
            )
        except (InvalidProof, ValueError, TypeError) as error:
            raise StateDamaged(f"the opening's record is damaged: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoffRecord:
    """A handoff that is wanted: from the seal of script `old` to that of `new`, over `digest`."""

    old: bytes
    new: bytes
    digest: bytes

    def to_value(self) -> list[Any]:
        """A list of the ledger's CBOR profile."""
        return [self.old, self.new, self.digest]

    @classmethod
    def list_from_value(cls, value: dict[str, Any]) -> "list[HandoffRecord]":
        """Read a map of them back. Raises StateDamaged."""
        try:
            fields = take(value, handoffs=list)
            rows = [_exact(row, bytes, bytes, bytes) for row in fields["handoffs"]]
        except (InvalidProof, ValueError) as error:
            raise StateDamaged(f"the record of handoffs is damaged: {error}") from error
        return [cls(old=old, new=new, digest=digest) for old, new, digest in rows]


def coin_to_value(coin: Coin) -> list[Any]:
    """A list of outpoint and output."""
    return [outpoint_to_value(coin.outpoint), output_to_value(coin.output)]


def coin_from_value(value: Any) -> Coin:
    """Read the list back. Raises ValueError, TypeError or InvalidProof."""
    outpoint, output = value
    return Coin(outpoint=outpoint_from_value(outpoint), output=output_from_value(output))


def _exact(value: Any, *kinds: type) -> list[Any]:
    if not isinstance(value, list) or [type(item) for item in value] != list(kinds):
        raise ValueError(f"not a list of {', '.join(kind.__name__ for kind in kinds)}")
    return value


def _mined_from_value(value: Any) -> Mined:
    txid, height, block_hash = _exact(value, bytes, int, bytes)
    return Mined(txid=txid, height=height, block_hash=block_hash)


def _variant_from_value(value: Any) -> Variant:
    fields = take(value, transaction=bytes, digest=bytes, coins=list)
    transaction = parse_transaction(fields["transaction"])
    if len(transaction.outputs) <= SEAL_INDEX:
        raise ValueError("a transaction without a next seal")
    return Variant(
        transaction=transaction,
        digest=fields["digest"],
        coins=tuple(coin_from_value(coin) for coin in fields["coins"]),
        txid=transaction.txid,
    )
