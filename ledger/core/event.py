"""Consensus-critical: envelopes, payloads, content, and the commitments that bind them.

    envelope  one deterministic-CBOR array; the leaf of the tree; never changes, never leaves alone
    payload   facts (who, where, which turn); committed to by the envelope with a salt
    content   words (of people, of models); committed to by the payload with a salt of its own

Only content can be erased. Rules, keys and denials are payload, so no redaction can lift one, and
the state that replay computes does not depend on content (docs/adr/0004-payload-and-content.md).
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from ledger.core import hashing, limits
from ledger.core.codec import decode, encode, encode_flat
from ledger.core.errors import InvalidCbor, InvalidEvent
from ledger.core.types import KNOWN

VERSION: Final = 1
CONTENT_KEY: Final = "content"
"""Reserved in every payload: the commitment to the content, 32 bytes."""

_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_FIELDS: Final = 10
_ID_BYTES: Final = 32


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise InvalidEvent(message)


def _is_bytes(value: object, length: int) -> bool:
    return type(value) is bytes and len(value) == length


def _is_uint(value: object) -> bool:
    return type(value) is int and 0 <= value <= limits.INT_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """An event this one answers or builds on: of this log, or of `ledger` (32 bytes)."""

    position: int
    id: bytes
    ledger: bytes | None = None

    def __post_init__(self) -> None:
        _require(_is_uint(self.position), f"cause position {self.position!r} is not an index")
        _require(_is_bytes(self.id, _ID_BYTES), "cause id is not 32 bytes")
        _require(
            self.ledger is None or _is_bytes(self.ledger, _ID_BYTES), "cause ledger is not 32 bytes"
        )

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
            _require(value[0] is not None, "cause ledger is null")
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
        _require(CONTENT_KEY not in self.payload, f"payload key {CONTENT_KEY!r} is reserved")
        known = KNOWN.get(self.type)
        _require(
            self.content is None or known is None or known.content,
            f"{self.type} is a control type: it carries no content",
        )


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """The committed facts of one event, checked on construction."""

    type: str
    schema: int
    stream: bytes
    stream_sequence: int
    ts_ms: int
    causes: tuple[Cause, ...]
    idempotency_key: bytes | None
    payload_commitment: bytes
    payload_length: int

    def __post_init__(self) -> None:
        # Every append and every replayed event comes by here: no message is made before it is due.
        if (
            type(self.type) is not str
            or len(self.type) > limits.TYPE_CHARS_MAX
            or _TYPE.fullmatch(self.type) is None
        ):
            raise InvalidEvent(f"type {self.type!r} is not a dotted lower-case name")
        if not (
            _is_uint(self.schema)
            and _is_uint(self.stream_sequence)
            and _is_uint(self.ts_ms)
            and _is_uint(self.payload_length)
        ):
            raise InvalidEvent("schema, sequence, time or length is not a non-negative integer")
        if not _is_bytes(self.stream, limits.STREAM_BYTES):
            raise InvalidEvent("stream is not 16 bytes")
        if len(self.causes) > limits.CAUSES_MAX:
            raise InvalidEvent(f"{len(self.causes)} causes, at most {limits.CAUSES_MAX}")
        key = self.idempotency_key
        if key is not None and not _is_bytes(key, limits.IDEMPOTENCY_KEY_BYTES):
            raise InvalidEvent("idempotency key is not 16 bytes")
        if not _is_bytes(self.payload_commitment, _ID_BYTES):
            raise InvalidEvent("payload commitment is not 32 bytes")
        if self.payload_length > limits.PAYLOAD_BYTES_MAX:
            raise InvalidEvent(
                f"payload of {self.payload_length} bytes, at most {limits.PAYLOAD_BYTES_MAX}"
            )

    @cached_property
    def encoded(self) -> bytes:
        """The bytes that are hashed, stored and proven."""
        data = encode_flat(
            [
                VERSION,
                self.type,
                self.schema,
                self.stream,
                self.stream_sequence,
                self.ts_ms,
                [cause.to_value() for cause in self.causes],
                self.idempotency_key,
                self.payload_commitment,
                self.payload_length,
            ]
        )
        if len(data) > limits.ENVELOPE_BYTES_MAX:
            raise InvalidEvent(
                f"envelope of {len(data)} bytes, at most {limits.ENVELOPE_BYTES_MAX}"
            )
        return data

    @cached_property
    def id(self) -> bytes:
        """The event id: BLAKE3 derive_key of the encoded envelope."""
        return hashing.digest(hashing.EVENT_ID, self.encoded)

    @classmethod
    def parse(cls, data: bytes) -> "Envelope":
        """Return the envelope whose one encoding is `data`. Raises InvalidEvent."""
        try:
            value = decode(data, bytes_max=limits.ENVELOPE_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidEvent(f"envelope: {error}") from error
        _require(isinstance(value, list), "envelope is not an array")
        _require(len(value) == _FIELDS, f"envelope has {len(value)} fields, expected {_FIELDS}")
        # True == 1 in Python: `true` would pass, and one id would have two leaves
        _require(
            type(value[0]) is int and value[0] == VERSION,
            f"envelope version {value[0]!r}, expected {VERSION}",
        )
        _require(isinstance(value[6], list), "causes is not an array")
        return cls(
            type=value[1],
            schema=value[2],
            stream=value[3],
            stream_sequence=value[4],
            ts_ms=value[5],
            causes=tuple(Cause.from_value(item) for item in value[6]),
            idempotency_key=value[7],
            payload_commitment=value[8],
            payload_length=value[9],
        )


def payload_commitment(salt: bytes, payload: bytes) -> bytes:
    """Bind payload bytes with a 32-byte salt."""
    return hashing.digest(hashing.PAYLOAD, salt, payload)


def content_commitment(salt: bytes, content: bytes) -> bytes:
    """Bind content bytes with a 32-byte salt of their own."""
    return hashing.digest(hashing.CONTENT, salt, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is stored of one event: the envelope's bytes and, beside it, what it commits to.

    `content` and `content_salt` are None for an event without content and for a redacted one;
    the payload tells which.
    """

    position: int
    envelope: bytes
    salt: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    content_salt: bytes | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A record whose every commitment holds: `Event.open` checked it, or `seal` just made it."""

    position: int
    envelope: Envelope
    payload: dict[str, Any]
    content: dict[str, Any] | None
    record: Record = field(repr=False)

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
        return self.has_content and self.content is None

    @property
    def cause(self) -> Cause:
        """This event as a cause of a later one in the same log."""
        return Cause(position=self.position, id=self.id)

    @classmethod
    def open(cls, record: Record) -> "Event":
        """Check every commitment of `record` and return the event. Raises InvalidEvent."""
        envelope = Envelope.parse(record.envelope)
        _require(len(record.salt) == limits.SALT_BYTES, "salt is not 32 bytes")
        _require(
            envelope.payload_length == len(record.payload)
            and envelope.payload_commitment == payload_commitment(record.salt, record.payload),
            "payload does not match the envelope's commitment",
        )
        payload = _parse_map(record.payload, limits.PAYLOAD_BYTES_MAX, "payload")
        return cls(
            position=record.position,
            envelope=envelope,
            payload=payload,
            content=_open_content(record, payload),
            record=record,
        )


def _parse_map(data: bytes, bytes_max: int, name: str) -> dict[str, Any]:
    try:
        value = decode(data, bytes_max=bytes_max)
    except InvalidCbor as error:
        raise InvalidEvent(f"{name}: {error}") from error
    if not isinstance(value, dict):
        raise InvalidEvent(f"{name} is not a map")
    return value


def _open_content(record: Record, payload: dict[str, Any]) -> dict[str, Any] | None:
    commitment = payload.get(CONTENT_KEY)
    if record.content is None or record.content_salt is None:
        _require(record.content is record.content_salt, "content and its salt go together")
        return None
    _require(commitment is not None, "content without a commitment in the payload")
    _require(len(record.content_salt) == limits.SALT_BYTES, "content salt is not 32 bytes")
    _require(
        content_commitment(record.content_salt, record.content) == commitment,
        "content does not match the payload's commitment",
    )
    return _parse_map(record.content, limits.CONTENT_BYTES_MAX, "content")


def seal(draft: Draft, *, position: int, stream_sequence: int, ts_ms: int, salts: bytes) -> Event:
    """Make the event of `draft` at `position`. `salts` is 64 random bytes.

    Raises InvalidEvent or InvalidCbor and changes nothing if the draft breaks a bound.
    """
    payload, content, content_salt = dict(draft.payload), None, None
    if draft.content is not None:
        content_salt = salts[limits.SALT_BYTES :]
        content = encode(draft.content)
        _require(
            len(content) <= limits.CONTENT_BYTES_MAX,
            f"content of {len(content)} bytes, at most {limits.CONTENT_BYTES_MAX}",
        )
        payload[CONTENT_KEY] = content_commitment(content_salt, content)
    salt, body = salts[: limits.SALT_BYTES], encode(payload)
    envelope = Envelope(
        type=draft.type,
        schema=draft.schema,
        stream=draft.stream,
        stream_sequence=stream_sequence,
        ts_ms=ts_ms,
        causes=draft.causes,
        idempotency_key=draft.idempotency_key,
        payload_commitment=payload_commitment(salt, body),
        payload_length=len(body),
    )
    record = Record(
        position=position,
        envelope=envelope.encoded,
        salt=salt,
        payload=body,
        content_salt=content_salt,
        content=content,
    )
    return Event(
        position=position, envelope=envelope, payload=payload, content=draft.content, record=record
    )


def same_body(event: Event, draft: Draft) -> bool:
    """Tell whether `draft` asks for what `event` already is: everything but salts and time.

    Erased content is not compared: what is gone cannot tell two requests apart.
    """
    facts = {key: value for key, value in event.payload.items() if key != CONTENT_KEY}
    envelope = event.envelope
    return (
        (envelope.type, envelope.schema, envelope.stream, envelope.causes, facts)
        == (draft.type, draft.schema, draft.stream, draft.causes, draft.payload)
        and event.has_content == (draft.content is not None)
        and (event.redacted or event.content == draft.content)
    )
