"""Deterministic CBOR, hashes and signatures (README.md; event.md, "Deterministic CBOR")."""

import base64
import binascii
import hashlib

import blake3
import cbor2
import coincurve

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
DEPTH_MAX = 32


class Refusal(Exception):
    """The input is invalid. `kind` is the class of README.md, "Test vectors"."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def demand(holds: bool, kind: str, why: str) -> None:
    if not holds:
        raise Refusal(kind, why)


def is_uint(value: object) -> bool:
    return type(value) is int and value >= 0


def is_bytes(value: object, size: int | None = None) -> bool:
    return type(value) is bytes and (size is None or len(value) == size)


def _heads(data: bytes) -> None:
    """Walk the heads alone, so that the library never meets a tag, a float or a false claim."""
    at = 0
    open_items = [1]  # how many items each open array or map still wants
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        demand(at < len(data), "cbor", "input ends inside a value")
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        if major == 7:
            demand(info in (20, 21, 22), "cbor", "float, simple value or break")
            continue
        demand(major != 6, "cbor", "tag")
        demand(info < 28, "cbor", "indefinite length or reserved head")
        width = 0 if info < 24 else 1 << (info - 24)
        demand(at + width <= len(data), "cbor", "input ends inside a head")
        number = info if info < 24 else int.from_bytes(data[at : at + width], "big")
        at += width
        if major in (2, 3):
            demand(at + number <= len(data), "cbor", "more bytes are claimed than there are")
            at += number
        elif major in (4, 5):
            demand(at + number <= len(data), "cbor", "more items are claimed than there are")
            demand(len(open_items) <= DEPTH_MAX, "cbor", "nested too deep")
            open_items.append(number * (1 if major == 4 else 2))
    demand(at == len(data), "cbor", "bytes after the value")


def _allowed(value: object) -> None:
    if type(value) is int:
        demand(INT_MIN <= value <= INT_MAX, "cbor", "integer out of range")
    elif type(value) is list:
        for item in value:
            _allowed(item)
    elif type(value) is dict:
        for key, item in value.items():
            demand(type(key) is str, "cbor", "map key is not text")
            _allowed(item)
    else:
        demand(value is None or type(value) in (bool, str, bytes), "cbor", "type not allowed")


def encode(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, bytes_max: int) -> object:
    demand(len(data) <= bytes_max, "size", f"{len(data)} bytes, at most {bytes_max}")
    _heads(data)
    try:
        value = cbor2.loads(data)
    except Exception as error:  # whatever the library says of it, the input is refused
        raise Refusal("cbor", str(error)) from error
    _allowed(value)
    demand(encode(value) == data, "cbor", "not the one encoding")
    return value


def derive(context: str, data: bytes, length: int = 32) -> bytes:
    return blake3.blake3(data, derive_key_context=context).digest(length=length)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def tagged(tag: str, data: bytes) -> bytes:
    prefix = sha256(tag.encode())
    return sha256(prefix + prefix + data)


def verifies(key: object, signature: object, digest: bytes) -> bool:
    if not (is_bytes(key, 32) and is_bytes(signature, 64)):
        return False
    try:
        return coincurve.PublicKeyXOnly(key).verify(signature, digest)
    except ValueError:
        return False


def signed(key: object, signature: object, tag: str, message: bytes) -> bool:
    return verifies(key, signature, tagged(tag, message))


def from_base64(text: str, kind: str) -> bytes:
    """RFC 4648 section 4, and only what encodes to the same text again."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(kind, "not base64") from error
    demand(base64.b64encode(data).decode() == text, kind, "base64 with loose bits")
    return data
