"""Envelope, payload and content of one event (event.md)."""

import re
from dataclasses import dataclass

from tests.spec.stranger.codec import decode, demand, derive, is_bytes, is_uint

ENVELOPE_MAX, PAYLOAD_MAX, CONTENT_MAX = 16384, 65536, 1048576
TYPE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
EVENT_ID = "timmy-node 2026-11 event id v1"
PAYLOAD = "timmy-node 2026-11 payload commitment v1"
CONTENT = "timmy-node 2026-11 content commitment v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that opened: what it commits to is here, or its content is erased."""

    envelope: bytes
    type: str
    stream: bytes
    stream_sequence: int
    ts_ms: int
    causes: list[list]
    payload: dict
    has_content: bool

    @property
    def id(self) -> bytes:
        return derive(EVENT_ID, self.envelope)

    @property
    def erased(self) -> bool:
        return "content" in self.payload and not self.has_content


def _cause(cause: object) -> bool:
    if type(cause) is not list or len(cause) not in (2, 3):
        return False
    ledger_fits = len(cause) == 2 or is_bytes(cause[0], 32)
    return ledger_fits and is_uint(cause[-2]) and is_bytes(cause[-1], 32)


def parse_envelope(data: bytes) -> list:
    fields = decode(data, ENVELOPE_MAX)
    bad = "event.envelope"
    demand(type(fields) is list and len(fields) == 10, bad, "not an array of ten")
    version, type_, schema, stream, sequence, ts_ms, causes, key, commitment, length = fields
    demand(type(version) is int and version == 1, bad, "version")
    demand(type(type_) is str and len(type_) <= 64, bad, "type")
    demand(TYPE.fullmatch(type_) is not None, bad, "type")
    demand(is_uint(schema), bad, "schema")
    demand(is_bytes(stream, 16), bad, "stream")
    demand(is_uint(sequence) and is_uint(ts_ms), bad, "stream_sequence or ts_ms")
    demand(type(causes) is list and len(causes) <= 64, bad, "causes")
    demand(all(_cause(cause) for cause in causes), bad, "a cause")
    demand(key is None or is_bytes(key, 16), bad, "idempotency_key")
    demand(is_bytes(commitment, 32), bad, "payload_commitment")
    demand(is_uint(length) and length <= PAYLOAD_MAX, bad, "payload_length")
    return fields


def open_event(
    envelope: bytes, salt: bytes, payload: bytes, content_salt: bytes | None, content: bytes | None
) -> Event:
    fields = parse_envelope(envelope)
    demand(is_bytes(salt, 32), "event.salt", "salt")
    demand(len(payload) == fields[9], "event.payload", "length of the payload")
    demand(derive(PAYLOAD, salt + payload) == fields[8], "event.payload", "another payload")
    facts = decode(payload, PAYLOAD_MAX)
    demand(type(facts) is dict, "event.map", "payload is not a map")
    if content_salt is not None or content is not None:
        demand(content_salt is not None and content is not None, "event.content", "half a content")
        demand("content" in facts, "event.content", "content that nothing commits to")
        demand(is_bytes(content_salt, 32), "event.salt", "content salt")
        same = derive(CONTENT, content_salt + content) == facts["content"]
        demand(same, "event.content", "another content")
        words = decode(content, CONTENT_MAX)
        demand(type(words) is dict, "event.map", "content is not a map")
    return Event(
        envelope=envelope,
        type=fields[1],
        stream=fields[3],
        stream_sequence=fields[4],
        ts_ms=fields[5],
        causes=fields[6],
        payload=facts,
        has_content=content is not None,
    )
