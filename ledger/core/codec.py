"""Consensus-critical: the one deterministic CBOR encoding of a value (RFC 8949 section 4.2.1).

The profile: int, str, bytes, bool, null, list, map with text keys. No floats, no tags, no
indefinite lengths; the shortest heads; map keys in bytewise order. For text keys that order and
cbor2's length-first `canonical=True` are the same, so cbor2 can write it; nothing of what cbor2
accepts by default is believed (docs/spec/event.md lists the traps).
"""

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


def _check(value: object, depth: int) -> None:
    """Refuse everything outside the profile, by exact type: subclasses encode differently."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bool or value is None:
        return
    if kind is int:
        if not limits.INT_MIN <= value <= limits.INT_MAX:  # type: ignore[operator]
            raise InvalidCbor(f"integer out of range: {value}")
        return
    if depth >= limits.CBOR_DEPTH_MAX:
        raise InvalidCbor(f"nested deeper than {limits.CBOR_DEPTH_MAX} levels")
    if kind is list:
        for item in value:  # type: ignore[attr-defined]
            _check(item, depth + 1)
        return
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str:
                raise InvalidCbor(f"map key is {type(key).__name__}, expected text")
            _check(item, depth + 1)
        return
    raise InvalidCbor(f"{kind.__name__} is not part of the profile")


def encode(value: Value) -> bytes:
    """Return the deterministic encoding. Raises InvalidCbor for a value outside the profile."""
    _check(value, 0)
    try:
        return cbor2.dumps(value, canonical=True)
    except UnicodeEncodeError as error:
        raise InvalidCbor("text holds a lone surrogate") from error


def encode_flat(items: list[Any]) -> bytes:
    """Encode an array of values that are checked already and hold no map: the hot path of append.

    Without maps there is nothing to sort, so cbor2's plain encoding is the deterministic one.
    """
    return cbor2.dumps(items)


def decode(data: bytes, *, bytes_max: int) -> Any:
    """Return the value whose one encoding is `data`.

    Raises InvalidCbor for anything else: too long, trailing bytes, tags, floats, duplicate or
    unsorted keys, non-minimal heads, indefinite lengths, invalid UTF-8.
    """
    if len(data) > bytes_max:
        raise InvalidCbor(f"{len(data)} bytes, at most {bytes_max} allowed")
    try:
        value = cbor2.loads(
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
    if encode(value) != data:
        raise InvalidCbor("not the deterministic encoding of its value")
    return value
