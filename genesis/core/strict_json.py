"""Consensus-critical: the canonical JSON of verdicts, written and read strictly.

Sorted ASCII keys, no whitespace, no floats, integers of 63 bits, UTF-8: for such values that is
the encoding of RFC 8785. What is read must be the one encoding of its value, so that a digest or a
signature over it means what a reader sees. Every malformation raises InvalidVerdict.
"""

import base64
import binascii
import json
from enum import StrEnum
from typing import Any, TypeVar

from genesis.core import limits
from genesis.core.errors import InvalidVerdict
from ledger.core.limits import INT_MAX

_Enum = TypeVar("_Enum", bound=StrEnum)


def canonical_json(value: Any) -> bytes:
    """Return the one encoding of a JSON value without floats. Raises InvalidVerdict."""
    _check_json(value, 0)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidVerdict("text holds a lone surrogate") from error


def load(data: bytes, name: str) -> Any:
    """Return the value whose one encoding is `data`; `name` is for the error. Bounded."""
    require(
        len(data) <= limits.VERDICT_BYTES_MAX,
        f"{name} of {len(data)} bytes, at most {limits.VERDICT_BYTES_MAX}",
    )
    try:
        value = json.loads(data)
        canonical = canonical_json(value)
    except (ValueError, RecursionError) as error:
        raise InvalidVerdict(f"{name} is not JSON: {error}"[:200]) from error
    require(canonical == data, f"{name} is not canonical JSON")
    return value


def keys(value: Any, names: set[str], name: str) -> None:
    """Demand a map with exactly these keys."""
    require(isinstance(value, dict) and value.keys() == names, f"{name} has other fields")


def listed(value: Any, name: str) -> list[Any]:
    """Return `value`, a list."""
    require(isinstance(value, list), f"{name} is not a list")
    return list(value)


def text(value: Any, name: str) -> str:
    """Return `value`, a text."""
    require(isinstance(value, str), f"{name} is not text")
    return str(value)


def member(kind: type[_Enum], value: Any) -> _Enum:
    """Return the member of `kind` that `value` writes."""
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidVerdict(f"{value!r} is no {kind.__name__.lower()}"[:200]) from error


def unhex(value: Any, length: int, name: str) -> bytes:
    """Return the `length` bytes that `value` writes in lower-case hexadecimal."""
    written = text(value, name)
    try:
        data = bytes.fromhex(written)
    except ValueError as error:
        raise InvalidVerdict(f"{name} is not hexadecimal") from error
    require(len(data) == length and data.hex() == written, f"{name} is not {length} bytes in hex")
    return data


def unhex_or_none(value: Any, name: str) -> bytes | None:
    """Return 32 bytes, or None for null."""
    return None if value is None else unhex(value, 32, name)


def unbase64(value: Any, name: str) -> bytes:
    """Return the bytes that `value` writes in canonical base64."""
    written = text(value, name)
    try:
        data = base64.b64decode(written, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidVerdict(f"{name} is not base64") from error
    require(base64.b64encode(data).decode() == written, f"{name} is not canonical base64")
    return data


def require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise InvalidVerdict with `message` unless `condition` holds."""
    if not condition:
        raise InvalidVerdict(message)


def _check_json(value: Any, depth: int) -> None:
    """Refuse what has no single encoding: floats, numbers beyond 63 bits, keys that are no text."""
    require(depth <= 8, "JSON is nested deeper than 8 levels")
    kind = type(value)
    if kind is list:
        for item in value:
            _check_json(item, depth + 1)
    elif kind is dict:
        for key, item in value.items():
            require(type(key) is str and key.isascii(), "JSON key is not ASCII text")
            _check_json(item, depth + 1)
    elif kind is int:
        require(-INT_MAX <= value <= INT_MAX, "JSON integer out of range")
    else:
        require(kind in (str, bool) or value is None, f"{kind.__name__} in canonical JSON")
