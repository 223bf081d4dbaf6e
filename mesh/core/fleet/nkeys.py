"""NKeys: the Ed25519 keys by which NATS servers know users, as text.

    public  base32( role, 32 bytes of key, CRC-16 )            U...
    seed    base32( seed and role in two bytes, 32, CRC-16 )   SU...

Base32 is RFC 4648's without padding; the checksum is CRC-16/XMODEM, low byte first. A server sends
a nonce, the client signs it (RFC 8032) and gives the signature with its public key
(docs.nats.io, "NKeys"; github.com/nats-io/nkeys). A node needs no more than a user's, so those of
operators, accounts, clusters and servers are refused: in a hand of a node it is a mistake.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa

from mesh.core.errors import InvalidNKey

SEED_CHARS: Final = 58
PUBLIC_CHARS: Final = 56
SEED_BYTES: Final = 32
_SEED: Final = 18 << 3
_USER: Final = 20 << 3
_POLYNOMIAL: Final = 0x1021


def crc16(data: bytes) -> int:
    """CRC-16/XMODEM: polynomial 0x1021, from 0, nothing reflected."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (_POLYNOMIAL if value & 0x8000 else 0)) & 0xFFFF
    return value


def _encode(body: bytes) -> str:
    return base64.b32encode(body + crc16(body).to_bytes(2, "little")).decode().rstrip("=")


def _decode(text: str, chars: int, what: str) -> bytes:
    """Return what stands before the checksum. No message repeats `text`: it may be a seed."""
    if len(text) != chars:
        raise InvalidNKey(f"{what} has {len(text)} characters, expected {chars}")
    try:
        data = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise InvalidNKey(f"{what} is not base32") from None
    body, checksum = data[:-2], data[-2:]
    if checksum != crc16(body).to_bytes(2, "little"):
        raise InvalidNKey(f"{what} does not match its checksum")
    if base64.b32encode(data).decode().rstrip("=") != text:
        raise InvalidNKey(f"{what} has bits left over")
    return body


def read_public(text: str) -> bytes:
    """Return the 32-byte key of a user's public NKey. Raises InvalidNKey."""
    body = _decode(text, PUBLIC_CHARS, "public NKey")
    if body[0] != _USER:
        raise InvalidNKey("this is not the public NKey of a user", hint="it begins with U")
    return body[1:]


@dataclass(frozen=True, slots=True)
class UserKey:
    """A user's secret NKey. It signs a server's nonce; its repr shows nothing."""

    _seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self._seed) != SEED_BYTES:
            raise InvalidNKey(f"seed of {len(self._seed)} bytes, expected {SEED_BYTES}")

    @classmethod
    def read(cls, text: str) -> "UserKey":
        """Read the text of a seed, SU... Raises InvalidNKey, which does not repeat it."""
        body = _decode(text, SEED_CHARS, "NKey seed")
        role = (body[0] & 7) << 5 | body[1] >> 3
        if body[0] & 0xF8 != _SEED or body[1] & 7:
            raise InvalidNKey("this is not the seed of an NKey", hint="it begins with SU")
        if role != _USER:
            raise InvalidNKey("this seed is not a user's", hint="it begins with SU: nk -gen user")
        return cls(body[2:])

    @property
    def seed(self) -> str:
        """The text to be kept in a file that nobody else reads."""
        return _encode(bytes([_SEED | _USER >> 5, (_USER & 31) << 3]) + self._seed)

    @property
    def public(self) -> str:
        """The public NKey, U..., that the server's configuration names."""
        return _encode(bytes([_USER]) + self._key().public_key().export_key(format="raw"))

    def sign_nonce(self, nonce: str) -> bytes:
        """Return the signature of a server's nonce as CONNECT carries it: base64url, unpadded."""
        signature = eddsa.new(self._key(), "rfc8032").sign(nonce.encode())
        return base64.urlsafe_b64encode(signature).rstrip(b"=")

    def _key(self) -> ECC.EccKey:
        return ECC.construct(curve="Ed25519", seed=self._seed)  # type: ignore[arg-type]  # its stub says int, its documentation bytes
