"""Private direct messages between people and agents (NIP-17), in gift wraps (mesh.core.nip59).

A message is a kind 14 rumor; one wrap goes to each receiver and one to the author, who keeps his
own copy by it. Wraps go only to the relays that a receiver names in his kind 10050 list: without a
list he is not ready to receive, and nothing is sent. A room is its author and receivers together.

Who reads must not ask relays with `since`: a wrap is dated up to two days back, so what arrives
next may be older than everything seen. He asks for all and remembers what he has seen.

Not covered: files (kind 15), reactions, deletions and other kinds in wraps: `read` tells them by
their kind and no more.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from mesh.core import limits
from mesh.core.errors import InvalidWrap, Refused, TooLong
from mesh.core.nip01 import Event, NostrSigner, Tag, UnsignedEvent, VerifiedEvent, is_hex32
from mesh.core.nip59 import Opened, Rumor
from mesh.core.pool.routes import relay_url

CHAT_KIND: Final = 14
INBOX_KIND: Final = 10050


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectMessage:
    """One message. `room` holds everybody in it, the author too; times are Unix seconds.

    `id` is the rumor's: the same in every copy, whatever wraps it came in.
    """

    id: str
    author: str
    room: frozenset[str]
    text: str
    created_at: int
    answers: str | None = None
    subject: str | None = None


def write(
    author: str,
    receivers: Sequence[str],
    text: str,
    *,
    now: int,
    answers: str | None = None,
    subject: str | None = None,
    event: str | None = None,
) -> Rumor:
    """Return the rumor of a message, keys and ids in hex, `now` in Unix seconds.

    `answers` is the id of the message before. `event` is that of the ledger event that the words
    are of: the same words said twice within a second are two messages by it.
    Raises TooLong (`split` helps) and InvalidWrap.
    """
    others = tuple(dict.fromkeys(receivers))
    if not 1 <= len(others) <= limits.SEALED_RECEIVERS_MAX:
        bound = limits.SEALED_RECEIVERS_MAX
        raise InvalidWrap(f"{len(others)} receivers, 1 to {bound} allowed")
    size = _json_bytes(text)
    if size > limits.SEALED_TEXT_BYTES_MAX:
        raise TooLong(
            f"words of {size} bytes as JSON, at most {limits.SEALED_TEXT_BYTES_MAX} allowed",
            hint="send them in parts",
        )
    tags: tuple[Tag, ...] = tuple(("p", other) for other in others)
    if answers is not None:
        tags += (("e", answers),)
    if subject is not None:
        tags += (("subject", subject),)
    if event is not None:
        tags += (("event", event),)
    return Rumor(pubkey=author, created_at=now, kind=CHAT_KIND, tags=tags, content=text)


def readers(rumor: Rumor) -> tuple[str, ...]:
    """Return who gets a wrap of a message: every receiver, then its author."""
    named = (tag[1] for tag in rumor.tags if tag[0] == "p" and len(tag) > 1)
    return tuple(dict.fromkeys((*named, rumor.pubkey)))


def read(opened: Opened) -> DirectMessage | None:
    """Return the message in a wrap, None if it holds another kind. Raises InvalidWrap."""
    rumor = opened.rumor
    if rumor.kind != CHAT_KIND:
        return None
    room = [tag[1] for tag in rumor.tags if tag[0] == "p" and len(tag) > 1]
    if not all(map(is_hex32, room)) or len(set(room)) > limits.SEALED_RECEIVERS_MAX:
        bound = limits.SEALED_RECEIVERS_MAX
        raise InvalidWrap(f"receivers must be at most {bound} public keys, got {len(room)}")
    parent = _value(rumor, "e")
    return DirectMessage(
        id=rumor.id,
        author=rumor.pubkey,
        room=frozenset((*room, rumor.pubkey)),
        text=rumor.content,
        created_at=rumor.created_at,
        answers=parent if is_hex32(parent) else None,
        subject=_value(rumor, "subject"),
    )


def split(text: str, bytes_max: int = limits.SEALED_TEXT_BYTES_MAX) -> list[str]:
    """Cut words into parts that `write` takes: at a line's end, else at a space, else anywhere.

    Joined again they are the same words. `bytes_max` counts bytes as JSON, 12 or more.
    """
    parts = []
    while text:
        size = _fitting(text, bytes_max)
        if size < len(text):
            window = text[size // 2 : size]
            at_line = window.rfind("\n")
            cut = window.rfind(" ") if at_line < 0 else at_line
            size = size if cut < 0 else size // 2 + cut + 1
        parts.append(text[:size])
        text = text[size:]
    return parts


def _fitting(text: str, bytes_max: int) -> int:
    """How many of the first characters fit, at least one."""
    low, high = 1, min(len(text), bytes_max)
    while low < high:
        middle = (low + high + 1) // 2
        if _json_bytes(text[:middle]) <= bytes_max:
            low = middle
        else:
            high = middle - 1
    return low


def _json_bytes(text: str) -> int:
    """Size in JSON, without the quotes around it."""
    try:
        return len(msgspec.json.encode(text)) - 2
    except UnicodeEncodeError as error:
        raise InvalidWrap("text holds a lone surrogate") from error


def _value(rumor: Rumor, name: str) -> str | None:
    return next((tag[1] for tag in rumor.tags if tag[0] == name and len(tag) > 1), None)


def mint_inbox(signer: NostrSigner, relays: Sequence[str], *, now: int) -> VerifiedEvent:
    """Return the list of relays at which an agent takes sealed messages (kind 10050)."""
    return signer.sign(
        UnsignedEvent(
            pubkey=signer.pubkey,
            created_at=now,
            kind=INBOX_KIND,
            tags=tuple(("relay", url) for url in relays),
        )
    )


def inbox_relays(event: Event) -> tuple[str, ...]:
    """Return the first INBOX_RELAYS_MAX usable relays of a kind 10050 list; perhaps none.

    Usable is what a pool takes: one bad entry among them would cost all that are written to.
    """
    if event.kind != INBOX_KIND:
        return ()
    usable: dict[str, None] = {}
    for tag in event.tags:
        if tag[0] == "relay" and len(tag) > 1:
            with suppress(Refused):
                usable[relay_url(tag[1].strip())] = None
    return tuple(usable)[: limits.INBOX_RELAYS_MAX]
