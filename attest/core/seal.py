"""Consensus-critical: the transactions of a seal chain, as drafts to be signed.

    opening T_0   vin[0] the coin the opening names, more coins after it
                  vout[0] commitment, vout[1] the first seal, vout[2] the recovery seal (optional)
    anchor        vin[0] the seal, fee coins after it (an aggregate and a delegation likewise)
                  vout[0] commitment, vout[1] the next seal: same key, same amount
    handoff       vin[0] the seal, vin[1] an output of the new seal key (the enrolment), then fees
                  vout[0] commitment, vout[1] the next seal: the new key, same amount
    recovery      vin[0] the recovery seal of T_0, fee coins after it
                  vout[0] commitment, vout[1] the next seal: the new key, same amount as before
    enrolment     coins of the funding key; vout[0] pays ENROLMENT_SAT to the new seal key
    change        the last output, back to the funding address; left to the miner when below dust

Every input signals replacement (BIP-125). Which coins to take and at which feerate is the
caller's decision; what the result costs, and that it is affordable, is decided here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from attest.core import limits
from attest.core.commitment import Commitment, Kind
from attest.core.errors import FeeTooHigh, InvalidTransaction, NotFunded
from attest.core.signer import FundingSigner, RecoverySigner, SealSigner
from attest.core.taproot import SIGNATURE_BYTES
from attest.core.transaction import OutPoint, Transaction, TxIn, TxOut

VERSION: Final = 2
SEQUENCE_REPLACEABLE: Final = 0xFFFFFFFD
SEAL_INDEX: Final = 1
RECOVERY_INDEX: Final = 2
_UNSIGNED: Final = bytes(SIGNATURE_BYTES)

Sign: TypeAlias = Callable[[Transaction, int, list[TxOut]], bytes]
"""Transaction, input and all outputs spent to a 64-byte signature."""


class Payer(Protocol):
    """Signs inputs of funding addresses."""

    def sign(self, transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        """Return the 64-byte signature of one input. Raises SigningRefused."""


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
    *,
    seal: Coin,
    fee_coins: Sequence[Coin],
    digest: bytes,
    change_script: bytes,
    fee: Fee,
    kind: Kind = Kind.ANCHOR,
) -> Draft:
    """A link of `digest` that moves `seal` on. Raises NotFunded or FeeTooHigh."""
    outputs = [Commitment(kind=kind, digest=digest).output, seal.output]
    return _draft([seal, *fee_coins], outputs, change_script, fee)


def handoff_draft(
    *,
    seal: Coin,
    enrolment: Coin,
    fee_coins: Sequence[Coin],
    digest: bytes,
    change_script: bytes,
    fee: Fee,
) -> Draft:
    """A handoff of `seal` to the key that `enrolment` pays. Raises NotFunded or FeeTooHigh."""
    after = replace(seal.output, script=enrolment.output.script)
    outputs = [Commitment(kind=Kind.HANDOFF, digest=digest).output, after]
    return _draft([seal, enrolment, *fee_coins], outputs, change_script, fee)


def recovery_draft(
    *,
    recovery: Coin,
    seal: TxOut,
    fee_coins: Sequence[Coin],
    digest: bytes,
    change_script: bytes,
    fee: Fee,
) -> Draft:
    """A recovery that makes `seal` out of the recovery seal. Raises NotFunded or FeeTooHigh."""
    outputs = [Commitment(kind=Kind.RECOVERY, digest=digest).output, seal]
    return _draft([recovery, *fee_coins], outputs, change_script, fee)


def enrolment_draft(
    *, coins: Sequence[Coin], seal_script: bytes, change_script: bytes, fee: Fee
) -> Draft:
    """A payment that makes the new seal key a coin. Raises NotFunded or FeeTooHigh."""
    paid = TxOut(value_sat=limits.ENROLMENT_SAT, script=seal_script)
    return _draft(coins, [paid], change_script, fee)


def sign(draft: Draft, *, seal: SealSigner, funding: Payer) -> Transaction:
    """Return an opening or anchor with every input signed by the key it belongs to.

    Raises SigningRefused when an input belongs to neither.
    """
    return _signed(draft, {seal.script: seal.sign}, funding)


def sign_handoff(draft: Draft, *, old: SealSigner, new: SealSigner, funding: Payer) -> Transaction:
    """Return a handoff signed by the old and the new seal key. Raises SigningRefused."""

    def hand_over(transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        return old.hand_over(transaction, index, spent, successor=new.script)

    return _signed(draft, {old.script: hand_over, new.script: new.accept}, funding)


def sign_recovery(
    draft: Draft, *, recovery: RecoverySigner, new: SealSigner, funding: Payer
) -> Transaction:
    """Return a recovery signed by the recovery key. Raises SigningRefused."""

    def recover(transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        return recovery.sign(transaction, index, spent, successor=new.script)

    return _signed(draft, {recovery.script: recover}, funding)


def sign_enrolment(draft: Draft, *, seal_script: bytes, funding: FundingSigner) -> Transaction:
    """Return an enrolment of the seal key of that script, signed. Raises SigningRefused."""

    def enrol(transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        return funding.enrol(transaction, index, spent, seal_script=seal_script)

    return _signed(draft, {funding.script: enrol}, funding)


def _signed(draft: Draft, signers: Mapping[bytes, Sign], funding: Payer) -> Transaction:
    transaction, spent = draft.transaction, draft.spent
    inputs = []
    for index, (entry, output) in enumerate(zip(transaction.inputs, spent, strict=True)):
        signing = signers.get(output.script, funding.sign)
        inputs.append(replace(entry, witness=(signing(transaction, index, spent),)))
    return replace(transaction, inputs=tuple(inputs))


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
