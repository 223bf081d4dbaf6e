"""Consensus-critical: the transactions of a seal chain, as drafts to be signed.

    opening T_0   vin[0] the coin the opening names, more coins after it
                  vout[0] commitment, vout[1] the first seal, vout[2] the recovery seal (optional)
    anchor        vin[0] the seal, fee coins after it
                  vout[0] commitment, vout[1] the next seal: same key, same amount
    change        the last output, back to the funding address; left to the miner when below dust

Every input signals replacement (BIP-125). Which coins to take and at which feerate is the
caller's decision; what the result costs, and that it is affordable, is decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from attest.core import limits
from attest.core.commitment import Commitment, Kind
from attest.core.errors import FeeTooHigh, InvalidTransaction, NotFunded
from attest.core.signer import FundingSigner, SealSigner
from attest.core.taproot import SIGNATURE_BYTES
from attest.core.transaction import OutPoint, Transaction, TxIn, TxOut

VERSION: Final = 2
SEQUENCE_REPLACEABLE: Final = 0xFFFFFFFD
SEAL_INDEX: Final = 1
RECOVERY_INDEX: Final = 2
_UNSIGNED: Final = bytes(SIGNATURE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coin:
    """An unspent output and where it is."""

    outpoint: OutPoint
    output: TxOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """What a transaction must pay: a feerate, and for a replacement at least so much in all."""

    sat_per_kvb: int
    sat_min: int = 0

    def of(self, vsize: int) -> int:
        """Satoshis for `vsize` virtual bytes, rounded up."""
        return max(-(-vsize * self.sat_per_kvb // 1000), self.sat_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A transaction whose witnesses are 64 zero bytes, with the coins its inputs spend."""

    transaction: Transaction
    coins: tuple[Coin, ...]

    @property
    def spent(self) -> list[TxOut]:
        """The outputs spent, in the order of the inputs."""
        return [coin.output for coin in self.coins]

    @property
    def fee_sat(self) -> int:
        """What the miner gets."""
        paid = sum(output.value_sat for output in self.transaction.outputs)
        return sum(output.value_sat for output in self.spent) - paid


def opening_draft(
    *,
    coins: Sequence[Coin],
    digest: bytes,
    seal: TxOut,
    recovery: TxOut | None,
    change_script: bytes,
    fee: Fee,
) -> Draft:
    """T_0: `coins[0]` is the outpoint the opening names. Raises NotFunded or FeeTooHigh."""
    outputs = [Commitment(kind=Kind.OPENING, digest=digest).output, seal]
    if recovery is not None:
        outputs.append(recovery)
    return _draft(coins, outputs, change_script, fee)


def anchor_draft(
    *, seal: Coin, fee_coins: Sequence[Coin], digest: bytes, change_script: bytes, fee: Fee
) -> Draft:
    """An anchor of `digest` that moves `seal` on. Raises NotFunded or FeeTooHigh."""
    outputs = [Commitment(kind=Kind.ANCHOR, digest=digest).output, seal.output]
    return _draft([seal, *fee_coins], outputs, change_script, fee)


def sign(draft: Draft, *, seal: SealSigner, funding: FundingSigner) -> Transaction:
    """Return the draft with every input signed by the key it belongs to.

    Raises SigningRefused when an input belongs to neither.
    """
    transaction, spent = draft.transaction, draft.spent
    signed = []
    for index, (entry, output) in enumerate(zip(transaction.inputs, spent, strict=True)):
        signer = seal if output.script == seal.script else funding
        signed.append(replace(entry, witness=(signer.sign(transaction, index, spent),)))
    return replace(transaction, inputs=tuple(signed))


def _draft(coins: Sequence[Coin], outputs: list[TxOut], change_script: bytes, fee: Fee) -> Draft:
    if len(coins) > limits.FEE_INPUTS_MAX + 1:
        raise InvalidTransaction(
            f"{len(coins)} inputs, at most {limits.FEE_INPUTS_MAX + 1} allowed"
        )
    if not coins:
        raise NotFunded("no coins to spend", hint="send coins to the funding address")
    plain = _unsigned(coins, outputs)
    left_sat = sum(c.output.value_sat for c in coins) - sum(o.value_sat for o in outputs)
    fee_sat = fee.of(plain.vsize)
    if left_sat < fee_sat:
        raise NotFunded(
            f"{fee_sat - left_sat} sat are missing: {plain.vsize} vbytes cost {fee_sat} sat",
            hint="send coins to the funding address",
        )
    change = TxOut(value_sat=limits.DUST_SAT, script=change_script)
    fee_with_change_sat = fee.of(_unsigned(coins, [*outputs, change]).vsize)
    if left_sat - fee_with_change_sat >= limits.DUST_SAT:
        change = replace(change, value_sat=left_sat - fee_with_change_sat)
        plain = _unsigned(coins, [*outputs, change])
    draft = Draft(transaction=plain, coins=tuple(coins))
    if draft.fee_sat > limits.FEE_SAT_MAX:
        raise FeeTooHigh(
            f"the fee is {draft.fee_sat} sat, at most {limits.FEE_SAT_MAX} are ever paid"
        )
    return draft


def _unsigned(coins: Sequence[Coin], outputs: Sequence[TxOut]) -> Transaction:
    return Transaction(
        version=VERSION,
        inputs=tuple(
            TxIn(outpoint=c.outpoint, sequence=SEQUENCE_REPLACEABLE, witness=(_UNSIGNED,))
            for c in coins
        ),
        outputs=tuple(outputs),
    )
