"""Consensus-critical: envelopes, payloads, content, and the commitments that bind them.

    envelope  one deterministic-CBOR array; the leaf of the tree; never changes, never leaves alone
    payload   facts (who, where, which turn); committed to by the envelope with a salt
    content   words (of people, of models); committed to by the payload with a salt of its own

Only content can be erased. Rules, keys and denials are payload, so no redaction can lift one, and
the state that replay computes does not depend on content (docs/adr/0004-payload-and-content.md).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple, TypeVar

from ledger.core import hashing, limits
from ledger.core.codec import decode, decode_loosely, encode, encode_uint
from ledger.core.errors import InvalidCbor, InvalidEvent
from ledger.core.types import KNOWN

VERSION: Final = 1
CONTENT_KEY: Final = "content"
"""Reserved in every payload: the commitment to the content, 32 bytes."""

_Made = TypeVar("_Made")
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
    """The first bytes of an envelope: the array's head, version, type and schema."""
    return encode([VERSION, kind, schema, *[None] * (_FIELDS - 3)])[: -(_FIELDS - 3)]


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
        if type(self.type) is not str or not _is_type(self.type):
            raise InvalidEvent(f"type {self.type!r} is not a dotted lower-case name")
        for value in (self.schema, self.stream_sequence, self.ts_ms, self.payload_length):
            if type(value) is not int or not 0 <= value <= limits.INT_MAX:
                raise InvalidEvent(f"{value!r} is not a schema, sequence, time or length")
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
        return self._encode()

    def _encode(self) -> bytes:
        """The array, written item by item: cbor2 takes four times as long over ten small ones."""
        key = self.idempotency_key
        causes = [cause.to_value() for cause in self.causes]
        data = b"".join(
            (
                _opening(self.type, self.schema),
                _BYTES_16,
                self.stream,
                encode_uint(self.stream_sequence),
                encode_uint(self.ts_ms),
                encode(causes) if causes else _EMPTY_ARRAY,
                _NULL if key is None else _BYTES_16 + key,
                _BYTES_32,
                self.payload_commitment,
                encode_uint(self.payload_length),
            )
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
        envelope = cls.parse_again(data)
        if envelope._encode() != data:  # noqa: SLF001 - computed, not what was remembered
            raise InvalidEvent("envelope: not the deterministic encoding of its value")
        return envelope

    @classmethod
    def parse_again(cls, data: bytes) -> "Envelope":
        """Return the envelope of bytes that `parse` took before. Raises InvalidEvent.

        Every field is checked, that the encoding is the one of its value is not: only for bytes
        whose leaf hash leads to a root that is known.
        """
        try:
            value = decode_loosely(data, bytes_max=limits.ENVELOPE_BYTES_MAX)
        except InvalidCbor as error:
            raise InvalidEvent(f"envelope: {error}") from error
        if type(value) is not list or len(value) != _FIELDS:
            raise InvalidEvent(f"envelope is not an array of {_FIELDS} fields")
        # True == 1 in Python: `true` would pass, and one id would have two leaves
        if type(value[0]) is not int or value[0] != VERSION:
            raise InvalidEvent(f"envelope version {value[0]!r}, expected {VERSION}")
        if type(value[6]) is not list:
            raise InvalidEvent("causes is not an array")
        fields = {
            "type": value[1],
            "schema": value[2],
            "stream": value[3],
            "stream_sequence": value[4],
            "ts_ms": value[5],
            "causes": tuple([Cause.from_value(item) for item in value[6]]) if value[6] else (),
            "idempotency_key": value[7],
            "payload_commitment": value[8],
            "payload_length": value[9],
        }
        envelope = _filled(cls, fields)
        envelope.__post_init__()
        vars(envelope)["encoded"] = data
        return envelope


def _filled(cls: type[_Made], values: dict[str, Any]) -> _Made:
    """Make a frozen value of its fields, unchecked: the generated __init__ takes three times as
    long, and every event ever appended or replayed pays for it.
    """
    made = object.__new__(cls)
    vars(made).update(values)
    return made


def payload_commitment(salt: bytes, payload: bytes) -> bytes:
    """Bind payload bytes with a 32-byte salt."""
    return hashing.digest(hashing.PAYLOAD, salt, payload)


def content_commitment(salt: bytes, content: bytes) -> bytes:
    """Bind content bytes with a 32-byte salt of their own."""
    return hashing.digest(hashing.CONTENT, salt, content)


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


@dataclass(frozen=True, kw_only=True)
class Event:
    """A record whose every commitment holds: `Event.open` checked it, or `seal` just made it."""

    position: int
    envelope: Envelope
    payload: dict[str, Any]
    record: Record = field(repr=False)

    @cached_property
    def content(self) -> dict[str, Any] | None:
        """The words, or None if there never were any or they are erased.

        Committed to, and therefore what was written; decoded when first asked for, because no
        replay does. Raises InvalidEvent if what was written is no map of the profile: nothing
        that `seal` made or `Audit` let in.
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
        return self.has_content and self.content is None

    @property
    def cause(self) -> Cause:
        """This event as a cause of a later one in the same log."""
        return Cause(position=self.position, id=self.id)

    @classmethod
    def open(cls, record: Record) -> "Event":
        """Check every commitment of `record` and return the event. Raises InvalidEvent."""
        return cls._opened(record, Envelope.parse(record.envelope), decode)

    @classmethod
    def open_again(cls, record: Record) -> "Event":
        """Open a record that `open` or `seal` let in before: see `Envelope.parse_again`.

        Every commitment is checked. What is not, the one encoding of envelope and payload, follows
        from the tree's root when the caller compares that.
        """
        return cls._opened(record, Envelope.parse_again(record.envelope), decode_loosely)

    @classmethod
    def _opened(cls, record: Record, envelope: Envelope, decoder: Callable[..., Any]) -> "Event":
        if len(record.salt) != limits.SALT_BYTES:
            raise InvalidEvent("salt is not 32 bytes")
        if (
            envelope.payload_length != len(record.payload)
            or payload_commitment(record.salt, record.payload) != envelope.payload_commitment
        ):
            raise InvalidEvent("payload does not match the envelope's commitment")
        payload = _parse_map(record.payload, limits.PAYLOAD_BYTES_MAX, "payload", decoder)
        _check_content(record, payload)
        facts = {
            "position": record.position,
            "envelope": envelope,
            "payload": payload,
            "record": record,
        }
        return _filled(cls, facts)


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
    commitment = payload.get(CONTENT_KEY)
    if record.content is None or record.content_salt is None:
        if record.content is not record.content_salt:
            raise InvalidEvent("content and its salt go together")
        return
    if commitment is None:
        raise InvalidEvent("content without a commitment in the payload")
    if len(record.content_salt) != limits.SALT_BYTES:
        raise InvalidEvent("content salt is not 32 bytes")
    if content_commitment(record.content_salt, record.content) != commitment:
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
    envelope = _filled(
        Envelope,
        {
            "type": draft.type,
            "schema": draft.schema,
            "stream": draft.stream,
            "stream_sequence": stream_sequence,
            "ts_ms": ts_ms,
            "causes": draft.causes,
            "idempotency_key": draft.idempotency_key,
            "payload_commitment": payload_commitment(salt, body),
            "payload_length": len(body),
        },
    )
    envelope.__post_init__()
    encoded = vars(envelope)["encoded"] = envelope._encode()  # noqa: SLF001 - our own module
    record = Record(position, encoded, salt, body, content_salt, content)
    return _filled(
        Event,
        {
            "position": position,
            "envelope": envelope,
            "payload": payload,
            "record": record,
            "content": draft.content,
        },
    )


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
