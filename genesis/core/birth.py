"""Have every key sign a genesis (`ledger.core.genesis` reads one), and compare keys with it."""

from collections.abc import Mapping

from genesis.core.errors import KeyMismatch
from genesis.core.keys import AgentKeys
from ledger.core.codec import encode
from ledger.core.genesis import ROLES, SIGNING_ROLES, TAG, Genesis, GenesisFacts
from ledger.core.keys import Signer


def sign_genesis(
    facts: GenesisFacts, *, keys: AgentKeys, operator: Signer, recovery_output: Signer
) -> Genesis:
    """Have every key sign `facts`. Raises UnprovenKey if a signer is not the key named there."""
    signers = {role: keys.signer(role) for role in ROLES}
    signers |= {"operator": operator, "recovery_output": recovery_output}
    message = encode(facts.signed_value())
    fields = {name: getattr(facts, name) for name in GenesisFacts.__slots__}
    signatures = {role: signers[role].sign(TAG, message) for role in SIGNING_ROLES}
    return Genesis(**fields, signatures=signatures)


def check_keys(keys: AgentKeys, expected: Mapping[str, bytes]) -> None:
    """Raise KeyMismatch unless these are the keys that the ledger names, for each role it does."""
    for role, public in keys.public().items():
        if public != expected.get(role, public):
            raise KeyMismatch(
                f"the keystore's {role} key is {public.hex()}, "
                f"the ledger names {expected[role].hex()}",
                hint="the keystore belongs to another agent: restore the one of this home",
            )
