"""The keys that sign Bitcoin transactions. None ever sees a raw digest.

A signer is given a transaction, an input and the outputs spent; it computes the digest itself and
refuses what is not its business: an input of another key, or, for the seal, a transaction that is
not an anchor whose next seal is its own, nor the handoff that it was asked for. So a stolen handle
to a signer cannot be turned into a signature under a message, and the seal key cannot be talked
into paying anybody.

Signing is deterministic (BIP-340 with 32 zero bytes as auxiliary randomness, as BIP-341's vectors
have it): a transaction signed again after a crash is the same transaction.
"""

from dataclasses import dataclass, field
from typing import Final

from coincurve import PrivateKey

from attest.core import limits
from attest.core.commitment import Kind, commitment_of
from attest.core.errors import AttestError, SigningRefused
from attest.core.taproot import (
    internal_key,
    key_path_sighash,
    p2tr_script,
    seal_output_key,
    soul_leaf,
    tweak_public,
    tweak_secret,
    verify_key_path,
)
from attest.core.transaction import Transaction, TxOut

_AUXILIARY: Final = bytes(32)
_NO_SCRIPT_TREE: Final = b""
_ONWARD: Final = (Kind.ANCHOR, Kind.AGGREGATE, Kind.DELEGATION)
"""What moves a seal on under its own key."""


def _sign(
    secret: bytes, merkle_root: bytes, transaction: Transaction, index: int, spent: list[TxOut]
) -> bytes:
    output_key = tweak_public(internal_key(secret), merkle_root)[0]
    if not 0 <= index < len(spent) or spent[index].script != p2tr_script(output_key):
        raise SigningRefused(f"input {index} is not this signer's")
    digest = key_path_sighash(transaction, index, spent)
    signature = PrivateKey(tweak_secret(secret, merkle_root)).sign_schnorr(digest, _AUXILIARY)
    # A fault during signing leaks the key to whoever sees the signature (BIP-340): look first.
    if not verify_key_path(output_key, digest, signature):
        raise SigningRefused("the signature just made does not verify: is this machine healthy?")
    return signature


def _check_place(transaction: Transaction, index: int, place: int, *kinds: Kind) -> None:
    try:
        found = commitment_of(transaction).kind
    except AttestError as error:
        raise SigningRefused(f"not a seal transaction: {error}") from error
    if found not in kinds or index != place:
        raise SigningRefused(f"input {index} of a transaction of kind {found.name.lower()}")


def _check_next_seal(transaction: Transaction, spent: list[TxOut], script: bytes) -> None:
    amount_sat = spent[0].value_sat if spent else 0
    if transaction.outputs[1:2] != (TxOut(value_sat=amount_sat, script=script),):
        raise SigningRefused("vout[1] is not the next seal at the same amount")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealSigner:
    """The seal key under one SOUL. Its repr shows no secret."""

    secret: bytes = field(repr=False)
    soul_digest: bytes

    def __post_init__(self) -> None:
        seal_output_key(self.public, self.soul_digest)  # refuses a bad secret or digest now

    @property
    def public(self) -> bytes:
        """The x-only internal key P, which the genesis event certifies."""
        return internal_key(self.secret)

    @property
    def script(self) -> bytes:
        """The scriptPubKey of the seal."""
        return p2tr_script(seal_output_key(self.public, self.soul_digest))

    def sign(self, transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        """Return the 64-byte signature of a seal input of an anchor, aggregate or delegation.

        Raises SigningRefused unless the transaction is one of these, the input its first, and the
        next seal this key's at the same amount.
        """
        _check_place(transaction, index, 0, *_ONWARD)
        _check_next_seal(transaction, spent, self.script)
        return self._sign(transaction, index, spent)

    def hand_over(
        self, transaction: Transaction, index: int, spent: list[TxOut], *, successor: bytes
    ) -> bytes:
        """Return the signature of the seal input of a handoff to the script `successor`.

        Raises SigningRefused unless the next seal pays that script the same amount.
        """
        _check_place(transaction, index, 0, Kind.HANDOFF)
        _check_next_seal(transaction, spent, successor)
        return self._sign(transaction, index, spent)

    def accept(self, transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        """Return the signature of the enrolment input of a handoff to this key.

        Raises SigningRefused unless the next seal is this key's.
        """
        _check_place(transaction, index, 1, Kind.HANDOFF)
        _check_next_seal(transaction, spent, self.script)
        return self._sign(transaction, index, spent)

    def _sign(self, transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        return _sign(self.secret, soul_leaf(self.soul_digest), transaction, index, spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySigner:
    """The recovery key (BIP-86 output), in memory only while its holder recovers the agent."""

    secret: bytes = field(repr=False)

    @property
    def script(self) -> bytes:
        """The scriptPubKey of the recovery seal."""
        return p2tr_script(tweak_public(internal_key(self.secret), _NO_SCRIPT_TREE)[0])

    def sign(
        self, transaction: Transaction, index: int, spent: list[TxOut], *, successor: bytes
    ) -> bytes:
        """Return the signature of the first input of a recovery to the script `successor`.

        Raises SigningRefused for anything else.
        """
        _check_place(transaction, index, 0, Kind.RECOVERY)
        if [output.script for output in transaction.outputs[1:2]] != [successor]:
            raise SigningRefused("vout[1] is not the next seal")
        return _sign(self.secret, _NO_SCRIPT_TREE, transaction, index, spent)


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingSigner:
    """The key of the funding address, which pays fees and opens the seal (BIP-86 output)."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        internal_key(self.secret)  # refuses a bad secret now

    @property
    def output_key(self) -> bytes:
        """The x-only output key behind the funding address."""
        return tweak_public(internal_key(self.secret), _NO_SCRIPT_TREE)[0]

    @property
    def script(self) -> bytes:
        """The scriptPubKey of the funding address."""
        return p2tr_script(self.output_key)

    def sign(self, transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        """Return the 64-byte signature of one of this key's inputs of a seal transaction.

        Raises SigningRefused for another key's input or a transaction without a commitment.
        """
        try:
            commitment_of(transaction)
        except AttestError as error:
            raise SigningRefused(f"not a seal transaction: {error}") from error
        return _sign(self.secret, _NO_SCRIPT_TREE, transaction, index, spent)

    def enrol(
        self, transaction: Transaction, index: int, spent: list[TxOut], *, seal_script: bytes
    ) -> bytes:
        """Return the signature of an input of an enrolment of the seal key of that script.

        Raises SigningRefused unless all it pays is the enrolment, and the rest is this key's again.
        """
        enrolment = TxOut(value_sat=limits.ENROLMENT_SAT, script=seal_script)
        first, *rest = transaction.outputs
        if first != enrolment or any(output.script != self.script for output in rest):
            raise SigningRefused("it pays somebody else than the new seal key")
        return _sign(self.secret, _NO_SCRIPT_TREE, transaction, index, spent)
