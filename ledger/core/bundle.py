r"""Consensus-critical: the one file format for export, backup, proof and a successor's snapshot.

    timmy-bundle v1\n
    <record>*            4-byte big-endian length, then one deterministic-CBOR array [kind, ...]

The last record is `end` with the SHA-256 of every byte before it: truncation and damage are found
without knowing what a record means. `Reader` verifies while it streams and holds one record at a
time; what a valid bundle *shows* is for `ledger.core.audit` and the verifier to say.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from ledger.core import limits
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidBundle, InvalidCbor
from ledger.core.event import Record

MAGIC: Final = b"timmy-bundle v1\n"
_LENGTH_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the file is: `purpose` "export" (every event from 0) or "proof" (some events)."""

    purpose: str
    ledger_id: bytes
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """`path` leads from the event at `position` to the root at `size`."""

    position: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """`path` leads from the tree of `size1` to the tree of `size2`."""

    size1: int
    size2: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """The bytes of a signed checkpoint note."""

    note: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Evidence another package understands, as a plain value: `name` says which."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The position a proof is about."""

    position: int


Item = Header | Record | Inclusion | Consistency | SignedHead | Attachment | Subject


def _to_value(item: Item) -> list[Any]:
    match item:
        case Header():
            return ["header", item.purpose, item.ledger_id, item.epoch]
        case Record():
            content = [item.content_salt, item.content]
            return ["event", item.position, item.envelope, item.salt, item.payload, *content]
        case Inclusion():
            return ["inclusion", item.position, item.size, list(item.path)]
        case Consistency():
            return ["consistency", item.size1, item.size2, list(item.path)]
        case SignedHead():
            return ["checkpoint", item.note]
        case Attachment():
            return ["attachment", item.name, item.value]
        case Subject():
            return ["subject", item.position]


_FIELDS: Final[dict[str, tuple[tuple[type, ...], ...]]] = {
    "header": ((str,), (bytes,), (int,)),
    "event": ((int,), (bytes,), (bytes,), (bytes,), (bytes, type(None)), (bytes, type(None))),
    "inclusion": ((int,), (int,), (list,)),
    "consistency": ((int,), (int,), (list,)),
    "checkpoint": ((bytes,),),
    "attachment": ((str,), (dict, list)),
    "subject": ((int,),),
    "end": ((int,), (bytes,)),
}


def _fields(value: object) -> tuple[str, list[Any]]:
    if not isinstance(value, list) or not value or not isinstance(value[0], str):
        raise InvalidBundle("record is not an array that starts with its kind")
    kind, fields = value[0], value[1:]
    expected = _FIELDS.get(kind)
    if expected is None:
        raise InvalidBundle(f"unknown record kind {kind[:32]!r}")
    if len(fields) != len(expected):
        raise InvalidBundle(f"{kind} has {len(fields)} fields, expected {len(expected)}")
    for index, (field, types) in enumerate(zip(fields, expected, strict=True)):
        if type(field) not in types or (type(field) is int and field < 0):
            raise InvalidBundle(f"{kind} field {index} has the wrong type or sign")
    return kind, fields


def _path(value: list[Any]) -> tuple[bytes, ...]:
    if len(value) > limits.PROOF_HASHES_MAX or any(type(item) is not bytes for item in value):
        raise InvalidBundle(f"a path is not at most {limits.PROOF_HASHES_MAX} byte strings")
    return tuple(value)


def _from_fields(kind: str, fields: list[Any]) -> Item:
    match kind:
        case "header":
            return Header(purpose=fields[0], ledger_id=fields[1], epoch=fields[2])
        case "event":
            names = ("position", "envelope", "salt", "payload", "content_salt", "content")
            return Record(**dict(zip(names, fields, strict=True)))
        case "inclusion":
            return Inclusion(position=fields[0], size=fields[1], path=_path(fields[2]))
        case "consistency":
            return Consistency(size1=fields[0], size2=fields[1], path=_path(fields[2]))
        case "checkpoint":
            return SignedHead(note=fields[0])
        case "attachment":
            return Attachment(name=fields[0], value=fields[1])
        case _:
            return Subject(position=fields[0])


class Writer:
    """Writes a bundle to a binary file. Call `end` last: without it the file is truncated."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._sha = hashlib.sha256()
        self._count = 0
        self._write(MAGIC)
        self.add(header)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha.update(data)

    def _frame(self, value: list[Any]) -> None:
        data = encode(value)
        if len(data) > limits.BUNDLE_RECORD_BYTES_MAX:
            raise InvalidBundle(
                f"record of {len(data)} bytes, at most {limits.BUNDLE_RECORD_BYTES_MAX}"
            )
        self._write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        self._count += 1

    def add(self, item: Item) -> None:
        """Append one record."""
        self._frame(_to_value(item))

    def end(self) -> None:
        """Append the closing record: count of records before it, SHA-256 of all bytes before."""
        self._frame(["end", self._count, self._sha.digest()])


class Reader:
    """Iterates over a bundle's records after its header. Raises InvalidBundle at the first fault.

    `header` is there after construction; iteration yields every other record and ends only if the
    closing record was right and nothing follows it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha = hashlib.sha256()
        self._count = 0
        self.digest: bytes | None = None
        """SHA-256 of the file up to its closing record, once that was read."""
        if self._take(len(MAGIC)) != MAGIC:
            raise InvalidBundle("not a timmy bundle: the first line is not 'timmy-bundle v1'")
        first = self._next()
        if not isinstance(first, Header):
            raise InvalidBundle("the first record is not a header")
        self.header = first

    def _take(self, length: int) -> bytes:
        data = self._read(length)
        if len(data) != length:
            raise InvalidBundle(
                f"truncated in record {self._count}: {len(data)} of {length} bytes",
                hint="get the file again; every record before this one is intact",
            )
        self._sha.update(data)
        return data

    def _read(self, length: int) -> bytes:
        """Read `length` bytes, fewer at the end only: a pipe gives less than was asked for."""
        data = bytearray()
        while len(data) < length and (more := self._file.read(length - len(data))):
            data += more
        return bytes(data)

    def _next(self) -> Item | None:
        before = self._sha.digest()
        length = int.from_bytes(self._take(_LENGTH_BYTES), "big")
        if not 0 < length <= limits.BUNDLE_RECORD_BYTES_MAX:
            raise InvalidBundle(f"record {self._count} claims {length} bytes")
        try:
            value = decode(self._take(length), bytes_max=limits.BUNDLE_RECORD_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidBundle(f"record {self._count}: {error}") from error
        kind, fields = _fields(value)
        if kind != "end":
            self._count += 1
            return _from_fields(kind, fields)
        if fields != [self._count, before]:
            raise InvalidBundle("the closing record does not match the bytes before it")
        if self._file.read(1):
            raise InvalidBundle("bytes follow the closing record")
        self.digest = before
        return None

    def __iter__(self) -> Iterator[Item]:
        while (item := self._next()) is not None:
            if isinstance(item, Header):
                raise InvalidBundle("a second header")
            yield item
