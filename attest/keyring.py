"""The keys that ever signed for one seal: those in charge, and those before them while needed.

A handoff is signed by two seals, its fees come from two addresses, and a transaction of the tenure
before may have to be signed again after a reorganisation. An input's script says whose it is.

Not covered: keys that are gone. Whoever asks for them gets None and says what can be done.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from attest.core.commitment import Kind
from attest.core.errors import SigningRefused
from attest.core.seal import Draft, sign, sign_enrolment, sign_handoff, sign_recovery
from attest.core.signer import FundingSigner, RecoverySigner, SealSigner
from attest.core.transaction import Transaction, TxOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The seal and the funding key of one tenure."""

    seal: SealSigner
    funding: FundingSigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """Every funding key at once: each input is signed by the one that it belongs to."""

    signers: tuple[FundingSigner, ...]

    def sign(self, transaction: Transaction, index: int, spent: list[TxOut]) -> bytes:
        """Return the signature of one funding input. Raises SigningRefused."""
        for signer in self.signers:
            if 0 <= index < len(spent) and spent[index].script == signer.script:
                return signer.sign(transaction, index, spent)
        raise SigningRefused(f"input {index} is no funding key's")


class Keyring:
    """Keys in charge (`newest`) and older ones, all of them in memory."""

    def __init__(self, newest: Keys, past: Sequence[Keys] = ()) -> None:
        self.newest = newest
        self._all = (newest, *past)
        self._funds = Funds(signers=tuple(keys.funding for keys in self._all))

    @property
    def funding_scripts(self) -> frozenset[bytes]:
        """Scripts of every funding address."""
        return frozenset(signer.script for signer in self._funds.signers)

    def of_seal(self, script: bytes) -> Keys | None:
        """The keys whose seal has this script, or None."""
        return next((keys for keys in self._all if keys.seal.script == script), None)

    def sign(self, kind: Kind, draft: Draft) -> Transaction:
        """Sign an opening, anchor or handoff by the keys it belongs to. Raises SigningRefused."""
        after = self._owner(draft.transaction.outputs[1].script)
        if kind is Kind.HANDOFF:
            before = self._owner(draft.coins[0].output.script)
            return sign_handoff(draft, old=before.seal, new=after.seal, funding=self._funds)
        return sign(draft, seal=after.seal, funding=self._funds)

    def sign_enrolment(self, draft: Draft, seal_script: bytes) -> Transaction:
        """Sign the payment that makes the new seal key a coin. Raises SigningRefused."""
        payers = {signer.script: signer for signer in self._funds.signers}
        payer = payers.get(draft.coins[0].output.script)
        if payer is None:
            raise SigningRefused("the coin that is to pay for the enrolment is no funding key's")
        return sign_enrolment(draft, seal_script=seal_script, funding=payer)

    def sign_recovery(self, draft: Draft, recovery: RecoverySigner) -> Transaction:
        """Sign a recovery to the newest seal key. Raises SigningRefused."""
        return sign_recovery(draft, recovery=recovery, new=self.newest.seal, funding=self._funds)

    def _owner(self, script: bytes) -> Keys:
        found = self.of_seal(script)
        if found is None:
            raise SigningRefused("the key of this seal is not here")
        return found
