"""Consensus-critical: what gossip looks like on the way.

    messages = [message, ...]                                        deterministic CBOR
    message  = ["rumour", [note, ...], [file, ...]]
             | ["summary", [fingerprint, ...]]
             | ["have", [bucket, ...], [[log, epoch, size, start of root], ...], [log, ...]]
             | ["want", [log, ...]]

docs/spec/mesh.md, "Heads from node to node". A head travels as its note and nothing else: what is
said beside a signed text could differ from it. A proof travels as the file that proves it
(docs/spec/witness.md). Nothing is verified here.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from ledger.core import limits as ledger_limits
from ledger.core.checkpoint import Checkpoint
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidNote
from ledger.core.note import parse_note
from mesh.core.errors import InvalidGossip
from mesh.core.fleet.gossip import BUCKETS, Have, Head, Message, Proof, Rumour, Summary, Want

BYTES_MAX: Final = 1024 * 1024
"""Of all messages in one request or answer."""
MESSAGES_MAX: Final = 4
"""A rumour and a summary; a rumour and a want."""
HEADS_MAX: Final = 512
"""Of one rumour: 200 KiB with the lines of some witnesses. The rest comes with the next one."""
PROOFS_MAX: Final = 4
"""Of one rumour: a file is some kilobytes, and verifying it some milliseconds."""
_LOGS_MAX: Final = 10_000
_LOG_BYTES: Final = 32
_PREFIX_BYTES: Final = 8


def encode_messages(messages: Iterable[Message]) -> bytes:
    """The bytes of messages, each cut to what one may hold; a proof is the file in `data[0]`."""
    return encode([_value(one) for one in messages][:MESSAGES_MAX])


def decode_messages(data: bytes) -> list[Message]:
    """Read what `encode_messages` gives. Raises InvalidGossip."""
    try:
        value = decode(data, bytes_max=BYTES_MAX)
    except InvalidCbor as error:
        raise InvalidGossip(str(error)) from error
    if not isinstance(value, list) or len(value) > MESSAGES_MAX:
        raise InvalidGossip(f"no array of at most {MESSAGES_MAX} messages")
    found = [_message(one) for one in value]
    if encode_messages(found) != data:
        raise InvalidGossip("rows or logs are out of order, or stand twice")
    return found


def head_of(note: bytes) -> Head:
    """The head that a note says it is, its signature not verified. Raises InvalidGossip."""
    if len(note) > ledger_limits.NOTE_BYTES_MAX:
        raise InvalidGossip(f"a note of {len(note)} bytes")
    try:
        named = Checkpoint.parse(parse_note(note).text)
    except InvalidNote as error:
        raise InvalidGossip(str(error)) from error
    return Head(log=named.ledger_id, epoch=named.epoch, size=named.size, root=named.root, note=note)


def _value(message: Message) -> list[Any]:
    match message:
        case Rumour(heads=heads, proofs=proofs):
            files = [one.data[0] for one in proofs[:PROOFS_MAX]]
            return ["rumour", [one.note for one in heads[:HEADS_MAX]], files]
        case Summary(fingerprints=fingerprints):
            return ["summary", list(fingerprints)]
        case Have(buckets=buckets, newest=newest, frozen=frozen):
            rows = [[log, *newest[log]] for log in sorted(newest)]
            return ["have", sorted(buckets), rows, sorted(frozen)]
        case Want(logs=logs):
            return ["want", list(logs)]


def _message(value: object) -> Message:
    match value:
        case ["rumour", list() as notes, list() as files]:
            if len(notes) > HEADS_MAX or len(files) > PROOFS_MAX:
                raise InvalidGossip(f"a rumour of {len(notes)} heads and {len(files)} proofs")
            heads = tuple(head_of(one) for one in _bytes(notes))
            # Of which log a file is, it says itself, to whoever verifies it.
            return Rumour(
                heads=heads, proofs=tuple(Proof(log=b"", data=(f,)) for f in _bytes(files))
            )
        case ["summary", list() as fingerprints]:
            if len(fingerprints) != BUCKETS:
                raise InvalidGossip(f"{len(fingerprints)} fingerprints, expected {BUCKETS}")
            return Summary(fingerprints=tuple(_bytes(fingerprints, _PREFIX_BYTES)))
        case ["have", list() as buckets, list() as rows, list() as frozen]:
            return Have(
                buckets=_buckets(buckets),
                newest=dict(map(_row, _few(rows))),
                frozen=frozenset(_bytes(frozen, _LOG_BYTES)),
            )
        case ["want", list() as logs]:
            return Want(logs=tuple(_bytes(logs, _LOG_BYTES)))
        case _:
            raise InvalidGossip("no message of gossip")


def _buckets(values: list[Any]) -> tuple[int, ...]:
    if any(type(one) is not int or not 0 <= one < BUCKETS for one in values):
        raise InvalidGossip(f"a bucket is a number below {BUCKETS}")
    if sorted(set(values)) != values:
        raise InvalidGossip("buckets are in order, each once")
    return tuple(values)


def _row(value: object) -> tuple[bytes, tuple[int, int, bytes]]:
    match value:
        case [bytes() as log, int() as epoch, int() as size, bytes() as start]:
            sound = len(log) == _LOG_BYTES and len(start) == _PREFIX_BYTES
            numbers = type(epoch) is int and type(size) is int and min(epoch, size) >= 0
            if sound and numbers:
                return log, (epoch, size, start)
    raise InvalidGossip("a row is a log, its epoch and size, and the start of a root")


def _bytes(values: Sequence[Any], length: int | None = None) -> list[bytes]:
    for one in _few(values):
        if type(one) is not bytes or (length is not None and len(one) != length):
            what = "bytes" if length is None else f"{length} bytes"
            raise InvalidGossip(f"an item is not {what}")
    return list(values)


def _few(values: Sequence[Any]) -> Sequence[Any]:
    if len(values) > _LOGS_MAX:
        raise InvalidGossip(f"{len(values)} items, at most {_LOGS_MAX}")
    return values
