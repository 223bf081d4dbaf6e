"""Old direct messages, kind 4 (NIP-04): read, never written.

    payload = base64(AES-256-CBC(plaintext, key, iv)) "?iv=" base64(iv)

The key is the x coordinate of the shared point, not hashed. NIP-04 is deprecated: relays see who
writes to whom and when, lengths are not hidden, and the cipher alone would let anyone change words
on the way. What holds them is the signature of the event around it: whoever decrypts has verified
that first, which is why this takes a `VerifiedEvent`.
"""

import base64
import binascii
from typing import Final

from coincurve import PublicKey
from Cryptodome.Cipher import AES

from mesh.core import limits
from mesh.core.errors import InvalidPayload
from mesh.core.nip01 import NostrSigner, VerifiedEvent, is_hex32
from mesh.core.relay.kinds import first_value

KIND: Final = 4
_BLOCK_BYTES: Final = 16


def open_legacy(event: VerifiedEvent, reader: NostrSigner) -> str:
    """Return the words of a kind 4 event to `reader`. Raises InvalidPayload."""
    receiver = first_value(event, "p")
    if event.kind != KIND or receiver != reader.pubkey:
        raise InvalidPayload(f"a kind {event.kind} event to {receiver}, expected kind 4 to us")
    return decrypt(reader.secret, event.pubkey, event.content)


def decrypt(secret: bytes, pubkey: str, payload: str) -> str:
    """Decrypt one payload between own `secret` and the other's key. Raises InvalidPayload."""
    if len(payload) > limits.NIP04_PAYLOAD_CHARS_MAX or not is_hex32(pubkey):
        bound = limits.NIP04_PAYLOAD_CHARS_MAX
        raise InvalidPayload(f"payload of {len(payload)} characters, at most {bound} allowed")
    hidden_text, separator, iv_text = payload.partition("?iv=")
    try:
        hidden = base64.b64decode(hidden_text, validate=True)
        iv = base64.b64decode(iv_text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidPayload("not base64") from error
    if not separator or len(iv) != _BLOCK_BYTES or not hidden or len(hidden) % _BLOCK_BYTES:
        raise InvalidPayload("not a ciphertext of whole blocks and an iv of 16 bytes")
    try:
        point = PublicKey(b"\x02" + bytes.fromhex(pubkey)).multiply(secret)
    except (ValueError, TypeError):
        raise InvalidPayload("not a pair of keys of the curve") from None
    padded = AES.new(point.format()[1:], AES.MODE_CBC, iv=iv).decrypt(hidden)
    size = padded[-1]
    if not 1 <= size <= _BLOCK_BYTES or padded[-size:] != bytes([size]) * size:
        raise InvalidPayload("wrong padding: damaged, or for other keys")
    try:
        return padded[:-size].decode()
    except UnicodeDecodeError as error:
        raise InvalidPayload("the plaintext is not UTF-8") from error
