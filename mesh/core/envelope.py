"""Consensus-critical: conversation envelopes, the words and tasks that agents send each other.

    {"conversation_id": hex16, "node_id": hex32, "payload": {...}, "signature": hex64}

`node_id` is the Nostr key of the agent that speaks. The signature (BIP-340, over a tagged hash) is
over conversation, node and payload, so an envelope stays its author's when a gateway hands it on to
a successor in another wrap. The payload says for whom it is (`to`), else a receiver could pass a
task on as if it were meant for anybody. It is one of a closed set:

    message   words in a conversation
    task      words that ask for something to be done, perhaps until a time; opens a conversation
    report    what became of it, or the answer to a message: outcome and words

The text is canonical: members sorted, no whitespace, each once. What does not re-encode to the same
bytes is refused, so two readers never see two envelopes in one text, and a signed one has one form.

Carried as the content of a rumor of kind CARRIER_KIND in a gift wrap. Unlike a direct message it
can be shown to others: the price of being handed on. Not covered: order and delivery; whether the
author may ask for anything is the reader's to judge.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from mesh.core import limits, signed_json
from mesh.core.errors import InvalidEnvelope
from mesh.core.nip01 import NostrSigner, is_hex32, made_safe
from mesh.core.nip59 import Rumor

CARRIER_KIND: Final = 78
"""NIP-78's kind for an application's own data; inside a wrap no relay sees it."""
TAG: Final = "timmy/envelope/v1"
_HEX16: Final = re.compile("[0-9a-f]{32}")
_HEX64: Final = re.compile("[0-9a-f]{128}")
_SECONDS_MAX: Final = limits.CREATED_AT_MAX_SECONDS


class Outcome:
    """What became of a task or message."""

    ANSWERED: Final = "answered"
    REFUSED: Final = "refused"
    FAILED: Final = "failed"


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every payload has: an id of 16 bytes in hex, the receiver's key, Unix seconds, words."""

    id: str
    sent_at: int
    text: str
    to: str

    def __post_init__(self) -> None:
        if _HEX16.fullmatch(self.id) is None:
            raise InvalidEnvelope("id is not 32 characters of lower-case hex")
        if not is_hex32(self.to):
            raise InvalidEnvelope("to is not 64 characters of lower-case hex")
        _check_seconds("sent_at", self.sent_at)
        if self.text != made_safe(self.text) or not self.text.strip():
            raise InvalidEnvelope("text is blank, or holds characters that an event may not")
        size = len(self.text.encode())
        if size > limits.ENVELOPE_TEXT_BYTES_MAX:
            bound = limits.ENVELOPE_TEXT_BYTES_MAX
            raise InvalidEnvelope(f"text of {size} bytes, at most {bound} allowed")


class Message(_Payload, frozen=True, tag="message", tag_field="type"):
    """Words in a conversation."""


class Task(_Payload, frozen=True, tag="task", tag_field="type"):
    """Words that ask for something to be done. `due_at`: of no use after it; 0 for none."""

    due_at: int = 0

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        _check_seconds("due_at", self.due_at)


class Report(_Payload, frozen=True, tag="report", tag_field="type"):
    """What became of what was asked in this conversation."""

    outcome: Literal["answered", "refused", "failed"]


Payload: TypeAlias = Message | Task | Report


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    conversation_id: str
    node_id: str
    payload: Payload
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An envelope whose signature was checked by this constructor. Raises InvalidEnvelope."""

    conversation_id: str
    node_id: str
    payload: Payload
    signature: str

    def __post_init__(self) -> None:
        if _HEX16.fullmatch(self.conversation_id) is None:
            raise InvalidEnvelope("conversation_id is not 32 characters of lower-case hex")
        if not is_hex32(self.node_id) or _HEX64.fullmatch(self.signature) is None:
            raise InvalidEnvelope("node_id or signature is not lower-case hex of its length")
        digest = signed_json.digest(TAG, self.conversation_id, self.node_id, self.payload)
        if not signed_json.holds(self.node_id, self.signature, digest):
            raise InvalidEnvelope("the signature is not that of its node")

    def to_json(self) -> str:
        """Return its one canonical text. Raises InvalidEnvelope over ENVELOPE_BYTES_MAX."""
        wire = _Wire(self.conversation_id, self.node_id, self.payload, self.signature)
        text = signed_json.canonical(wire).decode()
        _check_size(text)
        return text


def sign(
    payload: Payload, *, conversation_id: str, signer: NostrSigner, aux: bytes | None = None
) -> Envelope:
    """Put a payload into an envelope of the signer's node. Raises InvalidEnvelope.

    `aux` is BIP-340's auxiliary randomness, 32 bytes; without it the machine's is used.
    """
    if _HEX16.fullmatch(conversation_id) is None:
        raise InvalidEnvelope("conversation_id is not 32 characters of lower-case hex")
    digest = signed_json.digest(TAG, conversation_id, signer.pubkey, payload)
    envelope = Envelope(
        conversation_id=conversation_id,
        node_id=signer.pubkey,
        payload=payload,
        signature=signed_json.sign(digest, signer, aux),
    )
    envelope.to_json()
    return envelope


def parse(text: str) -> Envelope:
    """Read an envelope and check its signature. Raises InvalidEnvelope."""
    try:
        _check_size(text)
        wire = msgspec.json.decode(text, type=_Wire)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEnvelope(f"not an envelope: {error}") from error
    if signed_json.canonical(wire) != text.encode():
        raise InvalidEnvelope("not the canonical form: sorted members, each once, no whitespace")
    return Envelope(
        conversation_id=wire.conversation_id,
        node_id=wire.node_id,
        payload=wire.payload,
        signature=wire.signature,
    )


def name_of(envelope: Envelope) -> str:
    """Return what names the words of an envelope, 32 bytes in hex: author, conversation and id."""
    parts = (envelope.node_id, envelope.conversation_id, envelope.payload.id)
    return hashlib.sha256("/".join(parts).encode()).hexdigest()


def carry(envelope: Envelope, author: str, *, now: int) -> Rumor:
    """Return the message that carries an envelope to the one it is for; `author` wraps it."""
    return Rumor(
        pubkey=author,
        created_at=now,
        kind=CARRIER_KIND,
        tags=(("p", envelope.payload.to),),
        content=envelope.to_json(),
    )


def _check_size(text: str) -> None:
    """Count bytes as they stand in the rumor that carries it: a text in JSON, escaped."""
    size = len(msgspec.json.encode(text))
    if size > limits.ENVELOPE_BYTES_MAX:
        bound = limits.ENVELOPE_BYTES_MAX
        raise InvalidEnvelope(f"envelope of {size} bytes, at most {bound} allowed")


def _check_seconds(name: str, value: int) -> None:
    if not 0 <= value <= _SECONDS_MAX:
        raise InvalidEnvelope(f"{name} must be 0 to {_SECONDS_MAX}")
