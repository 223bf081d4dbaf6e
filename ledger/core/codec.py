"""Consensus-critical: the one deterministic CBOR encoding of a value (RFC 8949 section 4.2.1).

The profile: int, str, bytes, bool, null, list, map with text keys. No floats, no tags, no
indefinite lengths; the shortest heads; map keys in bytewise order. It is written here, in the half
of the time that cbor2 takes for small maps and with every check on the way. cbor2 decodes; nothing
of what it accepts by default is believed (docs/spec/event.md lists the traps): what it gives is
encoded again and compared.
"""

import struct
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import cbor2

from ledger.core import limits
from ledger.core.errors import InvalidCbor

Value: TypeAlias = "int | str | bytes | bool | list[Any] | dict[str, Any] | None"

_TAGS_CBOR2_EXECUTES: Final = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43000, 55799),
)
"""35 compiles a regular expression, 28/29 build cycles, 25/256 expand: none may even start."""


def _refuse_tag(*_: object) -> object:
    raise InvalidCbor("tags are not part of the profile")


_DENY: Final = dict.fromkeys(_TAGS_CBOR2_EXECUTES, _refuse_tag)


_pack8 = struct.Struct(">BB").pack
_pack16 = struct.Struct(">BH").pack
_pack32 = struct.Struct(">BI").pack
_pack64 = struct.Struct(">BQ").pack


def _shortest(major: int, number: int) -> bytes:
    """The head of an item: major type and argument, RFC 8949 section 3."""
    first = major << 5
    if number < 24:
        return bytes([first | number])
    if number < 1 << 8:
        return _pack8(first | 24, number)
    if number < 1 << 16:
        return _pack16(first | 25, number)
    if number < 1 << 32:
        return _pack32(first | 26, number)
    if number < 1 << 64:
        return _pack64(first | 27, number)
    raise InvalidCbor(f"integer out of range: {number}")


_HEADS: Final = 256
"""Heads of arguments below this are kept: nearly every one that is ever written."""
_UINT, _, _BYTES, _TEXT, _LIST, _MAP = (
    tuple(_shortest(major, number) for number in range(_HEADS)) for major in range(6)
)


def encode(value: Value) -> bytes:
    """Return the deterministic encoding. Raises InvalidCbor for a value outside the profile."""
    try:
        return _encode(value, 0)
    except UnicodeEncodeError as error:
        raise InvalidCbor("text holds a lone surrogate") from error


def _encode(value: Any, depth: int) -> bytes:
    """By exact type: subclasses may be something else. The most frequent types come first."""
    kind = type(value)
    if kind is str:
        text: bytes = value.encode()
        size = len(text)
        return (_TEXT[size] if size < _HEADS else _shortest(3, size)) + text
    if kind is bytes:
        data: bytes = value
        size = len(data)
        return (_BYTES[size] if size < _HEADS else _shortest(2, size)) + data
    if kind is dict:
        return _encode_map(value, depth)
    if kind is int:
        return _encode_int(value)
    if kind is list:
        if depth >= limits.CBOR_DEPTH_MAX:
            raise _too_deep()
        items = [_encode(item, depth + 1) for item in value]
        size = len(items)
        return (_LIST[size] if size < _HEADS else _shortest(4, size)) + b"".join(items)
    if value is None:
        return b"\xf6"
    if kind is bool:
        return b"\xf5" if value else b"\xf4"
    raise InvalidCbor(f"{kind.__name__} is not part of the profile")


def _encode_map(value: dict[object, object], depth: int) -> bytes:
    """No encoding of a key begins another one's: entries are in order exactly when keys are."""
    if depth >= limits.CBOR_DEPTH_MAX:
        raise _too_deep()
    entries = []
    for key, item in value.items():
        if type(key) is not str:
            raise InvalidCbor(f"map key is {type(key).__name__}, expected text")
        text = key.encode()
        size = len(text)
        head = _TEXT[size] if size < _HEADS else _shortest(3, size)
        entries.append(head + text + _encode(item, depth + 1))
    entries.sort()
    size = len(entries)
    return (_MAP[size] if size < _HEADS else _shortest(5, size)) + b"".join(entries)


def _encode_int(value: int) -> bytes:
    if 0 <= value < _HEADS:
        return _UINT[value]
    if not limits.INT_MIN <= value <= limits.INT_MAX:
        raise InvalidCbor(f"integer out of range: {value}")
    return _shortest(0, value) if value >= 0 else _shortest(1, -1 - value)


def _too_deep() -> InvalidCbor:
    return InvalidCbor(f"nested deeper than {limits.CBOR_DEPTH_MAX} levels")


def encode_uint(number: int) -> bytes:
    """Return what `encode` gives for 0 <= number < 2^64: RFC 8949 section 3.1, major type 0.

    For the envelope, which is one array of a fixed shape and written for every event.
    """
    return _UINT[number] if number < _HEADS else _shortest(0, number)


def decode(data: bytes, *, bytes_max: int) -> Any:
    """Return the value whose one encoding is `data`.

    Raises InvalidCbor for anything else: too long, trailing bytes, tags, floats, duplicate or
    unsorted keys, non-minimal heads, indefinite lengths, invalid UTF-8.
    """
    value = decode_loosely(data, bytes_max=bytes_max)
    if encode(value) != data:
        raise InvalidCbor("not the deterministic encoding of its value")
    return value


def decode_loosely(data: bytes, *, bytes_max: int) -> Any:
    """Return a value that `data` encodes, strictly or not: for callers that check every type and
    encode it again themselves. Raises InvalidCbor.
    """
    if len(data) > bytes_max:
        raise InvalidCbor(f"{len(data)} bytes, at most {bytes_max} allowed")
    return _loads(data, limits.CBOR_DEPTH_MAX + 1)


def decode_together(items: Sequence[bytes], *, bytes_max: int) -> list[Any]:
    """`decode_loosely` of each item, in half the time: as one array.

    That each item is one value is not checked, only that together they are no fewer values than
    items. For callers who know by other means that every item is what `decode` took before.
    """
    longest = max(map(len, items), default=0)
    if longest > bytes_max:
        raise InvalidCbor(f"{longest} bytes, at most {bytes_max} allowed")
    found: list[Any] = _loads(_shortest(4, len(items)) + b"".join(items), limits.CBOR_DEPTH_MAX + 2)
    return found


def _loads(data: bytes, max_depth: int) -> Any:
    try:
        return cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_DENY,
            max_depth=max_depth,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except InvalidCbor:
        raise
    except (cbor2.CBORDecodeError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise InvalidCbor(f"not decodable: {error}") from error
