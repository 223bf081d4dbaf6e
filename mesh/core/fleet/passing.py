"""Consensus-critical: what a gateway and the home of a conversation send each other.

    {"conversation_id": hex16, "node_id": hex32, "payload": {...}, "signature": hex64}

The seed's envelope (as in `mesh.core.envelope`, which is for strangers): canonical JSON, members
sorted, each once, no whitespace; `node_id` is the Nostr key of the member that speaks; the
signature (BIP-340, over a tagged hash) covers conversation, node and payload. `conversation_id`
names the conversation within its fleet, so no word of one is good in another fleet. The payload,
`type` first among equals, is one of a closed set.

    words       the gateway to a home: here is a message, answer it
    settled     the gateway to a member it asked before: another one's answer was delivered
    answer      the home: this is my answer, at that place of my ledger
    waiting     the home: I have it in my ledger, ask me again
    elsewhere   a member: I am not its home, as far as I know; that one is
    withdrawn   a member: I have no answer, and shall give none
    failed      the home: its turn ended without one

A message has one name in the whole fleet, `id`: the id of the event with which its gateway took it
in. So it is taken once however often it is sent; an envelope that is sent again does nothing new.
Every payload says for whom it is (`to`) and when it was said.

Not covered: who is a member and what its roles are (the manifest's); secrecy, which is that of the
connection; order.
"""

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from ledger.core import hashing
from mesh.core import signed_json
from mesh.core.errors import InvalidEnvelope
from mesh.core.limits import CREATED_AT_MAX_SECONDS
from mesh.core.nip01 import NostrSigner

TAG: Final = "timmy/passing/v1"
CONVERSATION: Final = "timmy-node 2026-11 conversation of a fleet v1"
BYTES_MAX: Final = 4_000_000
"""A message of a mebibyte, written as JSON: four times what most texts take, below what the API
takes in one request."""
TEXT_BYTES_MAX: Final = 1024 * 1024
NAME_CHARS_MAX: Final = 256
"""Of conversations and people: more than a gateway lets in."""
SKEW_SECONDS_MAX: Final = 3600
"""Clocks of a fleet differ by no more; what is older is a copy that somebody kept."""
_HEX: Final = {size: re.compile(f"[0-9a-f]{{{2 * size}}}") for size in (16, 32, 64)}


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every payload has: the message's id, Unix seconds, the receiver's ledger id."""

    id: str
    sent_at: int
    to: str

    def __post_init__(self) -> None:
        _check_hex(32, id=self.id, to=self.to)
        _check_number("sent_at", self.sent_at)


class Words(_Payload, frozen=True, tag="words", tag_field="type"):
    """A message. `ledger` and `position`: where the gateway keeps it, since `taken_at`; `known`:
    how many events of that ledger the home should have seen before it answers; `watched`: somebody
    would see the answer grow.
    """

    author: str
    conversation: str
    known: int
    ledger: str
    position: int
    taken_at: int
    text: str
    watched: bool

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        _check_hex(32, ledger=self.ledger)
        _check_number("taken_at", self.taken_at)
        _check_number("known", self.known)
        _check_number("position", self.position)
        _check_text(self.text)
        for name, value in (("author", self.author), ("conversation", self.conversation)):
            if not 1 <= len(value) <= NAME_CHARS_MAX or not value.isprintable():
                raise InvalidEnvelope(f"{name} of {len(value)}, 1 to {NAME_CHARS_MAX} printable")


class Settled(_Payload, frozen=True, tag="settled", tag_field="type"):
    """The person has an answer: of the member `by`."""

    by: str

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        _check_hex(32, by=self.by)


class Answer(_Payload, frozen=True, tag="answer", tag_field="type"):
    """An answer: event `event` at `position` of `ledger`, whose newest head is of `size` events and
    has `root`. A size not above the position: the head that covers it is yet to be signed.
    """

    event: str
    ledger: str
    position: int
    root: str
    size: int
    text: str

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        _check_hex(32, event=self.event, ledger=self.ledger, root=self.root)
        _check_number("position", self.position)
        _check_number("size", self.size)
        _check_text(self.text)


class Waiting(_Payload, frozen=True, tag="waiting", tag_field="type"):
    """It is not answered yet. `draft`: what may be shown of an answer that grows, all of it."""

    draft: str

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        size = len(self.draft.encode())
        if size > TEXT_BYTES_MAX:
            raise InvalidEnvelope(f"draft of {size} bytes, at most {TEXT_BYTES_MAX}")


class Elsewhere(_Payload, frozen=True, tag="elsewhere", tag_field="type"):
    """The member `home` answers it."""

    home: str

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        _check_hex(32, home=self.home)


class Withdrawn(_Payload, frozen=True, tag="withdrawn", tag_field="type"):
    """There is no answer here, and there will be none."""


class Failed(_Payload, frozen=True, tag="failed", tag_field="type"):
    """The turn ended without an answer. `reason` is a short word."""

    reason: str

    def __post_init__(self) -> None:
        _Payload.__post_init__(self)
        if not 1 <= len(self.reason) <= NAME_CHARS_MAX or not self.reason.isprintable():
            raise InvalidEnvelope(f"reason of {len(self.reason)}, 1 to {NAME_CHARS_MAX} printable")


Request: TypeAlias = Words | Settled
Reply: TypeAlias = Answer | Waiting | Elsewhere | Withdrawn | Failed
Payload: TypeAlias = Request | Reply


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    conversation_id: str
    node_id: str
    payload: Payload
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """An envelope whose signature was checked by this constructor. Raises InvalidEnvelope."""

    conversation_id: str
    node_id: str
    payload: Payload
    signature: str

    def __post_init__(self) -> None:
        _check_hex(16, conversation_id=self.conversation_id)
        _check_hex(32, node_id=self.node_id)
        _check_hex(64, signature=self.signature)
        digest = signed_json.digest(TAG, self.conversation_id, self.node_id, self.payload)
        if not signed_json.holds(self.node_id, self.signature, digest):
            raise InvalidEnvelope("the signature is not that of its node")

    @property
    def node(self) -> bytes:
        """The Nostr key that signed it."""
        return bytes.fromhex(self.node_id)

    def encode(self) -> bytes:
        """Its one canonical form. Raises InvalidEnvelope over BYTES_MAX."""
        wire = _Wire(self.conversation_id, self.node_id, self.payload, self.signature)
        data = signed_json.canonical(wire)
        _check_size(data)
        return data


def conversation_id(fleet: bytes, conversation: str) -> str:
    """Return what names a conversation of a fleet on the wire: 16 bytes in hex."""
    return hashing.xof(CONVERSATION, 16, fleet, conversation.encode()).hex()


def sign(
    payload: Payload, *, conversation: str, signer: NostrSigner, aux: bytes | None = None
) -> Passed:
    """Put a payload into the signer's envelope; `conversation` is its id. Raises InvalidEnvelope.

    `aux` is BIP-340's auxiliary randomness, 32 bytes; without it the machine's is used.
    """
    _check_hex(16, conversation_id=conversation)
    digest = signed_json.digest(TAG, conversation, signer.pubkey, payload)
    return Passed(
        conversation_id=conversation,
        node_id=signer.pubkey,
        payload=payload,
        signature=signed_json.sign(digest, signer, aux),
    )


def parse(data: bytes) -> Passed:
    """Read an envelope and check its signature. Raises InvalidEnvelope."""
    _check_size(data)
    try:
        wire = msgspec.json.decode(data, type=_Wire)
        canonical = signed_json.canonical(wire)
    except InvalidEnvelope:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEnvelope(f"not an envelope: {error}") from error
    if canonical != data:
        raise InvalidEnvelope("not the canonical form: sorted members, each once, no whitespace")
    return Passed(
        conversation_id=wire.conversation_id,
        node_id=wire.node_id,
        payload=wire.payload,
        signature=wire.signature,
    )


def check_fresh(payload: Payload, now_s: int) -> None:
    """Refuse what was said too long ago, or is yet to be said. Raises InvalidEnvelope."""
    off = abs(payload.sent_at - now_s)
    if off > SKEW_SECONDS_MAX:
        raise InvalidEnvelope(f"the envelope is {off} s off, at most {SKEW_SECONDS_MAX}")


def _check_size(data: bytes) -> None:
    if len(data) > BYTES_MAX:
        raise InvalidEnvelope(f"envelope of {len(data)} bytes, at most {BYTES_MAX}")


def _check_hex(size: int, **named: str) -> None:
    for name, value in named.items():
        if _HEX[size].fullmatch(value) is None:
            raise InvalidEnvelope(f"{name} is not {2 * size} characters of lower-case hex")


def _check_number(name: str, value: int) -> None:
    if not 0 <= value <= CREATED_AT_MAX_SECONDS:
        raise InvalidEnvelope(f"{name} must be 0 to {CREATED_AT_MAX_SECONDS}")


def _check_text(text: str) -> None:
    size = len(text.encode())
    if not text.strip() or size > TEXT_BYTES_MAX:
        raise InvalidEnvelope(f"text of {size} bytes, 1 to {TEXT_BYTES_MAX}, and not blank")
