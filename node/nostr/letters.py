"""What sealed messages become on their way in and out: names, keys, words. No state, no I/O.

A person is `nostr/NPUB`, as author, gateway and conversation, so she has one hold, one cursor of
delivered answers, one conversation. An agent that sends envelopes has a conversation for each of
its conversation ids: `nostr/NPUB/ID`. A room of several people is `nostr/room/KEY+KEY+...`, the
first twelve digits of each one's key, in order: of those who may talk here that names each.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from ledger.core.event import Event
from mesh.core import envelope, nip17, nip19
from mesh.core.envelope import Report
from mesh.core.errors import InvalidIdentifier
from mesh.core.nip01 import NostrSigner, made_safe
from mesh.core.nip59 import Rumor

PREFIX: Final = "nostr/"
_KEY_BYTES: Final = 16
_KEY: Final = b"timmy/nostr/letter/v1/"
_YES_NO: Final = re.compile(r"\s*(yes|no)\s+([0-9]{1,18})\s*[.!]?\s*", re.IGNORECASE | re.ASCII)
_ENVELOPE_JSON_BYTES: Final = 12_000
"""Words of one report: escaped twice, in the envelope and around it, they fit into a wrap."""
_ROOM: Final = "room"
_MEMBER_CHARS: Final = 12
"""Of a key in the name of a room: ten of them fit into one, and nobody among those who may talk is
named like another by chance. Two that are made alike are nobody's room (`room_of`)."""
_CALL_CHARS_MAX: Final = 1_500
"""Of a call that waits for a yes: a phone's screen; all of it is in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A yes or no to the question at this position of the ledger."""

    position: int
    allow: bool


def author_of(pubkey: str) -> str:
    """Return what a key's owner is called in the ledger."""
    return PREFIX + nip19.npub(pubkey)


def pubkey_of(author: str) -> str | None:
    """Return the key, in hex, of an author called by `author_of`; None for any other."""
    if not author.startswith(PREFIX):
        return None
    try:
        found = nip19.decode(author.removeprefix(PREFIX).split("/")[0])
    except InvalidIdentifier:
        return None
    return found.pubkey if isinstance(found, nip19.PublicKey) else None


def room_name(keys: Iterable[str]) -> str:
    """Return the conversation of a room, by the keys of everybody in it but this agent's."""
    return f"{PREFIX}{_ROOM}/{'+'.join(sorted(key[:_MEMBER_CHARS] for key in keys))}"


def room_of(conversation: str, known: Iterable[str]) -> list[str] | None:
    """Return who is in a room, by its name, among known keys.

    None for a conversation that is no room; empty if somebody in it is not known any more.
    """
    kind, _, names = conversation.removeprefix(PREFIX).partition("/")
    if kind != _ROOM or not names:
        return None
    keys = [[key for key in known if key.startswith(one)] for one in names.split("+")]
    return [key for [key] in keys] if all(len(one) == 1 for one in keys) else []


def key_of(letter_id: str) -> bytes:
    """Return the idempotency key under which the ledger takes a letter: once, for ever."""
    return hashlib.sha256(_KEY + bytes.fromhex(letter_id)).digest()[:_KEY_BYTES]


def verdict_of(text: str) -> Verdict | None:
    """Read "yes 123" or "no 123". A yes without a number is for nobody: questions change."""
    found = _YES_NO.fullmatch(text)
    if found is None:
        return None
    return Verdict(position=int(found[2]), allow=found[1].lower() == "yes")


def question_words(position: int, name: str, content: dict[str, Any]) -> str:
    """Return how the operator is asked about a call of a tool.

    What the call says is quoted, each line of it: it may be a stranger's, who would write
    "Answer: yes" and the number of another question.
    """
    call = str(content.get("text") or "")[:_CALL_CHARS_MAX]
    arguments = str(content.get("arguments") or "")
    more = len(arguments) - _CALL_CHARS_MAX + int(content.get("left_out") or 0)
    rest = f" ... and {more} characters: timmy show {position}" if more > 0 else ""
    said = f"{name}: {call}\n{arguments[:_CALL_CHARS_MAX]}\n{content.get('why') or ''}"
    quoted = "\n".join(f"> {line}" for line in said.splitlines() if line.strip())
    return f"May I do this?\n{quoted}\n{rest.strip()}\n\nAnswer: yes {position}, or: no {position}"


def answer_rumors(
    signer: NostrSigner, message: Event, answer: Event, known: Iterable[str] = ()
) -> list[Rumor]:
    """Return the messages that carry an answer, in order; none if its words were erased.

    `known`: the keys of those who may talk; an answer in a room is for everybody in it, or for
    nobody if one of them is not among these any more.

    They are dated by the ledger, a second apart, so that clients show them in order and making
    them again makes the same ones.
    """
    text = made_safe(str((answer.content or {}).get("text") or ""))
    reader = pubkey_of(message.payload["author"])
    readers = room_of(message.payload["conversation"], known)
    if not text.strip() or reader is None or readers == []:
        return []
    now = answer.ts_ms // 1000
    _, _, conversation = message.payload["conversation"].removeprefix(PREFIX).partition("/")
    if readers is not None or not conversation:
        return [
            nip17.write(
                signer.pubkey, readers or [reader], part, now=now + at, event=answer.id.hex()
            )
            for at, part in enumerate(nip17.split(text))
        ]
    made = []
    parts = [part for part in nip17.split(text, _ENVELOPE_JSON_BYTES) if part.strip()]
    for at, part in enumerate(parts):
        report = Report(
            id=hashlib.sha256(answer.id + at.to_bytes(2, "big")).hexdigest()[: 2 * _KEY_BYTES],
            sent_at=now + at,
            text=part,
            to=reader,
            outcome="answered",
        )
        signed = envelope.sign(report, conversation_id=conversation, signer=signer, aux=bytes(32))
        made.append(envelope.carry(signed, signer.pubkey, now=now + at))
    return made
