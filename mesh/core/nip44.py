"""Encryption between two Nostr keys (NIP-44, version 2).

    x    = x coordinate of the point secret * public, as it is: not hashed
    key  = HKDF-extract(salt "nip44-v2", x)                      the same for both sides, for ever
    keys = HKDF-expand(key, nonce32, 76)                         ChaCha20 key, its nonce, MAC key
    text = length || plaintext || zeros                          padded, so that lengths tell little
    payload = base64(0x02 || nonce32 || ChaCha20(text) || HMAC-SHA256(nonce32 || ciphertext))

The length is a u16; since June 2026 a plaintext of 65,536 bytes or more has six bytes instead, two
zeros and a u32. Both are read, up to NIP44_READ_BYTES_MAX; what is written is never longer than
NIP44_WRITE_BYTES_MAX, since common libraries know only the first form. A payload that is longer
than its plaintext allows is refused before it is decoded.

The nonce is an argument: 32 bytes, random or derived, never used for two plaintexts of one pair.
The MAC is compared in constant time; curve and cipher are as constant as their libraries. Whoever
decrypts has first verified the signature of the event that carried the payload (mesh.core.nip59).

Not covered: forward secrecy. Who gets one of the two keys reads everything, also what was said
years ago. The format has no place for who said it: both sides can make every payload.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Final

from coincurve import PublicKey
from Cryptodome.Cipher import ChaCha20

from mesh.core import limits
from mesh.core.errors import InvalidPayload, TooLong, UnsupportedVersion
from mesh.core.nip01 import is_hex32

NONCE_BYTES: Final = 32

_VERSION: Final = 2
_SALT: Final = b"nip44-v2"
_MAC_BYTES: Final = 32
_FRAME_BYTES: Final = 1 + NONCE_BYTES + _MAC_BYTES
_SHORT_PREFIX_BYTES: Final = 2
_LONG_PREFIX_BYTES: Final = 6
_LONG_FROM_BYTES: Final = 1 << 16
_PADDED_BYTES_MIN: Final = 32
_PAYLOAD_BYTES_MIN: Final = _FRAME_BYTES + _SHORT_PREFIX_BYTES + _PADDED_BYTES_MIN
_PAYLOAD_CHARS_MIN: Final = 132
"""NIP-44: 99 bytes in base64."""


@dataclass(frozen=True, slots=True)
class MessageKeys:
    """What one nonce makes of a conversation key. The repr hides all of it."""

    cipher: bytes = field(repr=False)
    cipher_nonce: bytes = field(repr=False)
    mac: bytes = field(repr=False)


def conversation_key(secret: bytes, pubkey: str) -> bytes:
    """Return the 32 bytes that two keys share: own secret, the other's x-only key in hex.

    Raises InvalidPayload for a key that is none, and says nothing of the secret.
    """
    if not is_hex32(pubkey):
        raise InvalidPayload("public key is not 64 characters of lower-case hex")
    try:
        # BIP-340: an x-only key is the point with the even y. The sign does not change the x of
        # the product.
        point = PublicKey(b"\x02" + bytes.fromhex(pubkey)).multiply(secret)
    except (ValueError, TypeError):
        raise InvalidPayload("not a pair of keys of the curve") from None
    return hmac.digest(_SALT, point.format()[1:], "sha256")


def message_keys(key: bytes, nonce: bytes) -> MessageKeys:
    """Expand a conversation key with a nonce, 32 bytes each (RFC 5869, section 2.3)."""
    if (len(key), len(nonce)) != (32, NONCE_BYTES):
        raise InvalidPayload(f"key and nonce of {len(key)} and {len(nonce)} bytes, expected 32")
    made, block = b"", b""
    for counter in (1, 2, 3):
        block = hmac.digest(key, block + nonce + bytes([counter]), "sha256")
        made += block
    return MessageKeys(cipher=made[:32], cipher_nonce=made[32:44], mac=made[44:76])


def padded_bytes(length: int) -> int:
    """Return how long a plaintext of `length` bytes is once padded, its prefix not counted."""
    if length <= _PADDED_BYTES_MIN:
        return _PADDED_BYTES_MIN
    power: int = 1 << (length - 1).bit_length()
    step = max(_PADDED_BYTES_MIN, power // 8)
    return step * ((length - 1) // step + 1)


def encrypt(key: bytes, plaintext: str, nonce: bytes) -> str:
    """Return the payload. Raises TooLong for no words, or more than NIP44_WRITE_BYTES_MAX."""
    data = plaintext.encode()
    if not 1 <= len(data) <= limits.NIP44_WRITE_BYTES_MAX:
        raise TooLong(
            f"{len(data)} bytes to encrypt, 1 to {limits.NIP44_WRITE_BYTES_MAX} allowed",
            hint="send it in parts",
        )
    return seal(key, data, nonce)


def seal(key: bytes, data: bytes, nonce: bytes) -> str:
    """Encrypt any length, with the long prefix where NIP-44 asks for it; see `encrypt`."""
    wide = _LONG_PREFIX_BYTES if len(data) >= _LONG_FROM_BYTES else _SHORT_PREFIX_BYTES
    prefix = len(data).to_bytes(wide, "big")
    padded = prefix + data + bytes(padded_bytes(len(data)) - len(data))
    keys = message_keys(key, nonce)
    hidden = ChaCha20.new(key=keys.cipher, nonce=keys.cipher_nonce).encrypt(padded)
    mac = hmac.digest(keys.mac, nonce + hidden, "sha256")
    return base64.b64encode(bytes([_VERSION]) + nonce + hidden + mac).decode()


def decrypt(key: bytes, payload: str) -> str:
    """Return the plaintext. Raises InvalidPayload, UnsupportedVersion for another encryption."""
    nonce, hidden, mac = _parts(payload)
    keys = message_keys(key, nonce)
    if not hmac.compare_digest(hmac.digest(keys.mac, nonce + hidden, "sha256"), mac):
        raise InvalidPayload("the MAC does not fit: damaged, or for other keys")
    padded = ChaCha20.new(key=keys.cipher, nonce=keys.cipher_nonce).decrypt(hidden)
    try:
        return _unpadded(padded).decode()
    except UnicodeDecodeError as error:
        raise InvalidPayload("the plaintext is not UTF-8") from error


def nonce_of(payload: str) -> bytes:
    """Return the 32 bytes that a payload's keys were made of. Raises as `decrypt` does."""
    return _parts(payload)[0]


def _parts(payload: str) -> tuple[bytes, bytes, bytes]:
    """Split a payload into nonce, ciphertext and MAC."""
    if payload[:1] == "#":
        raise UnsupportedVersion("encrypted in a way that is not base64")
    bytes_max = _FRAME_BYTES + _LONG_PREFIX_BYTES + padded_bytes(limits.NIP44_READ_BYTES_MAX)
    chars_max = 4 * -(-bytes_max // 3)
    if not _PAYLOAD_CHARS_MIN <= len(payload) <= chars_max:
        bounds = f"{_PAYLOAD_CHARS_MIN} to {chars_max}"
        raise InvalidPayload(f"payload of {len(payload)} characters, {bounds} allowed")
    try:
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidPayload("not base64") from error
    if data[0] != _VERSION:
        raise UnsupportedVersion(f"encryption version {data[0]}, expected {_VERSION}")
    if len(data) < _PAYLOAD_BYTES_MIN:
        raise InvalidPayload(f"payload of {len(data)} bytes, at least {_PAYLOAD_BYTES_MIN} needed")
    head = 1 + NONCE_BYTES
    return data[1:head], data[head:-_MAC_BYTES], data[-_MAC_BYTES:]


def _unpadded(padded: bytes) -> bytes:
    wide = _SHORT_PREFIX_BYTES
    length = int.from_bytes(padded[:wide], "big")
    if not length:
        wide = _LONG_PREFIX_BYTES
        length = int.from_bytes(padded[_SHORT_PREFIX_BYTES:wide], "big")
        if length < _LONG_FROM_BYTES:
            raise InvalidPayload("a length of nothing, or in the wrong form")
    if length > limits.NIP44_READ_BYTES_MAX:
        bound = limits.NIP44_READ_BYTES_MAX
        raise InvalidPayload(f"plaintext of {length} bytes, at most {bound} allowed")
    if len(padded) != wide + padded_bytes(length):
        raise InvalidPayload(f"{len(padded)} padded bytes, wrong for a plaintext of {length}")
    return padded[wide : wide + length]
