"""Framing and shape of the records of a bundle (bundle.md, "Container")."""

from collections.abc import Iterator
from typing import Any

from tests.spec.stranger.codec import INT_MAX, decode, demand, is_uint, sha256

MAGIC = b"timmy-bundle v1\n"
RECORD_MAX = 4194304
PATH_MAX = 63


def _uint(value: object) -> bool:
    return is_uint(value) and value <= INT_MAX


def _bytes(value: object) -> bool:
    return type(value) is bytes


def _bytes_or_null(value: object) -> bool:
    return value is None or type(value) is bytes


def _text(value: object) -> bool:
    return type(value) is str


def _path(value: object) -> bool:
    return type(value) is list and len(value) <= PATH_MAX and all(map(_bytes, value))


def _map_or_array(value: object) -> bool:
    return type(value) in (dict, list)


SHAPES = {
    "header": (_text, _bytes, _uint),
    "event": (_uint, _bytes, _bytes, _bytes, _bytes_or_null, _bytes_or_null),
    "inclusion": (_uint, _uint, _path),
    "consistency": (_uint, _uint, _path),
    "checkpoint": (_bytes,),
    "attachment": (_text, _map_or_array),
    "subject": (_uint,),
    "end": (_uint, _bytes),
}


def frames(data: bytes) -> Iterator[tuple[int, list[Any]]]:
    """Each record with the offset of its length; a fault is met when its record is reached."""
    demand(data.startswith(MAGIC), "bundle", "first line")
    at, count = len(MAGIC), 0
    while True:
        demand(at + 4 <= len(data), "bundle", "no end record")
        length = int.from_bytes(data[at : at + 4], "big")
        demand(1 <= length <= RECORD_MAX, "bundle", f"record of {length} bytes")
        demand(at + 4 + length <= len(data), "bundle", "file ends inside a record")
        record = decode(data[at + 4 : at + 4 + length], RECORD_MAX)
        demand(type(record) is list and bool(record), "bundle", "record is no array")
        kind = record[0]
        demand(type(kind) is str and kind in SHAPES, "bundle", "kind")
        shape = SHAPES[kind]
        demand(len(record) == 1 + len(shape), "bundle", "number of fields")
        fits = all(test(item) for test, item in zip(shape, record[1:], strict=True))
        demand(fits, "bundle", "type of a field")
        demand((kind == "header") == (count == 0), "bundle", "place of the header")
        yield at, record
        if kind == "end":
            demand(record[1] == count, "bundle", "number of records")
            demand(record[2] == sha256(data[:at]), "bundle", "digest of the file")
            demand(at + 4 + length == len(data), "bundle", "bytes after the end")
            return
        at, count = at + 4 + length, count + 1
