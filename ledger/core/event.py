"""Consensus-critical: envelopes, payloads, content, and the commitments that bind them.

    envelope  one deterministic-CBOR array; the leaf of the tree; never changes, never leaves alone
    payload   facts (who, where, which turn); committed to by the envelope with a salt
    content   words (of people, of models); committed to by the payload with a salt of its own

Only content can be erased. Rules, keys and denials are payload, so no redaction can lift one, and
the state that replay computes does not depend on content (docs/adr/0004-payload-and-content.md).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from ledger.core import hashing, limits
from ledger.core.codec import decode, decode_loosely, decode_together, encode, encode_uint
from ledger.core.errors import InvalidCbor, InvalidEvent
from ledger.core.hashing import keyed
from ledger.core.types import KNOWN

VERSION: Final = 1
CONTENT_KEY: Final = "content"
"""Reserved in every payload: the commitment to the content, 32 bytes."""

_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_FIELDS: Final = 10
_ID_BYTES: Final = 32


def _is_bytes(value: object, length: int) -> bool:
    return type(value) is bytes and len(value) == length


@lru_cache(maxsize=1024)
def _is_type(name: str) -> bool:
    """A log has a few dozen types and writes each a million times."""
    return len(name) <= limits.TYPE_CHARS_MAX and _TYPE.fullmatch(name) is not None


def _is_uint(value: object) -> bool:
    return type(value) is int and 0 <= value <= limits.INT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """An event this one answers or builds on: of this log, or of `ledger` (32 bytes)."""

    position: int
    id: bytes
    ledger: bytes | None = None

    def __post_init__(self) -> None:
        if not _is_uint(self.position):
            raise InvalidEvent(f"cause position {self.position!r} is not an index")
        if not _is_bytes(self.id, _ID_BYTES):
            raise InvalidEvent("cause id is not 32 bytes")
        if self.ledger is not None and not _is_bytes(self.ledger, _ID_BYTES):
            raise InvalidEvent("cause ledger is not 32 bytes")

    def to_value(self) -> list[Any]:
        """[position, id] or [ledger, position, id]."""
        local: list[Any] = [self.position, self.id]
        return local if self.ledger is None else [self.ledger, *local]

    @classmethod
    def from_value(cls, value: object) -> "Cause":
        """Parse what `to_value` gives."""
        if isinstance(value, list) and len(value) == 2:
            return cls(position=value[0], id=value[1])
        if isinstance(value, list) and len(value) == 3:
            if value[0] is None:
                raise InvalidEvent("cause ledger is null")
            return cls(ledger=value[0], position=value[1], id=value[2])
        raise InvalidEvent("cause is neither [position, id] nor [ledger, position, id]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event somebody wants appended. Position, time, salts and ids are the log's to give."""

    type: str
    stream: bytes
    payload: dict[str, Any]
    content: dict[str, Any] | None = None
    causes: tuple[Cause, ...] = ()
    idempotency_key: bytes | None = None
    schema: int = 1

    def __post_init__(self) -> None:
        if CONTENT_KEY in self.payload:
            raise InvalidEvent(f"payload key {CONTENT_KEY!r} is reserved")
        if self.content is not None:
            known = KNOWN.get(self.type)
            if known is not None and not known.content:
                raise InvalidEvent(f"{self.type} is a control type: it carries no content")


_BYTES_16: Final = b"\x50"
_BYTES_32: Final = b"\x58\x20"
_EMPTY_ARRAY: Final = b"\x80"
_NULL: Final = b"\xf6"


@lru_cache(maxsize=1024)
def _opening(kind: str, schema: int) -> bytes:
    """The first bytes of an envelope: array head, version, type, schema and the stream's head."""
    fields = encode([VERSION, kind, schema, *[None] * (_FIELDS - 3)])
    return fields[: -(_FIELDS - 3)] + _BYTES_16


class Envelope(NamedTuple):
    """The committed facts of one event: `of`, `parse` and `seal` make it, every field checked.

    A tuple, because every event ever appended or replayed makes one.
    """

    type: str
    schema: int
    stream: bytes
    stream_sequence: int
    ts_ms: int
    causes: tuple[Cause, ...]
    idempotency_key: bytes | None
    payload_commitment: bytes
    payload_length: int
    encoded: bytes
    """The bytes that are hashed, stored and proven: the encoding of the other fields."""

    @classmethod
    def of(
        cls,
        *,
        kind: str,
        schema: int,
        stream: bytes,
        stream_sequence: int,
        ts_ms: int,
        causes: tuple[Cause, ...],
        idempotency_key: bytes | None,
        payload_commitment: bytes,
        payload_length: int,
    ) -> "Envelope":
        """Check the fields and encode them. Raises InvalidEvent."""
        place = (kind, schema, stream, stream_sequence, ts_ms, causes, idempotency_key)
        return _sealed((*place, payload_commitment, payload_length))

    @property
    def id(self) -> bytes:
        """The event id: BLAKE3 derive_key of the encoded envelope."""
        return hashing.digest(hashing.EVENT_ID, self.encoded)

    @staticmethod
    def parse(data: bytes) -> "Envelope":
        """Return the envelope whose one encoding is `data`. Raises InvalidEvent."""
        envelope = _check_array(_decode_array(data), data)
        if _encode_fields(envelope[:-1]) != data:
            raise InvalidEvent("envelope: not the deterministic encoding of its value")
        return envelope

    @staticmethod
    def parse_again(data: bytes) -> "Envelope":
        """Return the envelope of bytes that `parse` took before. Raises InvalidEvent.

        Every field is checked, that the encoding is the one of its value is not: only for bytes
        whose leaf hash leads to a root that is known.
        """
        return _check_array(_decode_array(data), data)


_Fields: TypeAlias = tuple[
    str, int, bytes, int, int, tuple[Cause, ...], bytes | None, bytes, int
]  # fmt: skip
"""Those of an envelope, without its encoding."""
_new: Final = tuple.__new__
"""The constructors of named tuples are functions in Python around this."""


def _sealed(fields: _Fields) -> Envelope:
    """Check and encode the fields of an envelope that is new."""
    _check_fields(*fields)
    return _new(Envelope, (*fields, _encode_fields(fields)))


def _check_fields(
    kind: str,
    schema: int,
    stream: bytes,
    sequence: int,
    ts_ms: int,
    causes: tuple[Cause, ...],
    key: bytes | None,
    commitment: bytes,
    length: int,
) -> None:
    """Raise InvalidEvent. Every event comes by here: no message is made before it is due."""
    if type(kind) is not str or not _is_type(kind):
        raise InvalidEvent(f"type {kind!r} is not a dotted lower-case name")
    for value in (schema, sequence, ts_ms, length):
        if type(value) is not int or not 0 <= value <= limits.INT_MAX:
            raise InvalidEvent(f"{value!r} is not a schema, sequence, time or length")
    if type(stream) is not bytes or len(stream) != limits.STREAM_BYTES:
        raise InvalidEvent("stream is not 16 bytes")
    if len(causes) > limits.CAUSES_MAX:
        raise InvalidEvent(f"{len(causes)} causes, at most {limits.CAUSES_MAX}")
    if key is not None and not _is_bytes(key, limits.IDEMPOTENCY_KEY_BYTES):
        raise InvalidEvent("idempotency key is not 16 bytes")
    if type(commitment) is not bytes or len(commitment) != _ID_BYTES:
        raise InvalidEvent("payload commitment is not 32 bytes")
    if length > limits.PAYLOAD_BYTES_MAX:
        raise InvalidEvent(f"payload of {length} bytes, at most {limits.PAYLOAD_BYTES_MAX}")


def _encode_fields(fields: _Fields) -> bytes:
    """The array, written item by item: its shape is fixed."""
    kind, schema, stream, sequence, ts_ms, causes, key, commitment, length = fields
    data = b"".join(
        (
            _opening(kind, schema),
            stream,
            encode_uint(sequence),
            encode_uint(ts_ms),
            encode([cause.to_value() for cause in causes]) if causes else _EMPTY_ARRAY,
            _NULL if key is None else _BYTES_16 + key,
            _BYTES_32,
            commitment,
            encode_uint(length),
        )
    )
    if len(data) > limits.ENVELOPE_BYTES_MAX:
        raise InvalidEvent(f"envelope of {len(data)} bytes, at most {limits.ENVELOPE_BYTES_MAX}")
    return data


def _decode_array(data: bytes) -> Any:
    try:
        return decode_loosely(data, bytes_max=limits.ENVELOPE_BYTES_MAX)
    except InvalidCbor as error:
        raise InvalidEvent(f"envelope: {error}") from error


def _check_array(value: Any, data: bytes) -> Envelope:
    """Return the envelope of a decoded value and its bytes. Raises InvalidEvent."""
    if type(value) is not list or len(value) != _FIELDS:
        raise InvalidEvent(f"envelope is not an array of {_FIELDS} fields")
    version, kind, schema, stream, sequence, ts_ms, named, key, commitment, length = value
    # True == 1 in Python: `true` would pass, and one id would have two leaves
    if type(version) is not int or version != VERSION:
        raise InvalidEvent(f"envelope version {version!r}, expected {VERSION}")
    if type(named) is not list:
        raise InvalidEvent("causes is not an array")
    causes = tuple([Cause.from_value(item) for item in named]) if named else ()
    _check_fields(kind, schema, stream, sequence, ts_ms, causes, key, commitment, length)
    fields = (kind, schema, stream, sequence, ts_ms, causes, key, commitment, length, data)
    return _new(Envelope, fields)


def payload_commitment(salt: bytes, payload: bytes) -> bytes:
    """Bind payload bytes with a 32-byte salt."""
    return keyed(hashing.PAYLOAD).copy().update(salt + payload).digest()


def content_commitment(salt: bytes, content: bytes) -> bytes:
    """Bind content bytes with a 32-byte salt of their own."""
    return keyed(hashing.CONTENT).copy().update(salt + content).digest()


class Record(NamedTuple):
    """What is stored of one event: the envelope's bytes and, beside it, what it commits to.

    `content` and `content_salt` are None for an event without content and for a redacted one;
    the payload tells which. A tuple, so that a row of the store is one.
    """

    position: int
    envelope: bytes
    salt: bytes
    payload: bytes
    content_salt: bytes | None = None
    content: bytes | None = None

    def __repr__(self) -> str:
        """Words and salts stay out of logs and tracebacks."""
        return f"Record(position={self.position}, envelope={self.envelope.hex()})"


class _EventFields(NamedTuple):
    position: int
    envelope: Envelope
    payload: dict[str, Any]
    record: Record


class Event(_EventFields):
    """A record whose every commitment holds: `Event.open` checked it, or `seal` just made it.

    A tuple, as an envelope is. Content is decoded when it is first asked for: no replay does.
    """

    def __repr__(self) -> str:
        """As its record: words stay out of logs and tracebacks."""
        return f"Event(position={self.position}, type={self.type!r}, payload={self.payload!r})"

    @cached_property
    def content(self) -> dict[str, Any] | None:
        """The words, or None if there never were any or they are erased.

        Committed to, and therefore what was written. Raises InvalidEvent if what was written is no
        map of the profile: nothing that `seal` made or `Audit` let in.
        """
        if self.record.content is None:
            return None
        return _parse_map(self.record.content, limits.CONTENT_BYTES_MAX, "content")

    @property
    def id(self) -> bytes:
        """32-byte event id."""
        return self.envelope.id

    @property
    def type(self) -> str:
        """Dotted type name."""
        return self.envelope.type

    @property
    def stream(self) -> bytes:
        """16-byte stream id."""
        return self.envelope.stream

    @property
    def ts_ms(self) -> int:
        """The log's clock at appending, Unix milliseconds."""
        return self.envelope.ts_ms

    @property
    def has_content(self) -> bool:
        """Whether this event was written with content, present or erased."""
        return CONTENT_KEY in self.payload

    @property
    def redacted(self) -> bool:
        """Whether content was written and is gone."""
        return self.record.content is None and self.has_content

    @property
    def cause(self) -> Cause:
        """This event as a cause of a later one in the same log."""
        return Cause(position=self.position, id=self.id)

    @classmethod
    def open(cls, record: Record) -> "Event":
        """Check every commitment of `record` and return the event. Raises InvalidEvent."""
        return _open(record, Envelope.parse(record.envelope), decode)

    @classmethod
    def open_again(cls, record: Record) -> "Event":
        """Open a record that `open` or `seal` let in before: see `Envelope.parse_again`.

        Every commitment is checked. What is not, the one encoding of envelope and payload, follows
        from the tree's root when the caller compares that.
        """
        return _open(record, Envelope.parse_again(record.envelope), decode_loosely)

    @classmethod
    def open_together(cls, records: Sequence[Record]) -> "list[Event]":
        """`open_again` of many records, in two thirds of the time.

        Raises InvalidEvent or InvalidCbor without saying at which: ask `open_again` then. Where one
        envelope (or payload) ends and the next begins follows from the tree's root, too.
        """
        arrays = decode_together(
            [record.envelope for record in records], bytes_max=limits.ENVELOPE_BYTES_MAX
        )
        payloads = decode_together(
            [record.payload for record in records], bytes_max=limits.PAYLOAD_BYTES_MAX
        )
        events = []
        for record, array, payload in zip(records, arrays, payloads, strict=True):
            envelope = _check_array(array, record.envelope)
            _check_payload(record, envelope)
            if type(payload) is not dict:
                raise InvalidEvent("payload is not a map")
            _check_content(record, payload)
            events.append(_new(cls, (record.position, envelope, payload, record)))
        return events


def _open(record: Record, envelope: Envelope, decoder: Callable[..., Any]) -> Event:
    _check_payload(record, envelope)
    payload = _parse_map(record.payload, limits.PAYLOAD_BYTES_MAX, "payload", decoder)
    _check_content(record, payload)
    return _new(Event, (record.position, envelope, payload, record))


def _check_payload(record: Record, envelope: Envelope) -> None:
    salt, payload = record.salt, record.payload
    if len(salt) != limits.SALT_BYTES:
        raise InvalidEvent("salt is not 32 bytes")
    if (
        envelope.payload_length != len(payload)
        or payload_commitment(salt, payload) != envelope.payload_commitment
    ):
        raise InvalidEvent("payload does not match the envelope's commitment")


def _parse_map(
    data: bytes, bytes_max: int, name: str, decoder: Callable[..., Any] = decode
) -> dict[str, Any]:
    try:
        value = decoder(data, bytes_max=bytes_max)
    except InvalidCbor as error:
        raise InvalidEvent(f"{name}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidEvent(f"{name} is not a map")
    return value


def _check_content(record: Record, payload: dict[str, Any]) -> None:
    salt, content = record.content_salt, record.content
    if content is None or salt is None:
        if content is not salt:
            raise InvalidEvent("content and its salt go together")
        return
    commitment = payload.get(CONTENT_KEY)
    if commitment is None:
        raise InvalidEvent("content without a commitment in the payload")
    if len(salt) != limits.SALT_BYTES:
        raise InvalidEvent("content salt is not 32 bytes")
    if content_commitment(salt, content) != commitment:
        raise InvalidEvent("content does not match the payload's commitment")


def seal(draft: Draft, *, position: int, stream_sequence: int, ts_ms: int, salts: bytes) -> Event:
    """Make the event of `draft` at `position`. `salts` is 64 random bytes.

    Raises InvalidEvent or InvalidCbor and changes nothing if the draft breaks a bound.
    """
    payload, content, content_salt = dict(draft.payload), None, None
    if draft.content is not None:
        content_salt = salts[limits.SALT_BYTES :]
        content = encode(draft.content)
        if len(content) > limits.CONTENT_BYTES_MAX:
            raise InvalidEvent(
                f"content of {len(content)} bytes, at most {limits.CONTENT_BYTES_MAX}"
            )
        payload[CONTENT_KEY] = content_commitment(content_salt, content)
    salt, body = salts[: limits.SALT_BYTES], encode(payload)
    causes, key, commitment = draft.causes, draft.idempotency_key, payload_commitment(salt, body)
    place = (draft.type, draft.schema, draft.stream, stream_sequence, ts_ms, causes, key)
    envelope = _sealed((*place, commitment, len(body)))
    record = Record(position, envelope.encoded, salt, body, content_salt, content)
    return _new(Event, (position, envelope, payload, record))


def same_body(event: Event, draft: Draft) -> bool:
    """Tell whether `draft` asks for what `event` already is: everything but salts and time.

    Compared as they are encoded: in Python 1, True and 1.0 are equal. Erased content is not
    compared: what is gone cannot tell two requests apart.
    """
    facts = {key: value for key, value in event.payload.items() if key != CONTENT_KEY}
    found = event.envelope
    if event.has_content != (draft.content is not None):
        return False
    erased = event.redacted or draft.content is None
    if not erased and encode(draft.content) != event.record.content:
        return False
    return _body(found.type, found.schema, found.stream, found.causes, facts) == _body(
        draft.type, draft.schema, draft.stream, draft.causes, draft.payload
    )


def _body(
    kind: str, schema: int, stream: bytes, causes: tuple[Cause, ...], facts: dict[str, Any]
) -> bytes:
    return encode([kind, schema, stream, [cause.to_value() for cause in causes], facts])
