"""Consensus-critical: Ed25519 verification (RFC 8032 section 5.1), for what C2SP witnesses sign.

Our own keys are on secp256k1; the world's witnesses sign with Ed25519, and a verifier that stands
alone must be able to count them. Only verification is here, over public data: nothing secret is
ever computed with, so that time may depend on the input. Signing is the node's business.

Strict: point and scalar in their one encoding, and `[S]B = R + [k]A` without the cofactor, compared
as bytes. Four milliseconds each: for the handful of lines under one head.
"""

import hashlib
from typing import Final, TypeAlias

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

Point: TypeAlias = tuple[int, int, int, int]
"""X, Y, Z, T of the twisted Edwards curve: x = X/Z, y = Y/Z, x*y = T/Z."""

_NEUTRAL: Final[Point] = (0, 1, 1, 0)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is `public`'s Ed25519 signature of `message`. Never raises."""
    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key = _decode(public)
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= _ORDER:
        return False
    hashed = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(hashed, "little") % _ORDER
    x, y, z, t = key
    minus_key = (_P - x, y, z, _P - t)
    return _encode(_add(_times(scalar, _base()), _times(challenge, minus_key))) == signature[:32]


def _base() -> Point:
    found = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert found is not None
    return found


def _decode(data: bytes) -> Point | None:
    """RFC 8032 section 5.1.3; None for what encodes no point, or not in the one way."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (1 << 255) - 1
    if y >= _P:
        return None
    x = _recover(y)
    if x is None or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _recover(y: int) -> int | None:
    """A square root of x^2 = (y^2 - 1) / (d y^2 + 1), or None if there is none."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    return None if (x * x - square) % _P else x


def _encode(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(one: Point, two: Point) -> Point:
    """RFC 8032 section 5.1.4; complete, so doubling needs no formula of its own."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = two
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: Point) -> Point:
    found = _NEUTRAL
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point = _add(point, point)
        scalar >>= 1
    return found
