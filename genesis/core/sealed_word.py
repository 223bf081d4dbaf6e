"""Consensus-critical: what a person said in a sealed Nostr message, so that others can check it.

A message by NIP-17 is written to be deniable: nobody signs the words. But the NIP-59 seal around
them is signed, over their encryption, and NIP-44 makes other keys for each message. Whoever has
the seal and those keys, 76 bytes, checks the signature, opens this one message, and reads nothing
else that the two ever said:

    seal    event of kind 13 without tags: author, time, content (NIP-44), signature (NIP-01)
    keys    ChaCha20 key (32), its nonce (12), HMAC key (32)
    words   the content of the kind 14 rumor inside, which names the same author

The node knows the keys and could look for others under which the cipher text reads otherwise: a
hundred bytes of ChaCha20's output would have to be what it likes.

Not covered: when it was said, but by the author's word; to whom, so the words must say what they
are about. Only short messages are read. Sources: NIP-01 (event ids), NIP-17, NIP-44 (version 2),
NIP-59.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any, Final

from coincurve import PublicKeyXOnly
from Cryptodome.Cipher import ChaCha20

from genesis.core.errors import InvalidSealedWord

SEAL_KIND: Final = 13
CHAT_KIND: Final = 14
KEYS_BYTES: Final = 76
"""ChaCha20 key, nonce and HMAC key, as HKDF gives them in NIP-44."""
CONTENT_CHARS_MAX: Final = 8192
"""A line of words with their rumor is some 400 bytes; clients pad and add tags."""
TIME_MAX: Final = 2**40
"""Seconds: thirty thousand years."""
_NONCE_BYTES: Final = 32
_MAC_BYTES: Final = 32
_LEAST_BYTES: Final = 1 + _NONCE_BYTES + 2 + 32 + _MAC_BYTES
_FIELDS: Final = {"pubkey": bytes, "created_at": int, "content": str, "sig": bytes, "keys": bytes}
_RUMOR: Final = {"pubkey": str, "created_at": int, "kind": int, "content": str}


def _need(held: object, text: str) -> None:
    if not held:
        raise InvalidSealedWord(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedWord:
    """A message that its author's key sealed. Raises InvalidSealedWord for what is none.

    `author` and `signature` are of the seal, `sealed_at` its time in Unix seconds, which NIP-59
    makes untrue on purpose; `text` and `created_at` are the message's, found on construction.
    """

    author: bytes
    sealed_at: int
    content: str
    signature: bytes
    keys: bytes = field(repr=False)
    text: str = field(init=False)
    created_at: int = field(init=False)

    def __post_init__(self) -> None:
        sizes = (len(self.author), len(self.signature), len(self.keys))
        _need(sizes == (32, 64, KEYS_BYTES), f"author, signature and keys of {sizes} bytes")
        _need(0 <= self.sealed_at <= TIME_MAX, "the seal's time is none")
        _need(len(self.content) <= CONTENT_CHARS_MAX, f"more than {CONTENT_CHARS_MAX} characters")
        data = _decoded(self.content)
        _need(_holds(self.author, self._id(), self.signature), "the seal's signature fails")
        rumor = _rumor(_opened(data, self.keys))
        _need(rumor["pubkey"] == self.author.hex(), "the message and its seal have two authors")
        _need(rumor["kind"] == CHAT_KIND, f"a message of kind {rumor['kind']}, not {CHAT_KIND}")
        _need(0 <= rumor["created_at"] <= TIME_MAX, "the message's time is none")
        object.__setattr__(self, "text", rumor["content"])
        object.__setattr__(self, "created_at", rumor["created_at"])

    def _id(self) -> bytes:
        """The event id (NIP-01); base64 has nothing that JSON would escape."""
        facts = f'[0,"{self.author.hex()}",{self.sealed_at},{SEAL_KIND},[],"{self.content}"]'
        return hashlib.sha256(facts.encode()).digest()

    def to_value(self) -> dict[str, Any]:
        """Return it as a map of the CBOR profile."""
        return {
            "pubkey": self.author,
            "created_at": self.sealed_at,
            "content": self.content,
            "sig": self.signature,
            "keys": self.keys,
        }

    @classmethod
    def from_value(cls, value: object) -> "SealedWord":
        """Read what `to_value` gives. Raises InvalidSealedWord."""
        if not isinstance(value, dict) or value.keys() != _FIELDS.keys():
            raise InvalidSealedWord(f"a map of {', '.join(_FIELDS)} is missing")
        for name, kind in _FIELDS.items():
            _need(type(value[name]) is kind, f"{name} is not of type {kind.__name__}")
        return cls(
            author=value["pubkey"],
            sealed_at=value["created_at"],
            content=value["content"],
            signature=value["sig"],
            keys=value["keys"],
        )


def _decoded(content: str) -> bytes:
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSealedWord("the seal's content is not base64") from error
    _need(base64.b64encode(data).decode() == content, "the seal's content is not base64")
    _need(len(data) >= _LEAST_BYTES, f"{len(data)} bytes in the seal, {_LEAST_BYTES} are least")
    _need(data[0] == 2, f"encryption version {data[0]}, expected 2")
    return data


def _holds(public: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return PublicKeyXOnly(public).verify(signature, digest)
    except ValueError:
        return False


def _opened(data: bytes, keys: bytes) -> bytes:
    hidden, mac = data[1:-_MAC_BYTES], data[-_MAC_BYTES:]
    right = hmac.digest(keys[44:], hidden, "sha256")
    _need(hmac.compare_digest(right, mac), "the keys are not those of this message")
    padded = ChaCha20.new(key=keys[:32], nonce=keys[32:44]).decrypt(hidden[_NONCE_BYTES:])
    length = int.from_bytes(padded[:2], "big")
    _need(0 < length <= len(padded) - 2, f"{length} bytes of words in {len(padded)}")
    _need(not any(padded[2 + length :]), "something stands behind the words")
    return padded[2 : 2 + length]


def _rumor(data: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        _need(len(found) == len(pairs), "a name stands twice in the message")
        return found

    try:
        value = json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise InvalidSealedWord("the seal holds no message") from error
    _need(isinstance(value, dict), "the seal holds no message")
    for name, kind in _RUMOR.items():
        _need(type(value.get(name)) is kind, f"the message has no {name}")
    found: dict[str, Any] = value
    return found
