"""What of a conversation is to be carried over from the ledgers of other members of a fleet.

Pure: events of several ledgers in, exchanges out. A message has one name in the fleet, the id of
the event with which its gateway took it in; the home's event of it, and a successor's, bear it
(`passed_by`). So one message that stands in three ledgers is one exchange, and its answer is the
one that its gateway delivered, as far as that is known.

Withheld words are not carried: those that met the crisis screen, those of an author who was held
when they were said, those that were erased. Not covered: whether the events are what their ledger
says; only what a head covers is handed in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.core import hashing, types
from ledger.core.event import Cause, Event
from runtime.core.agenda import SCREEN_PASS

CARRIED_KEY: Final = "timmy-node 2026-11 carried words v1"
PASSED_KEY: Final = "timmy-node 2026-11 passed message v1"
USER: Final = "user"
ASSISTANT: Final = "assistant"
EXCHANGES_MAX: Final = 24
"""Carried at once: what an agent's prompt holds of a talk."""
EVENTS_MAX: Final = 400
"""Newest events of a conversation's stream that are looked at: a turn with tools makes a dozen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Events of one conversation in one ledger, oldest first, and who is held there now."""

    ledger: bytes
    events: tuple[Event, ...]
    held: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Words of one side of an exchange, and where they stand."""

    message: bytes
    role: str
    author: str
    text: str
    ledger: bytes
    cause: Cause
    ts_ms: int
    reach: str | None

    @property
    def key(self) -> bytes:
        """Idempotency key of the event that carries them."""
        return carried_key(self.message, self.role)


@dataclass(slots=True)
class _Exchange:
    origin: bytes
    first_ms: int
    asked: Spoken | None = None
    answered: Spoken | None = None
    answered_by: bytes = b""


@dataclass(slots=True)
class _Talk:
    exchanges: dict[bytes, _Exchange] = field(default_factory=dict)

    def hear(self, heard: Heard) -> None:
        names: dict[int, bytes] = {}
        for event in heard.events:
            if event.type == types.MESSAGE_RECEIVED.name:
                self._message(heard, event, names)
            elif event.type == types.MESSAGE_SENT.name:
                self._answer(heard, event, names)

    def _message(self, heard: Heard, event: Event, names: dict[int, bytes]) -> None:
        author = event.payload.get("author")
        if event.payload.get("screen") != SCREEN_PASS or not isinstance(author, str):
            return
        if author in heard.held:
            return
        name, origin = name_of(heard.ledger, event)
        names[event.position] = name
        known = self.exchanges.setdefault(name, _Exchange(origin=origin, first_ms=event.ts_ms))
        known.first_ms = min(known.first_ms, event.ts_ms)
        if known.asked is None:
            known.asked = _spoken(heard, event, name, USER, author)

    def _answer(self, heard: Heard, event: Event, names: dict[int, bytes]) -> None:
        position = event.payload.get("message")
        name = names.get(position) if type(position) is int else None
        if name is None:
            return
        exchange = self.exchanges[name]
        delivered = heard.ledger == exchange.origin
        if exchange.answered is None or delivered:
            author = str(event.payload.get("author", ""))
            exchange.answered = _spoken(heard, event, name, ASSISTANT, author)
            exchange.answered_by = answerer(heard.ledger, event.payload)


def carried_key(message: bytes, role: str) -> bytes:
    """Return the 16-byte key of the event that carries one side of an exchange."""
    return hashing.xof(CARRIED_KEY, 16, message, role.encode())


def passed_key(message: bytes) -> bytes:
    """Return the 16-byte key, of those a client may choose, of a message that was handed on."""
    return hashing.xof(PASSED_KEY, 16, message)


def name_of(ledger: bytes, event: Event) -> tuple[bytes, bytes]:
    """Return a message's name in the fleet and the ledger of its gateway, from its event."""
    by = event.payload.get("passed_by")
    if isinstance(by, dict):
        id_, origin = by.get("id"), by.get("ledger")
        if isinstance(id_, bytes) and isinstance(origin, bytes) and len(id_) == len(origin) == 32:
            return id_, origin
    return event.id, ledger


def answerer(ledger: bytes, payload: Mapping[str, Any]) -> bytes:
    """Return whose words an answer in a ledger are: another member's, if it was delivered."""
    by = payload.get("answered_by")
    found = by.get("ledger") if isinstance(by, dict) else None
    return found if isinstance(found, bytes) else ledger


def exchanges(heard: Iterable[Heard], own: bytes) -> list[Spoken]:
    """Return what others said and heard, in order: of each message its words, then its answer.

    `own` is the ledger that it is carried to: what was said or answered there is left out. So is a
    message without an answer: it may be the very one that is being handed on.
    """
    talk = _Talk()
    for one in heard:
        talk.hear(one)
    known = sorted(talk.exchanges.items(), key=lambda found: (found[1].first_ms, found[0]))
    spoken: list[Spoken] = []
    for _, exchange in known[-EXCHANGES_MAX:]:
        if exchange.origin == own or exchange.answered is None:
            continue
        if exchange.asked is not None:
            spoken.append(exchange.asked)
        if exchange.answered is not None and exchange.answered_by != own:
            spoken.append(exchange.answered)
    return spoken


def _spoken(heard: Heard, event: Event, name: bytes, role: str, author: str) -> Spoken | None:
    text = None if event.content is None else event.content.get("text")
    if not isinstance(text, str) or not text.strip():
        return None
    reach = event.payload.get("reach")
    return Spoken(
        message=name,
        role=role,
        author=author,
        text=text,
        ledger=heard.ledger,
        cause=Cause(position=event.position, id=event.id, ledger=heard.ledger),
        ts_ms=event.ts_ms,
        reach=reach if isinstance(reach, str) else None,
    )
