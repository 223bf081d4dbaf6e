"""Consensus-critical: the genesis payload, the first event of a ledger: who this agent is.

It names the SOUL's digests, the network, the public key of every role, and digests of two keys that
are kept off the node. Every key in it has signed the rest (proof of possession, tag
"timmy/genesis/v1"), so nobody can claim a key that is not his; a `Genesis` value exists only
verified.

    next_key_digest      SHA-256 of the x-only key that takes over at a handoff. Hidden until then:
                         a thief of everything on the node cannot sign the handoff.
    recovery_key_digest  SHA-256 of the x-only key that signs a new epoch after a loss.
    recovery_output_key  the same key as a Taproot output (BIP-86 tweak). The transaction that opens
                         the seal chain pays to it, and the node makes that transaction without
                         the kit: a digest cannot be paid to. The tweak commits to the untweaked
                         key, so this output reveals nothing the digest hides; it is the one that
                         signs here.

What it does not show: that the entropy was good (`entropy` is what the machine said of itself, no
attested fact), that the next key is in anyone's possession (proving it would reveal it), or that
the owner of `operator` is a particular person.

Nothing here depends on the Unicode tables of the Python that runs it: two nodes must agree.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from blake3 import blake3

from ledger.core.codec import encode
from ledger.core.errors import InvalidGenesis, SoulChanged, UnprovenKey
from ledger.core.event import Draft
from ledger.core.keys import verify
from ledger.core.limits import INT_MAX
from ledger.core.types import GENESIS

VERSION: Final = 1
TAG: Final = "timmy/genesis/v1"
NETWORKS: Final = ("regtest", "signet", "mainnet")
ROLES: Final = ("log", "nostr", "seal", "funding")
"""The keys an agent holds while it runs."""
KEY_ROLES: Final = (*ROLES, "operator")
SIGNING_ROLES: Final = (*KEY_ROLES, "recovery_output")
NAME_CHARS_MAX: Final = 32
"""Fits a column, a prompt and a relay profile; the npub is the identity, the name is for people."""
ENTROPY_INPUTS_MAX: Final = 16
"""A handful of sources exist; a longer list is a mistake, and their names are in here."""
SOUL_BYTES_MAX: Final = 64 * 1024
"""It goes into every prompt: 64 KiB is already a third of a small model's window."""

_FIELDS: Final = frozenset(
    (
        *("version", "name", "network", "soul", "keys", "next_key_digest", "recovery_key_digest"),
        *("recovery_output_key", "architecture", "entropy", "created_ms", "signatures"),
    )
)
_SOURCE: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_INVISIBLE: Final = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0"
    "\ufff0-\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Controls, bidi overrides and isolates, blanks that are not U+0020, surrogates, noncharacters."""


_NAME_HINT: Final = f"1 to {NAME_CHARS_MAX} visible characters, single spaces inside"


def _require(condition: bool, message: str, *, hint: str | None = None) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise InvalidGenesis(f"genesis: {message}", hint=hint)


def _require_bytes(value: object, length: int, name: str) -> None:
    _require(type(value) is bytes and len(value) == length, f"{name} is not {length} bytes")


def _require_fields(value: object, expected: frozenset[str], name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidGenesis(f"genesis: {name} is not a map")
    missing, unknown = sorted(expected - set(value)), sorted(set(value) - expected)
    _require(not missing, f"{name} lacks {', '.join(missing)}")
    _require(not unknown, f"{name} holds unknown {', '.join(unknown)}")
    return value


def check_name(name: object) -> None:
    """Raise InvalidGenesis unless `name` is 1 to 32 visible characters, single spaces inside."""
    if type(name) is not str:
        raise InvalidGenesis("genesis: name is not text")
    _require(
        1 <= len(name) <= NAME_CHARS_MAX,
        f"name has {len(name)} characters, expected 1 to {NAME_CHARS_MAX}",
        hint=_NAME_HINT,
    )
    found = _INVISIBLE.search(name)
    if found is not None:
        raise InvalidGenesis(
            f"genesis: name holds U+{ord(found.group()):04X} at character {found.start() + 1}: "
            "control, bidirectional and invisible characters are refused",
            hint=_NAME_HINT,
        )
    _require(name == name.strip(" "), "name begins or ends with a space", hint=_NAME_HINT)
    _require("  " not in name, "name holds two spaces in a row", hint=_NAME_HINT)


def check_network(network: object) -> None:
    """Raise InvalidGenesis unless `network` is one of NETWORKS."""
    _require(network in NETWORKS, f"network is {network!r}, expected {', '.join(NETWORKS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoulDigest:
    """What identifies a SOUL.md: `sha256sum`, `b3sum` and `wc -c` give the same three."""

    sha256: bytes
    blake3: bytes
    length: int

    def __post_init__(self) -> None:
        _require_bytes(self.sha256, 32, "soul sha256")
        _require_bytes(self.blake3, 32, "soul blake3")
        _require(
            type(self.length) is int and 1 <= self.length <= SOUL_BYTES_MAX,
            f"soul length is {self.length!r}, expected 1 to {SOUL_BYTES_MAX}",
        )

    @classmethod
    def of(cls, data: bytes) -> "SoulDigest":
        """Digest the bytes of a SOUL.md as they are, line ends included."""
        return cls(
            sha256=hashlib.sha256(data).digest(), blake3=blake3(data).digest(), length=len(data)
        )


def key_digest(public: bytes) -> bytes:
    """SHA-256 of a 32-byte x-only public key: the form in which a later key is announced."""
    return hashlib.sha256(public).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenesisFacts:
    """Everything a genesis says, checked on construction, not signed yet.

    `keys` maps each of KEY_ROLES to a 32-byte x-only key; digests, `recovery_output_key` and
    `architecture` (digest of the tree of code the agent was born with) are 32 bytes;
    `created_ms` is Unix milliseconds by the birth machine's clock.
    """

    name: str
    network: str
    soul: SoulDigest
    keys: Mapping[str, bytes]
    next_key_digest: bytes
    recovery_key_digest: bytes
    recovery_output_key: bytes
    architecture: bytes
    entropy: tuple[str, ...]
    created_ms: int

    def __post_init__(self) -> None:
        check_name(self.name)
        check_network(self.network)
        for name in ("next_key_digest", "recovery_key_digest", "recovery_output_key"):
            _require_bytes(getattr(self, name), 32, name)
        _require_bytes(self.architecture, 32, "architecture")
        _require(
            type(self.created_ms) is int and 0 <= self.created_ms <= INT_MAX,
            "created_ms is not a non-negative integer",
        )
        self._check_keys()
        self._check_entropy()

    def _check_keys(self) -> None:
        _require_fields(self.keys, frozenset(KEY_ROLES), "keys")
        for role in KEY_ROLES:
            _require_bytes(self.keys[role], 32, f"{role} key")
        keys = [*self.keys.values(), self.recovery_output_key]
        _require(len(set(keys)) == len(keys), "two roles share one key")
        digests = [self.next_key_digest, self.recovery_key_digest, *map(key_digest, keys)]
        _require(
            len(set(digests)) == len(digests),
            "the next or recovery key is also used in another role",
        )

    def _check_entropy(self) -> None:
        names = self.entropy
        _require(
            1 <= len(names) <= ENTROPY_INPUTS_MAX,
            f"{len(names)} entropy sources, expected 1 to {ENTROPY_INPUTS_MAX}",
        )
        for name in names:
            _require(
                type(name) is str and _SOURCE.fullmatch(name) is not None,
                f"entropy source {name!r} is not a lower-case name",
            )
        _require(len(set(names)) == len(names), "an entropy source is named twice")

    def signed_value(self) -> dict[str, Any]:
        """The map that is signed: the payload without `signatures`."""
        soul = self.soul
        return {
            "version": VERSION,
            "name": self.name,
            "network": self.network,
            "soul": {"sha256": soul.sha256, "blake3": soul.blake3, "length": soul.length},
            "keys": dict(self.keys),
            "next_key_digest": self.next_key_digest,
            "recovery_key_digest": self.recovery_key_digest,
            "recovery_output_key": self.recovery_output_key,
            "architecture": self.architecture,
            "entropy": list(self.entropy),
            "created_ms": self.created_ms,
        }

    def public(self, role: str) -> bytes:
        """The 32-byte key of one of SIGNING_ROLES."""
        return self.recovery_output_key if role == "recovery_output" else self.keys[role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis(GenesisFacts):
    """A genesis whose every signature verified: constructing an unproven one raises."""

    signatures: Mapping[str, bytes]

    def __post_init__(self) -> None:
        GenesisFacts.__post_init__(self)
        _require_fields(self.signatures, frozenset(SIGNING_ROLES), "signatures")
        message = encode(self.signed_value())
        for role in SIGNING_ROLES:
            _require_bytes(self.signatures[role], 64, f"{role} signature")
            if not verify(self.public(role), TAG, message, self.signatures[role]):
                raise UnprovenKey(role)

    def to_payload(self) -> dict[str, Any]:
        """The payload of the genesis event; `parse_genesis` of it is this value."""
        return {**self.signed_value(), "signatures": dict(self.signatures)}

    def to_draft(self, stream: bytes) -> Draft:
        """The event to append at position 0, on a random 16-byte stream."""
        return Draft(type=GENESIS.name, stream=stream, payload=self.to_payload())


def parse_genesis(payload: Mapping[str, Any]) -> Genesis:
    """Return the verified genesis of a `genesis.born` payload.

    Raises InvalidGenesis for anything but the exact shape, UnprovenKey for a failing signature.
    """
    if not isinstance(payload, dict):
        raise InvalidGenesis("genesis: payload is not a map")
    version = payload.get("version")
    if type(version) is not int or version != VERSION:
        raise InvalidGenesis(
            f"genesis: version is {version!r}, this software reads {VERSION}",
            hint="a newer ledger needs a newer timmy",
        )
    value = dict(_require_fields(payload, _FIELDS, "payload"))
    del value["version"]
    soul = _require_fields(value["soul"], frozenset(("sha256", "blake3", "length")), "soul")
    _require(isinstance(value["entropy"], list), "entropy is not a list")
    for name in ("keys", "signatures"):
        _require(isinstance(value[name], dict), f"{name} is not a map")
        value[name] = dict(value[name])
    value["soul"], value["entropy"] = SoulDigest(**soul), tuple(value["entropy"])
    return Genesis(**value)


def check_soul(soul: bytes, genesis: Genesis) -> None:
    """Raise SoulChanged unless these are the bytes the agent was born with."""
    born = genesis.soul
    sha256 = hashlib.sha256(soul).digest()
    if (len(soul), sha256) == (born.length, born.sha256):
        return
    raise SoulChanged(
        f"SOUL.md is {len(soul)} bytes with sha256 {sha256.hex()}, "
        f"this agent was born with {born.length} bytes and {born.sha256.hex()}",
        hint="a SOUL never changes: restore that file from a backup; who is to have the new one is "
        "a child of this agent: timmy lineage father --name NAME --into FOLDER --soul FILE",
    )
