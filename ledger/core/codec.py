"""Consensus-critical: the one deterministic CBOR encoding of a value (RFC 8949 section 4.2.1).

The profile: int, str, bytes, bool, null, list, map with text keys. No floats, no tags, no
indefinite lengths; the shortest heads; map keys in bytewise order. For text keys that order and
cbor2's length-first `canonical=True` are the same, so cbor2 can write it; nothing of what cbor2
accepts by default is believed (docs/spec/event.md lists the traps).
"""

import struct
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


def _follows(key: str, before: str) -> bool:
    """The order of ASCII keys: shorter first, then bytewise (RFC 8949 section 4.2.1)."""
    longer = len(key) - len(before)
    return longer > 0 or (longer == 0 and key > before)


_SCALARS: Final = frozenset((str, bytes, bool, type(None)))


def _in_order(value: object, depth: int) -> bool:
    """Refuse everything outside the profile, by exact type: subclasses encode differently.

    Tells whether every map is in the deterministic order already; a map with a key that is not
    ASCII is said not to be, which costs a sort and no more.
    """
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is int:
        if not limits.INT_MIN <= value <= limits.INT_MAX:  # type: ignore[operator]
            raise InvalidCbor(f"integer out of range: {value}")
        return True
    if depth >= limits.CBOR_DEPTH_MAX:
        raise InvalidCbor(f"nested deeper than {limits.CBOR_DEPTH_MAX} levels")
    ordered = True
    if kind is list:
        for item in value:  # type: ignore[attr-defined]
            if type(item) not in _SCALARS:
                ordered &= _in_order(item, depth + 1)
        return ordered
    if kind is dict:
        before: str | None = None
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str:
                raise InvalidCbor(f"map key is {type(key).__name__}, expected text")
            ordered &= key.isascii() and (before is None or _follows(key, before))
            before = key
            if type(item) not in _SCALARS:
                ordered &= _in_order(item, depth + 1)
        return ordered
    raise InvalidCbor(f"{kind.__name__} is not part of the profile")


def encode(value: Value) -> bytes:
    """Return the deterministic encoding. Raises InvalidCbor for a value outside the profile."""
    return _encode(value, in_order=_in_order(value, 0))


def _encode(value: Value, *, in_order: bool) -> bytes:
    """cbor2 sorts in twice the time that it takes to write: only if there is something to sort."""
    try:
        return cbor2.dumps(value) if in_order else cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError as error:
        raise InvalidCbor("text holds a lone surrogate") from error


_SMALL: Final = tuple(bytes([number]) for number in range(24))
_UINT_HEADS: Final = (
    (1 << 8, struct.Struct(">BB").pack, 0x18),
    (1 << 16, struct.Struct(">BH").pack, 0x19),
    (1 << 32, struct.Struct(">BI").pack, 0x1A),
    (1 << 64, struct.Struct(">BQ").pack, 0x1B),
)


def encode_uint(number: int) -> bytes:
    """Return what `encode` gives for 0 <= number < 2^64: RFC 8949 section 3.1, major type 0.

    For the envelope, which is one array of a fixed shape and written for every event.
    """
    if number < len(_SMALL):
        return _SMALL[number]
    for bound, pack, head in _UINT_HEADS:
        if number < bound:
            return pack(head, number)
    raise InvalidCbor(f"integer out of range: {number}")


def decode(data: bytes, *, bytes_max: int) -> Any:
    """Return the value whose one encoding is `data`.

    Raises InvalidCbor for anything else: too long, trailing bytes, tags, floats, duplicate or
    unsorted keys, non-minimal heads, indefinite lengths, invalid UTF-8.
    """
    value = decode_loosely(data, bytes_max=bytes_max)
    if _encode(value, in_order=_in_order(value, 0)) != data:
        raise InvalidCbor("not the deterministic encoding of its value")
    return value


def decode_loosely(data: bytes, *, bytes_max: int) -> Any:
    """Return a value that `data` encodes, strictly or not: for callers that check every type and
    encode it again themselves. Raises InvalidCbor.
    """
    if len(data) > bytes_max:
        raise InvalidCbor(f"{len(data)} bytes, at most {bytes_max} allowed")
    try:
        return cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_DENY,
            max_depth=limits.CBOR_DEPTH_MAX + 1,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except InvalidCbor:
        raise
    except (cbor2.CBORDecodeError, UnicodeDecodeError, ValueError, TypeError) as error:
        raise InvalidCbor(f"not decodable: {error}") from error
