"""NIP-49 `ncryptsec`: 32 secret bytes under a passphrase (scrypt, XChaCha20-Poly1305, bech32).

    0x02 || log_n || salt16 || nonce24 || key security byte || ciphertext32 || tag16     (91 bytes)

The passphrase is normalised to NFKC, so that it opens on a keyboard that composes its letters in
another way. The cost is bounded on opening: below 16 the file was made to be guessed, above 20 it
asks for more than a gibibyte of memory. Salt and nonce are arguments and must be random.

Not covered: a weak passphrase. scrypt multiplies the work of each guess, it does not lengthen what
is guessed.
"""

import hashlib
import unicodedata
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from Cryptodome.Cipher import ChaCha20_Poly1305
from embit import bech32

from genesis.core.errors import InvalidNcryptsec, WrongPassphrase

LOG_N_MIN, LOG_N_MAX = 16, 20
"""64 MiB and half a second, to 1 GiB and five seconds, on a two-core VPS."""
LOG_N_FORMAT_MIN: Final = 1
"""What the format itself allows; only a caller that says so goes below LOG_N_MIN."""
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 24
SECRET_BYTES: Final = 32
TEXT_CHARS: Final = 162
"""`ncryptsec1`, 146 characters of 5 bits for 91 bytes, 6 of checksum: one length only."""

_HRP: Final = "ncryptsec"
_VERSION: Final = 2
_BLOB_BYTES: Final = 91
_TAG_BYTES: Final = 16
_SCRYPT_R: Final = 8
_SCRYPT_ROOM_BYTES: Final = 1024 * 1024
"""OpenSSL counts a little more than 128 * N * r against `maxmem`."""


class KeySecurity(IntEnum):
    """What the maker says of the key's past (NIP-49, key security byte)."""

    HANDLED_INSECURELY = 0
    NOT_KNOWN_INSECURE = 1
    UNTRACKED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A decrypted ncryptsec. The repr hides the secret."""

    secret: bytes = field(repr=False)
    log_n: int
    security: KeySecurity


def _key(passphrase: str, salt: bytes, log_n: int) -> bytes:
    try:
        text = unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError as error:
        raise WrongPassphrase("the passphrase is not valid Unicode text") from error
    cost = 1 << log_n
    return hashlib.scrypt(
        text,
        salt=salt,
        n=cost,
        r=_SCRYPT_R,
        p=1,
        dklen=32,
        maxmem=128 * cost * _SCRYPT_R + _SCRYPT_ROOM_BYTES,
    )


def _check_cost(log_n: int, low: int, high: int) -> None:
    if not low <= log_n <= high:
        raise InvalidNcryptsec(f"scrypt log_n is {log_n}, expected {low} to {high}")


def encrypt(
    secret: bytes,
    passphrase: str,
    *,
    salt: bytes,
    nonce: bytes,
    log_n: int = LOG_N_MIN,
    security: KeySecurity = KeySecurity.NOT_KNOWN_INSECURE,
) -> str:
    """Return the ncryptsec of 32 secret bytes. `salt` is 16 and `nonce` 24 random bytes.

    Raises InvalidNcryptsec for a cost outside 1..20, WrongPassphrase for lone surrogates.
    """
    _check_cost(log_n, LOG_N_FORMAT_MIN, LOG_N_MAX)
    assert (len(secret), len(salt), len(nonce)) == (SECRET_BYTES, SALT_BYTES, NONCE_BYTES)
    cipher = ChaCha20_Poly1305.new(key=_key(passphrase, salt, log_n), nonce=nonce)
    cipher.update(bytes([security]))
    body, tag = cipher.encrypt_and_digest(secret)
    blob = bytes([_VERSION, log_n]) + salt + nonce + bytes([security]) + body + tag
    data = bech32.convertbits(blob, 8, 5)
    return str(bech32.bech32_encode(bech32.Encoding.BECH32, _HRP, data))


def _blob(text: str) -> bytes:
    """The 91 bytes behind the bech32 text (BIP-173 without its 90-character limit)."""
    if len(text) != TEXT_CHARS:
        raise InvalidNcryptsec(f"{len(text)} characters, an ncryptsec has {TEXT_CHARS}")
    if text not in (text.lower(), text.upper()) or not text.isascii():
        raise InvalidNcryptsec("mixed case or characters outside ASCII")
    prefix, _, body = text.lower().rpartition("1")
    if prefix != _HRP:
        raise InvalidNcryptsec(f"prefix is {prefix!r}, expected {_HRP!r}")
    data = [bech32.CHARSET.find(char) for char in body]
    if min(data) < 0:
        raise InvalidNcryptsec("a character is not of the bech32 alphabet")
    if bech32.bech32_verify_checksum(prefix, data) != bech32.Encoding.BECH32:
        raise InvalidNcryptsec("bech32 checksum does not match: a character was changed")
    blob = bech32.convertbits(data[:-6], 5, 8, False)  # noqa: FBT003 - embit's signature
    if blob is None or len(blob) != _BLOB_BYTES:
        raise InvalidNcryptsec("padding bits are not zero")
    return bytes(blob)


def check(text: str) -> None:
    """Check what can be checked without the passphrase. Raises InvalidNcryptsec.

    The bech32 checksum covers each character: a flipped bit is found here.
    """
    _blob(text)


def decrypt(
    text: str, passphrase: str, *, log_n_min: int = LOG_N_MIN, log_n_max: int = LOG_N_MAX
) -> Opened:
    """Open an ncryptsec. Raises InvalidNcryptsec (before any work) or WrongPassphrase."""
    blob = _blob(text)
    if blob[0] != _VERSION:
        raise InvalidNcryptsec(f"version {blob[0]}, expected {_VERSION}")
    log_n, salt, nonce = blob[1], blob[2:18], blob[18:42]
    _check_cost(log_n, max(log_n_min, LOG_N_FORMAT_MIN), min(log_n_max, LOG_N_MAX))
    if blob[42] not in tuple(KeySecurity):
        raise InvalidNcryptsec(f"key security byte is {blob[42]}, expected 0, 1 or 2")
    cipher = ChaCha20_Poly1305.new(key=_key(passphrase, salt, log_n), nonce=nonce)
    cipher.update(blob[42:43])
    try:
        secret = cipher.decrypt_and_verify(blob[43:-_TAG_BYTES], blob[-_TAG_BYTES:])
    except ValueError as error:
        raise WrongPassphrase(
            "wrong passphrase, or the encrypted key was tampered with",
            hint="nothing was changed; check the passphrase source and try again",
        ) from error
    return Opened(secret=secret, log_n=log_n, security=KeySecurity(blob[42]))
