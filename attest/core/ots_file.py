"""Consensus-critical: the bytes of OpenTimestamps proofs: of a .ots file, and of a bare timestamp.

    file       = magic, version 1, tag of the file's hash operation, digest, timestamp
    timestamp  = (ff item)* item                  ff: another item of the same message follows
    item       = 00 attestation | operation timestamp
    attestation= 8-byte tag, payload as a string   (Bitcoin: a number; pending: a string)
    operation  = tag, and for append and prepend a string that is not empty
    number     = 7 bits a byte, lowest first, the highest bit says that another follows (LEB128)
    string     = its length as a number, its bytes

Every read is bounded, and what was read is written again and compared: a number in more bytes than
it needs, or one branch twice, is refused, where the reference implementation takes it and would
write it otherwise. A bare timestamp, as calendars send it, is read in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Final

from attest.core import limits
from attest.core.errors import (
    InvalidAttestation,
    NotATimestamp,
    TimestampNotCanonical,
    TimestampTooLarge,
    TimestampTruncated,
    UnknownOperation,
)
from attest.core.ots import (
    ATTESTATION_TAG_BYTES,
    BITCOIN_TAG,
    DIGEST_BYTES,
    PENDING_TAG,
    Attestation,
    BitcoinBlock,
    Op,
    Path,
    Pending,
    Step,
    Timestamp,
    Unknown,
)

MAGIC: Final = b"\x00OpenTimestamps\x00\x00Proof\x00\xbf\x89\xe2\xe8\x84\xe8\x92\x94"
VERSION: Final = 1
_ATTESTATION: Final = 0x00
_FORK: Final = 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class OtsFile:
    """A proof that stands beside a file: the operation that hashes it, its digest, the tree."""

    hash_op: Op = Op.SHA256
    digest: bytes
    timestamp: Timestamp

    def __post_init__(self) -> None:
        expected = DIGEST_BYTES.get(self.hash_op)
        if len(self.digest) != expected:
            raise NotATimestamp(
                f"a digest of {len(self.digest)} bytes under {self.hash_op.name.lower()}"
            )

    def encode(self) -> bytes:
        """The file's bytes."""
        head = MAGIC + _number(VERSION) + bytes([self.hash_op]) + self.digest
        return head + encode_timestamp(self.timestamp)


def parse_file(data: bytes) -> OtsFile:
    """Read a .ots file. Raises InvalidTimestamp."""
    reader = _Reader(data)
    if data[: len(MAGIC)] != MAGIC:
        raise NotATimestamp("this is no OpenTimestamps proof")
    reader.take(len(MAGIC))
    version = reader.number()
    if version != VERSION:
        raise NotATimestamp(f"major version {version}, only {VERSION} is known")
    hash_op = _op(reader.byte())
    if hash_op not in DIGEST_BYTES:
        raise NotATimestamp(f"{hash_op.name.lower()} does not hash files")
    digest = reader.take(DIGEST_BYTES[hash_op])
    timestamp = _timestamp(reader, len(digest))
    found = OtsFile(hash_op=hash_op, digest=digest, timestamp=timestamp)
    _check_end(reader, data, found.encode())
    return found


def parse_timestamp(data: bytes, message_bytes: int) -> Timestamp:
    """Read the bare timestamp of a message of this length. Raises InvalidTimestamp."""
    reader = _Reader(data)
    timestamp = _timestamp(reader, message_bytes)
    _check_end(reader, data, encode_timestamp(timestamp))
    return timestamp


def encode_timestamp(timestamp: Timestamp) -> bytes:
    """The bytes of a bare timestamp. Raises TimestampTooLarge."""
    out = bytearray()
    _write(out, [path.items for path in timestamp.paths], 0)
    if len(out) > limits.OTS_BYTES_MAX:
        raise TimestampTooLarge(f"{len(out)} bytes, at most {limits.OTS_BYTES_MAX} are written")
    return bytes(out)


def _timestamp(reader: "_Reader", message_bytes: int) -> Timestamp:
    """Walk the tree: `steps` leads to the present message, `forks` are the depths to return to."""
    paths: list[Path] = []
    steps: list[Step] = []
    lengths, forks = [message_bytes], list[int]()
    while True:
        tag = reader.byte()
        if tag == _FORK:
            forks.append(len(steps))
            tag = reader.byte()
        if tag != _ATTESTATION:
            if len(steps) == limits.OTS_STEPS_MAX:
                raise TimestampTooLarge(f"more than {limits.OTS_STEPS_MAX} operations in a row")
            step = _step(reader, tag)
            lengths.append(step.length_after(lengths[-1]))
            steps.append(step)
            continue
        paths.append(Path(steps=tuple(steps), attestation=_attestation(reader)))
        if not forks:
            return Timestamp(tuple(paths))
        depth = forks.pop()
        del steps[depth:], lengths[depth + 1 :]


def _step(reader: "_Reader", tag: int) -> Step:
    op = _op(tag)
    if op in (Op.APPEND, Op.PREPEND):
        return Step(op, reader.string("an argument", limits.OTS_MESSAGE_BYTES_MAX))
    return Step(op)


def _op(tag: int) -> Op:
    try:
        return Op(tag)
    except ValueError as error:
        raise UnknownOperation(f"operation {tag:02x} is unknown") from error


def _attestation(reader: "_Reader") -> Attestation:
    tag = reader.take(ATTESTATION_TAG_BYTES)
    payload = reader.string("an attestation", limits.OTS_PAYLOAD_BYTES_MAX)
    if tag not in (BITCOIN_TAG, PENDING_TAG):
        return Unknown(tag, payload)
    inner = _Reader(payload)
    found: Attestation
    if tag == BITCOIN_TAG:
        found = BitcoinBlock(inner.number())
    else:
        try:
            found = Pending(inner.string("an address", limits.OTS_URI_BYTES_MAX).decode("ascii"))
        except UnicodeDecodeError as error:
            raise InvalidAttestation("a calendar's address is not ASCII") from error
    if not inner.ended:
        raise InvalidAttestation("something follows an attestation's one field")
    return found


def _write(out: bytearray, paths: Sequence[tuple[Step | Attestation, ...]], depth: int) -> None:
    """Write the node that all these paths pass through; at most OTS_STEPS_MAX calls deep."""
    groups = [(item, list(group)) for item, group in groupby(paths, itemgetter(depth))]
    for number, (item, group) in enumerate(groups, start=1):
        if number < len(groups):
            out.append(_FORK)
        if isinstance(item, Step):
            out.append(item.op)
            out += _string(item.argument) if item.argument else b""
            _write(out, group, depth + 1)
        else:
            out.append(_ATTESTATION)
            out += _attested(item)


def _attested(attestation: Attestation) -> bytes:
    match attestation:
        case BitcoinBlock(height):
            return BITCOIN_TAG + _string(_number(height))
        case Pending(uri):
            return PENDING_TAG + _string(_string(uri.encode()))
        case Unknown(tag, payload):
            return tag + _string(payload)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(data: bytes) -> bytes:
    return _number(len(data)) + data


def _check_end(reader: "_Reader", data: bytes, again: bytes) -> None:
    if not reader.ended:
        raise TimestampNotCanonical(f"{reader.left} bytes follow the timestamp")
    if again != data:
        raise TimestampNotCanonical("a number in more bytes than it needs, or one branch twice")


class _Reader:
    """Bounded reads from the front."""

    def __init__(self, data: bytes) -> None:
        if len(data) > limits.OTS_BYTES_MAX:
            raise TimestampTooLarge(f"{len(data)} bytes, at most {limits.OTS_BYTES_MAX} are read")
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    @property
    def ended(self) -> bool:
        return not self.left

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise TimestampTruncated(f"{count} bytes are wanted, {self.left} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        value = 0
        for place in range(limits.OTS_NUMBER_BYTES_MAX):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value
        raise TimestampTooLarge(f"a number of more than {limits.OTS_NUMBER_BYTES_MAX} bytes")

    def string(self, what: str, bytes_max: int) -> bytes:
        length = self.number()
        if length > bytes_max:
            raise TimestampTooLarge(f"{what} of {length} bytes, at most {bytes_max} are allowed")
        return self.take(length)
