"""From a SOUL and entropy to the agent's keys: HKDF-SHA-256 (RFC 5869), one label per role.

    root   = Extract(salt = "timmy/soul/v1" || SHA-256(SOUL.md), ikm = all entropy inputs)
    secret = Expand(root, "timmy/key/v1/<role>/<counter>"), the first counter that gives a scalar

The SOUL binds and is no secret: it is published, so a key made of it alone would be everybody's.
Every input is named and length-prefixed inside the ikm (deterministic CBOR), so no two lists of
inputs give the same bytes, and mixing a bad source in never weakens a good one. One role's secret
tells nothing of another's. The operator, next and recovery keys come from entropy of their own
(`derive_independent`): whoever steals the root gets none of them.

Frozen: a keystore holds the root only, so any change here opens every keystore to other keys.
Not covered: Python cannot wipe memory, so secrets stay in the process until it ends.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from genesis.core.errors import InvalidEntropy
from ledger.core.codec import encode
from ledger.core.genesis import ENTROPY_INPUTS_MAX, ROLES
from ledger.core.keys import Signer

SECRET_BYTES: Final = 32
ENTROPY_BYTES_MIN: Final = 32
"""One input alone must reach the strength of the keys; the others are a second belt."""
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1 (SEC 2, section 2.4.1)."""
COUNTER_MAX: Final = 255
"""A candidate fails once in 2^127; a hundred in a row means broken hashing, not bad luck."""

_HASH: Final = "sha256"
_HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropy:
    """One source's bytes under the source's name. The repr shows the name only."""

    name: str
    data: bytes = field(repr=False)


def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    """RFC 5869 section 2.2 with SHA-256: a 32-byte pseudorandom key. An empty salt is zeros."""
    return hmac.digest(salt or bytes(_HASH_BYTES), ikm, _HASH)


def hkdf_expand(prk: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 section 2.3 with SHA-256: `length` bytes, at most 8160."""
    assert 0 < length <= 255 * _HASH_BYTES
    output, block = b"", b""
    for index in range(1, -(-length // _HASH_BYTES) + 1):
        block = hmac.digest(prk, block + info + bytes([index]), _HASH)
        output += block
    return output[:length]


def _mix(salt: bytes, inputs: Sequence[Entropy]) -> bytes:
    if not 1 <= len(inputs) <= ENTROPY_INPUTS_MAX:
        raise InvalidEntropy(f"{len(inputs)} entropy inputs, expected 1 to {ENTROPY_INPUTS_MAX}")
    names = [source.name for source in inputs]
    if len(set(names)) != len(names):
        raise InvalidEntropy(f"an entropy source is named twice in {', '.join(names)}")
    longest = max(len(source.data) for source in inputs)
    if longest < ENTROPY_BYTES_MIN:
        raise InvalidEntropy(
            f"the longest entropy input has {longest} bytes, at least {ENTROPY_BYTES_MIN} needed"
        )
    return hkdf_extract(salt, encode([[source.name, source.data] for source in inputs]))


def derive_root(*, soul_sha256: bytes, inputs: Sequence[Entropy]) -> bytes:
    """Return the 32-byte root of an agent with this SOUL. Raises InvalidEntropy."""
    assert len(soul_sha256) == 32
    return _mix(b"timmy/soul/v1" + soul_sha256, inputs)


def derive_independent(label: str, inputs: Sequence[Entropy]) -> bytes:
    """Return 32 bytes that no SOUL and no root lead to, for the key named `label`."""
    return _mix(b"timmy/independent/v1/" + label.encode(), inputs)


def derive_scalar(root: bytes, role: str, *, order: int = CURVE_ORDER) -> bytes:
    """Return the 32-byte secret of `role`: the first expansion in 1..order-1."""
    for counter in range(COUNTER_MAX + 1):
        secret = hkdf_expand(root, f"timmy/key/v1/{role}/{counter}".encode(), SECRET_BYTES)
        if 0 < int.from_bytes(secret, "big") < order:
            return secret
    raise InvalidEntropy(f"no scalar for {role} in {COUNTER_MAX + 1} expansions")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKeys:
    """The four keys of a running agent. Their reprs show nothing secret."""

    log: Signer
    nostr: Signer
    seal: Signer
    funding: Signer

    @classmethod
    def from_root(cls, root: bytes) -> "AgentKeys":
        """Derive all four from the 32-byte root."""
        assert len(root) == SECRET_BYTES
        return cls(**{role: Signer(derive_scalar(root, role)) for role in ROLES})

    def signer(self, role: str) -> Signer:
        """Return the key of one of ROLES."""
        assert role in ROLES
        found: Signer = getattr(self, role)
        return found

    def public(self) -> dict[str, bytes]:
        """Role to 32-byte x-only public key."""
        return {role: self.signer(role).public for role in ROLES}
